/* Attempts: made with a token and bound to a worker when a task takes its slots, ended exactly
 * once. Reports with a token that is not live change nothing. */
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/core/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

/* Takes, or with -1 gives back, what an attempt occupies; run->active is the task's business. */
static void occupy(struct core *core, const struct attempt_live *attempt, int64_t sign)
{
    struct pool *pool = pools_find(core, task_spec(attempt->task)->pool);

    pool->used += sign * (PLANTED(POOL_SLOTS_AS_ONE) ? 1 : task_spec(attempt->task)->pool_slots);
    attempt->worker
        ->used[PLANTED(SLOT_KINDS_MIXED) ? SLOT_OWN : slot_of(task_spec(attempt->task))] += sign;
}

static struct attempt_live *bind_new(struct core *core, struct task *task, struct worker *worker,
                                     const struct attempt_row *row)
{
    struct attempt_live *attempt = mem_alloc(sizeof(*attempt));

    attempt->row = *row;
    attempt->row.token = arena_strdup(&attempt->arena, row->token);
    attempt->row.worker = arena_strdup(&attempt->arena, worker->instance);
    attempt->row.rendered = arena_strdup(&attempt->arena, row->rendered);
    attempt->row.reason = NULL;
    attempt->row.outputs = NULL;
    attempt->row.stop_reason = arena_strdup(&attempt->arena, row->stop_reason);
    attempt->row.datasets = NULL;
    attempt->task = task;
    attempt->worker = worker;
    task->attempt = attempt;
    HASH_ADD_KEYPTR(hh, core->attempts, attempt->row.token, strlen(attempt->row.token), attempt);
    DL_APPEND2(worker->attempts, attempt, previous, next);
    occupy(core, attempt, 1);
    return attempt;
}

void attempts_bind(struct core *core, struct task *task, const struct attempt_row *row)
{
    (void)bind_new(core, task, workers_get(core, row->worker == NULL ? "" : row->worker), row);
    if (row->stop_reason != NULL)
        task->run->stopping++;
}

void attempts_start(struct core *core, const struct attempt_live *attempt)
{
    const struct task *task = attempt->task;
    struct decision *decision = decisions_add(core->out, DECIDE_START);

    decision->as.start.worker = attempt->row.worker;
    decision->as.start.attempt = attempt->row;
    decision->as.start.run = task->run->row;
    decision->as.start.dag = task->run->dag;
    decision->as.start.task = task_spec(task);
}

static void tell(struct core *core, const struct attempt_live *attempt, enum decision_kind kind)
{
    decisions_add(core->out, kind)->as.attempt = attempt->row;
}

static const char *ending_reason(struct core *core, const struct task *task,
                                 const struct ending *ending)
{
    struct buf text = {0};
    const char *reason = NULL;

    if (ending->reason != NULL)
        return reason_format(core, "%s", ending->reason);
    switch (ending->outcome) {
    case OUTCOME_SUCCESS:
        return NULL;
    case OUTCOME_TIMEOUT:
        duration_format(task_spec(task)->execution_timeout_us, &text);
        reason = reason_format(core, "timeout after %s", buf_text(&text));
        buf_release(&text);
        return reason;
    case OUTCOME_FAILED:
        if (ending->signal > 0)
            return reason_format(core, "signal %lld", (long long)ending->signal);
        if (ending->exit_code >= 0)
            return reason_format(core, "exit_code %lld", (long long)ending->exit_code);
        break;
    case OUTCOME_FATAL:
    case OUTCOME_SKIPPED:
    case OUTCOME_WORKER_LOST:
    case OUTCOME_STOPPED:
    case OUTCOME_RESCHEDULE:
    case OUTCOME_COUNT:
        break;
    }
    return outcome_name(ending->outcome);
}

/* The state an outcome gives the task when it is not tried again. */
static enum task_state final_state(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_SUCCESS:
        return TASK_SUCCESS;
    case OUTCOME_SKIPPED:
        return TASK_SKIPPED;
    case OUTCOME_RESCHEDULE:
        return TASK_UP_FOR_RESCHEDULE;
    case OUTCOME_FAILED:
    case OUTCOME_FATAL:
    case OUTCOME_TIMEOUT:
    case OUTCOME_WORKER_LOST:
    case OUTCOME_STOPPED:
    case OUTCOME_COUNT:
        break;
    }
    return TASK_FAILED;
}

static void keep_outputs(struct task *task, const char *outputs)
{
    if (outputs == NULL || !task_spec(task)->outputs_used)
        return;
    json_decref(task->outputs);
    task->outputs = json_loads(outputs, 0, NULL);
}

/* Whether the exit code is one that the task says another try can't change. */
static bool is_final_code(const struct dag_task *spec, const struct ending *ending)
{
    if (spec->retry_exit_code_count == 0 || ending->outcome != OUTCOME_FAILED ||
        ending->exit_code < 0)
        return false;
    for (size_t i = 0; i < spec->retry_exit_code_count; i++)
        if (spec->retry_exit_codes[i] == ending->exit_code)
            return false;
    return true;
}

/* What becomes of the task: over, or waiting for its next try. */
static void task_after(struct core *core, struct task *task, const struct ending *ending,
                       const char *reason)
{
    char when[TIMEFMT_SIZE];

    if (ending->outcome == OUTCOME_RESCHEDULE) {
        wait_poke_again(core, task, ending, reason);
        return;
    }
    task->ended_at_us = ending->ended_at_us;
    if (ending->is_given_back && !PLANTED(GIVEN_BACK_COSTS_A_TRY))
        task->max_tries++; /* nothing was tried */
    if (task->try_number <= task->max_tries && is_final_code(task_spec(task), ending)) {
        task_move(core, task, TASK_FAILED,
                  reason_format(core, "%s: not among retry_exit_codes", reason));
        return;
    }
    if (!(outcome_is_retryable(ending->outcome) ||
          (PLANTED(FATAL_IS_RETRIED) && ending->outcome == OUTCOME_FATAL)) ||
        task->try_number > task->max_tries + PLANTED(RETRY_OFF_BY_ONE)) {
        task_move(core, task, final_state(ending->outcome), reason);
        return;
    }
    task->retry_at_us = ending->is_given_back ? core->now_us : retry_at(task, ending->ended_at_us);
    (void)timefmt_utc(task->retry_at_us, when);
    task_move(core, task, TASK_UP_FOR_RETRY,
              reason_format(core, "waiting_for: retry at %s (%s)", when,
                            reason == NULL ? "failed" : reason));
    task->timer.kind = TIMER_RETRY;
    timer_arm(core, &core->timers, &task->timer, task->retry_at_us);
    if (!ending->is_given_back && !PLANTED(RETRY_NOT_TOLD))
        callbacks_of_task(core, task, CALLBACK_EVENT_RETRY, reason);
}

/* A branch that can't choose has failed, and would fail again. */
static void judge_branch(struct core *core, struct task *task, struct ending *ending)
{
    struct err err = {0};

    if (task_spec(task)->branch == NULL || ending->outcome != OUTCOME_SUCCESS)
        return;
    keep_outputs(task, ending->outputs);
    if (flow_branch_is_good(core, task, &err))
        return;
    ending->outcome = OUTCOME_FATAL;
    ending->reason = reason_format(core, "branch: %s", err.message);
    json_decref(task->outputs);
    task->outputs = NULL;
}

static void end_attempt(struct core *core, struct attempt_live *attempt, struct ending *ending)
{
    struct task *task = attempt->task;
    bool was_stopped = attempt->row.stop_reason != NULL;

    if (!was_stopped)
        wait_judge(core, task, ending);
    if (!was_stopped)
        judge_branch(core, task, ending);
    else if (ending->outcome == OUTCOME_RESCHEDULE)
        ending->outcome = OUTCOME_STOPPED;
    const char *reason = ending_reason(core, task, ending);
    if (was_stopped && ending->outcome != OUTCOME_SUCCESS)
        reason = attempt->row.stop_reason;
    attempt->row.state = final_state(ending->outcome);
    attempt->row.outcome = ending->outcome;
    attempt->row.exit_code = ending->exit_code;
    attempt->row.signal = ending->signal;
    attempt->row.ended_at_us = ending->ended_at_us;
    attempt->row.reason = reason;
    attempt->row.outputs = ending->outcome == OUTCOME_SUCCESS
                               ? arena_strdup(&core->out->arena, ending->outputs)
                               : NULL;
    attempt->row.datasets = ending->outcome == OUTCOME_SUCCESS
                                ? arena_strdup(&core->out->arena, ending->datasets)
                                : NULL;
    tell(core, attempt, DECIDE_ATTEMPT);
    occupy(core, attempt, -1);
    HASH_DEL(core->attempts, attempt);
    DL_DELETE2(attempt->worker->attempts, attempt, previous, next);
    task->attempt = NULL;
    retire_attempt(core, attempt);
    if (!was_stopped)
        keep_outputs(task, attempt->row.outputs);
    if (was_stopped)
        task_stopped(core, task);
    else
        task_after(core, task, ending, reason);
    if (!was_stopped && ending->outcome == OUTCOME_SUCCESS)
        assets_task_succeeded(core, task, attempt->row.outputs);
    if (!PLANTED(LOST_WAKE_UP))
        ready_run_limit(task->run);
    if (was_stopped)
        run_attempt_stopped(core, task->run);
}

void attempts_new(struct core *core, struct task *task, struct worker *worker)
{
    struct err err = {0};
    struct attempt_row row = {
        .run = task->run->row.id,
        .task = task->index,
        .map_index = task->map_index,
        .try_number = task->try_number,
        .state = TASK_QUEUED,
        .queued_at_us = core->now_us,
        .exit_code = -1,
    };
    char token[200];

    (void)snprintf(token, sizeof(token), "%s-%llu-%llu", core->instance,
                   PLANTED(TOKENS_WITHOUT_EPOCH) ? 0 : (unsigned long long)core->epoch,
                   (unsigned long long)++core->token_count);
    row.token = token;
    row.rendered = render_attempt(task, &core->out->arena, &err);
    bool rendered = row.rendered != NULL;
    if (!rendered)
        row.rendered = "{}";
    struct attempt_live *attempt = bind_new(core, task, worker, &row);
    task->queued_at_us = core->now_us;
    task_move(core, task, TASK_QUEUED, NULL);
    ready_run_limit(task->run);
    tell(core, attempt, task->has_poked ? DECIDE_ATTEMPT_AGAIN : DECIDE_ATTEMPT_NEW);
    if (rendered) {
        attempts_start(core, attempt);
        return;
    }
    struct ending ending = {.outcome = OUTCOME_FATAL,
                            .exit_code = -1,
                            .ended_at_us = core->now_us,
                            .reason = err.message};
    end_attempt(core, attempt, &ending);
}

static struct attempt_live *find(const struct core *core, const char *token)
{
    struct attempt_live *attempt = NULL;

    HASH_FIND_STR(core->attempts, token, attempt);
    if (PLANTED(STALE_TOKEN_ACCEPTED) && attempt == NULL)
        return core->attempts;
    return attempt;
}

static void set_started(struct attempt_live *attempt, int64_t started_at_us)
{
    attempt->row.started_at_us = started_at_us;
    if (attempt->row.stop_reason == NULL &&
        (!attempt->task->has_poked || attempt->task->started_at_us == 0))
        attempt->task->started_at_us = started_at_us;
}

void attempts_started(struct core *core, const struct event_attempt_started *event)
{
    struct attempt_live *attempt = find(core, event->token);

    if (attempt == NULL) {
        if (!callbacks_known(core, event->token))
            workers_forget(core, event->worker, event->token, true);
        return;
    }
    if (attempt->row.state == TASK_RUNNING)
        return; /* told twice */
    attempt->row.state = TASK_RUNNING;
    attempt->row.pid = event->pid;
    set_started(attempt, event->started_at_us != 0 ? event->started_at_us : core->now_us);
    tell(core, attempt, DECIDE_ATTEMPT);
    if (attempt->row.stop_reason == NULL)
        task_move(core, attempt->task, TASK_RUNNING, NULL);
}

void attempts_ended(struct core *core, const struct event_attempt_ended *event)
{
    struct attempt_live *attempt = find(core, event->token);

    if (attempt == NULL) {
        if (!callbacks_ended(core, event) && !PLANTED(STALE_NOT_ACKNOWLEDGED))
            workers_forget(core, event->worker, event->token, false);
        return;
    }
    /* An end that lies in the future was stamped before the clock was set back. */
    bool is_timed = event->ended_at_us != 0 && event->ended_at_us <= core->now_us;
    struct ending ending = {
        .outcome = event->outcome,
        .exit_code = event->exit_code,
        .signal = event->signal,
        .ended_at_us = is_timed ? event->ended_at_us : core->now_us,
        .reason = event->reason,
        .outputs = event->outputs,
        .datasets = event->datasets,
        .is_given_back = event->outcome == OUTCOME_WORKER_LOST && event->started_at_us == 0,
    };
    if (event->started_at_us != 0) {
        set_started(attempt, event->started_at_us);
        if (slot_of(task_spec(attempt->task)) == SLOT_OWN)
            workers_pace(attempt->worker, ending.ended_at_us - event->started_at_us);
    }
    if (ending.is_given_back)
        attempt->worker->is_known = false; /* it would give back the next ones too */
    workers_forget(core, attempt->row.worker, event->token, false);
    end_attempt(core, attempt, &ending);
}

void attempts_stop_again(struct core *core, const struct attempt_live *attempt)
{
    struct decision *decision = decisions_add(core->out, DECIDE_STOP);

    decision->as.token.worker = attempt->row.worker;
    decision->as.token.token = attempt->row.token;
    decision->as.token.reason = attempt->row.stop_reason;
}

void attempts_stop(struct core *core, struct attempt_live *attempt, const char *reason)
{
    if (attempt->row.stop_reason != NULL)
        return;
    attempt->row.stop_reason = arena_strdup(&attempt->arena, reason == NULL ? "stopped" : reason);
    attempt->task->run->stopping++;
    tell(core, attempt, DECIDE_ATTEMPT);
    attempts_stop_again(core, attempt);
}

void attempts_never_reached(struct core *core, struct attempt_live *attempt)
{
    struct ending ending = {
        .outcome = OUTCOME_STOPPED, .exit_code = -1, .ended_at_us = core->now_us};

    end_attempt(core, attempt, &ending);
}

void attempts_lost(struct core *core, struct attempt_live *attempt)
{
    struct ending ending = {
        .outcome = OUTCOME_WORKER_LOST, .exit_code = -1, .ended_at_us = core->now_us};

    end_attempt(core, attempt, &ending);
}

void attempts_give_back(struct core *core)
{
    while (core->attempts != NULL) {
        struct ending ending = {.outcome = OUTCOME_WORKER_LOST,
                                .exit_code = -1,
                                .ended_at_us = core->now_us,
                                .reason = "interrupted",
                                .is_given_back = true};
        end_attempt(core, core->attempts, &ending);
    }
}

void attempts_lost_task(struct core *core, struct task *task, const char *reason)
{
    struct ending ending = {.outcome = OUTCOME_WORKER_LOST,
                            .exit_code = -1,
                            .ended_at_us = core->now_us,
                            .reason = reason};

    task_after(core, task, &ending, reason);
}

void attempts_free(struct attempt_live *attempt)
{
    arena_release(&attempt->arena);
    free(attempt);
}
