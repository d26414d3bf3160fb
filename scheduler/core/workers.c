/* Workers: what each can take, and what is bound to it. A worker without connection keeps its
 * attempts; only proof that it is gone ends them. */
#include "base/clock.h"
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <assert.h>
#include <stdlib.h>

struct worker *workers_get(struct core *core, const char *instance)
{
    struct worker *worker = NULL;

    HASH_FIND_STR(core->workers, instance, worker);
    if (worker != NULL)
        return worker;
    worker = mem_alloc(sizeof(*worker));
    worker->instance = mem_strdup(instance);
    HASH_ADD_KEYPTR(hh, core->workers, worker->instance, strlen(worker->instance), worker);
    return worker;
}

/* Attempts that end sooner than this are handed out ahead: the way to the worker and back would
 * leave it idle for a good part of their time. Longer ones are kept here, where the most urgent
 * goes first, rather than in the worker's line. */
#define SHORT_PACE_US (20 * US_PER_MS)

static int64_t room(const struct worker *worker, enum slot_kind slot)
{
    if (!worker->is_known)
        return 0;
    bool is_quick = slot == SLOT_OWN && worker->pace_us > 0 && worker->pace_us < SHORT_PACE_US;
    return worker->slots[slot] + (is_quick ? worker->backlog : 0) - worker->used[slot];
}

void workers_pace(struct worker *worker, int64_t duration_us)
{
    if (duration_us < 1)
        duration_us = 1;
    worker->pace_us = worker->pace_us == 0
                          ? duration_us
                          : worker->pace_us - worker->pace_us / 4 + duration_us / 4;
}

struct worker *workers_pick(const struct core *core, enum slot_kind slot)
{
    struct worker *best = NULL;
    int64_t best_room = 0;

    for (struct worker *worker = core->workers; worker != NULL; worker = worker->hh.next) {
        if (room(worker, slot) > best_room) {
            best = worker;
            best_room = room(worker, slot);
        }
    }
    return best;
}

void workers_forget(struct core *core, const char *worker, const char *token, bool stop)
{
    struct decision *decision = NULL;
    const char *name = arena_strdup(&core->out->arena, worker);
    const char *copy = arena_strdup(&core->out->arena, token);

    if (stop) {
        decision = decisions_add(core->out, DECIDE_STOP);
        decision->as.token.worker = name;
        decision->as.token.token = copy;
        decision->as.token.reason = "stale_token";
    }
    if (PLANTED(STALE_NOT_ACKNOWLEDGED) && stop)
        return;
    decision = decisions_add(core->out, DECIDE_ACK);
    decision->as.token.worker = name;
    decision->as.token.token = copy;
}

void workers_up(struct core *core, const struct event_worker_up *event)
{
    struct worker *worker = workers_get(core, event->instance);

    worker->is_known = true;
    worker->slots[SLOT_OWN] = event->slots;
    worker->slots[SLOT_SHARED] = event->shared_slots;
    worker->slots[SLOT_LIGHT] = event->light_slots;
    worker->slots[SLOT_CALLBACK] = event->callback_slots;
    worker->backlog = event->backlog;
    for (size_t i = 0; i < event->token_count; i++) {
        struct attempt_live *attempt = NULL;
        HASH_FIND_STR(core->attempts, event->tokens[i], attempt);
        if (attempt != NULL && attempt->worker == worker && !PLANTED(ANNOUNCED_IS_STALE))
            attempt->announced = true;
        else if (!callbacks_announce(core, worker, event->tokens[i]))
            workers_forget(core, event->instance, event->tokens[i], true);
    }
    struct attempt_live *next = NULL;
    for (struct attempt_live *a = worker->attempts; a != NULL; a = next) {
        bool was_announced = a->announced;
        next = a->next;
        a->announced = false;
        if (a->row.stop_reason == NULL && !was_announced && !PLANTED(START_NOT_REPEATED))
            attempts_start(core, a);
        else if (a->row.stop_reason != NULL && was_announced)
            attempts_stop_again(core, a);
        else if (a->row.stop_reason != NULL && !PLANTED(UNREACHED_STOP_AWAITED))
            attempts_never_reached(core, a); /* its start was lost with a connection */
    }
    callbacks_worker_up(core, worker);
}

void workers_retire(struct core *core)
{
    for (struct worker *worker = core->workers; worker != NULL; worker = worker->hh.next)
        worker->is_known = false;
}

void workers_gone(struct core *core, const char *instance)
{
    struct worker *worker = NULL;

    HASH_FIND_STR(core->workers, instance, worker);
    if (worker == NULL)
        return;
    worker->is_known = false;
    if (PLANTED(DEAD_WORKER_COUNTED)) {
        worker->is_known = true;
        return;
    }
    while (worker->attempts != NULL)
        attempts_lost(core, worker->attempts);
    callbacks_worker_gone(core, worker);
    for (enum slot_kind slot = 0; slot < SLOT_KIND_COUNT; slot++)
        assert(worker->used[slot] == 0);
    HASH_DEL(core->workers, worker);
    free(worker->instance);
    free(worker);
}

void workers_free(struct core *core)
{
    while (core->workers != NULL) {
        struct worker *worker = core->workers;
        HASH_DEL(core->workers, worker);
        free(worker->instance);
        free(worker);
    }
}
