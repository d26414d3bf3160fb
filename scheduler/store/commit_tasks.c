/* The task instances of a commit, and their attempts. */
#include "scheduler/store/commit.h"
#include "scheduler/store/datasets.h"

static bool insert_task_row(struct commit *commit, const struct task_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_TASK_NEW);

    bind_int(&bind, row->run);
    bind_int(&bind, row->task);
    bind_int(&bind, row->map_index);
    bind_text(&bind, row->task_id);
    bind_int(&bind, row->try_number);
    bind_int(&bind, row->max_tries);
    return bind_run(&bind, commit->err);
}

/* As both TASK_SET and TASK_PUT take them. */
static void bind_task_row(struct bind *bind, const struct task_row *row)
{
    bind_int(bind, row->run);
    bind_int(bind, row->task);
    bind_int(bind, row->map_index);
    bind_text(bind, task_state_name(row->state));
    bind_int(bind, row->try_number);
    bind_int(bind, row->max_tries);
    bind_time(bind, row->scheduled_at_us);
    bind_time(bind, row->queued_at_us);
    bind_time(bind, row->started_at_us);
    bind_time(bind, row->ended_at_us);
    bind_time(bind, row->retry_at_us);
    bind_text(bind, row->reason);
    bind_time(bind, row->wait_since_us);
    bind_int(bind, row->pokes);
}

/* A task of a new run that this turn takes further: its row is inserted as it will be. */
bool commit_task_put(struct commit *commit, const struct task_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_TASK_PUT);

    bind_task_row(&bind, row);
    bind_text(&bind, row->task_id);
    return bind_run(&bind, commit->err);
}

bool commit_task_insert(struct commit *commit, int64_t run, const struct dag *dag, uint32_t task,
                        int64_t tries)
{
    struct task_row row = {.run = run,
                           .task = task,
                           .map_index = -1,
                           .task_id = dag->tasks[task].task_id,
                           .try_number = tries,
                           .max_tries = tries + dag->tasks[task].retries};

    return insert_task_row(commit, &row);
}

bool commit_task(struct commit *commit, const struct decision *decision)
{
    const struct task_row *row = &decision->as.task.row;
    enum task_state from = decision->as.task.from;
    struct commit_change change = {row->run, row, task_state_name(from),
                                   task_state_name(row->state), row->reason};

    if (!latest_is_done(&commit->latest, decision)) {
        struct bind bind = bind_begin(commit->store, STATEMENT_TASK_SET);
        bind_task_row(&bind, row);
        if (!bind_run_one(&bind, commit->err))
            return false;
    }
    return from == row->state || decision->as.task.is_quiet || commit_transition(commit, &change);
}

static bool drop_unmapped(struct commit *commit, const struct task_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_TASK_UNMAPPED_DROP);

    bind_int(&bind, row->run);
    bind_int(&bind, row->task);
    return bind_run_one(&bind, commit->err);
}

/* The transition from none to none is where `explain` finds when and how far it was expanded. */
bool commit_expand(struct commit *commit, const struct decision_expand *expand)
{
    struct task_row row = expand->row;
    const char *none = task_state_name(TASK_NONE);
    struct commit_change change = {row.run, &expand->row, none, none, row.reason};

    if (expand->first == 0 && !drop_unmapped(commit, &row))
        return false;
    for (uint32_t i = expand->first; i < expand->count; i++) {
        row.map_index = (int32_t)i;
        if (!insert_task_row(commit, &row))
            return false;
    }
    return commit_transition(commit, &change);
}

static void bind_attempt_key(struct bind *bind, const struct attempt_row *row)
{
    bind_int(bind, row->run);
    bind_int(bind, row->task);
    bind_int(bind, row->map_index);
    bind_int(bind, row->try_number);
    bind_text(bind, row->token);
}

static void bind_attempt_state(struct bind *bind, const struct attempt_row *row)
{
    bind_text(bind, task_state_name(row->state));
    bind_text(bind, text_or(row->worker, ""));
    bind_time(bind, row->pid);
    bind_time(bind, row->queued_at_us);
    bind_time(bind, row->started_at_us);
    bind_time(bind, row->ended_at_us);
    if (row->exit_code < 0)
        bind_null(bind);
    else
        bind_int(bind, row->exit_code);
    bind_time(bind, row->signal);
    bool is_over = task_state_is_final(row->state) || row->state == TASK_UP_FOR_RESCHEDULE;
    bind_text(bind, is_over ? outcome_name(row->outcome) : NULL);
    bind_text(bind, row->reason);
}

/* A new row, or one that a poke opens again. */
bool commit_attempt_new(struct commit *commit, const struct attempt_row *row,
                        enum statement statement)
{
    struct bind bind = bind_begin(commit->store, statement);

    bind_attempt_key(&bind, row);
    bind_attempt_state(&bind, row);
    bind_text(&bind, text_or(row->rendered, "{}"));
    bind_text(&bind, row->outputs);
    return bind_run_one(&bind, commit->err);
}

bool commit_attempt(struct commit *commit, const struct attempt_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ATTEMPT_SET);

    bind_attempt_key(&bind, row);
    bind_attempt_state(&bind, row);
    bind_text(&bind, row->outputs);
    bind_text(&bind, row->stop_reason);
    return bind_run_one(&bind, commit->err) &&
           (row->state != TASK_SUCCESS || datasets_write(commit->store, row, commit->err));
}
