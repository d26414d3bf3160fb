/* Changes from outside: task instances are cleared or marked, runs are marked or cancelled.
 *
 * Runs that are over are not in memory: the loop attaches their rows, they are restored as recovery
 * does it, changed, and forgotten again unless they are to go on. What stands against a change is
 * found before the first row is touched. */
#include "scheduler/core/parts.h"

/* A run of the change, in memory. */
static struct run *revive(struct core *core, const struct run_rows *rows)
{
    struct run *run = runs_find(core, rows->row.id);

    if (run != NULL) {
        waits_run_is_live(core, run); /* who waits for it looks again, also if it is over */
        return run;
    }
    core_restore_run(core, &rows->row, rows->version, rows->tasks, rows->task_count, rows->attempts,
                     rows->attempt_count);
    return runs_find(core, rows->row.id);
}

static struct task_row row_of(const struct task *task)
{
    return (struct task_row){
        .task = task->index, .map_index = task->map_index, .state = task->state};
}

/* Calls `visit` for each task instance that is chosen; returns how many it says it concerns. */
typedef bool (*visit_task)(struct core *core, struct task *task, const struct event *event);

static int64_t visit_tasks(struct core *core, struct run *run, const struct event *event,
                           visit_task visit)
{
    struct arena arena = {0};
    const struct task_choice *choice = &event->as.change.tasks;
    const bool *chosen = choice_tasks(run->dag, choice, &arena);
    int64_t count = 0;

    for (uint32_t i = 0; i < run->dag->task_count; i++) {
        for (uint32_t k = 0; k < task_instance_count(&run->tasks[i]); k++) {
            struct task *task = task_instance(&run->tasks[i], k);
            const struct task_row row = row_of(task);
            if (choice_takes(choice, run->dag, chosen, &row))
                count += visit(core, task, event);
        }
    }
    arena_release(&arena);
    return count;
}

/* Whether a run that is not in memory has anything to change. */
static bool is_concerned(const struct core *core, const struct run_rows *rows,
                         const struct event *event)
{
    struct arena arena = {0};
    const struct task_choice *choice = &event->as.change.tasks;
    bool found = runs_find(core, rows->row.id) != NULL;

    if (found)
        return true;
    const bool *chosen = choice_tasks(rows->version, choice, &arena);
    for (size_t i = 0; !found && i < rows->task_count; i++)
        found = choice_takes(choice, rows->version, chosen, &rows->tasks[i]) &&
                (event->kind != EVENT_CLEAR || choice_can_clear(rows->tasks[i].state));
    arena_release(&arena);
    return found;
}

/* What stands against every change: no runs, or one whose version can't be read. */
static bool is_possible(struct core *core, const struct event *event)
{
    const struct event_change *change = &event->as.change;

    if (dags_find(core, change->dag_id) == NULL) {
        reply_error(core, event, ERR_NOT_FOUND, "DAG with dag_id: '%s' not found", change->dag_id);
        return false;
    }
    if (change->run_count == 0 && change->which.run_id != NULL) {
        reply_error(core, event, ERR_NOT_FOUND,
                    "The DagRun with dag_id: `%s` and run_id: `%s` was not found", change->dag_id,
                    change->which.run_id);
        return false;
    }
    for (size_t i = 0; i < change->run_count; i++) {
        const struct run *run = runs_find(core, change->runs[i].row.id);
        if (run != NULL && run->row.doom != NULL && event->kind == EVENT_CLEAR &&
            run->row.state == RUN_RUNNING) {
            reply_error(core, event, ERR_CONFLICT, "run %s is being ended (%s): clear it then",
                        run->row.run_id, run->row.doom);
            return false;
        }
        if (latest_is_wanted(core, event, &change->runs[i])) {
            if (!latest_is_possible(core, event, &change->runs[i]))
                return false;
            continue;
        }
        if (change->runs[i].version != NULL)
            continue;
        reply_error(core, event, ERR_CONFLICT,
                    "the version of %s that run %s began with can't be read by this program: "
                    "trigger a new run",
                    change->dag_id, change->runs[i].row.run_id);
        return false;
    }
    return true;
}

/* The tasks are named, but none of the runs' versions has any of them. */
static bool tasks_exist(struct core *core, const struct event *event)
{
    const struct event_change *change = &event->as.change;
    bool found = change->run_count == 0;

    for (size_t i = 0; !found && i < change->run_count; i++)
        found = change->tasks.names == NULL || choice_fits(change->runs[i].version, &change->tasks);
    if (!found)
        reply_error(core, event, ERR_NOT_FOUND, "%s has no task `%s` in %s", change->dag_id,
                    change->tasks.names[0].task_id,
                    change->run_count == 1 ? change->runs[0].row.run_id : "these runs");
    return found;
}

static bool is_running(struct core *core, struct task *task, const struct event *event)
{
    (void)core;
    (void)event;
    return task->attempt != NULL;
}

/* With prevent_running_task: what runs is not to be stopped. */
static bool may_stop(struct core *core, const struct event *event)
{
    const struct event_change *change = &event->as.change;

    for (size_t i = 0; change->refuse_running && i < change->run_count; i++) {
        struct run *run = runs_find(core, change->runs[i].row.id);
        if (run == NULL || visit_tasks(core, run, event, is_running) == 0)
            continue;
        reply_error(core, event, ERR_CONFLICT,
                    "tasks of run %s are running: clear them once they have ended, or without "
                    "prevent_running_task",
                    run->row.run_id);
        return false;
    }
    return true;
}

static bool clear_task(struct core *core, struct task *task, const struct event *event)
{
    if (!choice_can_clear(task->state) || task_node(task)->is_outside)
        return false; /* what is no part of the run's backfill stays as it is */
    task_clear(core, task, reason_format(core, "cleared by %s", event->as.change.by));
    return true;
}

static int64_t clear_run(struct core *core, struct run *run, const struct event *event)
{
    const struct event_change *change = &event->as.change;
    bool is_again = run_state_is_final(run->row.state) && !change->keep_runs;

    if (change->note != NULL)
        run_set_note(core, run, change->note);
    if (is_again) {
        run->row.is_forced = change->is_forced;
        run_requeue(core, run);
    } else if (change->is_forced && !run_state_is_final(run->row.state)) {
        run_force(core, run);
    }
    int64_t count = visit_tasks(core, run, event, clear_task);
    if (is_again) {
        run_enqueue(core, run);
    } else if (run->row.state == RUN_RUNNING) {
        for (uint32_t i = 0; i < run->dag->task_count; i++)
            if (task_is_waiting(&run->tasks[i]))
                task_evaluate(core, &run->tasks[i], NULL);
    }
    run_forget_if_over(core, run);
    return count;
}

/* While a change goes through its runs, no other run of the DAG starts because one has made place:
 * it might be over by its turn. */
struct hold {
    struct dag_entry *entry;
    struct backfill *backfill;
};

static struct hold hold_starts(const struct core *core, const struct event *event)
{
    struct hold hold = {.entry = dags_find(core, event->as.change.dag_id)};

    hold.backfill = hold.entry->backfill;
    hold.entry->is_starting = true;
    if (hold.backfill != NULL)
        hold.backfill->is_starting = true;
    return hold;
}

static void release_starts(struct core *core, const struct hold *hold)
{
    hold->entry->is_starting = false;
    dags_start_runs(core, hold->entry);
    dags_touch(core, hold->entry);
    if (hold->backfill == NULL)
        return;
    hold->backfill->is_starting = false;
    backfill_start_runs(core, hold->backfill);
}

void change_clear(struct core *core, const struct event *event)
{
    const struct event_change *change = &event->as.change;
    int64_t count = 0;

    if (!is_possible(core, event) || !tasks_exist(core, event) || !may_stop(core, event))
        return;
    const struct hold hold = hold_starts(core, event);
    for (size_t i = 0; i < change->run_count; i++)
        if (latest_is_wanted(core, event, &change->runs[i]))
            count += latest_clear(core, event, &change->runs[i]);
        else if (is_concerned(core, &change->runs[i], event))
            count += clear_run(core, revive(core, &change->runs[i]), event);
    release_starts(core, &hold);
    reply_done(core, event, count);
}

static bool mark_task(struct core *core, struct task *task, const struct event *event)
{
    const struct event_change *change = &event->as.change;

    if (task->state == change->task_state ||
        (change->is_cancel && task_state_is_final(task->state)))
        return false;
    task_decide(core, task, change->task_state,
                change->is_cancel ? reason_format(core, "cancelled by %s", change->by)
                                  : reason_format(core, "marked %s by %s",
                                                  task_state_name(change->task_state), change->by));
    return true;
}

void change_mark_tasks(struct core *core, const struct event *event)
{
    const struct event_change *change = &event->as.change;
    int64_t count = 0;

    if (!is_possible(core, event) || !tasks_exist(core, event))
        return;
    const struct hold hold = hold_starts(core, event);
    for (size_t i = 0; i < change->run_count; i++) {
        if (!is_concerned(core, &change->runs[i], event))
            continue;
        struct run *run = revive(core, &change->runs[i]);
        count += visit_tasks(core, run, event, mark_task);
        run_forget_if_over(core, run);
    }
    release_starts(core, &hold);
    if (count == 0 && change->is_cancel)
        reply_error(core, event, ERR_CONFLICT, "nothing to cancel: what was named is over");
    else
        reply_done(core, event, count);
}

/* Every task of a run that is marked success is one, too; but teardowns that have not ended still
 * have their work to do. Whether there is none of these. */
static bool succeed_tasks(struct core *core, struct run *run, const char *reason)
{
    bool is_over = true;

    for (uint32_t i = 0; i < run->dag->task_count; i++) {
        bool may_go_on = run->row.state == RUN_RUNNING && run->dag->tasks[i].is_teardown &&
                         !run->dag->only_teardowns;
        for (uint32_t k = 0; k < task_instance_count(&run->tasks[i]); k++) {
            struct task *task = task_instance(&run->tasks[i], k);
            if (may_go_on && !task_state_is_final(task->state))
                is_over = false;
            else if (task->state != TASK_REMOVED)
                task_decide(core, task, TASK_SUCCESS, reason);
        }
    }
    return is_over;
}

static bool may_mark_run(struct core *core, const struct event *event, const struct run_rows *rows)
{
    const struct event_change *change = &event->as.change;
    const struct run *run = runs_find(core, rows->row.id);
    enum run_state state = run == NULL ? rows->row.state : run->row.state;

    if (!change->has_run_state)
        return true;
    if (change->run_state == RUN_QUEUED && state == RUN_RUNNING) {
        reply_error(core, event, ERR_CONFLICT,
                    "run %s is running: only a run that is over can be queued again",
                    rows->row.run_id);
        return false;
    }
    if (change->is_cancel && run_state_is_final(state)) {
        reply_error(core, event, ERR_CONFLICT, "run %s is over: it is %s", rows->row.run_id,
                    run_state_name(state));
        return false;
    }
    return true;
}

static void mark_run(struct core *core, struct run *run, const struct event *event)
{
    const struct event_change *change = &event->as.change;
    const char *reason =
        change->is_cancel
            ? reason_format(core, "cancelled by %s", change->by)
            : reason_format(core, "marked %s by %s", run_state_name(change->run_state), change->by);

    switch (change->run_state) {
    case RUN_QUEUED:
        if (run->row.state == RUN_QUEUED)
            return;
        run_requeue(core, run);
        run_enqueue(core, run);
        return;
    case RUN_SUCCESS:
        if (!succeed_tasks(core, run, reason)) {
            run_pardon(core, run, reason);
            return;
        }
        break;
    case RUN_FAILED:
        if (run->row.state == RUN_RUNNING) {
            run_doom(core, run, TASK_FAILED, reason);
            return; /* it ends with the last of its teardowns */
        }
        run_stop_tasks(core, run, reason);
        break;
    case RUN_RUNNING:
    case RUN_STATE_COUNT:
        return;
    }
    run_set_state(core, run, change->run_state, reason);
}

void change_mark_run(struct core *core, const struct event *event)
{
    const struct event_change *change = &event->as.change;

    if (!is_possible(core, event))
        return;
    for (size_t i = 0; i < change->run_count; i++)
        if (!may_mark_run(core, event, &change->runs[i]))
            return;
    const struct hold hold = hold_starts(core, event);
    for (size_t i = 0; i < change->run_count; i++) {
        struct run *run = revive(core, &change->runs[i]);
        if (change->note != NULL)
            run_set_note(core, run, change->note);
        if (change->has_run_state)
            mark_run(core, run, event);
        run_forget_if_over(core, run);
    }
    release_starts(core, &hold);
    reply_done(core, event, (int64_t)change->run_count);
}
