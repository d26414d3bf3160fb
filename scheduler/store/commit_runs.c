/* The runs of a commit: made, changed, and begun anew. */
#include "base/mem.h"
#include "scheduler/store/commit.h"

#include <stdlib.h>

static bool insert_run(struct commit *commit, const struct run_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_RUN_NEW);

    bind_int(&bind, row->id);
    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->run_id);
    bind_int(&bind, row->version_id);
    bind_text(&bind, run_type_name(row->run_type));
    bind_text(&bind, run_state_name(row->state));
    bind_text(&bind, triggered_by_name(row->triggered_by));
    bind_time(&bind, row->logical_date_us);
    bind_time(&bind, row->interval_start_us);
    bind_time(&bind, row->interval_end_us);
    bind_int(&bind, row->run_after_us);
    bind_time(&bind, row->queued_at_us);
    bind_time(&bind, row->started_at_us);
    bind_time(&bind, row->ended_at_us);
    bind_time(&bind, row->backfill_id);
    bind_int(&bind, row->clear_number);
    bind_text(&bind, text_or(row->conf, "{}"));
    bind_text(&bind, row->note);
    bind_text(&bind, row->reason);
    bind_int(&bind, commit->now_us);
    bind_text(&bind, row->doom);
    bind_int(&bind, row->is_forced);
    bind_int(&bind, row->deadlines_missed);
    return bind_run(&bind, commit->err);
}

static bool update_run(struct commit *commit, const struct run_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_RUN_SET);

    bind_int(&bind, row->id);
    bind_int(&bind, row->version_id);
    bind_text(&bind, run_state_name(row->state));
    bind_time(&bind, row->queued_at_us);
    bind_time(&bind, row->started_at_us);
    bind_time(&bind, row->ended_at_us);
    bind_time(&bind, row->backfill_id);
    bind_int(&bind, row->clear_number);
    bind_text(&bind, text_or(row->conf, "{}"));
    bind_text(&bind, row->note);
    bind_text(&bind, row->reason);
    bind_int(&bind, commit->now_us);
    bind_text(&bind, run_type_name(row->run_type));
    bind_text(&bind, triggered_by_name(row->triggered_by));
    bind_text(&bind, row->doom);
    bind_int(&bind, row->deadlines_missed);
    bind_int(&bind, row->is_forced);
    return bind_run_one(&bind, commit->err);
}

bool commit_run_new(struct commit *commit, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;
    const struct dag *dag = decision->as.run.dag;
    struct commit_change change = {row->id, NULL, "none", run_state_name(row->state), row->reason};

    if (!insert_run(commit, row))
        return false;
    for (uint32_t i = 0; i < dag->task_count; i++) {
        const struct task_row *last = latest_take(&commit->latest, row->id, i);
        if (last != NULL ? !commit_task_put(commit, last)
                         : !commit_task_insert(commit, row->id, dag, i, 0))
            return false;
    }
    return commit_transition(commit, &change);
}

bool commit_run(struct commit *commit, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;
    enum run_state from = decision->as.run.from;
    struct commit_change change = {row->id, NULL, run_state_name(from), run_state_name(row->state),
                                   row->reason};

    return update_run(commit, row) && (from == row->state || commit_transition(commit, &change));
}

static void raise_to(int64_t *tries, uint32_t count, uint32_t task, int64_t number)
{
    if (task < count && tries[task] < number)
        tries[task] = number;
}

/* The tries that each task of the new version goes on from. */
static bool load_tries(struct commit *commit, int64_t run, const struct dag *dag, int64_t *tries)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_RESET_TRIES);
    bool row = false;

    bind_int(&bind, run);
    bool ok = bind_step(&bind, &row, commit->err);
    while (ok && row) {
        struct columns columns = {.stmt = bind.stmt};
        uint32_t place = (uint32_t)column_int(&columns);
        struct str task_id = column_name(&columns);
        int64_t number = column_int(&columns);
        raise_to(tries, dag->task_count, place, number);
        if (task_id.len > 0) /* a row of a task, not of attempts */
            raise_to(tries, dag->task_count, dag_find_task_near(dag, place, task_id), number);
        ok = bind_step(&bind, &row, commit->err);
    }
    bind_end(&bind);
    return ok;
}

/* The places of the tasks whose rows stay, as a JSON array. */
static void list_kept(const struct decision *decision, struct buf *out)
{
    const char *separator = "";

    buf_add_char(out, '[');
    for (uint32_t i = 0; decision->as.run.keeps != NULL && i < decision->as.run.dag->task_count;
         i++) {
        if (!decision->as.run.keeps[i])
            continue;
        buf_printf(out, "%s%u", separator, i);
        separator = ",";
    }
    buf_add_char(out, ']');
}

static bool clear_tasks(struct commit *commit, int64_t run, const char *reason, const char *kept)
{
    struct bind marks = bind_begin(commit->store, STATEMENT_RESET_TRANSITIONS);
    struct bind clear = bind_begin(commit->store, STATEMENT_RESET_CLEAR);

    bind_int(&marks, run);
    bind_int(&marks, commit->seq);
    bind_int(&marks, commit->now_us);
    bind_text(&marks, reason);
    bind_text(&marks, kept);
    if (!bind_run(&marks, commit->err))
        return false;
    commit->seq += sqlite3_changes(commit->store->db);
    bind_int(&clear, run);
    bind_text(&clear, kept);
    return bind_run(&clear, commit->err);
}

bool commit_run_reset(struct commit *commit, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;
    const struct dag *dag = decision->as.run.dag;
    const bool *keeps = decision->as.run.keeps;
    int64_t *tries = mem_alloc_array(dag->task_count, sizeof(*tries));
    struct buf kept = {0};

    list_kept(decision, &kept);
    bool ok = commit_run(commit, decision) && load_tries(commit, row->id, dag, tries) &&
              clear_tasks(commit, row->id, row->reason, buf_text(&kept));
    for (uint32_t i = 0; ok && i < dag->task_count; i++)
        ok = (keeps != NULL && keeps[i]) || commit_task_insert(commit, row->id, dag, i, tries[i]);
    buf_release(&kept);
    free(tries);
    return ok;
}
