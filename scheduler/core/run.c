/* Runs: made, queued until they may start, started, ended. */
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/core/parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

int64_t run_sort_date(const struct run *run)
{
    return run->row.logical_date_us != 0 ? run->row.logical_date_us : run->row.run_after_us;
}

static void init_tasks(struct run *run)
{
    uint32_t count = run->dag->task_count;

    run->tasks = mem_alloc_array(count, sizeof(*run->tasks));
    run->waiting = run->unfinished = count;
    run->failed_leaf = NULL;
    for (uint32_t i = 0; i < count; i++) {
        run->tasks[i].run = run;
        run->tasks[i].index = i;
        run->tasks[i].map_index = -1;
        run->tasks[i].upstream_total = run->dag->tasks[i].upstream_count;
        run->tasks[i].guard_total = run->dag->tasks[i].guard_count;
        run->tasks[i].max_tries = run->dag->tasks[i].retries;
    }
}

/* The backfill of a run that is over, unless it is over, too. */
static struct backfill *open_backfill(const struct core *core, const struct run *run)
{
    struct backfill *backfill = NULL;

    if (run->row.backfill_id != 0)
        HASH_FIND(hh, core->backfills, &run->row.backfill_id, sizeof(run->row.backfill_id),
                  backfill);
    return backfill == NULL || backfill->row.completed_at_us != 0 ? NULL : backfill;
}

struct run *run_new(struct core *core, struct dag_entry *entry, struct dag *version,
                    const struct run_row *row)
{
    struct run *run = mem_alloc(sizeof(*run));

    run->row = *row;
    run->row.dag_id = entry->row.dag_id;
    run->row.run_id = arena_strdup(&run->arena, row->run_id);
    run->row.conf = arena_strdup(&run->arena, row->conf == NULL ? "{}" : row->conf);
    run->row.note = arena_strdup(&run->arena, row->note);
    run->row.doom = arena_strdup(&run->arena, row->doom);
    run->row.reason =
        run_state_is_final(row->state) ? arena_strdup(&run->arena, row->reason) : NULL;
    run->dag = dag_ref(version);
    run->entry = entry;
    run->timer.kind = TIMER_RUN;
    struct backfill *open = open_backfill(core, run);
    if (row->backfill_id != 0 && !run_state_is_final(row->state))
        HASH_FIND(hh, core->backfills, &row->backfill_id, sizeof(row->backfill_id), run->backfill);
    init_tasks(run);
    if (run->backfill != NULL || open != NULL) /* one that is over may be cleared, and go on */
        backfill_mark_outside(run, run->backfill != NULL ? run->backfill : open);
    HASH_ADD(hh, core->runs, row.id, sizeof(run->row.id), run);
    run_names_add(core, run);
    waits_run_is_live(core, run);
    past_run_new(core, run);
    if (run_state_is_final(row->state))
        return run;
    if (run->backfill != NULL)
        run->backfill->live_runs++;
    else
        entry->live_runs++;
    return run;
}

static void tell(struct core *core, const struct run *run, enum decision_kind kind,
                 enum run_state from, const char *reason)
{
    struct decision *decision = decisions_add(core->out, kind);

    decision->as.run.row = run->row;
    decision->as.run.row.reason = reason;
    decision->as.run.from = from;
    decision->as.run.dag = run->dag;
}

void run_tell(struct core *core, const struct run *run, const char *reason)
{
    tell(core, run, DECIDE_RUN, run->row.state, reason);
}

/* A run of a backfill is due in any case: its interval was complete when the backfill was made,
 * also if the clock has been set back since. */
static bool is_due(const struct core *core, const struct run *run)
{
    return run->backfill != NULL || run->row.run_after_us <= core->now_us ||
           PLANTED(RUN_AFTER_IGNORED);
}

const char *run_why_queued(struct core *core, const struct run *run)
{
    const struct dag_entry *entry = run->entry;
    int64_t running = run->backfill != NULL ? run->backfill->running_runs : entry->running_runs;
    int64_t max = run->backfill != NULL ? run->backfill->row.max_active_runs
                                        : entry->current->max_active_runs;
    char when[TIMEFMT_SIZE];

    if (!is_due(core, run))
        return reason_format(core, "waiting_for: run_after %s",
                             timefmt_utc(run->row.run_after_us, when));
    if (run->backfill == NULL && entry->row.is_paused)
        return entry->row.pause_reason == NULL
                   ? "dag_paused"
                   : reason_format(core, "dag_paused: %s", entry->row.pause_reason);
    if (running >= max)
        return reason_format(core, "max_active_runs: %lld/%lld", (long long)running,
                             (long long)max);
    return NULL;
}

void run_insert(struct core *core, struct run *run, enum decision_kind kind, enum run_state from)
{
    tell(core, run, kind, from, run_why_queued(core, run));
    deadline_arm(core, run);
    run_enqueue(core, run);
}

void run_insert_reset(struct core *core, struct run *run, enum run_state from, const bool *keeps,
                      const char *reason)
{
    const char *waits = run_why_queued(core, run);

    tell(core, run, DECIDE_RUN_RESET, from, waits != NULL ? waits : reason);
    core->out->items[core->out->count - 1].as.run.keeps = keeps;
    deadline_arm(core, run);
    run_enqueue(core, run);
}

/* Those that wait for a place where this run has, or wants, one. */
static void start_next(struct core *core, const struct run *run)
{
    if (run->backfill == NULL) {
        dags_start_runs(core, run->entry);
        return;
    }
    backfill_start_runs(core, run->backfill);
    backfill_touch(core, run->backfill); /* a retry may make the run that this one waits for */
}

void run_enqueue(struct core *core, struct run *run)
{
    assert(run->row.state == RUN_QUEUED);
    if (!is_due(core, run)) {
        run->timer.kind = TIMER_RUN; /* one that has run before had another */
        timer_arm(core, &core->timers, &run->timer, run->row.run_after_us);
        return;
    }
    run_queue_add(run);
    start_next(core, run);
}

/* The one place where a run's state changes. */
static void move(struct core *core, struct run *run, enum run_state to, const char *reason)
{
    enum run_state from = run->row.state;
    int64_t *running =
        run->backfill != NULL ? &run->backfill->running_runs : &run->entry->running_runs;

    assert(run_state_edge_is_legal(from, to));
    run->row.state = to;
    if (to == RUN_SUCCESS)
        run->row.doom = NULL;                           /* somebody marked it */
    if (to == RUN_QUEUED && run_state_is_final(from)) { /* it is cleared */
        run->row.doom = NULL;
        run->row.deadlines_missed = PLANTED(DEADLINE_AGAIN) ? 0 : deadlines_kept(run);
    }
    *running += (to == RUN_RUNNING) - (from == RUN_RUNNING);
    tell(core, run, DECIDE_RUN, from, reason);
    if (run_state_is_final(to)) {
        timer_disarm(&core->timers, &run->deadline);
        callbacks_of_run(
            core, run, to == RUN_SUCCESS ? CALLBACK_EVENT_SUCCESS : CALLBACK_EVENT_FAILURE, reason);
    } else if (to == RUN_QUEUED && run_state_is_final(from)) {
        deadline_arm(core, run);
    }
}

void run_make_way(struct core *core, struct run *run, const struct run *earlier)
{
    timer_disarm(&core->timers, &run->timer); /* the timeout's: it counts anew */
    run->row.started_at_us = 0;
    move(core, run, RUN_QUEUED, reason_format(core, "made_way_for: %s", earlier->row.run_id));
    run_queue_add(run);
}

void run_start(struct core *core, struct run *run)
{
    run->row.started_at_us = core->now_us;
    move(core, run, RUN_RUNNING, NULL);
    run_arm_timeout(core, run);
    for (uint32_t i = 0; i < run->dag->task_count; i++)
        if (task_is_waiting(&run->tasks[i]))
            task_evaluate(core, &run->tasks[i], NULL);
    run_check_end(core, run);
}

/* Teardowns don't count, unless they say so or there is nothing else; so what only they are behind
 * is a leaf too. So is what only tasks outside the run's backfill are behind. */
bool task_counts_for_run(const struct task *task)
{
    const struct run *run = task->run;
    const struct dag_task *spec = task_spec(task);

    if (!run->dag->only_teardowns && spec->is_teardown && !spec->on_failure_fail_dagrun)
        return false;
    for (uint32_t i = 0; i < spec->downstream_count; i++) {
        const struct dag_task *down = &run->dag->tasks[spec->downstream[i]];
        bool counts =
            run->dag->only_teardowns || !down->is_teardown || down->on_failure_fail_dagrun;
        if (counts && (task_node(task)->is_outside || !run->tasks[spec->downstream[i]].is_outside))
            return false;
    }
    return true;
}

void run_check_end(struct core *core, struct run *run)
{
    if (run->row.state != RUN_RUNNING || run->settling > 0)
        return;
    if (run->unfinished > PLANTED(EARLY_RUN_END)) {
        if (run->waiting != run->unfinished)
            return;
        if (run->past_waiting == 0)
            run_end(core, run, RUN_FAILED, "all_tasks_deadlocked");
        else
            start_next(core, run); /* it may make way */
        return;
    }
    if (run->row.doom != NULL) {
        run_end(core, run, RUN_FAILED, run->row.doom);
        return;
    }
    if (run->failed_leaf == NULL) {
        run_end(core, run, RUN_SUCCESS, NULL);
        return;
    }
    const struct task *leaf = run->failed_leaf;
    run_end(core, run, RUN_FAILED,
            reason_format(core, "%s: %s",
                          leaf->state == TASK_FAILED ? "task_failed" : "upstream_failed",
                          task_label(core, leaf)));
}

void run_forget_if_over(struct core *core, struct run *run)
{
    if (!run_state_is_final(run->row.state) || run->stopping > 0 || run->is_forgotten)
        return;
    run->is_forgotten = true;
    past_run_gone(core, run);
    HASH_DEL(core->runs, run);
    retire_run(core, run);
    if (run->entry->backfill != NULL)
        backfill_run_forgotten(core, run->entry->backfill);
}

/* It goes on as a run of its backfill; of one that is over, it is none from now on. */
void run_requeue(struct core *core, struct run *run)
{
    enum run_state from = run->row.state;

    assert(run_state_is_final(from));
    run->row.queued_at_us = core->now_us;
    run->row.started_at_us = run->row.ended_at_us = 0;
    run->row.clear_number++;
    run->row.reason = NULL;
    run->backfill = open_backfill(core, run);
    if (run->backfill == NULL) {
        run->row.backfill_id = 0;
        backfill_unmark_outside(run);
    }
    move(core, run, RUN_QUEUED, run_why_queued(core, run));
    waits_run_is_live(core, run);
    if (run->backfill != NULL)
        backfill_run_changed(core, run->backfill, from, RUN_QUEUED);
    else
        run->entry->live_runs++;
}

static void continue_from(struct run *run, uint32_t place, int64_t try_number)
{
    if (place >= run->dag->task_count)
        return;
    struct task *task = &run->tasks[place];
    if (task->try_number < try_number && !PLANTED(TRIES_BEGIN_ANEW))
        task->try_number = try_number;
    task->max_tries = task->try_number + task_spec(task)->retries;
}

void run_continue_tries(struct run *run, const struct task_row *tasks, size_t count,
                        const struct attempt_row *attempts, size_t attempt_count)
{
    for (size_t i = 0; i < count; i++) {
        continue_from(run, tasks[i].task, tasks[i].try_number);
        continue_from(run, dag_find_task_near(run->dag, tasks[i].task, str_from(tasks[i].task_id)),
                      tasks[i].try_number);
    }
    /* Also of places that the version before did not have. */
    for (size_t i = 0; i < attempt_count; i++)
        continue_from(run, attempts[i].task, attempts[i].try_number);
}

void run_set_state(struct core *core, struct run *run, enum run_state state, const char *reason)
{
    enum run_state from = run->row.state;

    if (!run_state_is_final(from)) {
        run_end(core, run, state, reason);
        return;
    }
    if (from == state)
        return;
    run->row.reason = arena_strdup(&run->arena, reason);
    move(core, run, state, reason);
    if (run->row.backfill_id != 0)
        backfill_recount(core, run->row.backfill_id, from, state);
}

static void tell_same_state(struct core *core, const struct run *run)
{
    tell(core, run, DECIDE_RUN, run->row.state,
         run->row.state == RUN_QUEUED ? run_why_queued(core, run) : run->row.reason);
}

void run_set_note(struct core *core, struct run *run, const char *note)
{
    run->row.note = arena_strdup(&run->arena, note);
    tell_same_state(core, run);
}

void run_force(struct core *core, struct run *run)
{
    if (run->row.is_forced)
        return;
    run->row.is_forced = true;
    tell_same_state(core, run);
}

void run_attempt_stopped(struct core *core, struct run *run)
{
    run->stopping--;
    run_check_end(core, run);
    run_forget_if_over(core, run);
}

static void leave_queue(struct core *core, struct run *run)
{
    timer_disarm(&core->timers, &run->timer);
    run_queue_remove(run);
}

void run_end(struct core *core, struct run *run, enum run_state state, const char *reason)
{
    struct backfill *backfill = run->backfill;

    leave_queue(core, run);
    run->row.ended_at_us = core->now_us;
    move(core, run, state, reason);
    if (run->awaited != NULL)
        waits_run_changed(core, run);
    run->row.reason = arena_strdup(&run->arena, reason);
    run->backfill = NULL; /* which may be gone before the last of the run's attempts has stopped */
    run_forget_if_over(core, run);
    /* It fills what is past: its failures say nothing of the DAG's runs to come. */
    if (backfill != NULL) {
        backfill->live_runs--;
        backfill_run_ended(core, backfill, run);
        return;
    }
    run->entry->live_runs--;
    dags_run_ended(core, run);
    dags_start_runs(core, run->entry);
    dags_touch(core, run->entry);
}

void run_free(struct core *core, struct run *run)
{
    ready_release(run);
    past_free(core, run);
    waits_run_freed(run);
    run_names_remove(core, run);
    for (uint32_t i = 0; i < run->dag->task_count; i++) {
        json_decref(run->tasks[i].outputs);
        mapping_free(&run->tasks[i]);
    }
    free(run->tasks);
    json_decref(run->conf);
    dag_unref(run->dag);
    arena_release(&run->arena);
    free(run);
}
