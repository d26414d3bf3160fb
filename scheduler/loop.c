#include "scheduler/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "scheduler/changes.h"
#include "scheduler/effects.h"
#include "scheduler/peers.h"

#include <stdlib.h>
#include <string.h>

/* Events of one turn: its memory is bounded, and workers have new work while what else they sent
 * waits for the next. Half of what a worker holds of short tasks, so that both always have some. */
#define TURN_EVENTS_MAX 512

/* Runs made by one tick; what is left over follows in a tick at once. */
#define WANTS_MAX 256

/* The wall clock may jump while a timer waits on the monotonic one: look again this often. */
#define WAIT_MS_MAX 10000

/* A tick that decided nothing may have learnt something from the store, and is due again to use it.
 * After so many of them in a row they would spin: wait this long instead. */
#define IDLE_TICKS_MAX 256
#define IDLE_TICK_MS 100

/* The answers to starts of tasks that do next to nothing come within it. */
#define BUSYPOLL_US 250

#define CHECKPOINT_PAGES 1000
#define CHECKPOINT_IDLE_MS 2000

struct event *inbox_add(struct scheduler *scheduler, enum event_kind kind, json_t *document)
{
    if (scheduler->inbox_count == scheduler->inbox_capacity) {
        scheduler->inbox_capacity = mem_grow(scheduler->inbox_capacity, scheduler->inbox_count + 1);
        scheduler->inbox = mem_resize_array(scheduler->inbox, scheduler->inbox_capacity,
                                            sizeof(*scheduler->inbox));
    }
    struct inbox_item *item = &scheduler->inbox[scheduler->inbox_count++];
    *item = (struct inbox_item){.event.kind = kind, .document = json_incref(document)};
    scheduler->turn_due = true;
    return &item->event;
}

void turn_ask(struct scheduler *scheduler)
{
    scheduler->turn_due = true;
}

void handle_opened(struct scheduler *scheduler)
{
    scheduler->open_handles++;
}

void handle_closed(struct scheduler *scheduler)
{
    scheduler->open_handles--;
}

void loop_end(struct scheduler *scheduler, const struct err *why)
{
    if (scheduler->has_ended)
        return;
    scheduler->has_ended = true;
    scheduler->why = *why;
    if (scheduler->is_open && scheduler->options.ended != NULL)
        scheduler->options.ended(scheduler->options.observe_context, why);
}

/* Whether a run made earlier in this turn, and not committed yet, is the one asked for. */
static bool made_this_turn(const struct scheduler *scheduler, const char *dag_id,
                           const char *run_id, int64_t logical_date_us)
{
    for (size_t i = 0; i < scheduler->decisions.count; i++) {
        const struct decision *decision = &scheduler->decisions.items[i];
        if (decision->kind != DECIDE_RUN_NEW || strcmp(decision->as.run.row.dag_id, dag_id) != 0)
            continue;
        const struct run_row *row = &decision->as.run.row;
        if ((run_id != NULL && strcmp(row->run_id, run_id) == 0) ||
            (logical_date_us != 0 && row->logical_date_us == logical_date_us))
            return true;
    }
    return false;
}

/* Attaches what the core must know from the store before it handles a command. */
static bool prepare(struct scheduler *scheduler, struct event *event, struct err *err)
{
    if (changes_is_change(event->kind))
        return changes_prepare(scheduler, event, err);
    if (event->kind == EVENT_BACKFILL_CONTROL &&
        event->as.backfill_control.action == BACKFILL_RETRY)
        return store_find_backfill(scheduler->store, &scheduler->turn_arena,
                                   event->as.backfill_control.id,
                                   &event->as.backfill_control.stored, err);
    if (event->kind != EVENT_TRIGGER)
        return true;
    struct event_trigger *trigger = &event->as.trigger;
    struct known_run known = {0};
    const struct core_want want = {.dag_id = trigger->dag_id,
                                   .logical_date_us = trigger->logical_date_us};
    if (trigger->run_id != NULL &&
        !store_run_id_exists(scheduler->store, trigger->dag_id, trigger->run_id,
                             &trigger->run_id_exists, err))
        return false;
    if (trigger->logical_date_us != 0 &&
        !store_known_run(scheduler->store, &scheduler->turn_arena, &want, &known, err))
        return false;
    trigger->run_id_exists =
        trigger->run_id_exists || made_this_turn(scheduler, trigger->dag_id, trigger->run_id, 0);
    trigger->logical_date_exists =
        known.exists || made_this_turn(scheduler, trigger->dag_id, NULL, trigger->logical_date_us);
    return true;
}

/* A tick comes first in its turn: what it looks up in the store is then all there is. */
static bool step_tick(struct scheduler *scheduler, int64_t now_us, struct err *err)
{
    struct core_want wants[WANTS_MAX];
    struct known_run known[WANTS_MAX] = {0};
    size_t count = core_wants(scheduler->core, now_us, wants, WANTS_MAX);

    for (size_t i = 0; i < count; i++)
        if (!store_known_run(scheduler->store, &scheduler->turn_arena, &wants[i], &known[i], err))
            return false;
    struct event tick = {.kind = EVENT_TICK, .now_us = now_us};
    tick.as.tick.wants = wants;
    tick.as.tick.known = known;
    tick.as.tick.count = count;
    size_t before = scheduler->decisions.count;
    core_step(scheduler->core, &tick, &scheduler->decisions);
    scheduler->idle_ticks = scheduler->decisions.count == before ? scheduler->idle_ticks + 1 : 0;
    return true;
}

static bool is_asker_fault(const struct err *err)
{
    return err->code == ERR_LIMIT || err->code == ERR_BAD_REQUEST;
}

static bool step_event(struct scheduler *scheduler, struct event *event, int64_t now_us,
                       struct err *err)
{
    event->now_us = now_us;
    if (prepare(scheduler, event, err)) {
        core_step(scheduler->core, event, &scheduler->decisions);
        return true;
    }
    if (!is_asker_fault(err))
        return false;
    request_answer(scheduler, event->request, err);
    *err = (struct err){0};
    return true;
}

/* What a worker says on connecting goes before all else that waits: nothing may be sent over its
 * new connection before the core knows what the worker has, or it would take a start that is on its
 * way for one that got lost. */
static void move_hellos_first(struct scheduler *scheduler)
{
    size_t front = 0;

    for (size_t i = 0; i < scheduler->inbox_count; i++) {
        struct inbox_item item = scheduler->inbox[i];
        if (item.event.kind != EVENT_WORKER_UP)
            continue;
        memmove(scheduler->inbox + front + 1, scheduler->inbox + front, (i - front) * sizeof(item));
        scheduler->inbox[front++] = item;
    }
}

/* A change reads rows, which must be as the core has them: it comes first in its turn, and what the
 * inbox holds from the next one on waits for the next turn. */
static bool step_all(struct scheduler *scheduler, int64_t now_us, struct err *err, size_t *ret_done)
{
    struct inbox_item *inbox = scheduler->inbox;
    move_hellos_first(scheduler);
    bool begins_with_change = scheduler->inbox_count > 0 && changes_is_change(inbox[0].event.kind);
    size_t done = 0;

    *ret_done = 0;
    if (begins_with_change && scheduler->decisions.count > 0)
        return true; /* something was decided out of turn: that first */
    if (begins_with_change && !step_event(scheduler, &inbox[done++].event, now_us, err))
        return false;
    if (scheduler->tick_due && scheduler->decisions.count > 0) {
        *ret_done = done; /* what the store says is of before these: they are committed first */
        return true;
    }
    if (scheduler->tick_due && !step_tick(scheduler, now_us, err))
        return false;
    scheduler->tick_due = false;
    while (done < scheduler->inbox_count && done < TURN_EVENTS_MAX &&
           (!changes_is_change(inbox[done].event.kind) || scheduler->decisions.count == 0))
        if (!step_event(scheduler, &inbox[done++].event, now_us, err))
            return false;
    *ret_done = done;
    return true;
}

/* Forgets the first `done` events; those that are left keep their strings. */
static void clear_turn(struct scheduler *scheduler, size_t done)
{
    for (size_t i = 0; i < done; i++) {
        json_decref(scheduler->inbox[i].document);
        dag_unref(scheduler->inbox[i].dag);
    }
    scheduler->inbox_count -= done;
    for (size_t i = 0; i < scheduler->inbox_count; i++)
        scheduler->inbox[i] = scheduler->inbox[i + done];
    decisions_clear(&scheduler->decisions);
    changes_release(scheduler);
    if (scheduler->inbox_count == 0)
        arena_release(&scheduler->turn_arena);
}

static void fail(struct scheduler *scheduler, const struct err *err)
{
    log_error("commit_failed", "error=\"%s\"", err->message);
    loop_end(scheduler, err);
}

static void on_checkpoint(uv_timer_t *timer)
{
    struct scheduler *scheduler = timer->data;
    struct err err = {0};

    if (scheduler->has_ended || store_wal_pages(scheduler->store) == 0)
        return;
    if (!store_checkpoint(scheduler->store, &err))
        fail(scheduler, &err);
}

static void turn_once(struct scheduler *scheduler)
{
    struct err err = {0};
    int64_t now_us = clock_wall_us();
    size_t done = 0;

    scheduler->turns++;
    if (!step_all(scheduler, now_us, &err, &done) ||
        !store_commit(scheduler->store, &scheduler->decisions, now_us, &err)) {
        fail(scheduler, &err);
        return;
    }
    effects_carry_out(scheduler, &scheduler->decisions);
    if (scheduler->options.observe != NULL)
        scheduler->options.observe(scheduler->options.observe_context, &scheduler->decisions);
    clear_turn(scheduler, done);
    if (scheduler->stop_asked && scheduler->inbox_count == 0) {
        loop_end(scheduler, &err);
        return;
    }
    if (store_wal_pages(scheduler->store) > CHECKPOINT_PAGES &&
        !store_checkpoint(scheduler->store, &err)) {
        fail(scheduler, &err);
        return;
    }
}

static void on_idle(uv_idle_t *idle)
{
    const struct scheduler *scheduler = idle->data;

    if (!busypoll_goes_on(&scheduler->busypoll))
        (void)uv_idle_stop(idle);
}

/* The turn: step each event, commit once, act, arm one timer. */
void loop_turn(struct scheduler *scheduler)
{
    if (scheduler->has_ended || (!scheduler->turn_due && !scheduler->tick_due))
        return;
    scheduler->turn_due = false;
    busypoll_begin(&scheduler->busypoll);
    do
        turn_once(scheduler);
    while (!scheduler->has_ended && (scheduler->inbox_count > 0 || scheduler->tick_due));
    if (scheduler->has_ended)
        return;
    loop_arm(scheduler);
    if (busypoll_end(&scheduler->busypoll))
        (void)uv_idle_start(&scheduler->idle, on_idle);
}

static void on_wakeup(uv_timer_t *timer)
{
    struct scheduler *scheduler = timer->data;

    if (core_next_wakeup(scheduler->core) <= clock_wall_us())
        scheduler->tick_due = true;
    else
        loop_arm(scheduler);
}

void loop_arm(struct scheduler *scheduler)
{
    int64_t next = core_next_wakeup(scheduler->core);
    int64_t now_us = clock_wall_us();
    uint64_t delay_ms = scheduler->idle_ticks > IDLE_TICKS_MAX ? IDLE_TICK_MS : 0;

    if (scheduler->is_stopping)
        return;
    uv_update_time(scheduler->loop);
    (void)uv_timer_start(&scheduler->checkpoint, on_checkpoint, CHECKPOINT_IDLE_MS, 0);
    if (next == INT64_MAX) {
        (void)uv_timer_stop(&scheduler->wakeup);
        return;
    }
    if (next > now_us) {
        scheduler->idle_ticks = 0;
        int64_t wait_ms = (next - now_us) / US_PER_MS + 1;
        delay_ms = wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : (uint64_t)wait_ms;
    }
    (void)uv_timer_start(&scheduler->wakeup, on_wakeup, delay_ms, 0);
}

static void on_prepare(uv_prepare_t *prepare_handle)
{
    loop_turn(prepare_handle->data);
}

static void on_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

bool loop_open(struct scheduler *scheduler, struct err *err)
{
    int status = uv_prepare_init(scheduler->loop, &scheduler->turn);

    if (status == 0)
        status = uv_timer_init(scheduler->loop, &scheduler->wakeup);
    if (status == 0)
        status = uv_timer_init(scheduler->loop, &scheduler->checkpoint);
    if (status == 0)
        status = uv_idle_init(scheduler->loop, &scheduler->idle);
    if (status != 0)
        return err_set(err, ERR_FAILED, "set up the loop: %s", uv_strerror(status));
    scheduler->turn.data = scheduler;
    scheduler->wakeup.data = scheduler;
    scheduler->checkpoint.data = scheduler;
    scheduler->idle.data = scheduler;
    scheduler->busypoll.window_us = BUSYPOLL_US;
    for (size_t i = 0; i < 4; i++)
        handle_opened(scheduler);
    scheduler->has_handles = true;
    (void)uv_prepare_start(&scheduler->turn, on_prepare);
    return true;
}

void loop_close(struct scheduler *scheduler)
{
    uv_close((uv_handle_t *)&scheduler->turn, on_closed);
    uv_close((uv_handle_t *)&scheduler->wakeup, on_closed);
    uv_close((uv_handle_t *)&scheduler->checkpoint, on_closed);
    uv_close((uv_handle_t *)&scheduler->idle, on_closed);
}

void loop_release(struct scheduler *scheduler)
{
    clear_turn(scheduler, scheduler->inbox_count);
    decisions_release(&scheduler->decisions);
    free(scheduler->inbox);
    free(scheduler->requests);
}

uint64_t request_add(struct scheduler *scheduler, const struct request *origin)
{
    if (scheduler->request_count == scheduler->request_capacity) {
        scheduler->request_capacity =
            mem_grow(scheduler->request_capacity, scheduler->request_count + 1);
        scheduler->requests = mem_resize_array(scheduler->requests, scheduler->request_capacity,
                                               sizeof(*scheduler->requests));
    }
    struct request *request = &scheduler->requests[scheduler->request_count++];
    *request = *origin;
    request->id = ++scheduler->last_request;
    return request->id;
}

void request_answer(struct scheduler *scheduler, uint64_t id, const struct err *err)
{
    struct decision *decision = decisions_add(&scheduler->decisions, DECIDE_REPLY);

    decision->as.reply.request = id;
    if (err->code != ERR_NONE) {
        struct err *copy = arena_alloc(&scheduler->decisions.arena, sizeof(*copy));
        *copy = *err;
        decision->as.reply.err = copy;
    }
    scheduler->turn_due = true;
}

bool request_take(struct scheduler *scheduler, uint64_t id, struct request *ret)
{
    for (size_t i = 0; i < scheduler->request_count; i++) {
        if (scheduler->requests[i].id != id)
            continue;
        *ret = scheduler->requests[i];
        scheduler->requests[i] = scheduler->requests[--scheduler->request_count];
        return true;
    }
    return false;
}
