/* Sensors: tasks that wait for something outside. Between the looks ("pokes") of one try a task is
 * up_for_reschedule; one that waits for an instant or for another DAG's run is deferred, and has no
 * attempt at all. Either way it costs a timer, and holds no slot. */
#include "base/clock.h"
#include "base/json.h"
#include "scheduler/core/parts.h"
#include "scheduler/core/zone.h"

#include <stdio.h>

bool wait_defers(const struct dag_task *spec)
{
    return spec->wait.kind == WAIT_TIME || spec->wait.kind == WAIT_EXTERNAL;
}

/* When the waiting is given up, counted over all tries since the task was cleared. */
static int64_t wait_until(const struct task *task)
{
    int64_t timeout_us = task_spec(task)->wait.timeout_us;

    return timeout_us == 0 || task->wait_since_us == 0 ? INT64_MAX
                                                       : task->wait_since_us + timeout_us;
}

static const char *until_text(struct core *core, const struct task *task)
{
    char text[TIMEFMT_SIZE];
    int64_t until_us = wait_until(task);

    return until_us == INT64_MAX ? ""
                                 : reason_format(core, ", until %s", timefmt_utc(until_us, text));
}

static const char *timeout_reason(struct core *core, const struct task *task, const char *what)
{
    struct buf limit = {0};

    duration_format(task_spec(task)->wait.timeout_us, &limit);
    const char *reason =
        task->pokes == 0
            ? reason_format(core, "sensor_timeout: %s, after %s", what, buf_text(&limit))
            : reason_format(core, "sensor_timeout: %s, after %s and %lld pokes", what,
                            buf_text(&limit), (long long)task->pokes);
    buf_release(&limit);
    return reason;
}

/* A poke may end as the kinds of failure that Airflow's soft_fail covers, or find that the time is
 * up. A poke whose worker was lost has looked at nothing, and changed nothing: another one follows
 * at once, at the cost of no try. */
void wait_judge(struct core *core, struct task *task, struct ending *ending)
{
    const struct dag_wait *wait = &task_spec(task)->wait;

    if (wait->kind != WAIT_POKE) {
        if (ending->outcome != OUTCOME_RESCHEDULE)
            return;
        ending->outcome = OUTCOME_FAILED;
        ending->reason = "it ended with `reschedule`, which only a sensor may";
        return;
    }
    if (ending->outcome == OUTCOME_WORKER_LOST) {
        ending->outcome = OUTCOME_RESCHEDULE;
        ending->is_given_back = true;
        if (ending->reason == NULL)
            ending->reason = "worker_lost";
        return;
    }
    task->pokes++;
    if (task->wait_since_us == 0)
        task->wait_since_us = task->started_at_us != 0 ? task->started_at_us : ending->ended_at_us;
    if (ending->outcome == OUTCOME_RESCHEDULE && ending->ended_at_us >= wait_until(task)) {
        const char *what = ending->reason == NULL ? "it" : ending->reason;
        ending->outcome = OUTCOME_FATAL;
        ending->reason = timeout_reason(core, task, what);
    }
    if (wait->is_soft && (ending->outcome == OUTCOME_FATAL || ending->outcome == OUTCOME_TIMEOUT)) {
        if (ending->reason == NULL)
            ending->reason = outcome_name(ending->outcome);
        ending->reason = reason_format(core, "soft_fail: %s", ending->reason);
        ending->outcome = OUTCOME_SKIPPED;
    }
}

/* The pause before the next poke; Airflow's, whose exponent begins at the second one. */
static int64_t pause_us(const struct task *task)
{
    const struct dag_task *spec = task_spec(task);
    char date[TIMEFMT_SIZE];
    char key[1024];

    if (!spec->wait.backs_off)
        return spec->wait.poke_interval_us;
    (void)snprintf(key, sizeof(key), "%s#%s#%s#%lld", task->run->row.dag_id, spec->task_id,
                   retry_date(task->run, date), (long long)task->pokes);
    int64_t us = retry_backoff_us(spec->wait.poke_interval_us, 2, task->pokes - 1, key);
    return spec->wait.max_wait_us > 0 && us > spec->wait.max_wait_us ? spec->wait.max_wait_us : us;
}

void wait_poke_again(struct core *core, struct task *task, const struct ending *ending,
                     const char *what)
{
    char when[TIMEFMT_SIZE];
    int64_t next_us = core->now_us;

    if (!ending->is_given_back)
        next_us = ending->ended_at_us + pause_us(task);
    if (next_us > wait_until(task)) /* the last look is when the time is up */
        next_us = wait_until(task);
    task->retry_at_us = next_us;
    task_move(core, task, TASK_UP_FOR_RESCHEDULE,
              reason_format(core, "waiting_for: %s, poke %lld, next at %s%s",
                            what == NULL ? "it" : what, (long long)task->pokes,
                            timefmt_utc(next_us, when), until_text(core, task)));
    task->has_poked = true;
    task->timer.kind = TIMER_WAIT;
    timer_arm(core, &core->timers, &task->timer, next_us);
}

/* "09:30" and "09:30:15": the time of day on the day, in the DAG's zone, on which the waiting
 * began. */
static bool read_time_of_day(const struct task *task, const struct zone *zone, struct str text,
                             int64_t *ret_us)
{
    int hour = 0;
    int minute = 0;
    int second = 0;
    char rest = '\0';
    char copy[16];

    if (text.len < 4 || text.len > 8 || text.ptr[0] < '0' || text.ptr[0] > '9')
        return false;
    (void)snprintf(copy, sizeof(copy), "%.*s", STR_ARG(text));
    int count = sscanf(copy, "%2d:%2d:%2d%c", &hour, &minute, &second, &rest);
    if (count < 2 || count > 3 || hour > 23 || minute > 59 || second > 59 || minute < 0 ||
        second < 0)
        return false;
    int64_t local = task->wait_since_us + zone_offset_us(zone, task->wait_since_us);
    struct civil day = civil_from_us(local);
    day.hour = hour;
    day.minute = minute;
    day.second = second;
    day.micro = 0;
    *ret_us = zone_to_utc_us(zone, civil_to_us(&day));
    return true;
}

static bool read_target(const struct task *task, const json_t *options, int64_t *ret_us,
                        struct err *err)
{
    const struct dag *dag = task->run->dag;
    const struct zone *zone = dag->zone == NULL ? zone_utc() : dag->zone;
    struct str text = str_from(json_get_string(options, "time", ""));
    struct str delta = str_from(json_get_string(options, "delta", ""));
    int64_t us = 0;
    bool has_offset = false;

    if (delta.len > 0) {
        if (!duration_parse(delta, &us))
            return err_set(err, ERR_TEMPLATE, "`delta` became '%.*s', which is no duration",
                           STR_ARG(delta));
        *ret_us = run_interval(task->run).end_us + us;
        return true;
    }
    if (read_time_of_day(task, zone, text, ret_us))
        return true;
    if (!timefmt_parse(text, &us, &has_offset))
        return err_set(err, ERR_TEMPLATE,
                       "`time` became '%.*s', which is neither an instant nor a time of day",
                       STR_ARG(text));
    *ret_us = has_offset ? us : zone_to_utc_us(zone, us);
    return true;
}

/* What a deferred task waits for, from its rendered options. */
static bool read_what(struct core *core, struct task *task, struct err *err)
{
    json_t *options = render_options(task, err);

    if (options == NULL)
        return false;
    bool ok = task_spec(task)->wait.kind == WAIT_TIME
                  ? read_target(task, options, &task->retry_at_us, err)
                  : waiter_add(core, task, options, err);
    json_decref(options);
    return ok;
}

static const char *what_text(struct core *core, const struct task *task)
{
    char when[TIMEFMT_SIZE];

    return task->waiter != NULL
               ? waiter_what(core, task->waiter)
               : reason_format(core, "time %s", timefmt_utc(task->retry_at_us, when));
}

void wait_succeed(struct core *core, struct task *task)
{
    task_move(core, task, TASK_SUCCESS, NULL);
    assets_task_succeeded(core, task, NULL);
}

void wait_give_up(struct core *core, struct task *task, const char *reason)
{
    bool is_soft = task_spec(task)->wait.is_soft;

    task_move(core, task, is_soft ? TASK_SKIPPED : TASK_FAILED,
              is_soft ? reason_format(core, "soft_fail: %s", reason) : reason);
}

static void arm(struct core *core, struct task *task)
{
    int64_t at_us = wait_until(task);

    if (task->retry_at_us != 0 && task->retry_at_us < at_us)
        at_us = task->retry_at_us;
    task->timer.kind = TIMER_WAIT;
    if (at_us != INT64_MAX)
        timer_arm(core, &core->timers, &task->timer, at_us);
}

void wait_defer(struct core *core, struct task *task)
{
    struct err err = {0};

    task->started_at_us = core->now_us;
    if (task->wait_since_us == 0)
        task->wait_since_us = core->now_us;
    if (!read_what(core, task, &err)) {
        task_move(core, task, TASK_FAILED, reason_format(core, "%s", err.message));
        return;
    }
    task_move(
        core, task, TASK_DEFERRED,
        reason_format(core, "waiting_for: %s%s", what_text(core, task), until_text(core, task)));
    if (task->retry_at_us != 0 &&
        task->retry_at_us - (PLANTED(INSTANT_NOT_AWAITED) ? 10 * US_PER_SECOND : 0) <= core->now_us)
        wait_succeed(core, task);
    else
        arm(core, task);
}

void wait_wake(struct core *core, struct task *task)
{
    if (task->state == TASK_UP_FOR_RESCHEDULE)
        task_schedule_poke(core, task);
    else if (task->retry_at_us != 0 && task->retry_at_us <= core->now_us)
        wait_succeed(core, task);
    else
        wait_give_up(core, task, timeout_reason(core, task, what_text(core, task)));
}

void wait_left(struct core *core, struct task *task)
{
    timer_disarm(&core->timers, &task->timer);
    if (task->waiter != NULL)
        waiter_remove(core, task->waiter);
}

void wait_restore(struct core *core, struct task *task)
{
    struct err err = {0};

    /* What rendered once renders again: the run's rows are the same. A row that was changed by hand
     * may not, and then waits until its time is up. */
    if (task->state == TASK_DEFERRED && task_spec(task)->wait.kind == WAIT_EXTERNAL &&
        !PLANTED(WAITER_NOT_RESTORED))
        (void)read_what(core, task, &err);
    if (task->state == TASK_DEFERRED) {
        arm(core, task);
        return;
    }
    task->timer.kind = TIMER_WAIT;
    timer_arm(core, &core->timers, &task->timer, task->retry_at_us);
}
