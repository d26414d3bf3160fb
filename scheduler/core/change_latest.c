/* Clearing by the DAG's current version. A run that is over is reset to it: what is cleared, and
 * what the run's own version did not have, begins anew; all else keeps state, tries and outputs,
 * which takes that it stands where it stood. What the current version has not any more goes. */
#include "scheduler/core/parts.h"

bool latest_is_wanted(const struct core *core, const struct event *event,
                      const struct run_rows *rows)
{
    const struct dag_entry *entry = dags_find(core, event->as.change.dag_id);

    return event->as.change.on_latest_version && rows->row.version_id != entry->row.version_id;
}

static bool is_whole(const struct event_change *change)
{
    return change->tasks.names == NULL && !change->tasks.only_failed && !change->tasks.only_running;
}

/* Of which tasks of the run's version an instance is cleared; `*ret_count`: how many instances. */
static bool *find_cleared(const struct event_change *change, const struct run_rows *rows,
                          struct arena *arena, int64_t *ret_count)
{
    const bool *chosen = choice_tasks(rows->version, &change->tasks, arena);
    bool *cleared = arena_alloc_array(arena, rows->version->task_count, sizeof(*cleared));

    *ret_count = 0;
    for (size_t i = 0; i < rows->task_count; i++) {
        const struct task_row *row = &rows->tasks[i];
        if (!choice_takes(&change->tasks, rows->version, chosen, row) ||
            !choice_can_clear(row->state))
            continue;
        cleared[row->task] = true;
        ++*ret_count;
    }
    return cleared;
}

/* Why a row can't be kept as it is: its task stands elsewhere now, or is mapped no longer. */
static bool has_moved(const struct dag *latest, const struct task_row *row)
{
    uint32_t place = dag_find_task_near(latest, row->task, str_from(row->task_id));

    return place != UINT32_MAX &&
           (place != row->task || (row->map_index >= 0 && latest->tasks[place].expand == NULL));
}

/* Which tasks of the latest version stay as they are: those with rows that are over, and not
 * cleared. */
static bool *find_kept(const struct dag *latest, const struct run_rows *rows, const bool *cleared,
                       struct arena *arena)
{
    bool *keeps = arena_alloc_array(arena, latest->task_count, sizeof(*keeps));

    for (size_t i = 0; i < rows->task_count; i++) {
        const struct task_row *row = &rows->tasks[i];
        if (row->task < latest->task_count && row->task < rows->version->task_count)
            keeps[row->task] =
                !cleared[row->task] &&
                dag_find_task_near(latest, row->task, str_from(row->task_id)) == row->task;
    }
    for (size_t i = 0; i < rows->task_count; i++)
        if (rows->tasks[i].task < latest->task_count && !task_state_is_final(rows->tasks[i].state))
            keeps[rows->tasks[i].task] = false;
    return keeps;
}

/* What stands against taking only some tasks: NULL if nothing does. */
static const char *find_obstacle(struct core *core, const struct event_change *change,
                                 const struct run_rows *rows, struct arena *arena)
{
    const struct dag_entry *entry = dags_find(core, change->dag_id);
    int64_t count = 0;

    if (rows->version == NULL)
        return "the version that it began with can't be read by this program: clear the whole run";
    const bool *cleared = find_cleared(change, rows, arena, &count);
    const bool *chosen = choice_tasks(rows->version, &change->tasks, arena);
    for (size_t i = 0; count > 0 && i < rows->task_count; i++) {
        const struct task_row *row = &rows->tasks[i];
        if (row->task >= rows->version->task_count || row->state == TASK_REMOVED)
            continue;
        if (!cleared[row->task] && has_moved(entry->current, row))
            return reason_format(core,
                                 "task %s, which is to stay as it is, stands at another place "
                                 "in the current one, or is mapped in only one of them: clear "
                                 "the whole run",
                                 row->task_id);
        if (cleared[row->task] && !choice_takes(&change->tasks, rows->version, chosen, row))
            return reason_format(core, "%s is mapped: clear all instances of it", row->task_id);
    }
    return NULL;
}

bool latest_is_possible(struct core *core, const struct event *event, const struct run_rows *rows)
{
    const struct event_change *change = &event->as.change;
    const struct dag_entry *entry = dags_find(core, change->dag_id);
    struct arena arena = {0};
    const char *obstacle = NULL;

    if (entry->current == NULL || change->keep_runs || !run_state_is_final(rows->row.state) ||
        runs_find(core, rows->row.id) != NULL)
        obstacle = "only a run that is over, and is to run again, can take the current one";
    else if (!is_whole(change))
        obstacle = find_obstacle(core, change, rows, &arena);
    if (obstacle != NULL)
        reply_error(core, event, ERR_CONFLICT,
                    "run %s began with another version of %s than run_on_latest_version asks for: "
                    "%s",
                    rows->row.run_id, change->dag_id, obstacle);
    arena_release(&arena);
    return obstacle == NULL;
}

/* A run by the DAG's current version in place of the one that is over. */
static struct run *replace(struct core *core, const struct event *event,
                           const struct run_rows *rows)
{
    struct dag_entry *entry = dags_find(core, rows->row.dag_id);
    struct run_row row = rows->row;

    row.version_id = entry->row.version_id;
    row.state = RUN_QUEUED;
    row.queued_at_us = core->now_us;
    row.started_at_us = row.ended_at_us = 0;
    row.doom = NULL;
    row.clear_number++;
    row.backfill_id = 0;
    row.is_forced = event->as.change.is_forced;
    if (event->as.change.note != NULL)
        row.note = event->as.change.note;
    struct run *run = run_new(core, entry, entry->current, &row);
    run->row.deadlines_missed = deadlines_kept(run);
    run_continue_tries(run, rows->tasks, rows->task_count, rows->attempts, rows->attempt_count);
    return run;
}

int64_t latest_clear(struct core *core, const struct event *event, const struct run_rows *rows)
{
    const struct event_change *change = &event->as.change;
    const struct dag_entry *entry = dags_find(core, change->dag_id);
    struct arena arena = {0};
    int64_t count = (int64_t)rows->task_count;
    bool *keeps = NULL;

    if (!is_whole(change)) {
        const bool *cleared = find_cleared(change, rows, &arena, &count);
        keeps = find_kept(entry->current, rows, cleared, &core->out->arena);
    }
    arena_release(&arena);
    if (count == 0)
        return 0;
    struct run *run = replace(core, event, rows);
    if (keeps != NULL) {
        run_keep_tasks(run, rows->tasks, rows->task_count, keeps);
        run_restore_outputs(run, rows->attempts, rows->attempt_count);
    }
    run_insert_reset(core, run, rows->row.state, keeps,
                     reason_format(core, "cleared by %s", change->by));
    return count;
}
