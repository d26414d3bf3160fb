/* Task instances: the one place where their states change, and how an end reaches downstreams. */
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <assert.h>

static struct task_row task_row(const struct task *task, const char *reason)
{
    return (struct task_row){
        .run = task->run->row.id,
        .task = task->index,
        .map_index = -1,
        .task_id = task_spec(task)->task_id,
        .state = task->state,
        .try_number = task->try_number,
        .max_tries = task->max_tries,
        .scheduled_at_us = task->scheduled_at_us,
        .queued_at_us = task->queued_at_us,
        .started_at_us = task->started_at_us,
        .ended_at_us = task->ended_at_us,
        .retry_at_us = task->retry_at_us,
        .reason = reason,
    };
}

static void tell(struct core *core, const struct task *task, enum task_state from,
                 const char *reason)
{
    struct decision *decision = decisions_add(core->out, DECIDE_TASK);

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

/* What the run counts of its tasks. */
static void count_change(struct task *task, enum task_state from)
{
    struct run *run = task->run;
    bool was_active = from == TASK_QUEUED || from == TASK_RUNNING;
    bool is_active = task->state == TASK_QUEUED || task->state == TASK_RUNNING;

    if (from == TASK_NONE)
        run->waiting--;
    run->active += is_active - was_active;
    if (!task_state_is_final(task->state))
        return;
    run->unfinished--;
    if (task_state_is_failed(task->state) && task_spec(task)->downstream_count == 0 &&
        run->failed_leaf == UINT32_MAX)
        run->failed_leaf = task->index;
}

void task_move(struct core *core, struct task *task, enum task_state to, const char *reason)
{
    enum task_state from = task->state;

    assert(task_state_edge_is_legal(from, to));
    if (task->is_fresh)
        task_tell_scheduled(core, task, NULL);
    task->state = to;
    count_change(task, from);
    if (task_state_is_final(to)) {
        if (task->ended_at_us == 0)
            task->ended_at_us = core->now_us;
        *append(&core->settled, &core->settled_count, &core->settled_capacity) = task;
    }
    if (to == TASK_SCHEDULED) {
        /* Told of at the end of the step, when the reason why it has to wait is known. */
        task->is_fresh = true;
        task->fresh_from = from;
        *append(&core->fresh, &core->fresh_count, &core->fresh_capacity) = task;
        return;
    }
    tell(core, task, from, reason);
}

void task_tell_scheduled(struct core *core, struct task *task, const char *reason)
{
    assert(task->is_fresh);
    task->is_fresh = false;
    tell(core, task, task->fresh_from, reason);
}

void task_schedule(struct core *core, struct task *task)
{
    task->try_number++;
    task->scheduled_at_us = core->now_us;
    task->queued_at_us = task->started_at_us = task->ended_at_us = task->retry_at_us = 0;
    task_move(core, task, TASK_SCHEDULED, NULL);
    ready_push(core, task);
}

void tally_add(struct tally *tally, enum task_state state)
{
    switch (state) {
    case TASK_SUCCESS:
        tally->success++;
        break;
    case TASK_FAILED:
        tally->failed++;
        break;
    case TASK_UPSTREAM_FAILED:
        tally->upstream_failed++;
        break;
    case TASK_SKIPPED:
    case TASK_REMOVED:
        tally->skipped++;
        break;
    case TASK_NONE:
    case TASK_SCHEDULED:
    case TASK_QUEUED:
    case TASK_RUNNING:
    case TASK_UP_FOR_RETRY:
    case TASK_UP_FOR_RESCHEDULE:
    case TASK_DEFERRED:
    case TASK_RESTARTING:
    case TASK_STATE_COUNT:
        break;
    }
}

void task_evaluate(struct core *core, struct task *task, const struct task *cause)
{
    const struct dag_task *spec = task_spec(task);
    enum verdict verdict = rule_verdict(spec->trigger_rule, &task->tally, spec->upstream_count);
    const char *reason = NULL;

    assert(task->state == TASK_NONE);
    if (verdict == VERDICT_WAIT)
        return;
    if (verdict == VERDICT_RUN) {
        task_schedule(core, task);
        return;
    }
    if (cause == NULL)
        reason = trigger_rule_name(spec->trigger_rule);
    else if (verdict == VERDICT_UPSTREAM_FAILED && task_state_is_failed(cause->state))
        reason = reason_format(core, "upstream_failed: %s", task_spec(cause)->task_id);
    else
        reason = reason_format(core, "%s: %s is %s", trigger_rule_name(spec->trigger_rule),
                               task_spec(cause)->task_id, task_state_name(cause->state));
    task_move(core, task, verdict == VERDICT_SKIP ? TASK_SKIPPED : TASK_UPSTREAM_FAILED, reason);
}

void tasks_settle(struct core *core)
{
    /* The list grows while it is worked off: tasks that end without running join it. */
    for (size_t i = 0; i < core->settled_count; i++) {
        struct task *task = core->settled[i];
        struct run *run = task->run;
        const struct dag_task *spec = task_spec(task);
        for (uint32_t k = 0; k < spec->downstream_count; k++) {
            struct task *down = &run->tasks[spec->downstream[k]];
            tally_add(&down->tally, task->state);
            if (down->state == TASK_NONE)
                task_evaluate(core, down, task);
        }
    }
    for (size_t i = 0; i < core->settled_count; i++)
        run_check_end(core, core->settled[i]->run);
    core->settled_count = 0;
}
