/* Invariants of what has been committed, and of what the core must do next: nothing that could go
 * on stands still (L2), and nothing the rows wait for is missing from the core's timers. */
#include "tests/sim/sim.h"

#include <string.h>

/* What is left of everything that is limited. */
struct room {
    int64_t pools[SIM_POOLS_MAX];
    bool workers[SLOT_COUNT]; /* some counted worker has a free slot */
};

static void find_room(const struct sim *sim, struct room *room)
{
    int64_t used[256][SLOT_COUNT] = {0};

    for (size_t i = 0; i < sim->pool_count; i++)
        room->pools[i] = sim->pools[i].slots < 0 ? INT64_MAX : sim->pools[i].slots;
    for (const struct token *token = sim->live; token != NULL; token = token->next) {
        used[token->worker][token->slot]++;
        if (room->pools[token->pool] != INT64_MAX)
            room->pools[token->pool] -= token->pool_slots;
    }
    for (size_t i = 0; i < sim->worker_count; i++)
        for (size_t slot = 0; sim->workers[i].is_counted && slot < SLOT_COUNT; slot++)
            if (used[i][slot] < sim->workers[i].slots[slot])
                room->workers[slot] = true;
}

/* L2: a task that is ready and finds room everywhere starts at once. */
static void check_ready_starts(struct sim *sim, const struct stored_run *run,
                               const struct task_row *row, const struct room *room)
{
    const struct dag_task *spec = &run->dag->tasks[row->task];

    if (spec->max_active_tis_per_dag == 0 && room->workers[look_slot(spec)] &&
        spec->pool_slots <= room->pools[look_pool(sim, spec->pool)])
        sim_fail(sim, "L2: run %lld: %s could start and does not (%s)", (long long)row->run,
                 row->task_id, row->reason == NULL ? "no reason" : row->reason);
}

static bool went_well(const struct stored_run *previous, const char *task_id)
{
    for (size_t i = 0; i < previous->task_count; i++) {
        enum task_state state = previous->tasks[i].state;
        if (strcmp(previous->tasks[i].task_id, task_id) == 0 && state != TASK_SUCCESS &&
            state != TASK_SKIPPED && state != TASK_REMOVED)
            return false;
    }
    return true;
}

static bool is_before(const struct stored_run *run, const struct run_row *row)
{
    return strcmp(row->dag_id, run->row.dag_id) == 0 && row->logical_date_us != 0 &&
           row->logical_date_us < run->row.logical_date_us &&
           !(run->dag->catchup && row->run_type == RUN_TYPE_MANUAL);
}

/* Whether it was the run before at some time since `run` was made: the core asks once, and another
 * one may have been made in between. */
static bool was_previous(const struct sim *sim, const struct stored_run *run,
                         const struct run_row *row)
{
    int64_t since = row->id > run->row.id ? row->id : run->row.id;

    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct run_row *other = &sim->rows.runs[i].row;
        if (other->id < since && is_before(run, other) &&
            other->logical_date_us > row->logical_date_us)
            return false;
    }
    return is_before(run, row);
}

/* Whether the run before holds a task up, or the store is still to be asked. */
static bool waits_for_past(struct sim *sim, const struct stored_run *run, uint32_t index)
{
    const struct dag_task *spec = &run->dag->tasks[index];

    if (core_next_wakeup(sim->core) == 0)
        return true;
    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct stored_run *previous = &sim->rows.runs[i];
        if (!was_previous(sim, run, &previous->row))
            continue;
        bool is_well = went_well(previous, spec->task_id);
        for (uint32_t k = 0; spec->wait_for_downstream && k < spec->downstream_count; k++)
            is_well = is_well && went_well(previous, run->dag->tasks[spec->downstream[k]].task_id);
        if (!is_well)
            return true;
    }
    return false;
}

/* A task whose trigger rule is decided does not go on waiting. */
static void check_is_undecided(struct sim *sim, const struct stored_run *run,
                               const struct task_row *row)
{
    struct look_fate fate = look_fate(sim, run, row->task);

    if (fate.by_rule == NAIVE_RUN && run->dag->tasks[row->task].depends_on_past &&
        waits_for_past(sim, run, row->task))
        return;
    if (fate.by_rule != NAIVE_WAIT)
        sim_fail(sim, "I1: run %lld: %s waits although its trigger rule %s is decided",
                 (long long)row->run, row->task_id,
                 trigger_rule_name(run->dag->tasks[row->task].trigger_rule));
}

/* The core wants to be woken when a retry is due. */
static void check_retry_timer(struct sim *sim, const struct task_row *row)
{
    if (core_next_wakeup(sim->core) > row->retry_at_us)
        sim_fail(sim, "L2: run %lld: %s waits for an instant that no timer will tell of",
                 (long long)row->run, row->task_id);
}

/* A task that is queued or running has an attempt. */
static void check_has_attempt(struct sim *sim, const struct task_row *row)
{
    for (const struct token *token = sim->live; token != NULL; token = token->next)
        if (token->run == row->run && token->task == row->task &&
            token->map_index == row->map_index)
            return;
    sim_fail(sim, "L2: run %lld: %s is %s without an attempt", (long long)row->run, row->task_id,
             task_state_name(row->state));
}

/* Of a run that ends early the last ones may still have to stop. */
static bool has_attempts(const struct sim *sim, const struct stored_run *run)
{
    for (const struct token *token = sim->live; token != NULL; token = token->next)
        if (token->run == run->row.id)
            return true;
    return false;
}

/* A run that has to end early knows it, or will be woken for it; one that was marked has no timeout
 * any more. */
static void check_doom(struct sim *sim, const struct stored_run *run)
{
    const struct dag *dag = run->dag;

    if (run->row.doom != NULL)
        return;
    int64_t over_us = run->row.started_at_us + dag->dagrun_timeout_us;
    if (dag->dagrun_timeout_us != 0 && (run->row.deadlines_missed & RUN_TIMEOUT_WAIVED) == 0 &&
        over_us > sim->now_us && over_us > sim->latest_commit_us &&
        core_next_wakeup(sim->core) > over_us)
        sim_fail(sim, "L2: run %lld has a timeout that no timer will tell of",
                 (long long)run->row.id);
    for (size_t i = 0; dag->fail_fast && i < run->task_count; i++)
        if (run->tasks[i].state == TASK_FAILED && !dag->tasks[run->tasks[i].task].is_teardown &&
            !look_was_changed(sim, run->row.id))
            sim_fail(sim, "I5: run %lld goes on after %s has failed, although it fails fast",
                     (long long)run->row.id, run->tasks[i].task_id);
}

static void check_running(struct sim *sim, const struct stored_run *run, const struct room *room)
{
    int64_t active = 0;
    size_t unfinished = 0;

    for (size_t i = 0; i < run->task_count; i++) {
        enum task_state state = run->tasks[i].state;
        active += state == TASK_QUEUED || state == TASK_RUNNING || state == TASK_RESTARTING;
        unfinished += !task_state_is_final(state);
    }
    /* I5: a run whose tasks have all ended has ended. */
    if (unfinished == 0 && !has_attempts(sim, run))
        sim_fail(sim, "I5: run %lld is running, and all its tasks have ended",
                 (long long)run->row.id);
    check_doom(sim, run);
    for (size_t i = 0; i < run->task_count; i++) {
        const struct task_row *row = &run->tasks[i];
        if (row->state == TASK_NONE)
            check_is_undecided(sim, run, row);
        else if (row->state == TASK_SCHEDULED && active < run->dag->max_active_tasks)
            check_ready_starts(sim, run, row, room);
        else if (row->state == TASK_DEFERRED)
            check_deferred(sim, run, row);
        else if (row->state == TASK_UP_FOR_RETRY || row->state == TASK_UP_FOR_RESCHEDULE)
            check_retry_timer(sim, row);
        else if (row->state == TASK_QUEUED || row->state == TASK_RUNNING ||
                 row->state == TASK_RESTARTING)
            check_has_attempt(sim, row);
    }
}

static int64_t count_runs(const struct sim *sim, const struct run_row *like, bool running_only)
{
    int64_t count = 0;

    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct run_row *row = &sim->rows.runs[i].row;
        bool counts = running_only ? row->state == RUN_RUNNING : !run_state_is_final(row->state);
        count += counts && row->backfill_id == like->backfill_id &&
                 strcmp(row->dag_id, like->dag_id) == 0;
    }
    return count;
}

/* Whether a run does nothing but wait for the one before it, as far as the rows say. */
static bool only_waits(const struct stored_run *run)
{
    size_t waiting = 0;

    for (size_t i = 0; i < run->task_count; i++) {
        if (!task_state_is_final(run->tasks[i].state) && run->tasks[i].state != TASK_NONE)
            return false;
        waiting += run->tasks[i].state == TASK_NONE;
    }
    return run->row.state == RUN_RUNNING && run->row.doom == NULL && waiting > 0;
}

/* L2: a run that does nothing but wait makes way for an earlier one, which it may wait for. */
static void check_way_is_made(struct sim *sim, const struct run_row *row)
{
    if (row->logical_date_us == 0 || core_next_wakeup(sim->core) <= sim->now_us)
        return; /* the store is still to be asked of the run before */
    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct stored_run *other = &sim->rows.runs[i];
        if (other->row.backfill_id == row->backfill_id &&
            strcmp(other->row.dag_id, row->dag_id) == 0 &&
            other->row.logical_date_us > row->logical_date_us && only_waits(other))
            sim_fail(sim, "L2: run %lld waits, and keeps the place that the earlier %lld wants",
                     (long long)other->row.id, (long long)row->id);
    }
}

/* L2: a run that may start does, or the core wants to be woken for it. */
static void check_queued(struct sim *sim, const struct stored_run *run)
{
    const struct backfill_row *backfill = look_backfill(sim, run->row.backfill_id);
    int64_t most = backfill != NULL ? backfill->max_active_runs
                                    : look_version(sim, run->row.dag_id)->max_active_runs;
    bool is_paused =
        backfill != NULL ? backfill->is_paused : look_dag(sim, run->row.dag_id)->is_paused;

    if (run->row.backfill_id == 0 && run->row.run_after_us > sim->now_us) {
        if (core_next_wakeup(sim->core) > run->row.run_after_us && !is_paused &&
            count_runs(sim, &run->row, true) < most)
            sim_fail(sim, "L2: run %lld waits for its time, and no timer will start it",
                     (long long)run->row.id);
        return;
    }
    if (is_paused)
        return;
    check_way_is_made(sim, &run->row);
    if (count_runs(sim, &run->row, true) < most &&
        core_next_wakeup(sim->core) > run->row.run_after_us)
        sim_fail(sim, "L2: run %lld could start and does not", (long long)run->row.id);
}

/* L2: a DAG with an interval to come wants to be woken for it. */
static void check_schedule(struct sim *sim, const struct dag_row *row)
{
    const struct dag *dag = look_version(sim, row->dag_id);
    const struct run_row like = {.dag_id = row->dag_id};

    if (row->is_paused || row->is_stale || row->next_end_us == 0 || dag == NULL || !dag->catchup ||
        count_runs(sim, &like, false) >= dag->max_active_runs)
        return;
    if (core_next_wakeup(sim->core) > row->next_end_us)
        sim_fail(sim, "L2: %s has an interval to come that no timer will start", row->dag_id);
}

/* F12: what has been scheduled is remembered with the run itself. */
static void check_is_remembered(struct sim *sim, const struct run_row *row)
{
    if (row->run_type == RUN_TYPE_SCHEDULED &&
        look_dag(sim, row->dag_id)->last_tick_us < row->interval_end_us)
        sim_fail(sim, "F12: %s has a run for an interval that it could schedule again",
                 row->dag_id);
}

/* Runs that are over have attempts that are still to stop: a backfill may wait to make them again.
 */
static bool is_stopping(const struct sim *sim, const char *dag_id)
{
    for (size_t i = 0; i < sim->rows.attempt_count; i++) {
        const struct attempt_row *attempt = &sim->rows.attempts[i];
        if (attempt->stop_reason != NULL && attempt->ended_at_us == 0 &&
            strcmp(rows_run(&sim->rows, attempt->run)->row.dag_id, dag_id) == 0)
            return true;
    }
    return false;
}

/* L2: a backfill that may make a run wants to. */
static void check_backfill(struct sim *sim, const struct backfill_row *row)
{
    const struct run_row like = {.dag_id = row->dag_id, .backfill_id = row->id};

    if (row->completed_at_us != 0 || row->is_paused || row->cursor_us == 0 ||
        look_dag(sim, row->dag_id)->is_stale ||
        count_runs(sim, &like, false) >= row->max_active_runs)
        return;
    if (core_next_wakeup(sim->core) > sim->now_us && !is_stopping(sim, row->dag_id))
        sim_fail(sim, "L2: backfill %lld could make a run and does not", (long long)row->id);
}

/* I6: no attempt goes on whose end has been recorded, unless it was told to stop. */
static void check_no_ghosts(struct sim *sim)
{
    for (size_t i = 0; i < sim->worker_count; i++)
        for (size_t k = 0; k < sim->workers[i].job_count; k++) {
            const struct job *job = &sim->workers[i].jobs[k];
            if (job->state == JOB_RUNNING && job->token->is_over)
                sim_fail(sim, "I6: attempt %s runs on %s, and its end has been recorded",
                         job->token->text, sim->workers[i].instance);
        }
}

void check_committed(struct sim *sim)
{
    struct room room = {0};

    find_room(sim, &room);
    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct stored_run *run = &sim->rows.runs[i];
        bool is_live = core_run_is_live(sim->core, run->row.id);
        if (is_live == run_state_is_final(run->row.state))
            sim_fail(sim, "D1: run %lld is %s, and the core %s it", (long long)run->row.id,
                     run_state_name(run->row.state), is_live ? "keeps" : "does not know");
        check_is_remembered(sim, &run->row);
        if (is_live && run->dag->deadline_count > 0)
            check_deadlines(sim, run);
        if (run->row.state == RUN_RUNNING)
            check_running(sim, run, &room);
        else if (run->row.state == RUN_QUEUED)
            check_queued(sim, run);
    }
    for (size_t i = 0; i < sim->rows.dag_row_count; i++) {
        const struct run_row like = {.dag_id = sim->rows.dag_rows[i].dag_id};
        check_schedule(sim, &sim->rows.dag_rows[i]);
        if (sim->rows.asset_wait_count > 0)
            check_waiting_assets(sim, &sim->rows.dag_rows[i], count_runs(sim, &like, false));
    }
    for (size_t i = 0; i < sim->rows.backfill_count; i++)
        check_backfill(sim, &sim->rows.backfills[i]);
    if (sim->rows.callback_count > 0)
        check_callbacks(sim);
    check_no_ghosts(sim);
}
