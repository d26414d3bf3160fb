#include "tests/scenarios/world.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WANTS_MAX 64

void world_init(struct world *world)
{
    memset(world, 0, sizeof(*world));
    world->schedules = true;
    world->pools[world->pool_count++] = (struct core_pool){"default_pool", 128};
}

struct world_worker *world_worker(struct world *world, const char *instance)
{
    for (size_t i = 0; i < world->worker_count; i++)
        if (strcmp(world->workers[i].instance, instance) == 0)
            return &world->workers[i];
    assert(world->worker_count < 8);
    struct world_worker *worker = &world->workers[world->worker_count++];
    *worker = (struct world_worker){.instance = mem_strdup(instance), .slots = 1};
    return worker;
}

static size_t find_token(const struct world_worker *worker, const char *token)
{
    for (size_t i = 0; i < worker->token_count; i++)
        if (strcmp(worker->tokens[i], token) == 0)
            return i;
    return SIZE_MAX;
}

static void forget_token(struct world_worker *worker, const char *token)
{
    size_t at = find_token(worker, token);

    if (at == SIZE_MAX)
        return;
    free(worker->tokens[at]);
    worker->tokens[at] = worker->tokens[--worker->token_count];
}

/* A worker never starts a token twice, and is never given more than it said it can take. */
static void carry_out_start(struct world *world, const struct decision_start *start)
{
    struct world_worker *worker = world_worker(world, start->worker);

    if (!worker->is_connected || find_token(worker, start->attempt.token) != SIZE_MAX)
        return;
    worker->tokens =
        mem_resize_array(worker->tokens, worker->token_count + 1, sizeof(*worker->tokens));
    worker->tokens[worker->token_count++] = mem_strdup(start->attempt.token);
    assert((int64_t)worker->token_count <= worker->slots + worker->backlog + worker->shared_slots +
                                               worker->light_slots + worker->callback_slots);
}

static void carry_out(struct world *world, const struct decision *decision)
{
    if (decision->kind == DECIDE_START)
        carry_out_start(world, &decision->as.start);
    if (decision->kind == DECIDE_ACK && decision->as.token.worker != NULL)
        forget_token(world_worker(world, decision->as.token.worker), decision->as.token.token);
}

/* One turn: commit, then act, then the decisions are forgotten. */
static void commit(struct world *world)
{
    for (size_t i = 0; i < world->out.count; i++) {
        rows_apply(&world->rows, &world->out.items[i]);
        if (world->observe != NULL)
            world->observe(world->observe_context, &world->out.items[i]);
    }
    for (size_t i = 0; i < world->out.count; i++)
        carry_out(world, &world->out.items[i]);
    decisions_clear(&world->out);
}

void world_start_core(struct world *world)
{
    const struct rows *rows = &world->rows;

    core_free(world->core);
    struct core_config config = {
        .instance = "test",
        .epoch = ++world->epoch,
        .pools = world->pools,
        .pool_count = world->pool_count,
        .schedules = world->schedules,
        .last_version_id = rows->last_version_id,
        .last_run_id = rows->run_count == 0 ? 0 : rows->runs[rows->run_count - 1].row.id,
        .last_asset_event_id =
            rows->asset_event_count == 0 ? 0 : rows->asset_events[rows->asset_event_count - 1].id,
        .last_backfill_id =
            rows->backfill_count == 0 ? 0 : rows->backfills[rows->backfill_count - 1].id,
    };
    if (rows->callback_count > 0)
        config.last_callback_id = rows->callbacks[rows->callback_count - 1].id;
    world->core = core_new(&config);
    rows_restore(&world->rows, world->core);
    core_restored(world->core, world->now_us, &world->out);
    commit(world);
}

void world_release(struct world *world)
{
    core_free(world->core);
    rows_release(&world->rows);
    decisions_release(&world->out);
    for (size_t i = 0; i < world->worker_count; i++) {
        while (world->workers[i].token_count > 0)
            free(world->workers[i].tokens[--world->workers[i].token_count]);
        free(world->workers[i].tokens);
        free(world->workers[i].instance);
    }
}

void world_step(struct world *world, struct event *event)
{
    event->now_us = world->now_us;
    core_step(world->core, event, &world->out);
    commit(world);
}

void world_tick(struct world *world)
{
    struct core_want wants[WANTS_MAX];
    struct known_run known[WANTS_MAX];
    size_t count = core_wants(world->core, world->now_us, wants, WANTS_MAX);
    struct event event = {.kind = EVENT_TICK};

    for (size_t i = 0; i < count; i++)
        rows_known(&world->rows, &wants[i], &known[i]);
    event.as.tick = (struct event_tick){wants, known, count};
    world_step(world, &event);
}

void world_settle(struct world *world)
{
    int rounds = 0;

    while (core_next_wakeup(world->core) <= world->now_us) {
        world_tick(world);
        assert(++rounds < 100000);
    }
}

void world_load(struct world *world, struct dag *dag)
{
    struct event event = {.kind = EVENT_DAG_LOADED, .as.dag_loaded.dag = dag};

    rows_add_dag(&world->rows, dag);
    world_step(world, &event);
    dag_unref(dag);
}

void world_trigger_as(struct world *world, const struct event_trigger *trigger)
{
    struct event event = {.kind = EVENT_TRIGGER, .request = ++world->request};
    struct event_trigger *asked = &event.as.trigger;

    *asked = *trigger;
    asked->triggered_by = TRIGGERED_BY_TEST;
    for (size_t i = 0; i < world->rows.run_count; i++) {
        const struct run_row *row = &world->rows.runs[i].row;
        if (strcmp(row->dag_id, asked->dag_id) != 0)
            continue;
        if (asked->run_id != NULL && strcmp(row->run_id, asked->run_id) == 0)
            asked->run_id_exists = true;
        if (asked->logical_date_us != 0 && row->logical_date_us == asked->logical_date_us)
            asked->logical_date_exists = true;
    }
    world_step(world, &event);
}

void world_trigger(struct world *world, const char *dag_id, const char *run_id)
{
    world_trigger_as(world, &(struct event_trigger){.dag_id = dag_id, .run_id = run_id});
}

void world_change(struct world *world, enum event_kind kind, struct event_change *change)
{
    struct event event = {.kind = kind, .request = ++world->request};
    struct run_rows *runs =
        rows_choose(&world->rows, world->core, change->dag_id, &change->which, &change->run_count);

    change->runs = runs;
    change->by = change->by == NULL ? "test" : change->by;
    event.as.change = *change;
    world_step(world, &event);
    for (size_t i = 0; i < change->run_count; i++)
        free((void *)(uintptr_t)runs[i].attempts);
    free(runs);
}

void world_worker_up(struct world *world, struct world_worker *worker)
{
    struct event event = {.kind = EVENT_WORKER_UP};
    const char **tokens = mem_alloc_array(worker->token_count, sizeof(*tokens));

    for (size_t i = 0; i < worker->token_count; i++)
        tokens[i] = worker->tokens[i];
    worker->is_connected = true;
    event.as.worker_up = (struct event_worker_up){
        .instance = worker->instance,
        .slots = worker->slots,
        .backlog = worker->backlog,
        .shared_slots = worker->shared_slots,
        .light_slots = worker->light_slots,
        .callback_slots = worker->callback_slots,
        .tokens = tokens,
        .token_count = worker->token_count,
    };
    world_step(world, &event);
    free(tokens);
}

void world_worker_gone(struct world *world, struct world_worker *worker)
{
    struct event event = {.kind = EVENT_WORKER_GONE, .as.worker_gone.instance = worker->instance};

    worker->is_connected = false;
    while (worker->token_count > 0)
        free(worker->tokens[--worker->token_count]);
    world_step(world, &event);
}

static const char *holder(const struct world *world, const char *token)
{
    for (size_t i = 0; i < world->worker_count; i++)
        if (find_token(&world->workers[i], token) != SIZE_MAX)
            return world->workers[i].instance;
    return NULL;
}

void world_started(struct world *world, const char *token)
{
    struct event event = {.kind = EVENT_ATTEMPT_STARTED};
    char *copy = mem_strdup(token);

    event.as.attempt_started = (struct event_attempt_started){
        .token = copy, .pid = 1, .started_at_us = world->now_us, .worker = holder(world, token)};
    world_step(world, &event);
    free(copy);
}

static void report_end(struct world *world, const char *token, enum outcome outcome,
                       int64_t exit_code, int64_t started_at_us)
{
    struct event event = {.kind = EVENT_ATTEMPT_ENDED};
    char *copy = mem_strdup(token);

    event.as.attempt_ended = (struct event_attempt_ended){
        .token = copy,
        .outcome = outcome,
        .exit_code = exit_code,
        .started_at_us = started_at_us,
        .ended_at_us = world->now_us,
        .outputs = world->outputs != NULL ? world->outputs : "{\"k\": \"v\"}",
        .datasets = world->datasets,
        .worker = holder(world, token),
    };
    world_step(world, &event);
    free(copy);
}

void world_ended(struct world *world, const char *token, enum outcome outcome, int64_t exit_code)
{
    const struct attempt_row *row = rows_attempt(&world->rows, token);
    bool has_begun = row != NULL && row->started_at_us != 0;

    report_end(world, token, outcome, exit_code, has_begun ? row->started_at_us : world->now_us);
}

void world_given_back(struct world *world, const char *token)
{
    report_end(world, token, OUTCOME_WORKER_LOST, -1, 0);
}
