/* Invariants of sensors that wait without attempts. */
#include "tests/sim/sim.h"

#include <string.h>

static struct naive_dates dates_of(const struct stored_run *run)
{
    return (struct naive_dates){run->dag, run->row.logical_date_us, run->row.interval_start_us,
                                run->row.interval_end_us, run->row.run_after_us};
}

static const struct dag_task *spec_of(const struct stored_run *run, const struct task_row *row)
{
    return &run->dag->tasks[row->task];
}

/* What the rows say of the run, or the task, that a sensor waits for. */
static struct naive_news hear(const struct sim *sim, const struct stored_run *run,
                              const struct task_row *row)
{
    const struct naive_dates dates = dates_of(run);
    const struct naive_external external = naive_external(&dates, spec_of(run, row)->options);
    struct naive_news news = {0};

    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct stored_run *other = &sim->rows.runs[i];
        if (other->row.logical_date_us != external.date_us ||
            strcmp(other->row.dag_id, external.dag_id) != 0)
            continue;
        if (external.task_id[0] == '\0')
            naive_hear(&external, run_state_name(other->row.state), &news);
        for (size_t k = 0; external.task_id[0] != '\0' && k < other->task_count; k++)
            if (strcmp(other->tasks[k].task_id, external.task_id) == 0)
                naive_hear(&external, task_state_name(other->tasks[k].state), &news);
    }
    return news;
}

static int64_t instant_of(const struct stored_run *run, const struct task_row *row)
{
    const struct naive_dates dates = dates_of(run);

    return naive_instant(&dates, spec_of(run, row)->options, row->wait_since_us);
}

/* W1: a sensor succeeds when what it waits for is there, by the clock or by the rows. */
static void check_came(struct sim *sim, const struct stored_run *run, const struct task_row *row)
{
    struct naive_news news = {0};

    if (spec_of(run, row)->wait.kind == WAIT_TIME) {
        if (instant_of(run, row) > sim->now_us)
            sim_fail(sim, "W1: run %lld: %s ends before its instant", (long long)row->run,
                     row->task_id);
        return;
    }
    news = hear(sim, run, row);
    if (news.any_failed || !news.any || !news.all_allowed)
        sim_fail(sim, "W1: run %lld: %s succeeds, and what it waits for is not there",
                 (long long)row->run, row->task_id);
}

/* W1, the other way round: it gives up when its time is over, or what it waits for has failed. */
static void check_gave_up(struct sim *sim, const struct stored_run *run, const struct task_row *row)
{
    struct str reason = str_from(row->reason);
    struct str soft = STR("soft_fail: ");
    bool is_soft = str_starts(reason, soft);

    if (is_soft)
        reason = str_sub(reason, soft.len, reason.len);
    bool is_timeout = str_starts(reason, STR("sensor_timeout:"));
    bool is_failure = str_starts(reason, STR("external_failed:"));
    if (!is_timeout && !is_failure)
        return; /* its run ends, or a person says so */
    if (is_soft != spec_of(run, row)->wait.is_soft || is_soft != (row->state == TASK_SKIPPED))
        sim_fail(sim, "W1: run %lld: %s ends as %s", (long long)row->run, row->task_id,
                 task_state_name(row->state));
    if (is_timeout && row->wait_since_us + spec_of(run, row)->wait.timeout_us > sim->now_us)
        sim_fail(sim, "W1: run %lld: %s gives up before its time is over", (long long)row->run,
                 row->task_id);
    if (is_failure && !hear(sim, run, row).any_failed)
        sim_fail(sim, "W1: run %lld: %s fails, and what it waits for has not", (long long)row->run,
                 row->task_id);
}

void check_wait(struct sim *sim, const struct stored_run *run, const struct task_row *before,
                const struct task_row *row)
{
    enum wait_kind kind = spec_of(run, row)->wait.kind;

    if (kind != WAIT_TIME && kind != WAIT_EXTERNAL)
        return;
    if (row->state == TASK_DEFERRED && kind == WAIT_TIME &&
        row->retry_at_us != instant_of(run, row))
        sim_fail(sim, "W1: run %lld: %s waits for another instant than it says",
                 (long long)row->run, row->task_id);
    if (before->state != TASK_DEFERRED)
        return;
    if (row->state == TASK_SUCCESS && row->reason == NULL) {
        check_came(sim, run, row);
        assets_note_success(sim, run, row->task, NULL);
    } else if (row->state == TASK_FAILED || row->state == TASK_SKIPPED) {
        check_gave_up(sim, run, row);
    }
}

/* L2: what has come is taken, and the core wants to be woken for what will. */
void check_deferred(struct sim *sim, const struct stored_run *run, const struct task_row *row)
{
    const struct dag_wait *wait = &spec_of(run, row)->wait;
    int64_t until_us = row->wait_since_us + wait->timeout_us;
    int64_t wakeup_us = core_next_wakeup(sim->core);

    if (wait->kind == WAIT_TIME && row->retry_at_us < until_us)
        until_us = row->retry_at_us;
    if (wakeup_us > until_us)
        sim_fail(sim, "L2: run %lld: %s waits for an instant that no timer will tell of",
                 (long long)row->run, row->task_id);
    if (wait->kind == WAIT_TIME || wakeup_us == 0)
        return; /* the store is still to be asked */
    struct naive_news news = hear(sim, run, row);
    if (news.any && (news.any_failed || news.all_allowed))
        sim_fail(sim, "L2: run %lld: %s waits although what it waits for %s", (long long)row->run,
                 row->task_id, news.any_failed ? "has failed" : "is there");
}
