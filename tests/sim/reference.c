#include "tests/sim/reference.h"

#include "tests/sim/sim.h"

#include <string.h>

static bool is_active(const struct reference_task *task)
{
    return task->state == TASK_QUEUED || task->state == TASK_RUNNING;
}

static void end(struct reference *r, struct reference_task *task, enum task_state state)
{
    task->state = state;
    task->ended = ++r->last_end;
}

/* What the trigger rule says of those upstreams whose end has got through. */
static void evaluate(struct reference *r, struct reference_run *run, uint32_t index)
{
    const struct dag_task *spec = &run->dag->tasks[index];
    struct reference_task *task = &run->tasks[index];
    enum task_state states[REFERENCE_TASKS_MAX];

    if (task->state != TASK_NONE)
        return;
    for (uint32_t i = 0; i < spec->upstream_count; i++) {
        const struct reference_task *upstream = &run->tasks[spec->upstream[i]];
        states[i] = upstream->is_told ? upstream->state : TASK_NONE;
    }
    switch (naive_rule(spec->trigger_rule, states, spec->upstream_count)) {
    case NAIVE_RUN:
        task->state = TASK_SCHEDULED;
        task->tries++;
        break;
    case NAIVE_SKIP:
        end(r, task, TASK_SKIPPED);
        break;
    case NAIVE_UPSTREAM_FAILED:
        end(r, task, TASK_UPSTREAM_FAILED);
        break;
    case NAIVE_FAIL:
        end(r, task, TASK_FAILED);
        break;
    case NAIVE_WAIT:
        break;
    }
}

static void evaluate_all(struct reference *r, struct reference_run *run)
{
    for (uint32_t i = 0; i < run->dag->task_count; i++)
        evaluate(r, run, i);
}

/* --- one thing after the other, until nothing changes ---------------------------------------- */

static int64_t count_running(const struct reference *r, const struct dag *dag)
{
    int64_t count = 0;

    for (size_t i = 0; i < r->run_count; i++)
        count += r->runs[i].dag == dag && r->runs[i].state == RUN_RUNNING;
    return count;
}

/* The run that has waited longest among those that may start. */
static bool start_run(struct reference *r)
{
    struct reference_run *best = NULL;

    for (size_t i = 0; i < r->run_count; i++) {
        struct reference_run *run = &r->runs[i];
        if (run->state != RUN_QUEUED || !run->is_due ||
            count_running(r, run->dag) >= run->dag->max_active_runs)
            continue;
        if (best == NULL || run->run_after_us < best->run_after_us)
            best = run;
    }
    if (best == NULL)
        return false;
    best->state = RUN_RUNNING;
    evaluate_all(r, best);
    return true;
}

/* The earliest end that downstreams have not been told of. */
static bool tell_end(struct reference *r)
{
    struct reference_run *run = NULL;
    uint32_t index = 0;

    for (size_t i = 0; i < r->run_count; i++)
        for (uint32_t k = 0; k < r->runs[i].dag->task_count; k++) {
            const struct reference_task *task = &r->runs[i].tasks[k];
            if (task->ended == 0 || task->is_told ||
                (run != NULL && task->ended > run->tasks[index].ended))
                continue;
            run = &r->runs[i];
            index = k;
        }
    if (run == NULL)
        return false;
    run->tasks[index].is_told = true;
    evaluate_all(r, run);
    return true;
}

static bool end_run(struct reference *r)
{
    for (size_t i = 0; i < r->run_count; i++) {
        struct reference_run *run = &r->runs[i];
        bool has_failed = false;
        bool is_over = run->state == RUN_RUNNING;
        for (uint32_t k = 0; k < run->dag->task_count; k++) {
            is_over = is_over && task_state_is_final(run->tasks[k].state);
            if (run->dag->tasks[k].downstream_count == 0)
                has_failed = has_failed || task_state_is_failed(run->tasks[k].state);
        }
        if (!is_over)
            continue;
        run->state = has_failed ? RUN_FAILED : RUN_SUCCESS;
        return true;
    }
    return false;
}

/* --- which task starts next ------------------------------------------------------------------ */

static size_t kind_of(const struct dag_task *spec)
{
    return spec->class == TASK_CLASS_SHARED ? 1 : 0;
}

/* Whether there is room for the task, counting everything that is active anew. */
static bool has_room(const struct reference *r, const struct reference_run *run, uint32_t index)
{
    const struct dag_task *spec = &run->dag->tasks[index];
    int64_t in_run = 0;
    int64_t in_pool = spec->pool_slots;
    int64_t in_kind = 1;
    int64_t pool = 0;

    for (size_t i = 0; i < r->run_count; i++)
        for (uint32_t k = 0; k < r->runs[i].dag->task_count; k++) {
            const struct dag_task *other = &r->runs[i].dag->tasks[k];
            if (!is_active(&r->runs[i].tasks[k]))
                continue;
            in_run += &r->runs[i] == run;
            in_pool += strcmp(other->pool, spec->pool) == 0 ? other->pool_slots : 0;
            in_kind += kind_of(other) == kind_of(spec);
        }
    for (size_t i = 0; i < r->pool_count; i++)
        if (strcmp(r->pools[i].name, spec->pool) == 0)
            pool = r->pools[i].slots;
    return in_run < run->dag->max_active_tasks && in_pool <= pool &&
           in_kind <= r->slots[kind_of(spec)];
}

/* By weight, then the older run, then the order in the file. */
static bool goes_first(const struct reference *r, const struct reference_start *a,
                       const struct reference_start *b)
{
    const struct reference_run *run_a = &r->runs[a->run];
    const struct reference_run *run_b = &r->runs[b->run];
    int64_t weight_a = run_a->dag->tasks[a->task].priority_weight_total;
    int64_t weight_b = run_b->dag->tasks[b->task].priority_weight_total;

    if (weight_a != weight_b)
        return weight_a > weight_b;
    if (a->run == b->run)
        return a->task < b->task;
    if (run_a->run_after_us != run_b->run_after_us)
        return run_a->run_after_us < run_b->run_after_us;
    return a->run < b->run;
}

static bool start_task(struct reference *r)
{
    struct reference_start best = {0};
    bool found = false;

    for (size_t i = 0; i < r->run_count; i++)
        for (uint32_t k = 0; k < r->runs[i].dag->task_count; k++) {
            struct reference_start start = {i, k, r->runs[i].tasks[k].tries};
            if (r->runs[i].tasks[k].state != TASK_SCHEDULED || !has_room(r, &r->runs[i], k) ||
                (found && !goes_first(r, &start, &best)))
                continue;
            best = start;
            found = true;
        }
    if (!found)
        return false;
    r->runs[best.run].tasks[best.task].state = TASK_QUEUED;
    r->starts[r->start_count++] = best;
    return true;
}

static void settle(struct reference *r)
{
    r->start_count = 0;
    while (start_run(r) || tell_end(r) || end_run(r))
        continue;
    while (start_task(r))
        continue;
}

/* --- events ---------------------------------------------------------------------------------- */

void reference_trigger(struct reference *r, const struct dag *dag, int64_t run_after_us)
{
    r->runs[r->run_count++] = (struct reference_run){.dag = dag,
                                                     .state = RUN_QUEUED,
                                                     .run_after_us = run_after_us,
                                                     .is_due = run_after_us <= r->now_us};
    settle(r);
}

void reference_started(struct reference *r, size_t run, uint32_t task)
{
    r->runs[run].tasks[task].state = TASK_RUNNING;
    settle(r);
}

void reference_ended(struct reference *r, size_t run, uint32_t task, enum outcome outcome)
{
    const struct dag_task *spec = &r->runs[run].dag->tasks[task];
    struct reference_task *ended = &r->runs[run].tasks[task];

    if (outcome == OUTCOME_SUCCESS) {
        end(r, ended, TASK_SUCCESS);
    } else if (outcome == OUTCOME_SKIPPED) {
        end(r, ended, TASK_SKIPPED);
    } else if (outcome == OUTCOME_FATAL || ended->tries > spec->retries) {
        end(r, ended, TASK_FAILED);
    } else {
        ended->state = TASK_UP_FOR_RETRY;
        ended->retry_at_us = r->now_us + spec->retry_delay_us;
    }
    settle(r);
}

void reference_tick(struct reference *r)
{
    for (size_t i = 0; i < r->run_count; i++) {
        struct reference_run *run = &r->runs[i];
        run->is_due = run->is_due || run->run_after_us <= r->now_us;
        for (uint32_t k = 0; k < run->dag->task_count; k++) {
            struct reference_task *task = &run->tasks[k];
            if (task->state != TASK_UP_FOR_RETRY || task->retry_at_us > r->now_us)
                continue;
            task->state = TASK_SCHEDULED;
            task->tries++;
        }
    }
    settle(r);
}

int64_t reference_next_wakeup(const struct reference *r)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < r->run_count; i++) {
        const struct reference_run *run = &r->runs[i];
        if (run->state == RUN_QUEUED && !run->is_due && run->run_after_us < next)
            next = run->run_after_us;
        for (uint32_t k = 0; k < run->dag->task_count; k++)
            if (run->tasks[k].state == TASK_UP_FOR_RETRY && run->tasks[k].retry_at_us < next)
                next = run->tasks[k].retry_at_us;
    }
    return next;
}
