/* Invariants of each decision, against the rows as they are before it. What rows.c asserts (keys,
 * the state a transition begins at) is not repeated here. */
#include "tests/sim/sim.h"

#include <string.h>

static void forget_tries(struct sim *sim, int64_t run)
{
    for (struct tries *tries = sim->tries; tries != NULL; tries = tries->hh.next)
        if (tries->key.run == run)
            tries->count = 0;
}

/* --- tasks ----------------------------------------------------------------------------------- */

/* C1: final states absorb, until a person says otherwise; an item of a list may come back. */
static void check_final_absorbs(struct sim *sim, const struct task_row *before,
                                const struct task_row *row)
{
    bool comes_back = before->state == TASK_REMOVED && row->state == TASK_NONE;

    if (task_state_is_final(before->state) && row->state != before->state && !comes_back &&
        !(sim->cause != NULL && loop_is_change(sim->cause)))
        sim_fail(sim, "C1: run %lld: %s goes from %s to %s", (long long)row->run, row->task_id,
                 task_state_name(before->state), task_state_name(row->state));
}

/* C4: only edges of the state table. */
static void check_edge(struct sim *sim, const struct task_row *before, const struct task_row *row)
{
    if (before->state != row->state && !task_state_edge_is_legal(before->state, row->state))
        sim_fail(sim, "C4: run %lld: %s goes from %s to %s", (long long)row->run, row->task_id,
                 task_state_name(before->state), task_state_name(row->state));
}

/* C3: numbers of tries only rise; but one that had not begun when it was cleared was none. */
static void check_try_rises(struct sim *sim, const struct task_row *before,
                            const struct task_row *row)
{
    int64_t least = row->state == TASK_NONE
                        ? look_tries(sim, row->run, row->task, row->map_index)->last_try
                        : before->try_number;

    if (row->try_number < least)
        sim_fail(sim, "C3: run %lld: %s goes back from try %lld to %lld", (long long)row->run,
                 row->task_id, (long long)before->try_number, (long long)row->try_number);
}

static const struct attempt_row *last_attempt(const struct sim *sim, const struct task_row *row)
{
    for (size_t i = sim->rows.attempt_count; i-- > 0;) {
        const struct attempt_row *attempt = &sim->rows.attempts[i];
        if (attempt->run == row->run && attempt->task == row->task &&
            attempt->map_index == row->map_index)
            return attempt;
    }
    return NULL;
}

static bool is_retryable(const struct attempt_row *attempt)
{
    return attempt != NULL && outcome_is_retryable(attempt->outcome);
}

/* I4: what another try can't change is not tried again. */
static void check_retry_helps(struct sim *sim, const struct task_row *row)
{
    if (row->state == TASK_UP_FOR_RETRY && !is_retryable(last_attempt(sim, row)))
        sim_fail(sim, "I4: run %lld: %s is retried after an end that is final", (long long)row->run,
                 row->task_id);
}

/* I4, the other way round: a task gives up only when its tries are used up, or none can help. */
static void check_gives_up(struct sim *sim, const struct stored_run *run,
                           const struct task_row *before, const struct task_row *row)
{
    const struct attempt_row *last = last_attempt(sim, row);
    int64_t retries = run->dag->tasks[row->task].retries;

    if (row->state != TASK_FAILED || before->state == TASK_NONE || sim->cause == NULL ||
        (sim->cause->kind != EVENT_ATTEMPT_ENDED && sim->cause->kind != EVENT_WORKER_GONE) ||
        !is_retryable(last) || last->stop_reason != NULL || last->ended_at_us == 0)
        return;
    int64_t count = look_tries(sim, row->run, row->task, row->map_index)->count;
    if (count < 1 + retries)
        sim_fail(sim, "I4: run %lld: %s fails after %lld of %lld tries", (long long)row->run,
                 row->task_id, (long long)count, (long long)(1 + retries));
}

/* The run's limit on tasks that are queued or running. */
static void check_max_active_tasks(struct sim *sim, const struct stored_run *run,
                                   const struct task_row *row)
{
    int64_t active = 1;

    if (row->state != TASK_QUEUED)
        return;
    for (size_t i = 0; i < run->task_count; i++)
        active += run->tasks[i].state == TASK_QUEUED || run->tasks[i].state == TASK_RUNNING ||
                  run->tasks[i].state == TASK_RESTARTING;
    if (active > run->dag->max_active_tasks)
        sim_fail(sim, "I3: run %lld: %s is the %lldth active task, of %lld allowed",
                 (long long)row->run, row->task_id, (long long)active,
                 (long long)run->dag->max_active_tasks);
}

static void check_task(struct sim *sim, const struct task_row *row)
{
    const struct stored_run *run = rows_run(&sim->rows, row->run);
    const struct task_row *before = run == NULL ? NULL : look_task(run, row->task, row->map_index);

    if (before == NULL)
        sim_fail(sim, "C4: a task of the unknown run %lld", (long long)row->run);
    check_edge(sim, before, row);
    check_final_absorbs(sim, before, row);
    check_try_rises(sim, before, row);
    check_retry_helps(sim, row);
    check_gives_up(sim, run, before, row);
    check_max_active_tasks(sim, run, row);
    if (row->state == TASK_NONE)
        look_tries(sim, row->run, row->task, row->map_index)->count = 0; /* cleared */
    check_way(sim, run, before, row);
    check_wait(sim, run, before, row);
    callbacks_note_task(sim, run, before, row);
}

/* --- attempts -------------------------------------------------------------------------------- */

/* I3: what attempts take of a pool never exceeds it when one is added. */
static void check_pool(struct sim *sim, const struct dag_task *spec)
{
    int64_t used = spec->pool_slots;
    size_t pool = look_pool(sim, spec->pool);

    for (const struct token *token = sim->live; token != NULL; token = token->next)
        if (token->pool == pool)
            used += token->pool_slots;
    if (sim->pools[pool].slots >= 0 && used > sim->pools[pool].slots)
        sim_fail(sim, "I3: %lld slots of pool %s are taken, it has %lld", (long long)used,
                 spec->pool, (long long)sim->pools[pool].slots);
}

/* I3: no worker is given more than it said it can take. */
static void check_worker_room(struct sim *sim, const struct attempt_row *row, enum slot slot)
{
    uint32_t index = workers_find(sim, row->worker);
    const struct sim_worker *worker = &sim->workers[index];
    int64_t most = worker->slots[slot] + (slot == SLOT_OF_ITS_OWN ? worker->backlog : 0);
    int64_t used = 1;

    for (const struct token *token = sim->live; token != NULL; token = token->next)
        used += token->worker == index && token->slot == slot;
    if (used > most)
        sim_fail(sim, "I3: worker %s is given %lld attempts of kind %d, it takes %lld", row->worker,
                 (long long)used, (int)slot, (long long)most);
}

/* I4: never more attempts than one and the retries; C3: their numbers rise. */
static void check_tries(struct sim *sim, const struct stored_run *run,
                        const struct attempt_row *row)
{
    struct tries *tries = look_tries(sim, row->run, row->task, row->map_index);
    int64_t retries = run->dag->tasks[row->task].retries;

    if (row->try_number <= tries->last_try)
        sim_fail(sim, "C3: run %lld: try %lld of task %u after try %lld", (long long)row->run,
                 (long long)row->try_number, row->task, (long long)tries->last_try);
    tries->last_try = row->try_number;
    if (++tries->count > 1 + retries)
        sim_fail(sim, "I4: run %lld: attempt %lld of task %u, which has %lld retries",
                 (long long)row->run, (long long)tries->count, row->task, (long long)retries);
}

/* C3: no token is given out twice. */
static void check_token_is_new(struct sim *sim, const struct attempt_row *row)
{
    if (token_get(sim, row->token)->is_committed)
        sim_fail(sim, "C3: token %s is given out again", row->token);
}

/* One live attempt of a task instance. */
static void check_one_attempt(struct sim *sim, const struct attempt_row *row)
{
    for (const struct token *token = sim->live; token != NULL; token = token->next)
        if (token->run == row->run && token->task == row->task &&
            token->map_index == row->map_index)
            sim_fail(sim, "I2: run %lld: task %u gets attempt %s while %s is live",
                     (long long)row->run, row->task, row->token, token->text);
}

/* `again`: a sensor looks once more, in the same try. */
static int64_t largest_limit(const struct sim *sim, const char *dag_id, const char *task_id)
{
    int64_t most = 0;

    for (size_t i = 0; i < sim->rows.dag_count; i++) {
        const struct dag *dag = sim->rows.dags[i];
        uint32_t task = dag_find_task(dag, str_from(task_id));
        if (strcmp(dag->dag_id, dag_id) == 0 && task != UINT32_MAX &&
            dag->tasks[task].max_active_tis_per_dag > most)
            most = dag->tasks[task].max_active_tis_per_dag;
    }
    return most;
}

/* I3: max_active_tis_per_dag, of whichever version; instances of versions without one don't count.
 */
static void check_task_limit(struct sim *sim, const struct stored_run *run,
                             const struct dag_task *spec)
{
    int64_t active = 1;

    if (spec->max_active_tis_per_dag == 0)
        return;
    for (const struct token *token = sim->live; token != NULL; token = token->next) {
        const struct stored_run *other = rows_run(&sim->rows, token->run);
        const struct dag_task *its = &other->dag->tasks[token->task];
        const struct task_row *row = look_task(other, token->task, token->map_index);
        active += strcmp(other->row.dag_id, run->row.dag_id) == 0 &&
                  strcmp(its->task_id, spec->task_id) == 0 && its->max_active_tis_per_dag > 0 &&
                  row != NULL && !task_state_is_final(row->state);
    }
    if (active > largest_limit(sim, run->row.dag_id, spec->task_id))
        sim_fail(sim, "I3: %lld instances of %s of %s are active", (long long)active, spec->task_id,
                 run->row.dag_id);
}

static void check_attempt_new(struct sim *sim, const struct attempt_row *row, bool again)
{
    const struct stored_run *run = rows_run(&sim->rows, row->run);
    const struct dag_task *spec = &run->dag->tasks[row->task];

    check_token_is_new(sim, row);
    check_one_attempt(sim, row);
    check_pool(sim, spec);
    check_task_limit(sim, run, spec);
    check_worker_room(sim, row, look_slot(spec));
    if (!again)
        check_tries(sim, run, row);
}

/* C2: each token ends once. */
static void check_attempt(struct sim *sim, const struct attempt_row *row)
{
    const struct token *token = token_get(sim, row->token);

    if (!token->is_committed || token->is_over)
        sim_fail(sim, "C2: attempt %s %s", row->token,
                 token->is_over ? "ends again" : "changes and was never made");
    struct tries *tries = look_tries(sim, row->run, row->task, row->map_index);
    if (task_state_is_final(row->state) && token->was_given_back)
        tries->count--;
    check_branch(sim, row);
    if (row->state != TASK_SUCCESS || row->stop_reason != NULL)
        return; /* what one reports that was told to stop counts for nothing */
    assets_note_success(sim, rows_run(&sim->rows, row->run), row->task, row->outputs);
    tries->outputs = arena_strdup(&sim->arena, row->outputs);
    tries->outputs_try = row->try_number;
}

/* --- runs ------------------------------------------------------------------------------------ */

/* A leaf, not looking at teardowns. */
static bool counts_for_run(const struct dag *dag, uint32_t task)
{
    const struct dag_task *spec = &dag->tasks[task];

    for (uint32_t i = 0; i < spec->downstream_count; i++)
        if (!dag->tasks[spec->downstream[i]].is_teardown)
            return false;
    return !spec->is_teardown;
}

/* I5: a run ends when, and as, its tasks have ended; one that has not begun can be cancelled. */
static void check_run_end(struct sim *sim, const struct stored_run *run, const struct run_row *row)
{
    bool failed = false;

    if (!run_state_is_final(row->state) || run->row.state != RUN_RUNNING)
        return;
    bool is_decided = row->doom != NULL || (sim->cause != NULL && loop_is_change(sim->cause));
    for (size_t i = 0; i < run->task_count; i++) {
        if (!task_state_is_final(run->tasks[i].state))
            sim_fail(sim, "I5: run %lld ends while %s is %s", (long long)row->id,
                     run->tasks[i].task_id, task_state_name(run->tasks[i].state));
        if (counts_for_run(run->dag, run->tasks[i].task))
            failed = failed || task_state_is_failed(run->tasks[i].state);
    }
    if (!is_decided && (row->state == RUN_FAILED) != failed)
        sim_fail(sim, "I5: run %lld ends as %s although %s leaf has failed", (long long)row->id,
                 run_state_name(row->state), failed ? "a" : "no");
}

/* max_active_runs, of the DAG or of the backfill. */
static void check_max_active_runs(struct sim *sim, const struct run_row *row)
{
    int64_t running = 1;

    if (row->state != RUN_RUNNING)
        return;
    int64_t most = row->backfill_id != 0 ? look_backfill(sim, row->backfill_id)->max_active_runs
                                         : look_version(sim, row->dag_id)->max_active_runs;
    for (size_t i = 0; i < sim->rows.run_count; i++) {
        const struct run_row *other = &sim->rows.runs[i].row;
        running += other->id != row->id && other->state == RUN_RUNNING &&
                   other->backfill_id == row->backfill_id &&
                   strcmp(other->dag_id, row->dag_id) == 0;
    }
    if (running > most)
        sim_fail(sim, "I3: run %lld of %s is the %lldth running, of %lld allowed",
                 (long long)row->id, row->dag_id, (long long)running, (long long)most);
}

/* A run starts neither before its time nor while its DAG, or its backfill, is paused. */
static void check_may_start(struct sim *sim, const struct run_row *row)
{
    int64_t latest = sim->now_us > sim->latest_commit_us ? sim->now_us : sim->latest_commit_us;

    if (row->state != RUN_RUNNING)
        return;
    if (row->backfill_id != 0 ? look_backfill(sim, row->backfill_id)->is_paused
                              : look_dag(sim, row->dag_id)->is_paused)
        sim_fail(sim, "P1: run %lld starts while its %s is paused", (long long)row->id,
                 row->backfill_id != 0 ? "backfill" : "DAG");
    if (row->backfill_id == 0 && row->run_after_us > latest)
        sim_fail(sim, "P1: run %lld starts before its time", (long long)row->id);
}

/* C1, C4 for runs. */
static void check_run_edge(struct sim *sim, const struct run_row *before, const struct run_row *row)
{
    if (before->state != row->state && !run_state_edge_is_legal(before->state, row->state))
        sim_fail(sim, "C4: run %lld goes from %s to %s", (long long)row->id,
                 run_state_name(before->state), run_state_name(row->state));
    if (row->clear_number < before->clear_number)
        sim_fail(sim, "C3: run %lld: its clear number falls", (long long)row->id);
}

/* I5: what a run is to end for stands until it has, or a person says otherwise. */
static void check_doom_stands(struct sim *sim, const struct run_row *before,
                              const struct run_row *row)
{
    if (before->doom == NULL || before->state != RUN_RUNNING ||
        (sim->cause != NULL && loop_is_change(sim->cause)))
        return;
    if (row->doom == NULL || row->state == RUN_SUCCESS)
        sim_fail(sim, "I5: run %lld goes on as if it were not to end (%s)", (long long)row->id,
                 before->doom);
}

static void check_run(struct sim *sim, const struct run_row *row)
{
    const struct stored_run *run = rows_run(&sim->rows, row->id);

    if (run == NULL)
        sim_fail(sim, "C4: the unknown run %lld changes", (long long)row->id);
    check_run_edge(sim, &run->row, row);
    check_doom_stands(sim, &run->row, row);
    check_run_end(sim, run, row);
    if (run->row.state == RUN_RUNNING)
        return;
    check_max_active_runs(sim, row);
    check_may_start(sim, row);
}

/* A run is made when its interval is complete, and not before. */
static void check_run_is_due(struct sim *sim, const struct run_row *row)
{
    if (row->run_type == RUN_TYPE_SCHEDULED && row->run_after_us > sim->now_us)
        sim_fail(sim, "F12: run %lld is made before its time", (long long)row->id);
}

/* A paused backfill makes no runs. */
static void check_backfill_goes_on(struct sim *sim, const struct run_row *row)
{
    if (row->backfill_id != 0 && look_backfill(sim, row->backfill_id)->is_paused)
        sim_fail(sim, "P1: backfill %lld makes run %lld while it is paused",
                 (long long)row->backfill_id, (long long)row->id);
}

/* F12: what has been scheduled is never scheduled again, wherever the clock jumps. */
static void check_schedule_rises(struct sim *sim, const struct dag_row *row)
{
    for (size_t i = 0; i < sim->rows.dag_row_count; i++) {
        const struct dag_row *before = &sim->rows.dag_rows[i];
        if (strcmp(before->dag_id, row->dag_id) != 0)
            continue;
        if (row->last_tick_us < before->last_tick_us)
            sim_fail(sim, "F12: the schedule of %s goes back", row->dag_id);
        if (row->version_number < before->version_number)
            sim_fail(sim, "C3: the version number of %s falls", row->dag_id);
    }
}

void check_decision(struct sim *sim, const struct decision *decision)
{
    switch (decision->kind) {
    case DECIDE_TASK:
        check_task(sim, &decision->as.task.row);
        break;
    case DECIDE_ATTEMPT_NEW:
    case DECIDE_ATTEMPT_AGAIN:
        check_attempt_new(sim, &decision->as.attempt, decision->kind == DECIDE_ATTEMPT_AGAIN);
        break;
    case DECIDE_ATTEMPT:
        check_attempt(sim, &decision->as.attempt);
        break;
    case DECIDE_RUN:
        check_run(sim, &decision->as.run.row);
        callbacks_note_run(sim, rows_run(&sim->rows, decision->as.run.row.id),
                           &decision->as.run.row);
        break;
    case DECIDE_CALLBACK:
        check_callback(sim, &decision->as.callback);
        break;
    case DECIDE_RUN_RESET:
        check_run(sim, &decision->as.run.row);
        forget_tries(sim, decision->as.run.row.id);
        break;
    case DECIDE_RUN_NEW:
        check_run_is_due(sim, &decision->as.run.row);
        check_backfill_goes_on(sim, &decision->as.run.row);
        break;
    case DECIDE_DAG:
        check_schedule_rises(sim, &decision->as.dag);
        break;
    case DECIDE_EXPAND:
        check_expand(sim, &decision->as.expand);
        break;
    case DECIDE_VERSION:
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
    case DECIDE_RECOUNT:
    case DECIDE_ASSET_EVENT:
    case DECIDE_ASSET_SEEN:
    case DECIDE_ASSET_WAIT:
    case DECIDE_ASSET_TAKEN:
    case DECIDE_ASSET_DROPPED:
    case DECIDE_START_CALLBACK:
    case DECIDE_START:
    case DECIDE_STOP:
    case DECIDE_ACK:
    case DECIDE_REPLY:
        break;
    }
}
