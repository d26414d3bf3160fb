/* Task instances: the one place where their states change, and how an end reaches downstreams. */
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <assert.h>

static struct task_row task_row(const struct task *task, const char *reason)
{
    return (struct task_row){
        .run = task->run->row.id,
        .task = task->index,
        .map_index = task->map_index,
        .task_id = task_spec(task)->task_id,
        .state = task->state,
        .try_number = task->try_number,
        .max_tries = task->max_tries,
        .scheduled_at_us = task->scheduled_at_us,
        .queued_at_us = task->queued_at_us,
        .started_at_us = task->started_at_us,
        .ended_at_us = task->ended_at_us,
        .retry_at_us = task->retry_at_us,
        .wait_since_us = task->wait_since_us,
        .pokes = task->pokes,
        .reason = reason,
    };
}

/* The way of a sensor's second and later pokes of one try, until one of them ends the waiting. */
static bool is_quiet(const struct task *task)
{
    return task->has_poked &&
           (task->state == TASK_SCHEDULED || task->state == TASK_QUEUED ||
            task->state == TASK_RUNNING || task->state == TASK_UP_FOR_RESCHEDULE);
}

const char *task_label(struct core *core, const struct task *task)
{
    if (task->map_index < 0)
        return task_spec(task)->task_id;
    return reason_format(core, "%s[%d]", task_spec(task)->task_id, task->map_index);
}

static void tell(struct core *core, const struct task *task, enum task_state from,
                 const char *reason)
{
    struct decision *decision = decisions_add(core->out, DECIDE_TASK);

    decision->as.task.is_quiet = is_quiet(task);

    decision->as.task.row = task_row(task, reason);
    decision->as.task.from = from;
}

static struct task **append(struct task ***items, size_t *count, size_t *capacity)
{
    if (*count == *capacity) {
        *capacity = mem_grow(*capacity, *count + 1);
        *items = mem_resize_array(*items, *capacity, sizeof(struct task *));
    }
    return &(*items)[(*count)++];
}

static bool is_active(enum task_state state)
{
    return state == TASK_QUEUED || state == TASK_RUNNING || state == TASK_RESTARTING;
}

static bool is_failed_leaf(const struct task *task)
{
    return task_state_is_failed(task->state) && task_counts_for_run(task);
}

static const struct task *failed_instance(struct task *node, uint32_t from)
{
    if (!task_counts_for_run(node))
        return NULL;
    for (uint32_t i = from; i < task_instance_count(node); i++)
        if (is_failed_leaf(task_instance(node, i)))
            return task_instance(node, i);
    return NULL;
}

/* Another one in place of a failed leaf that was cleared or marked; tasks are cleared in order, so
 * that the next one is near. */
static const struct task *next_failed_leaf(struct run *run, const struct task *after)
{
    uint32_t count = run->dag->task_count;
    const struct task *next = failed_instance(task_node(after), (uint32_t)(after->map_index + 1));

    for (uint32_t i = 1; next == NULL && i <= count; i++)
        next = failed_instance(&run->tasks[(after->index + i) % count], 0);
    return next;
}

/* An instance that was removed is nothing to wait for. */
void task_count_removed(struct task *task, bool is_removed)
{
    struct mapping *mapping = task_node(task)->mapping;

    if (mapping != NULL)
        mapping->live += is_removed ? -1u : 1u;
    tally_expect(task, is_removed ? -1u : 1u);
}

/* What the run counts of its tasks. */
static void count_change(struct core *core, struct task *task, enum task_state from)
{
    struct run *run = task->run;
    struct mapping *mapping = task_node(task)->mapping;
    uint32_t waiting = (task->state == TASK_NONE ? 1u : 0u) - (from == TASK_NONE ? 1u : 0u);
    bool was_final = task_state_is_final(from);

    run->waiting += waiting;
    if (mapping != NULL)
        mapping->waiting += waiting;
    if (from == TASK_NONE && !task_is_waiting(task_node(task)))
        past_forget_wait(task_node(task));
    run->active += is_active(task->state) - is_active(from);
    limits_count(core, task, is_active(task->state) - is_active(from));
    run->unfinished = run->unfinished + was_final - task_state_is_final(task->state);
    if ((from == TASK_REMOVED) != (task->state == TASK_REMOVED))
        task_count_removed(task, task->state == TASK_REMOVED);
    if (run->failed_leaf == task && was_final)
        run->failed_leaf = next_failed_leaf(run, task);
    if (is_failed_leaf(task) && run->failed_leaf == NULL)
        run->failed_leaf = task;
}

/* Its end is to be told of and counted, once, also if it is moved again before that. */
static void settle(struct core *core, struct task *task)
{
    if (task->is_settling)
        return;
    task->is_settling = true;
    *append(&core->settled, &core->settled_count, &core->settled_capacity) = task;
    task->run->settling++;
}

void task_move(struct core *core, struct task *task, enum task_state to, const char *reason)
{
    enum task_state from = task->state;

    assert(task_state_edge_is_legal(from, to));
    if (task->is_fresh)
        task_tell_scheduled(core, task, NULL);
    if (task_state_is_final(from) && !task->is_settling && !PLANTED(CLEARED_TALLY_KEPT))
        tally_spread(task, from, -1); /* its downstreams count it no longer */
    if (to == TASK_NONE || to == TASK_RESTARTING) {
        json_decref(task->outputs);
        task->outputs = NULL;
    }
    if (from == TASK_UP_FOR_RESCHEDULE || from == TASK_DEFERRED)
        wait_left(core, task);
    task->state = to;
    count_change(core, task, from);
    if (task_state_is_final(to)) {
        if (task->ended_at_us == 0)
            task->ended_at_us = core->now_us;
        settle(core, task);
    }
    if (to == TASK_SCHEDULED) {
        /* Told of at the end of the step, when the reason why it has to wait is known. */
        task->is_fresh = true;
        task->fresh_from = from;
        *append(&core->fresh, &core->fresh_count, &core->fresh_capacity) = task;
        return;
    }
    tell(core, task, from, reason);
    if (to == TASK_SUCCESS)
        callbacks_of_task(core, task, CALLBACK_EVENT_SUCCESS, reason);
    else if (to == TASK_FAILED)
        callbacks_of_task(core, task, CALLBACK_EVENT_FAILURE, reason);
}

void task_tell_scheduled(struct core *core, struct task *task, const char *reason)
{
    assert(task->is_fresh);
    task->is_fresh = false;
    tell(core, task, task->fresh_from, reason);
}

void task_tell_waiting(struct core *core, const struct task *task, const char *reason)
{
    if (task->mapping == NULL)
        tell(core, task, task->state, reason);
}

void task_schedule(struct core *core, struct task *task)
{
    task->try_number++;
    task->scheduled_at_us = core->now_us;
    task->queued_at_us = task->started_at_us = task->ended_at_us = task->retry_at_us = 0;
    task->has_poked = false;
    if (task->state == TASK_NONE)
        task->wait_since_us = task->pokes = 0;
    if (wait_defers(task_spec(task))) {
        wait_defer(core, task);
        return;
    }
    task_move(core, task, TASK_SCHEDULED, NULL);
    ready_push(core, task);
}

void task_schedule_poke(struct core *core, struct task *task)
{
    task->scheduled_at_us = core->now_us;
    task->queued_at_us = task->retry_at_us = 0;
    task_move(core, task, TASK_SCHEDULED, NULL);
    ready_push(core, task);
}

/* Of a task that is looked at without an upstream having just ended (its run is revived, or it was
 * cleared): the upstream instance that keeps it from running, a failed one before a skipped one. */
static const struct task *find_cause(const struct task *node)
{
    const struct dag_task *spec = task_spec(node);
    const struct task *skipped = NULL;

    for (uint32_t i = 0; i < spec->upstream_count; i++) {
        struct task *upstream = &node->run->tasks[spec->upstream[i]];
        for (uint32_t k = 0; k < task_instance_count(upstream); k++) {
            const struct task *instance = task_instance(upstream, k);
            if (task_state_is_failed(instance->state))
                return instance;
            if (instance->state == TASK_SKIPPED && skipped == NULL)
                skipped = instance;
        }
    }
    return skipped;
}

/* Why a task gets a state without running, as `cause` has ended. */
static const char *verdict_reason(struct core *core, const struct task *task, enum verdict verdict,
                                  const struct task *cause)
{
    const char *rule = trigger_rule_name(task_spec(task)->trigger_rule);

    if (cause == NULL)
        cause = find_cause(task);
    if (cause == NULL)
        return rule;
    if (verdict == VERDICT_UPSTREAM_FAILED && task_state_is_failed(cause->state))
        return reason_format(core, "upstream_failed: %s", task_label(core, cause));
    return reason_format(core, "%s: %s is %s", rule, task_label(core, cause),
                         task_state_name(cause->state));
}

void task_end_waiting(struct core *core, struct task *node, enum task_state to, const char *reason)
{
    for (uint32_t i = 0; i < task_instance_count(node); i++)
        if (task_instance(node, i)->state == TASK_NONE)
            task_move(core, task_instance(node, i), to, reason);
}

/* Its upstreams allow it to run. */
static void start(struct core *core, struct task *node)
{
    if (past_allows(core, node))
        flow_start(core, node);
}

void task_evaluate(struct core *core, struct task *task, const struct task *cause)
{
    const char *branched_off = flow_branched_off(core, task);
    enum verdict verdict = rule_verdict(task);

    assert(task_is_waiting(task));
    if (task->is_outside)
        task_end_waiting(core, task, TASK_REMOVED, "not part of the backfill");
    else if (branched_off != NULL && !(PLANTED(BRANCH_LATE) && verdict == VERDICT_WAIT))
        task_end_waiting(core, task, TASK_SKIPPED, branched_off);
    else if (verdict == VERDICT_RUN)
        start(core, task);
    else if (verdict != VERDICT_WAIT)
        task_end_waiting(core, task, verdict == VERDICT_SKIP ? TASK_SKIPPED : TASK_UPSTREAM_FAILED,
                         verdict_reason(core, task, verdict, cause));
}

static void evaluate_all(struct core *core, const struct task *cause, const uint32_t *indices,
                         uint32_t count)
{
    struct run *run = cause->run;

    for (uint32_t i = 0; i < count && run->row.state == RUN_RUNNING; i++)
        if (task_is_waiting(&run->tasks[indices[i]]))
            task_evaluate(core, &run->tasks[indices[i]], cause);
}

static void tell_downstreams(struct core *core, const struct task *task)
{
    const struct dag_task *spec = task_spec(task);

    if (task->state == TASK_FAILED)
        run_task_failed(core, task);
    if (task->run->awaited != NULL)
        waits_run_changed(core, task->run);
    if (task->run->dependents != NULL)
        past_task_ended(core, task);
    tally_spread(task, task->state, 1);
    evaluate_all(core, task, spec->downstream, spec->downstream_count);
    evaluate_all(core, task, spec->guarded, spec->guarded_count);
}

/* Takes a task out of whatever would move it on, and tells its attempt to stop. */
static void withdraw(struct core *core, struct task *task, const char *reason)
{
    ready_remove(core, task);
    timer_disarm(&core->timers, &task->timer);
    if (task->attempt != NULL)
        attempts_stop(core, task->attempt, reason);
}

void task_decide(struct core *core, struct task *task, enum task_state to, const char *reason)
{
    if (task->state == to)
        return;
    withdraw(core, task, reason);
    task_move(core, task, to, reason);
    ready_run_limit(task->run);
}

/* Back to none, with all its tries ahead of it again. */
static void start_over(struct core *core, struct task *task, const char *reason)
{
    task->scheduled_at_us = task->queued_at_us = 0;
    task->started_at_us = task->ended_at_us = task->retry_at_us = 0;
    if (!PLANTED(CLEARED_TRIES_KEPT))
        task->max_tries = task->try_number + task_spec(task)->retries;
    task_move(core, task, TASK_NONE, reason);
}

void task_clear(struct core *core, struct task *task, const char *reason)
{
    withdraw(core, task, reason);
    if (task->attempt != NULL) {
        task_move(core, task, TASK_RESTARTING, reason);
    } else {
        if (task->state == TASK_SCHEDULED && !task->has_poked)
            task->try_number--; /* no attempt has taken the number */
        start_over(core, task, reason);
    }
    ready_run_limit(task->run);
}

void task_stopped(struct core *core, struct task *task)
{
    if (task->state != TASK_RESTARTING)
        return; /* decided from outside */
    start_over(core, task, "cleared");
    if (task->run->row.state != RUN_RUNNING)
        return;
    task_evaluate(core, task_node(task), NULL);
    run_check_end(core, task->run);
}

void tasks_settle(struct core *core)
{
    size_t told = 0;
    size_t checked = 0;

    /* The list grows while it is worked off: tasks that end without running join it, also those of
     * a run that starts because another one has ended. */
    while (checked < core->settled_count) {
        while (told < core->settled_count) {
            struct task *task = core->settled[told++];
            task->run->settling--;
            task->is_settling = false;
            if (task_state_is_final(task->state))
                tell_downstreams(core, task);
        }
        run_check_end(core, core->settled[checked++]->run);
    }
    core->settled_count = 0;
}
