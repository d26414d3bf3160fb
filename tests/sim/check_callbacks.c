/* Invariants of callbacks and deadlines: each cause has its callbacks, once, in its transaction;
 * each is tried until one try succeeds or all are spent, one try after the other. */
#include "tests/sim/sim.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define DELAY_MAX_US US_PER_HOUR

/* --- causes ---------------------------------------------------------------------------------- */

static void expect(struct sim *sim, const struct telling *telling, const json_t *list)
{
    if (json_array_size(list) == 0)
        return;
    if (sim->telling_count == sim->telling_capacity) {
        sim->telling_capacity = mem_grow(sim->telling_capacity, sim->telling_count + 1);
        sim->tellings =
            mem_resize_array(sim->tellings, sim->telling_capacity, sizeof(*sim->tellings));
    }
    sim->tellings[sim->telling_count] = *telling;
    sim->tellings[sim->telling_count++].left = json_array_size(list);
}

/* An attempt that was given back has tried nothing, and there is nothing to tell. */
static bool is_given_back(const struct sim *sim)
{
    return sim->cause != NULL && sim->cause->kind == EVENT_ATTEMPT_ENDED &&
           sim->cause->as.attempt_ended.outcome == OUTCOME_WORKER_LOST &&
           sim->cause->as.attempt_ended.started_at_us == 0;
}

void callbacks_note_task(struct sim *sim, const struct stored_run *run,
                         const struct task_row *before, const struct task_row *row)
{
    const struct dag_callbacks *callbacks = &run->dag->tasks[row->task].callbacks;
    struct telling telling = {row->run, row->task_id, row->map_index, CALLBACK_EVENT_RETRY, 0};

    if (row->state == before->state || (row->state == TASK_UP_FOR_RETRY && is_given_back(sim)) ||
        (row->state != TASK_UP_FOR_RETRY && row->state != TASK_SUCCESS &&
         row->state != TASK_FAILED))
        return;
    if (row->state != TASK_UP_FOR_RETRY)
        telling.event =
            row->state == TASK_SUCCESS ? CALLBACK_EVENT_SUCCESS : CALLBACK_EVENT_FAILURE;
    expect(sim, &telling, callbacks->of[telling.event]);
}

int64_t deadline_of(const struct run_row *row, const struct dag_deadline *deadline)
{
    int64_t from_us = row->run_after_us;

    if (deadline->reference == DEADLINE_REFERENCE_QUEUED_AT)
        from_us = row->queued_at_us;
    else if (deadline->reference == DEADLINE_REFERENCE_LOGICAL_DATE)
        from_us = row->logical_date_us;
    return from_us == 0 ? INT64_MAX : from_us + deadline->interval_us;
}

/* K3: a deadline is missed once, when it has passed, by a run that is not over. */
static void note_deadline(struct sim *sim, const struct stored_run *run, const struct run_row *row,
                          uint32_t index)
{
    const struct dag_deadline *deadline = &run->dag->deadlines[index];
    const struct telling telling = {row->id, NULL, -1, CALLBACK_EVENT_DEADLINE, 0};
    bool was = (run->row.deadlines_missed & INT64_C(1) << index) != 0;
    bool is = (row->deadlines_missed & INT64_C(1) << index) != 0;

    if (was && !is &&
        (row->state != RUN_QUEUED || deadline->reference != DEADLINE_REFERENCE_QUEUED_AT))
        sim_fail(sim, "K3: run %lld forgets that it has missed a deadline", (long long)row->id);
    if (was || !is)
        return;
    if (run_state_is_final(run->row.state) || deadline_of(row, deadline) > sim->now_us)
        sim_fail(sim, "K3: run %lld misses a deadline that %s", (long long)row->id,
                 run_state_is_final(run->row.state) ? "it has met" : "has not passed");
    expect(sim, &telling, deadline->callbacks);
}

void callbacks_note_run(struct sim *sim, const struct stored_run *run, const struct run_row *row)
{
    struct telling telling = {row->id, NULL, -1, CALLBACK_EVENT_SUCCESS, 0};

    for (uint32_t i = 0; i < run->dag->deadline_count; i++)
        note_deadline(sim, run, row, i);
    if (row->state == run->row.state || !run_state_is_final(row->state))
        return;
    if (row->state == RUN_FAILED)
        telling.event = CALLBACK_EVENT_FAILURE;
    expect(sim, &telling, run->dag->callbacks.of[telling.event]);
}

/* K1: what an event caused has all its callbacks when the next one begins. */
void callbacks_next_cause(struct sim *sim)
{
    for (size_t i = 0; i < sim->telling_count; i++)
        if (sim->tellings[i].left > 0)
            sim_fail(sim, "K1: run %lld: nobody is told of the %s of %s",
                     (long long)sim->tellings[i].run, callback_event_name(sim->tellings[i].event),
                     sim->tellings[i].task_id == NULL ? "the run" : sim->tellings[i].task_id);
    sim->telling_count = 0;
}

static bool is_of(const struct telling *telling, const struct callback_row *row)
{
    if (telling->left == 0 || telling->run != row->run || telling->event != row->event ||
        telling->map_index != row->map_index)
        return false;
    return telling->task_id == NULL || row->task_id == NULL
               ? telling->task_id == row->task_id
               : strcmp(telling->task_id, row->task_id) == 0;
}

static void check_new(struct sim *sim, const struct callback_row *row)
{
    size_t i = 0;

    while (i < sim->telling_count && !is_of(&sim->tellings[i], row))
        i++;
    if (i == sim->telling_count)
        sim_fail(sim, "K1: run %lld: callback %lld of %s of %s has no cause", (long long)row->run,
                 (long long)row->id, callback_event_name(row->event),
                 row->task_id == NULL ? "the run" : row->task_id);
    sim->tellings[i].left--;
    bool is_pending = row->state == CALLBACK_STATE_PENDING && row->next_at_us == 0;
    if (row->tries != 0 || row->token != NULL || !(is_pending || row->ended_at_us != 0))
        sim_fail(sim, "K2: callback %lld begins as %s", (long long)row->id,
                 callback_state_name(row->state));
}

/* --- tries ----------------------------------------------------------------------------------- */

/* K2, I3: a try begins when it is due, with a token of its own, where there is room. */
static void check_try(struct sim *sim, const struct callback_row *before,
                      const struct callback_row *row)
{
    uint32_t index = workers_find(sim, row->worker);
    int64_t used = 1;

    if (before->state != CALLBACK_STATE_PENDING || row->tries != before->tries + 1 ||
        row->tries > row->max_tries)
        sim_fail(sim, "K2: callback %lld: try %lld of %lld after try %lld (%s)", (long long)row->id,
                 (long long)row->tries, (long long)row->max_tries, (long long)before->tries,
                 callback_state_name(before->state));
    if (token_get(sim, row->token)->is_committed)
        sim_fail(sim, "C3: token %s is given out again", row->token);
    if (before->next_at_us > sim->now_us && before->next_at_us > sim->latest_commit_us)
        sim_fail(sim, "K2: callback %lld is tried before its time", (long long)row->id);
    for (const struct token *token = sim->live_callbacks; token != NULL; token = token->next)
        used += token->worker == index;
    if (used > sim->workers[index].slots[SLOT_OF_CALLBACK])
        sim_fail(sim, "I3: worker %s is given %lld callbacks", row->worker, (long long)used);
}

static int64_t naive_delay(const struct callback_row *row)
{
    int64_t us = row->retry_delay_us;

    for (int64_t i = 1; i < row->tries && us < DELAY_MAX_US; i++)
        us *= 2;
    return us < DELAY_MAX_US ? us : DELAY_MAX_US;
}

/* K2: a try ends as it was reported; one that was lost with its worker is none. */
static void check_try_ended(struct sim *sim, const struct callback_row *before,
                            const struct callback_row *row)
{
    const struct event *cause = sim->cause;
    bool is_gone = cause != NULL && cause->kind == EVENT_WORKER_GONE;
    bool is_told = cause != NULL && cause->kind == EVENT_ATTEMPT_ENDED &&
                   strcmp(cause->as.attempt_ended.token, before->token) == 0;
    bool is_lost = is_gone || (is_told && cause->as.attempt_ended.outcome == OUTCOME_WORKER_LOST);

    if (before->state != CALLBACK_STATE_RUNNING || !(is_told || is_gone))
        sim_fail(sim, "K2: callback %lld goes from %s to %s", (long long)row->id,
                 callback_state_name(before->state), callback_state_name(row->state));
    bool is_success = is_told && cause->as.attempt_ended.outcome == OUTCOME_SUCCESS;
    bool is_spent = row->tries >= row->max_tries;
    enum callback_state state = is_success             ? CALLBACK_STATE_SUCCESS
                                : is_lost || !is_spent ? CALLBACK_STATE_PENDING
                                                       : CALLBACK_STATE_FAILED;
    if (row->state != state || row->tries != before->tries - is_lost)
        sim_fail(sim, "K2: callback %lld is %s after try %lld of %lld", (long long)row->id,
                 callback_state_name(row->state), (long long)row->tries, (long long)row->max_tries);
    if (state == CALLBACK_STATE_PENDING &&
        row->next_at_us != sim->now_us + (is_lost ? 0 : naive_delay(row)))
        sim_fail(sim, "K2: callback %lld waits for another instant", (long long)row->id);
}

static const struct callback_row *find(const struct sim *sim, int64_t id)
{
    for (size_t i = sim->rows.callback_count; i-- > 0;)
        if (sim->rows.callbacks[i].id == id)
            return &sim->rows.callbacks[i];
    return NULL;
}

void check_callback(struct sim *sim, const struct callback_row *row)
{
    const struct callback_row *before = find(sim, row->id);

    if (before == NULL)
        check_new(sim, row);
    else if (row->state == CALLBACK_STATE_RUNNING)
        check_try(sim, before, row);
    else
        check_try_ended(sim, before, row);
}

/* Once it is stored. */
void callbacks_note(struct sim *sim, const struct callback_row *row)
{
    if (row->token == NULL)
        return;
    struct token *token = token_get(sim, row->token);
    if (row->state == CALLBACK_STATE_RUNNING) {
        token->run = row->id;
        token->task = UINT32_MAX; /* of no task */
        token->map_index = -1;
        token->slot = SLOT_OF_CALLBACK;
        token->worker = workers_find(sim, row->worker);
        token->is_committed = true;
        DL_APPEND2(sim->live_callbacks, token, previous, next);
    } else if (token->is_committed && !token->is_over) {
        token->is_over = true;
        DL_DELETE2(sim->live_callbacks, token, previous, next);
    }
}

/* --- what is to come ------------------------------------------------------------------------- */

static bool has_room(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->worker_count; i++) {
        int64_t left = sim->workers[i].is_counted ? sim->workers[i].slots[SLOT_OF_CALLBACK] : 0;
        for (const struct token *token = sim->live_callbacks; token != NULL; token = token->next)
            left -= token->worker == i;
        if (left > 0)
            return true;
    }
    return false;
}

/* L2: what is due is tried where there is room, and the core wants to be woken for the rest. */
void check_callbacks(struct sim *sim)
{
    int64_t wakeup_us = core_next_wakeup(sim->core);
    bool any_waits = false;

    for (size_t i = 0; i < sim->rows.callback_count; i++) {
        const struct callback_row *row = &sim->rows.callbacks[i];
        if (row->state != CALLBACK_STATE_PENDING || wakeup_us <= row->next_at_us)
            continue;
        if (row->next_at_us > sim->now_us && row->next_at_us > sim->latest_commit_us)
            sim_fail(sim, "L2: callback %lld waits for an instant that no timer will tell of",
                     (long long)row->id);
        any_waits = true;
    }
    if (any_waits && wakeup_us > sim->now_us && has_room(sim))
        sim_fail(sim, "L2: a callback could be tried and is not");
}

/* L2: a run knows its next deadline. */
void check_deadlines(struct sim *sim, const struct stored_run *run)
{
    for (uint32_t i = 0; i < run->dag->deadline_count; i++) {
        int64_t at_us = deadline_of(&run->row, &run->dag->deadlines[i]);
        if (at_us != INT64_MAX && (run->row.deadlines_missed & INT64_C(1) << i) == 0 &&
            core_next_wakeup(sim->core) > at_us)
            sim_fail(sim, "L2: run %lld has a deadline that no timer will tell of",
                     (long long)run->row.id);
    }
}
