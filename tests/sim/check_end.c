/* What must be true once nothing goes wrong any more and all is over. */
#include "tests/sim/sim.h"

#include "scheduler/core/timetable.h"

#include <string.h>

/* Whether what decides on it may have been another thing while it was decided. */
static bool may_start_early(const struct dag *dag, uint32_t task)
{
    const struct dag_task *spec = &dag->tasks[task];
    bool is_early = naive_is_early(spec->trigger_rule);

    if (is_early && (spec->when != NULL || spec->expand != NULL || spec->is_after_branch))
        return true;
    for (uint32_t i = 0; i < spec->upstream_count; i++)
        if (dag->tasks[spec->upstream[i]].branch != NULL &&
            naive_is_early(dag->tasks[spec->upstream[i]].trigger_rule))
            return true;
    return false;
}

/* Whether it has run follows from how its upstreams ended in the end, whatever came first. */
static void check_ran(struct sim *sim, const struct stored_run *run, const struct task_row *row)
{
    enum wait_kind wait = run->dag->tasks[row->task].wait.kind;
    bool defers = wait == WAIT_TIME || wait == WAIT_EXTERNAL;
    bool ran = defers ? row->started_at_us != 0 : row->queued_at_us != 0;
    bool runs = look_fate(sim, run, row->task).verdict == NAIVE_RUN;

    if (ran != runs && !may_start_early(run->dag, row->task))
        sim_fail(sim, "I1: run %lld: %s %s, and by its upstreams %s", (long long)row->run,
                 row->task_id, ran ? "ran" : "did not run", runs ? "should" : "should not");
}

/* Whether something else than the trigger rules had a say in which of its tasks ran. */
static bool was_changed(const struct sim *sim, const struct stored_run *run)
{
    return run->row.doom != NULL || look_was_changed(sim, run->row.id);
}

/* L1: everything has ended. */
static void check_run_is_over(struct sim *sim, const struct stored_run *run)
{
    if (!run_state_is_final(run->row.state))
        sim_fail(sim, "L1: run %lld of %s is %s for ever", (long long)run->row.id, run->row.dag_id,
                 run_state_name(run->row.state));
    for (size_t i = 0; run->row.started_at_us != 0 && i < run->task_count; i++) {
        if (!task_state_is_final(run->tasks[i].state))
            sim_fail(sim, "L1: run %lld: %s is %s for ever", (long long)run->row.id,
                     run->tasks[i].task_id, task_state_name(run->tasks[i].state));
        if (!was_changed(sim, run))
            check_ran(sim, run, &run->tasks[i]);
    }
}

static bool has_run_at(const struct sim *sim, const char *dag_id, int64_t logical_date_us)
{
    for (size_t i = 0; i < sim->rows.run_count; i++)
        if (sim->rows.runs[i].row.logical_date_us == logical_date_us &&
            strcmp(sim->rows.runs[i].row.dag_id, dag_id) == 0)
            return true;
    return false;
}

/* The one version that the DAG ever had, or NULL. */
static const struct dag *only_version(const struct sim *sim, const char *dag_id)
{
    const struct dag *only = NULL;

    for (size_t i = 0; i < sim->rows.dag_count; i++) {
        if (strcmp(sim->rows.dags[i]->dag_id, dag_id) != 0 || sim->rows.dag_versions[i] == 0)
            continue;
        if (only != NULL)
            return NULL;
        only = sim->rows.dags[i];
    }
    return only;
}

/* F12: with catchup no interval is left out, however the clock jumped. */
static void check_no_gaps(struct sim *sim, const struct dag_row *row)
{
    const struct dag *dag = only_version(sim, row->dag_id);

    if (dag == NULL || !dag->catchup || dag->schedule.kind != SCHEDULE_EVERY)
        return;
    for (int64_t at = dag->start_date_us; at + dag->schedule.every_us <= row->last_tick_us;
         at += dag->schedule.every_us)
        if (!has_run_at(sim, row->dag_id, at))
            sim_fail(sim, "F12: %s has no run for an interval before its last one", row->dag_id);
}

/* Its progress is what became of its runs. */
static void check_backfill_counts(struct sim *sim, const struct backfill_row *row)
{
    int64_t succeeded = 0;
    int64_t failed = 0;

    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct run_row *run = &sim->rows.runs[i].row;
        if (run->backfill_id == row->id && look_was_changed(sim, run->id))
            return; /* it may have been marked after the backfill's end */
        succeeded += run->backfill_id == row->id && run->state == RUN_SUCCESS;
        failed += run->backfill_id == row->id && run->state == RUN_FAILED;
    }
    /* A run that another backfill took over is no longer among them. */
    if (succeeded > row->succeeded || failed > row->failed)
        sim_fail(sim, "I5: backfill %lld counts %lld+%lld ended runs, and has %lld+%lld",
                 (long long)row->id, (long long)row->succeeded, (long long)row->failed,
                 (long long)succeeded, (long long)failed);
}

/* A backfill that came to its end made or found a run for each of its intervals. */
static void check_backfill(struct sim *sim, const struct backfill_row *row)
{
    const struct dag *dag = only_version(sim, row->dag_id);
    int64_t intervals = 0;

    if (row->completed_at_us == 0)
        sim_fail(sim, "L1: backfill %lld never completes", (long long)row->id);
    if (row->succeeded + row->failed != row->made)
        sim_fail(sim, "I5: backfill %lld is over with %lld of %lld runs ended", (long long)row->id,
                 (long long)(row->succeeded + row->failed), (long long)row->made);
    check_backfill_counts(sim, row);
    if (row->cancelled || dag == NULL)
        return;
    int64_t every = dag->schedule.every_us;
    int64_t behind = (row->from_us - dag->start_date_us) % every;
    int64_t at = row->from_us - behind + (behind > 0 ? every : 0);
    for (; at <= row->to_us && at + every <= row->created_at_us; at += every) {
        intervals++;
        if (!has_run_at(sim, row->dag_id, at))
            sim_fail(sim, "I5: backfill %lld leaves out an interval of its range",
                     (long long)row->id);
    }
    if (row->made + row->skipped != intervals)
        sim_fail(sim, "I5: backfill %lld counts %lld intervals, there are %lld", (long long)row->id,
                 (long long)(row->made + row->skipped), (long long)intervals);
}

/* L1: nothing is left at the workers or on the way. */
static void check_workers_are_empty(struct sim *sim)
{
    for (size_t i = 0; i < sim->worker_count; i++)
        if (sim->workers[i].job_count > 0)
            sim_fail(sim, "L1: worker %s keeps attempt %s for ever", sim->workers[i].instance,
                     sim->workers[i].jobs[0].token->text);
    for (size_t i = 0; i < sim->rows.callback_count; i++)
        if (sim->rows.callbacks[i].ended_at_us == 0)
            sim_fail(sim, "L1: callback %lld never ends", (long long)sim->rows.callbacks[i].id);
    if (sim->live != NULL)
        sim_fail(sim, "L1: attempt %s never ends", sim->live->text);
}

void check_end(struct sim *sim)
{
    if (sim->has_past)
        return; /* what waits for a failed run before does so until a person mends that */
    for (size_t i = 0; i < sim->rows.run_count; i++)
        check_run_is_over(sim, &sim->rows.runs[i]);
    for (size_t i = 0; i < sim->rows.dag_row_count; i++)
        check_no_gaps(sim, &sim->rows.dag_rows[i]);
    for (size_t i = 0; i < sim->rows.backfill_count; i++)
        check_backfill(sim, &sim->rows.backfills[i]);
    check_workers_are_empty(sim);
    check_promises(sim);
}
