/* D1: a core that is rebuilt from the rows decides as the one that went on. Before a turn a second
 * core is made of the rows, as after a crash, and told of the workers there are; then both are
 * given the turn's events. */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

static void drop(struct sim *sim)
{
    core_free(sim->shadow);
    sim->shadow = NULL;
}

static bool is_durable(const struct decision *decision)
{
    return decision->kind < DECIDE_START;
}

static void expect_nothing(struct sim *sim, const struct decisions *out, const char *what)
{
    struct buf line = {0};

    for (size_t i = 0; i < out->count; i++) {
        if (!is_durable(&out->items[i]))
            continue;
        decision_describe(&out->items[i], &line);
        sim_fail(sim, "D1: %s makes a core decide what the one before it did not: %s", what,
                 buf_text(&line));
    }
}

static void introduce(struct sim *sim, uint32_t index, struct decisions *out)
{
    const struct sim_worker *worker = &sim->workers[index];
    struct event event = {.kind = EVENT_WORKER_UP, .now_us = sim->committed_us};
    const char *tokens[256];
    size_t count = 0;

    for (const struct token *token = sim->live; token != NULL; token = token->next)
        if (token->worker == index && count < 256)
            tokens[count++] = token->text;
    for (const struct token *token = sim->live_callbacks; token != NULL; token = token->next)
        if (token->worker == index && count < 256)
            tokens[count++] = token->text;
    event.as.worker_up = (struct event_worker_up){
        .instance = worker->instance,
        .slots = worker->slots[SLOT_OF_ITS_OWN],
        .backlog = worker->backlog,
        .shared_slots = worker->slots[SLOT_IN_SHARED],
        .light_slots = worker->slots[SLOT_IN_LIGHT],
        .callback_slots = worker->slots[SLOT_OF_CALLBACK],
        .tokens = tokens,
        .token_count = count,
    };
    core_step(sim->shadow, &event, out);
}

static bool callbacks_queue(const struct sim *sim)
{
    for (size_t i = 0; i < sim->rows.callback_count; i++) {
        const struct callback_row *row = &sim->rows.callbacks[i];
        if (row->state == CALLBACK_STATE_PENDING && row->next_at_us <= sim->committed_us)
            return true;
    }
    return false;
}

void replay_begin(struct sim *sim)
{
    struct decisions out = {0};

    /* What was due before the clock was set back goes on in the one, and waits in the other. */
    if (!draw_chance(sim->draws, sim->knobs.replay) || sim->committed_us == 0 ||
        sim->committed_us < sim->latest_commit_us)
        return;
    if (sim->has_past)
        return; /* the rebuilt one has still to ask of the runs before */
    if (callbacks_queue(sim))
        return; /* they come in the order in which they became due */
    int64_t wakeup = core_next_wakeup(sim->core);
    if (sim->is_tick_late || (wakeup != 0 && wakeup <= sim->committed_us))
        return; /* a tick was put off, which recovery makes up for */
    sim->shadow = loop_restore(sim, sim->epoch + 1);
    core_restored(sim->shadow, sim->committed_us, &out);
    expect_nothing(sim, &out, "recovery");
    for (uint32_t i = 0; i < sim->worker_count; i++)
        if (sim->workers[i].is_counted)
            introduce(sim, i, &out);
    expect_nothing(sim, &out, "a worker");
    decisions_release(&out);
}

/* Of callbacks that are due at the same instant either may come first. */
static void describe_callback(const struct callback_row *row, struct buf *line)
{
    if (row->state == CALLBACK_STATE_RUNNING)
        buf_add_text(line, "a callback is tried");
    else if (row->token == NULL)
        buf_printf(line, "callback of r%lld %s %s", (long long)row->run,
                   row->task_id == NULL ? "" : row->task_id, callback_event_name(row->event));
    else
        buf_printf(line, "callback %lld %s after %lld tries, next at %lld", (long long)row->id,
                   callback_state_name(row->state), (long long)row->tries,
                   (long long)row->next_at_us);
}

/* What a decision says, without what may differ: the token, the worker, an id made up. */
static void describe(const struct decision *decision, struct buf *line)
{
    const struct attempt_row *attempt = &decision->as.attempt;

    switch (decision->kind) {
    case DECIDE_START:
        attempt = &decision->as.start.attempt;
        buf_printf(line, "start r%lld t%u.%d#%lld", (long long)attempt->run, attempt->task,
                   attempt->map_index, (long long)attempt->try_number);
        break;
    case DECIDE_ATTEMPT_NEW:
    case DECIDE_ATTEMPT_AGAIN:
        buf_printf(line, "attempt r%lld t%u.%d#%lld", (long long)attempt->run, attempt->task,
                   attempt->map_index, (long long)attempt->try_number);
        break;
    case DECIDE_RUN_NEW:
        buf_printf(line, "run r%lld of %s at %lld", (long long)decision->as.run.row.id,
                   decision->as.run.row.dag_id, (long long)decision->as.run.row.logical_date_us);
        break;
    case DECIDE_RUN:
    case DECIDE_RUN_RESET:
        buf_printf(line, "run r%lld %s", (long long)decision->as.run.row.id,
                   run_state_name(decision->as.run.row.state));
        break;
    case DECIDE_DAG: /* without catchup the next interval is as of now, whenever that was told */
        buf_printf(
            line, "dag %s v%lld%s%s after %lld", decision->as.dag.dag_id,
            (long long)decision->as.dag.version_number, decision->as.dag.is_paused ? " paused" : "",
            decision->as.dag.is_stale ? " stale" : "", (long long)decision->as.dag.last_tick_us);
        break;
    case DECIDE_START_CALLBACK:
        buf_add_text(line, "start callback");
        break;
    case DECIDE_CALLBACK:
        describe_callback(&decision->as.callback, line);
        break;
    case DECIDE_STOP: /* it may have started in this turn, under another token */
        buf_add_text(line, "stop");
        break;
    case DECIDE_VERSION:
    case DECIDE_EXPAND:
    case DECIDE_TASK:
    case DECIDE_ATTEMPT:
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
    case DECIDE_RECOUNT:
    case DECIDE_ASSET_EVENT:
    case DECIDE_ASSET_SEEN:
    case DECIDE_ASSET_WAIT:
    case DECIDE_ASSET_TAKEN:
    case DECIDE_ASSET_DROPPED:
    case DECIDE_ACK:
    case DECIDE_REPLY:
        decision_describe(decision, line);
        break;
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether both are of the same task, or of the same DAG. */
static bool are_of_one(const struct decision *a, const struct decision *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == DECIDE_DAG)
        return strcmp(a->as.dag.dag_id, b->as.dag.dag_id) == 0;
    return a->kind == DECIDE_TASK && a->as.task.row.run == b->as.task.row.run &&
           a->as.task.row.task == b->as.task.row.task &&
           a->as.task.row.map_index == b->as.task.row.map_index;
}

/* Of timers that are due at the same instant either may come first: what a task, or a DAG whose
 * failed runs are counted, becomes counts, not what it has been on the way. */
static bool is_passing(const struct decisions *decisions, size_t count, size_t at)
{
    for (size_t i = at + 1; i < count; i++)
        if (are_of_one(&decisions->items[at], &decisions->items[i]))
            return true;
    return false;
}

struct lines {
    const char **items;
    size_t count;
};

static struct lines describe_all(struct arena *arena, const struct decisions *decisions,
                                 size_t count)
{
    struct lines lines = {arena_alloc_array(arena, count, sizeof(*lines.items)), 0};
    struct buf line = {0};

    for (size_t i = 0; i < count; i++) {
        if (is_passing(decisions, count, i))
            continue;
        buf_clear(&line);
        describe(&decisions->items[i], &line);
        lines.items[lines.count++] = arena_strdup(arena, buf_text(&line));
    }
    buf_release(&line);
    qsort(lines.items, lines.count, sizeof(*lines.items), compare);
    return lines;
}

/* The first `count` decisions of the core, and all of the rebuilt one. */
static void compare_all(struct sim *sim, size_t count, const struct decisions *rebuilt)
{
    struct arena arena = {0};
    struct lines a = describe_all(&arena, &sim->out, count);
    struct lines b = describe_all(&arena, rebuilt, rebuilt->count);

    for (size_t i = 0; i < a.count; i++)
        sim_say(sim, "went on: %s", a.items[i]);
    for (size_t i = 0; i < b.count; i++)
        sim_say(sim, "rebuilt: %s", b.items[i]);
    for (size_t i = 0; i < a.count || i < b.count; i++) {
        const char *went_on = i < a.count ? a.items[i] : "nothing";
        const char *other = i < b.count ? b.items[i] : "nothing";
        if (strcmp(went_on, other) != 0)
            sim_fail(sim, "D1: the core decides \"%s\", one rebuilt from the rows \"%s\"", went_on,
                     other);
    }
    arena_release(&arena);
}

void replay_end(struct sim *sim, const struct turn *turn)
{
    struct core_want wants[SIM_WANTS_MAX];
    struct decisions out = {0};
    size_t i = 0;

    if (sim->shadow == NULL)
        return;
    /* Of workers with equal room either may be taken, so that what one has when it comes or goes
     * may differ. */
    for (; i < turn->count && turn->events[i].kind != EVENT_WORKER_GONE &&
           turn->events[i].kind != EVENT_WORKER_UP && !turn->gave_back[i];
         i++) {
        /* The loop asks before it ticks, which moves what is due. */
        if (turn->events[i].kind == EVENT_TICK)
            (void)core_wants(sim->shadow, sim->now_us, wants, SIM_WANTS_MAX);
        core_step(sim->shadow, &turn->events[i], &out);
    }
    compare_all(sim, i < turn->count ? turn->begun[i] : sim->out.count, &out);
    decisions_release(&out);
    drop(sim);
}
