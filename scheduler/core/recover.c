/* Recovery, the only start-up: the core's memory built again from the rows. */
#include "scheduler/core/parts.h"

#include <assert.h>
#include <string.h>

void core_restore_dag(struct core *core, const struct dag_row *row, struct dag *current)
{
    struct dag_entry *entry = dags_add(core, row->dag_id);
    const char *dag_id = entry->row.dag_id;

    entry->row = *row;
    entry->row.dag_id = dag_id;
    entry->row.file = arena_strdup(&entry->arena, row->file);
    dags_set_pause_reason(entry, row->pause_reason);
    if (current != NULL)
        entry->current = dag_ref(current);
    assets_subscribe(core, entry);
}

void core_restore_backfill(struct core *core, const struct backfill_row *row)
{
    struct dag_entry *entry = dags_find(core, row->dag_id);

    assert(entry != NULL);
    (void)backfill_add(core, entry, row);
}

/* What to do with a task, by its stored state and whether an attempt of it is alive. A step is one
 * transaction, so the rows of a task and its attempt agree; the rows marked "torn" are the answer
 * to a database that was changed by hand. */
enum recovery {
    RECOVER_NOTHING, /* it waits for its upstreams, or its state can't have been stored */
    RECOVER_ENQUEUE, /* it waits for its slots, which are not stored */
    RECOVER_BIND,    /* its attempt goes on: at its worker, or once that has come back */
    RECOVER_TIMER,   /* it waits for its next try */
    RECOVER_WAIT,    /* a sensor that waits */
    RECOVER_SETTLED, /* it is over, and its downstreams count it */
    RECOVER_LOST,    /* torn: no attempt to wait for; as if its worker was lost */
    RECOVER_STOPPED, /* torn: no attempt that has to stop */
};

static const enum recovery recoveries[TASK_STATE_COUNT][2] = {
  /* stored state            no attempt alive  attempt alive */
    [TASK_NONE] = {RECOVER_NOTHING, RECOVER_NOTHING},
    [TASK_SCHEDULED] = {RECOVER_ENQUEUE, RECOVER_ENQUEUE},
    [TASK_QUEUED] = {RECOVER_LOST,    RECOVER_BIND   },
    [TASK_RUNNING] = {RECOVER_LOST,    RECOVER_BIND   },
    [TASK_SUCCESS] = {RECOVER_SETTLED, RECOVER_SETTLED},
    [TASK_FAILED] = {RECOVER_SETTLED, RECOVER_SETTLED},
    [TASK_UP_FOR_RETRY] = {RECOVER_TIMER,   RECOVER_TIMER  },
    [TASK_UP_FOR_RESCHEDULE] = {RECOVER_WAIT,    RECOVER_WAIT   },
    [TASK_UPSTREAM_FAILED] = {RECOVER_SETTLED, RECOVER_SETTLED},
    [TASK_SKIPPED] = {RECOVER_SETTLED, RECOVER_SETTLED},
    [TASK_REMOVED] = {RECOVER_SETTLED, RECOVER_SETTLED},
    [TASK_DEFERRED] = {RECOVER_WAIT,    RECOVER_WAIT   },
    [TASK_RESTARTING] = {RECOVER_STOPPED, RECOVER_BIND   },
};

/* What the attempts say of each task instance, gathered in one pass. */
struct attempts_of_task {
    const struct attempt_row *live; /* NULL = none */
    int64_t last_try;
};

/* For the instances of task t, in the order of map_index and from -1 on: items[first[t]] up to, but
 * not with, items[first[t + 1]]. Attempts of instances that have no row any more count for -1. */
struct attempts_by_row {
    struct attempts_of_task *items;
    uint32_t *first;
};

static struct attempts_of_task *attempts_of(const struct attempts_by_row *by_row, uint32_t task,
                                            int32_t map_index)
{
    uint32_t at = by_row->first[task] + (uint32_t)(map_index + 1);

    return &by_row->items[at < by_row->first[task + 1] ? at : by_row->first[task]];
}

static struct attempts_by_row make_places(struct arena *arena, uint32_t task_count,
                                          const struct task_row *tasks, size_t count)
{
    uint32_t *first = arena_alloc_array(arena, task_count + 1, sizeof(*first));

    for (size_t i = 0; i < count; i++)
        if (tasks[i].task < task_count && tasks[i].map_index >= 0)
            first[tasks[i].task + 1]++;
    for (uint32_t i = 0; i < task_count; i++)
        first[i + 1] += first[i] + 1;
    return (struct attempts_by_row){
        arena_alloc_array(arena, first[task_count], sizeof(struct attempts_of_task)), first};
}

static void gather(const struct attempts_by_row *by_row, uint32_t task_count,
                   const struct attempt_row *attempts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (attempts[i].task >= task_count || attempts[i].map_index < -1)
            continue;
        struct attempts_of_task *of = attempts_of(by_row, attempts[i].task, attempts[i].map_index);
        if (attempts[i].state == TASK_QUEUED || attempts[i].state == TASK_RUNNING)
            of->live = &attempts[i];
        if (attempts[i].try_number > of->last_try)
            of->last_try = attempts[i].try_number;
    }
}

/* The instance that a row tells of, or NULL for a row that can't be. */
static struct task *place(struct run *run, const struct task_row *row,
                          const struct attempts_by_row *by_row)
{
    if (row->task >= run->dag->task_count || row->map_index < -1)
        return NULL;
    struct task *node = &run->tasks[row->task];
    if (row->map_index < 0)
        return node;
    if (row->map_index == 0) {
        /* Instances to come must not take the tries of former ones. */
        node->try_number = attempts_of(by_row, row->task, -1)->last_try;
        node->max_tries = node->try_number + task_spec(node)->retries;
    }
    return mapping_restore(node, (uint32_t)row->map_index);
}

/* The task does not wait for this attempt any more, so that it must have been told to stop. */
static void bind_stopping(struct core *core, struct task *task, const struct attempt_row *row)
{
    struct attempt_row copy = *row;

    if (copy.stop_reason == NULL)
        copy.stop_reason = "task_is_over"; /* torn */
    attempts_bind(core, task, &copy);
}

static void restore_task(struct core *core, struct task *task, const struct task_row *row,
                         const struct attempts_of_task *attempts)
{
    struct run *run = task->run;

    task->state = row->state;
    task->try_number = row->try_number;
    task->max_tries = row->max_tries;
    task->scheduled_at_us = row->scheduled_at_us;
    task->queued_at_us = row->queued_at_us;
    task->started_at_us = row->started_at_us;
    task->ended_at_us = row->ended_at_us;
    task->retry_at_us = row->retry_at_us;
    task->wait_since_us = row->wait_since_us;
    task->pokes = row->pokes;
    /* Only a sensor waits or is ready with an attempt of its try already there. */
    task->has_poked =
        attempts->last_try == row->try_number &&
        (row->pokes > 0 || row->state == TASK_SCHEDULED || row->state == TASK_UP_FOR_RESCHEDULE);
    if (row->state != TASK_NONE) {
        run->waiting--;
        if (task_node(task)->mapping != NULL)
            task_node(task)->mapping->waiting--;
    } else {
        /* A run that is processed again by another version of its DAG may have attempts of another
         * task under this index: their numbers stay taken. */
        if (task->try_number < attempts->last_try)
            task->try_number = attempts->last_try;
        task->max_tries = task->try_number + task_spec(task)->retries;
    }
    switch (recoveries[row->state][attempts->live != NULL]) {
    case RECOVER_NOTHING:
        break;
    case RECOVER_ENQUEUE:
        ready_push(core, task);
        break;
    case RECOVER_BIND:
        run->active += !PLANTED(ACTIVE_NOT_RESTORED);
        limits_count(core, task, !PLANTED(LIMIT_NOT_RESTORED));
        if (PLANTED(REQUEUED_ON_RESTART))
            break; /* as if it had been lost */
        if (row->state == TASK_RESTARTING)
            bind_stopping(core, task, attempts->live);
        else
            attempts_bind(core, task, attempts->live);
        break;
    case RECOVER_TIMER:
        task->timer.kind = TIMER_RETRY;
        if (!PLANTED(RETRY_TIMER_NOT_RESTORED))
            timer_arm(core, &core->timers, &task->timer, task->retry_at_us);
        break;
    case RECOVER_WAIT: /* once its upstreams' outputs are there */
        break;
    case RECOVER_SETTLED:
        if (attempts->live != NULL)
            bind_stopping(core, task, attempts->live);
        run->unfinished--;
        if (task_state_is_failed(row->state) && run->failed_leaf == NULL &&
            task_counts_for_run(task))
            run->failed_leaf = task;
        if (!PLANTED(TALLY_NOT_RESTORED))
            tally_spread(task, row->state, 1);
        if (row->state == TASK_REMOVED)
            task_count_removed(task, true);
        break;
    case RECOVER_LOST:
    case RECOVER_STOPPED:
        run->active++;
        limits_count(core, task, 1);
        break;
    }
}

static void keep_task(struct task *task, const struct task_row *old)
{
    struct run *run = task->run;
    struct mapping *mapping = task_node(task)->mapping;

    task->state = old->state;
    task->try_number = old->try_number;
    task->max_tries = old->max_tries;
    task->scheduled_at_us = old->scheduled_at_us;
    task->queued_at_us = old->queued_at_us;
    task->started_at_us = old->started_at_us;
    task->ended_at_us = old->ended_at_us;
    run->waiting--;
    run->unfinished--;
    if (mapping != NULL)
        mapping->waiting--;
    if (!task_node(task)->is_outside)
        tally_spread(task, old->state, 1);
    if (old->state == TASK_REMOVED)
        task_count_removed(task, true);
    if (task_state_is_failed(task->state) && run->failed_leaf == NULL && task_counts_for_run(task))
        run->failed_leaf = task;
}

void run_keep_tasks(struct run *run, const struct task_row *tasks, size_t count, const bool *keeps)
{
    for (size_t i = 0; i < count; i++) {
        const struct task_row *old = &tasks[i];
        if (old->task >= run->dag->task_count || !keeps[old->task])
            continue;
        struct task *task = &run->tasks[old->task];
        if (old->map_index >= 0)
            task = mapping_restore(task, (uint32_t)old->map_index);
        if (task != NULL)
            keep_task(task, old);
    }
}

/* Only the try that a task has ended with counts, if it was made in this pass and not told to stop.
 */
void run_restore_outputs(struct run *run, const struct attempt_row *attempts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct attempt_row *row = &attempts[i];
        if (row->task >= run->dag->task_count || row->outputs == NULL ||
            PLANTED(OUTPUTS_NOT_RESTORED) || row->stop_reason != NULL ||
            !run->dag->tasks[row->task].outputs_used)
            continue;
        struct task *task = &run->tasks[row->task];
        if (row->map_index >= 0)
            task = (uint32_t)row->map_index < task_instance_count(task)
                       ? task_instance(task, (uint32_t)row->map_index)
                       : task;
        if (task->map_index != row->map_index || task->queued_at_us == 0 ||
            row->try_number != task->try_number)
            continue;
        json_decref(task->outputs);
        task->outputs = json_loads(row->outputs, 0, NULL);
    }
}

static void restore_waits(struct core *core, struct run *run)
{
    for (uint32_t i = 0; i < run->dag->task_count; i++) {
        struct task *node = &run->tasks[i];
        for (uint32_t k = 0; k < task_instance_count(node); k++)
            if (recoveries[task_instance(node, k)->state][0] == RECOVER_WAIT)
                wait_restore(core, task_instance(node, k));
    }
}

static void count_running(struct run *run)
{
    if (run->row.state != RUN_RUNNING)
        return;
    if (run->backfill != NULL)
        run->backfill->running_runs++;
    else if (!PLANTED(RUNNING_RUNS_NOT_RESTORED))
        run->entry->running_runs++;
}

void core_restore_run(struct core *core, const struct run_row *row, struct dag *version,
                      const struct task_row *tasks, size_t task_count,
                      const struct attempt_row *attempts, size_t attempt_count)
{
    struct dag_entry *entry = dags_find(core, row->dag_id);
    struct arena scratch = {0};

    assert(entry != NULL);
    struct run *run = run_new(core, entry, version, row);
    struct attempts_by_row by_row = make_places(&scratch, version->task_count, tasks, task_count);
    gather(&by_row, version->task_count, attempts, attempt_count);
    for (size_t i = 0; i < task_count; i++) {
        struct task *task = place(run, &tasks[i], &by_row);
        if (task != NULL)
            restore_task(core, task, &tasks[i],
                         attempts_of(&by_row, tasks[i].task, tasks[i].map_index));
    }
    run_restore_outputs(run, attempts, attempt_count);
    if (PLANTED(DOOM_NOT_RESTORED))
        run->row.doom = NULL;
    if (!PLANTED(POKES_NOT_RESTORED))
        restore_waits(core, run);
    ready_run_limit(run);
    count_running(run);
    arena_release(&scratch);
}

/* It stands there without tasks, so that its DAG's and its backfill's counts see it end. */
void core_restore_unreadable_run(struct core *core, const struct run_row *row, const char *reason)
{
    struct dag_entry *entry = dags_find(core, row->dag_id);
    struct arena arena = {0};

    assert(entry != NULL && !run_state_is_final(row->state));
    struct dag *no_tasks = arena_alloc_array(&arena, 1, sizeof(*no_tasks));
    no_tasks->references = 1;
    no_tasks->arena = arena;
    struct run *run = run_new(core, entry, no_tasks, row);
    run->unreadable = arena_strdup(&run->arena, reason);
    count_running(run);
    dag_unref(no_tasks);
}

/* Of an attempt that is not there, although the row says that there is one. */
static void resume_task(struct core *core, struct task *task)
{
    if (task->attempt != NULL)
        return;
    if (task->state == TASK_QUEUED || task->state == TASK_RUNNING)
        attempts_lost_task(core, task, "worker_lost");
    else if (task->state == TASK_RESTARTING)
        task_stopped(core, task);
}

/* Goes on where the run stood. */
static void resume(struct core *core, struct run *run)
{
    if (!PLANTED(TIMEOUT_NOT_RESTORED))
        run_arm_timeout(core, run);
    for (uint32_t i = 0; i < run->dag->task_count; i++) {
        struct task *node = &run->tasks[i];
        if (task_is_waiting(node))
            task_evaluate(core, node, NULL);
        for (uint32_t k = 0; k < task_instance_count(node); k++)
            resume_task(core, task_instance(node, k));
    }
    run_check_end(core, run);
}

void recover(struct core *core)
{
    struct run *next = NULL;

    for (struct dag_entry *entry = core->dags; entry != NULL; entry = entry->hh.next) {
        dags_plan(entry, core->now_us);
        dags_touch(core, entry);
    }
    assets_recovered(core);
    for (struct run *run = core->runs; run != NULL; run = next) {
        next = run->hh.next;
        if (run->unreadable != NULL)
            run_end(core, run, RUN_FAILED, reason_format(core, "%s", run->unreadable));
    }
    for (struct run *run = core->runs; run != NULL; run = next) {
        next = run->hh.next;
        if (!run_state_is_final(run->row.state) && !PLANTED(DEADLINE_NOT_RESTORED))
            deadline_arm(core, run);
        if (run->row.state == RUN_RUNNING)
            resume(core, run);
    }
    for (struct run *run = core->runs; run != NULL; run = next) {
        next = run->hh.next;
        if (run->row.state == RUN_QUEUED && run->queued.place == 0 && run->timer.node.place == 0)
            run_enqueue(core, run);
    }
    for (struct backfill *b = core->backfills; b != NULL; b = b->hh.next) {
        if (b->row.completed_at_us == 0 && b->entry->current != NULL)
            backfill_schedule_changed(core, b);
    }
}
