/* The scheduler's loop (scheduler/loop.c, recover.c, effects.c, absent.c) over rows in memory. At
 * each commit it may die: before it, when nothing of the turn has happened; after it, when all of
 * it has and nobody was told; or while it tells. */
#include "tests/sim/sim.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define TICKS_PER_TURN_MAX 8

struct event *loop_inbox(struct sim *sim, enum event_kind kind)
{
    if (sim->inbox_count == sim->inbox_capacity) {
        sim->inbox_capacity = mem_grow(sim->inbox_capacity, sim->inbox_count + 1);
        sim->inbox = mem_resize_array(sim->inbox, sim->inbox_capacity, sizeof(*sim->inbox));
    }
    struct event *event = &sim->inbox[sim->inbox_count++];
    *event = (struct event){.kind = kind};
    return event;
}

/* --- after the commit ------------------------------------------------------------------------ */

static void send_token(struct sim *sim, enum message_kind kind, const char *worker,
                       const char *text)
{
    uint32_t index = worker == NULL ? UINT32_MAX : workers_find(sim, worker);

    if (index == UINT32_MAX)
        return;
    net_send(sim, (struct message){.kind = kind, .worker = index, .token = token_get(sim, text)});
}

static void act(struct sim *sim, const struct decision *decision)
{
    switch (decision->kind) {
    case DECIDE_START:
        check_start(sim, decision->as.start.attempt.token, decision->as.start.worker);
        send_token(sim, NET_START, decision->as.start.worker, decision->as.start.attempt.token);
        return;
    case DECIDE_START_CALLBACK:
        check_start(sim, decision->as.callback.token, decision->as.callback.worker);
        send_token(sim, NET_START, decision->as.callback.worker, decision->as.callback.token);
        return;
    case DECIDE_STOP:
        send_token(sim, NET_STOP, decision->as.token.worker, decision->as.token.token);
        return;
    case DECIDE_ACK:
        if (!PLANTED(ACK_FORGOTTEN) || sim->tick % 8 != 0)
            send_token(sim, NET_ACK, decision->as.token.worker, decision->as.token.token);
        return;
    case DECIDE_REPLY:
        check_reply(sim, &decision->as.reply);
        return;
    case DECIDE_DAG:
    case DECIDE_VERSION:
    case DECIDE_RUN_NEW:
    case DECIDE_RUN:
    case DECIDE_RUN_RESET:
    case DECIDE_EXPAND:
    case DECIDE_ATTEMPT_AGAIN:
    case DECIDE_TASK:
    case DECIDE_ATTEMPT_NEW:
    case DECIDE_ATTEMPT:
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
    case DECIDE_RECOUNT:
    case DECIDE_ASSET_EVENT:
    case DECIDE_ASSET_SEEN:
    case DECIDE_ASSET_WAIT:
    case DECIDE_ASSET_TAKEN:
    case DECIDE_ASSET_DROPPED:
    case DECIDE_CALLBACK:
        return;
    }
}

/* --- the commit ------------------------------------------------------------------------------ */

static void note_attempt(struct sim *sim, const struct attempt_row *row, bool is_new)
{
    struct token *token = token_get(sim, row->token);

    if (is_new) {
        const struct stored_run *run = rows_run(&sim->rows, row->run);
        const struct dag_task *spec = &run->dag->tasks[row->task];
        token->run = row->run;
        token->task = row->task;
        token->map_index = row->map_index;
        token->try_number = row->try_number;
        token->slot = look_slot(spec);
        token->dag = run->dag;
        token->pool_slots = spec->pool_slots;
        token->worker = workers_find(sim, row->worker);
        token->pool = look_pool(sim, spec->pool);
        token->is_committed = true;
        DL_APPEND2(sim->live, token, previous, next);
    } else if (look_is_over(row) && !token->is_over) {
        token->is_over = true;
        DL_DELETE2(sim->live, token, previous, next);
    }
}

static void hash_number(struct sim *sim, int64_t number)
{
    sim->hash = (sim->hash ^ (uint64_t)number) * UINT64_C(0x100000001B3);
}

static void hash_decision(struct sim *sim, const struct decision *decision)
{
    hash_number(sim, decision->kind);
    if (decision->kind == DECIDE_TASK) {
        hash_number(sim, decision->as.task.row.run);
        hash_number(sim, decision->as.task.row.task);
        hash_number(sim, decision->as.task.row.state);
    } else if (decision->kind == DECIDE_ATTEMPT || decision->kind == DECIDE_ATTEMPT_NEW) {
        hash_number(sim, decision->as.attempt.run);
        hash_number(sim, decision->as.attempt.task);
        hash_number(sim, decision->as.attempt.try_number);
    }
}

static void set_pool(struct sim *sim, const struct event *event)
{
    for (size_t i = 0; i < sim->pool_count; i++)
        if (strcmp(sim->pools[i].name, event->as.pool_set.name) == 0)
            sim->pools[i].slots = event->as.pool_set.slots;
}

/* Makes the turn durable: the decisions of each event, and what the loop stores by itself. */
static void store(struct sim *sim, const struct turn *turn)
{
    size_t event = 0;

    sim->cause = NULL;
    sim->ended_count = 0;
    for (size_t i = 0; i <= sim->out.count; i++) {
        for (; event < turn->count && turn->begun[event] <= i; event++) {
            sim->ended_count = 0;
            assets_next_cause(sim, &turn->events[event]);
            callbacks_next_cause(sim);
            sim->cause = &turn->events[event];
            if (turn->events[event].kind == EVENT_POOL_SET)
                set_pool(sim, &turn->events[event]);
            else if (turn->gave_back[event])
                token_get(sim, turn->events[event].as.attempt_ended.token)->was_given_back = true;
        }
        if (i == sim->out.count)
            break;
        const struct decision *decision = &sim->out.items[i];
        sim_tell(sim, decision);
        check_decision(sim, decision);
        check_asset(sim, decision);
        rows_apply(&sim->rows, decision);
        if (decision->kind == DECIDE_TASK && task_state_is_final(decision->as.task.row.state))
            look_note_end(sim, &decision->as.task.row);
        if (decision->kind == DECIDE_CALLBACK)
            callbacks_note(sim, &decision->as.callback);
        hash_decision(sim, decision);
        if (decision->kind == DECIDE_ATTEMPT || decision->kind == DECIDE_ATTEMPT_NEW ||
            decision->kind == DECIDE_ATTEMPT_AGAIN)
            note_attempt(sim, &decision->as.attempt, decision->kind != DECIDE_ATTEMPT);
    }
    check_asset_turn(sim);
    callbacks_next_cause(sim);
}

/* False if the scheduler died. */
static bool act_all(struct sim *sim)
{
    bool dies = draw_chance(sim->draws, sim->knobs.crash_while_acting);
    size_t last = dies ? draw(sim->draws, (uint32_t)sim->out.count + 1) : sim->out.count;

    for (size_t i = 0; i < last; i++)
        act(sim, &sim->out.items[i]);
    if (dies) {
        sim_say(sim, "scheduler dies while it tells");
        loop_crash(sim);
    }
    return !dies;
}

static bool commit(struct sim *sim, const struct turn *turn)
{
    if (PLANTED(ACT_BEFORE_COMMIT))
        for (size_t i = 0; i < sim->out.count; i++)
            act(sim, &sim->out.items[i]);
    if (draw_chance(sim->draws, sim->knobs.crash_before_commit)) {
        sim_say(sim, "scheduler dies before the commit");
        loop_crash(sim);
        return false;
    }
    store(sim, turn);
    storage_commit(sim);
    check_committed(sim);
    if (draw_chance(sim->draws, sim->knobs.crash_after_commit)) {
        sim_say(sim, "scheduler dies after the commit");
        loop_crash(sim);
        return false;
    }
    if (!PLANTED(ACT_BEFORE_COMMIT) && !act_all(sim))
        return false;
    decisions_clear(&sim->out);
    sim->committed_us = sim->now_us;
    if (sim->now_us > sim->latest_commit_us)
        sim->latest_commit_us = sim->now_us;
    return true;
}

/* --- the turn -------------------------------------------------------------------------------- */

bool loop_is_change(const struct event *event)
{
    return event->kind == EVENT_CLEAR || event->kind == EVENT_MARK_TASKS ||
           event->kind == EVENT_MARK_RUN;
}

/* What the core must know of the store before it handles a command. */
static void prepare(struct sim *sim, struct turn *turn, struct event *event)
{
    struct event_trigger *trigger = &event->as.trigger;
    struct event_change *change = &event->as.change;

    if (loop_is_change(event)) {
        turn->chosen[turn->count] =
            rows_choose(&sim->rows, sim->core, change->dag_id, &change->which, &change->run_count);
        change->runs = turn->chosen[turn->count];
        for (size_t i = 0; i < change->run_count && sim->changed_count < SIM_CHANGED_MAX; i++)
            sim->changed[sim->changed_count++] = change->runs[i].row.id;
    }
    if (event->kind == EVENT_BACKFILL_CONTROL)
        event->as.backfill_control.stored = look_backfill(sim, event->as.backfill_control.id);
    if (event->kind != EVENT_TRIGGER)
        return;
    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct run_row *row = &sim->rows.runs[i].row;
        if (strcmp(row->dag_id, trigger->dag_id) != 0)
            continue;
        if (trigger->run_id != NULL && strcmp(row->run_id, trigger->run_id) == 0)
            trigger->run_id_exists = true;
        if (trigger->logical_date_us != 0 && row->logical_date_us == trigger->logical_date_us)
            trigger->logical_date_exists = true;
    }
}

/* Whether the event just handled gave an attempt back, unstarted: a late report does not. */
static bool gives_back(const struct sim *sim, const struct event *event, size_t begun)
{
    const struct event_attempt_ended *ended = &event->as.attempt_ended;

    if (event->kind != EVENT_ATTEMPT_ENDED || ended->outcome != OUTCOME_WORKER_LOST ||
        ended->started_at_us != 0)
        return false;
    for (size_t i = begun; i < sim->out.count; i++) {
        const struct decision *decision = &sim->out.items[i];
        if (decision->kind == DECIDE_ATTEMPT &&
            strcmp(decision->as.attempt.token, ended->token) == 0)
            return true;
        if (decision->kind == DECIDE_CALLBACK && decision->as.callback.token != NULL &&
            strcmp(decision->as.callback.token, ended->token) == 0)
            return true;
    }
    return false;
}

static void count_on(struct sim *sim, const char *instance, bool is_counted)
{
    sim->workers[workers_find(sim, instance)].is_counted = is_counted;
}

static void step(struct sim *sim, struct turn *turn, struct event *event)
{
    size_t begun = sim->out.count;

    event->now_us = sim->now_us;
    prepare(sim, turn, event);
    core_step(sim->core, event, &sim->out);
    if (event->kind == EVENT_WORKER_UP)
        count_on(sim, event->as.worker_up.instance, true);
    if (event->kind == EVENT_WORKER_GONE)
        count_on(sim, event->as.worker_gone.instance, false);
    turn->gave_back[turn->count] = gives_back(sim, event, begun);
    if (turn->gave_back[turn->count])
        count_on(sim, event->as.attempt_ended.worker, false);
    turn->begun[turn->count] = begun;
    turn->events[turn->count++] = *event;
}

static void step_tick(struct sim *sim, struct turn *turn)
{
    struct event tick = {.kind = EVENT_TICK};

    tick.as.tick.count = core_wants(sim->core, sim->now_us, sim->wants, SIM_WANTS_MAX);
    for (size_t i = 0; i < tick.as.tick.count; i++) {
        struct core_want *want = &sim->wants[i];
        rows_known(&sim->rows, want, &sim->known[i]);
        want->dag_id = arena_strdup(&sim->arena, want->dag_id); /* for the rebuilt core, too */
    }
    tick.as.tick.wants = sim->wants;
    tick.as.tick.known = sim->known;
    step(sim, turn, &tick);
}

static void release(struct turn *turn)
{
    for (size_t i = 0; i < turn->count; i++) {
        for (size_t k = 0; turn->chosen[i] != NULL && k < turn->events[i].as.change.run_count; k++)
            free((void *)(uintptr_t)turn->chosen[i][k].attempts);
        free(turn->chosen[i]);
    }
}

/* What workers say on connecting goes before all else that waits; returns how many there are. */
static size_t move_hellos_first(struct sim *sim)
{
    size_t front = 0;

    for (size_t i = 0; i < sim->inbox_count; i++) {
        struct event event = sim->inbox[i];
        if (event.kind != EVENT_WORKER_UP)
            continue;
        memmove(sim->inbox + front + 1, sim->inbox + front, (i - front) * sizeof(event));
        sim->inbox[front++] = event;
    }
    return front;
}

/* One turn with up to `count` events of the inbox; false if the scheduler died. A change reads
 * rows, which must be as the core has them: it comes first in its turn. So does a tick, for the
 * same reason; after a change it waits for the next turn. */
static bool run_turn(struct sim *sim, size_t count)
{
    struct turn turn = {0};
    size_t done = 0;

    replay_begin(sim);
    bool is_due = core_next_wakeup(sim->core) <= sim->now_us;
    if (count > 0 && loop_is_change(&sim->inbox[0]))
        step(sim, &turn, &sim->inbox[done++]);
    sim->is_tick_late = is_due && sim->out.count > 0;
    if (core_next_wakeup(sim->core) <= sim->now_us && sim->out.count == 0)
        step_tick(sim, &turn);
    while (done < count && (!loop_is_change(&sim->inbox[done]) || sim->out.count == 0))
        step(sim, &turn, &sim->inbox[done++]);
    replay_end(sim, &turn);
    sim->inbox_count -= done;
    memmove(sim->inbox, sim->inbox + done, sim->inbox_count * sizeof(*sim->inbox));
    bool is_up = commit(sim, &turn);
    release(&turn);
    return is_up;
}

void loop_update_unseen(struct sim *sim, const char *asset, const char *partition)
{
    size_t count = sim->rows.asset_event_count;
    struct decision *decision = decisions_add(&sim->out, DECIDE_ASSET_EVENT);

    decision->as.asset_event = (struct asset_event_row){
        .id = count == 0 ? 1 : sim->rows.asset_events[count - 1].id + 1,
        .asset = asset,
        .at_us = sim->now_us,
        .map_index = -1,
        .partition = partition == NULL ? "" : partition,
        .extra = "{}",
        .is_unseen = true,
    };
    sim_tell(sim, decision);
    rows_apply(&sim->rows, decision);
    storage_commit(sim);
    decisions_clear(&sim->out);
}

/* --- birth and death ------------------------------------------------------------------------- */

void loop_crash(struct sim *sim)
{
    decisions_clear(&sim->out);
    core_free(sim->core);
    sim->core = NULL;
    storage_crash(sim);
    sim->inbox_count = 0;
    sim->core_up_at = sim->tick + draw_between(sim->draws, 1, 8);
    for (uint32_t i = 0; i < sim->worker_count; i++) {
        sim->workers[i].is_counted = sim->workers[i].is_expected = false;
        if (sim->workers[i].link != LINK_DOWN)
            workers_hang_up(sim, i);
    }
}

static int64_t last_run(const struct sim *sim)
{
    size_t count = sim->rows.run_count;

    return count == 0 ? 0 : sim->rows.runs[count - 1].row.id;
}

struct core *loop_restore(struct sim *sim, uint64_t epoch)
{
    size_t events = sim->rows.asset_event_count;
    size_t backfills = sim->rows.backfill_count;
    size_t callbacks = sim->rows.callback_count;
    struct core_config config = {
        .instance = "sim",
        .epoch = epoch,
        .pools = sim->pools,
        .pool_count = sim->pool_count,
        .schedules = true,
        .last_version_id = sim->rows.last_version_id,
        .last_run_id = last_run(sim),
        .last_asset_event_id = events == 0 ? 0 : sim->rows.asset_events[events - 1].id,
        .last_callback_id = callbacks == 0 ? 0 : sim->rows.callbacks[callbacks - 1].id,
        .last_backfill_id = backfills == 0 ? 0 : sim->rows.backfills[backfills - 1].id,
    };
    struct core *core = core_new(&config);

    storage_restore(sim, core);
    return core;
}

static void expect_workers(struct sim *sim)
{
    const char *bound[64];
    size_t count = core_bound_workers(sim->core, bound, 64);

    for (size_t i = 0; i < count; i++)
        sim->workers[workers_find(sim, bound[i])].is_expected = true;
}

void loop_start(struct sim *sim)
{
    const struct turn nothing = {0};

    sim_say(sim, "scheduler starts");
    sim->core = loop_restore(sim, ++sim->epoch);
    core_restored(sim->core, sim->now_us, &sim->out);
    check_promises(sim);
    if (!commit(sim, &nothing))
        return;
    expect_workers(sim);
    for (size_t i = 0; i < sim->dag_count; i++)
        clients_load(sim, &sim->dags[i]);
}

/* A worker whose lock file is free is no more. */
static void look_for_workers(struct sim *sim)
{
    for (size_t i = 0; i < sim->worker_count; i++) {
        struct sim_worker *worker = &sim->workers[i];
        if (!worker->is_expected || worker->is_alive || draw(sim->draws, 4) > 1)
            continue;
        worker->is_expected = false;
        loop_inbox(sim, EVENT_WORKER_GONE)->as.worker_gone.instance = worker->instance;
    }
}

void loop_tick(struct sim *sim)
{
    if (sim->core == NULL && sim->tick >= sim->core_up_at)
        loop_start(sim);
    if (sim->core == NULL)
        return;
    if (draw_chance(sim->draws, sim->knobs.crash_idle)) {
        sim_say(sim, "scheduler dies");
        loop_crash(sim);
        return;
    }
    look_for_workers(sim);
    for (int turns = 0; turns < TICKS_PER_TURN_MAX || sim->inbox_count > 0; turns++) {
        size_t count = draw_between(sim->draws, 1, 8);
        size_t hellos = move_hellos_first(sim);
        if (count < hellos)
            count = hellos;
        if (sim->inbox_count == 0 && core_next_wakeup(sim->core) > sim->now_us)
            return;
        if (!run_turn(sim, count < sim->inbox_count ? count : sim->inbox_count))
            return;
    }
}
