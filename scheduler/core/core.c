/* The step: one event in, decisions out. */
#include "scheduler/core/core.h"

#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <stdlib.h>

struct core *core_new(const struct core_config *config)
{
    struct core *core = mem_alloc(sizeof(*core));

    core->instance = mem_strdup(config->instance);
    core->epoch = config->epoch;
    core->schedules = config->schedules;
    core->last_version_id = config->last_version_id;
    core->last_run_id = config->last_run_id;
    core->last_backfill_id = config->last_backfill_id;
    core->last_asset_event_id = config->last_asset_event_id;
    core->last_callback_id = config->last_callback_id;
    core->timers.before = timer_is_before;
    core->dag_timers.before = timer_is_before_of_dag;
    for (size_t i = 0; i < config->pool_count; i++)
        pools_add(core, &config->pools[i]);
    return core;
}

void core_free(struct core *core)
{
    if (core == NULL)
        return;
    waits_free(core);
    callbacks_free(core);
    retired_free(core);
    while (core->attempts != NULL) {
        struct attempt_live *attempt = core->attempts;
        HASH_DEL(core->attempts, attempt);
        attempts_free(attempt);
    }
    while (core->runs != NULL) {
        struct run *run = core->runs;
        HASH_DEL(core->runs, run);
        run_free(core, run);
    }
    while (core->backfills != NULL)
        backfill_free(core, core->backfills);
    while (core->dags != NULL)
        dags_free(core, core->dags);
    assets_free(core);
    workers_free(core);
    ready_free(core);
    heap_release(&core->timers);
    heap_release(&core->dag_timers);
    free(core->fresh);
    free(core->settled);
    free(core->retired);
    free(core->instance);
    free(core);
}

static void begin(struct core *core, int64_t now_us, struct decisions *out)
{
    if (out->count == 0)
        retired_free(core); /* a new turn: nothing borrows from the last one any more */
    core->now_us = now_us;
    core->out = out;
}

/* What every event may have set off: ends reach downstreams and who waits elsewhere, then ready
 * tasks start, the most important ones of all first, and those that can't are told of with the
 * reason. */
static void finish(struct core *core)
{
    do {
        do {
            tasks_settle(core);
            assets_make_runs(core);
        } while (waits_settle(core) || core->settled_count > 0);
        ready_dispatch(core);
    } while (core->awaited_due != NULL || core->updated != NULL);
    callbacks_dispatch(core);
    for (size_t i = 0; i < core->fresh_count; i++)
        if (core->fresh[i]->is_fresh)
            task_tell_scheduled(core, core->fresh[i], ready_why(core, core->fresh[i]));
    core->fresh_count = 0;
    core->out = NULL;
}

static void tick(struct core *core, const struct event_tick *event)
{
    timers_expire(core);
    for (size_t i = 0; i < event->count; i++) {
        if (event->wants[i].is_previous)
            past_answer(core, &event->wants[i], &event->known[i]);
        else if (event->wants[i].is_question)
            waits_answer(core, &event->wants[i], &event->known[i]);
        else if (event->wants[i].backfill_id != 0)
            backfill_make_run(core, &event->wants[i], &event->known[i]);
        else
            dags_make_run(core, &event->wants[i], &event->known[i]);
    }
    for (size_t i = 0; i < event->count; i++)
        if (event->wants[i].backfill_id != 0)
            backfill_end_tick(core, event->wants[i].backfill_id);
}

void core_restored(struct core *core, int64_t now_us, struct decisions *out)
{
    begin(core, now_us, out);
    recover(core);
    finish(core);
}

void core_give_back(struct core *core, int64_t now_us, struct decisions *out)
{
    begin(core, now_us, out);
    workers_retire(core);
    attempts_give_back(core);
    callbacks_give_back(core);
    finish(core);
}

void core_step(struct core *core, const struct event *event, struct decisions *out)
{
    begin(core, event->now_us, out);
    switch (event->kind) {
    case EVENT_TICK:
        tick(core, &event->as.tick);
        break;
    case EVENT_DAG_LOADED:
        dags_loaded(core, event->as.dag_loaded.dag);
        break;
    case EVENT_DAG_GONE:
        dags_gone(core, event->as.dag_gone.dag_id);
        break;
    case EVENT_DAG_SET_PAUSED:
        dags_set_paused(core, event);
        break;
    case EVENT_TRIGGER:
        trigger_run(core, event);
        break;
    case EVENT_BACKFILL_CREATE:
        backfill_create(core, event);
        break;
    case EVENT_BACKFILL_CONTROL:
        backfill_control(core, event);
        break;
    case EVENT_POOL_SET:
        pools_set(core, event);
        break;
    case EVENT_CLEAR:
        change_clear(core, event);
        break;
    case EVENT_MARK_TASKS:
        change_mark_tasks(core, event);
        break;
    case EVENT_MARK_RUN:
        change_mark_run(core, event);
        break;
    case EVENT_ASSET:
        assets_updated(core, event);
        break;
    case EVENT_WHY:
        why_answer(core, event);
        break;
    case EVENT_WORKER_UP:
        workers_up(core, &event->as.worker_up);
        break;
    case EVENT_WORKER_GONE:
        workers_gone(core, event->as.worker_gone.instance);
        break;
    case EVENT_ATTEMPT_STARTED:
        attempts_started(core, &event->as.attempt_started);
        break;
    case EVENT_ATTEMPT_ENDED:
        attempts_ended(core, &event->as.attempt_ended);
        break;
    }
    finish(core);
}

static int64_t timer_at(const struct heap *heap)
{
    const struct heap_node *top = heap_top(heap);

    return top == NULL ? INT64_MAX : HEAP_ENTRY_CONST(top, struct timer, node)->at_us;
}

int64_t core_next_wakeup(const struct core *core)
{
    int64_t retry_or_run = timer_at(&core->timers);
    int64_t dag = timer_at(&core->dag_timers);

    if (core->due != NULL || core->wanting != NULL || core->asking != NULL ||
        core->past_asking != NULL)
        return 0; /* at once, also if the clock is set back after this step */
    return retry_or_run < dag || PLANTED(SCHEDULE_NOT_AWAITED) ? retry_or_run : dag;
}

bool core_is_idle(const struct core *core)
{
    for (size_t i = 0; i < core->lane_count; i++)
        if (core->lanes[i]->queues.count > 0)
            return false;
    return core->attempts == NULL && core_next_wakeup(core) == INT64_MAX;
}

size_t core_wants(struct core *core, int64_t now_us, struct core_want *out, size_t max)
{
    size_t count = past_want(core, out, max);

    count += dags_want(core, now_us, out + count, max - count);
    count += backfill_want(core, out + count, max - count);
    return count + waits_want(core, out + count, max - count);
}

size_t core_bound_workers(const struct core *core, const char **out, size_t max)
{
    size_t count = 0;

    for (const struct worker *w = core->workers; w != NULL && count < max; w = w->hh.next)
        if (w->attempts != NULL || w->callbacks != NULL)
            out[count++] = w->instance;
    return count;
}

bool core_has_run(const struct core *core, int64_t run_id)
{
    return runs_find(core, run_id) != NULL;
}

struct dag *core_current_version(const struct core *core, const char *dag_id, int64_t version_id)
{
    const struct dag_entry *entry = dags_find(core, dag_id);

    return entry == NULL || entry->row.version_id != version_id ? NULL : entry->current;
}

bool core_run_is_live(const struct core *core, int64_t run_id)
{
    const struct run *run = runs_find(core, run_id);

    return run != NULL && !run_state_is_final(run->row.state);
}
