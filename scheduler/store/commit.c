/* The one place where state is written: a turn's decisions in one transaction. */
#include "scheduler/store/datasets.h"

#include "base/mem.h"
#include "scheduler/store/latest.h"
#include "scheduler/store/reserve.h"

#include <stdlib.h>
#include <string.h>

/* What one commit carries along. */
struct commit {
    struct store *store;
    int64_t now_us;
    int64_t seq; /* of the newest transition written so far */
    struct latest latest;
    struct err *err;
};

static const char *text_or(const char *text, const char *fallback)
{
    return text == NULL ? fallback : text;
}

struct change {
    int64_t run;
    const struct task_row *task; /* NULL = the run itself */
    const char *from;
    const char *to;
    const char *reason;
};

static bool write_transition(struct commit *commit, const struct change *change)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_TRANSITION_NEW);

    bind_int(&bind, ++commit->seq);
    bind_int(&bind, commit->now_us);
    bind_int(&bind, change->run);
    if (change->task == NULL) {
        bind_null(&bind);
        bind_null(&bind);
        bind_null(&bind);
    } else {
        bind_int(&bind, change->task->task);
        bind_int(&bind, change->task->map_index);
        bind_int(&bind, change->task->try_number);
    }
    bind_text(&bind, change->from);
    bind_text(&bind, change->to);
    bind_text(&bind, change->reason);
    return bind_run(&bind, commit->err);
}

static bool write_dag(struct commit *commit, const struct dag_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_DAG_PUT);

    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->file);
    bind_int(&bind, row->is_paused);
    bind_int(&bind, row->is_stale);
    bind_int(&bind, row->version_id);
    bind_int(&bind, row->version_number);
    bind_time(&bind, row->last_tick_us);
    bind_time(&bind, row->next_start_us);
    bind_time(&bind, row->next_end_us);
    bind_int(&bind, row->parsed_at_us);
    bind_int(&bind, row->failed_in_row);
    bind_text(&bind, row->pause_reason);
    return bind_run(&bind, commit->err);
}

static bool write_version(struct commit *commit, const struct version_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_VERSION_NEW);

    bind_int(&bind, row->id);
    bind_text(&bind, row->dag_id);
    bind_int(&bind, row->number);
    bind_text(&bind, row->hash);
    bind_text(&bind, row->file);
    bind_str(&bind, row->source);
    bind_int(&bind, row->created_at_us);
    return bind_run(&bind, commit->err);
}

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
static bool put_task(struct commit *commit, const struct task_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_TASK_PUT);

    bind_task_row(&bind, row);
    bind_text(&bind, row->task_id);
    return bind_run(&bind, commit->err);
}

static bool insert_task(struct commit *commit, int64_t run, const struct dag *dag, uint32_t task,
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

static bool write_run_new(struct commit *commit, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;
    const struct dag *dag = decision->as.run.dag;
    struct change change = {row->id, NULL, "none", run_state_name(row->state), row->reason};

    if (!insert_run(commit, row))
        return false;
    for (uint32_t i = 0; i < dag->task_count; i++) {
        const struct task_row *last = latest_take(&commit->latest, row->id, i);
        if (last != NULL ? !put_task(commit, last) : !insert_task(commit, row->id, dag, i, 0))
            return false;
    }
    return write_transition(commit, &change);
}

static bool write_run(struct commit *commit, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;
    enum run_state from = decision->as.run.from;
    struct change change = {row->id, NULL, run_state_name(from), run_state_name(row->state),
                            row->reason};

    return update_run(commit, row) && (from == row->state || write_transition(commit, &change));
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

static bool write_run_reset(struct commit *commit, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;
    const struct dag *dag = decision->as.run.dag;
    const bool *keeps = decision->as.run.keeps;
    int64_t *tries = mem_alloc_array(dag->task_count, sizeof(*tries));
    struct buf kept = {0};

    list_kept(decision, &kept);
    bool ok = write_run(commit, decision) && load_tries(commit, row->id, dag, tries) &&
              clear_tasks(commit, row->id, row->reason, buf_text(&kept));
    for (uint32_t i = 0; ok && i < dag->task_count; i++)
        ok = (keeps != NULL && keeps[i]) || insert_task(commit, row->id, dag, i, tries[i]);
    buf_release(&kept);
    free(tries);
    return ok;
}

static bool write_task(struct commit *commit, const struct decision *decision)
{
    const struct task_row *row = &decision->as.task.row;
    enum task_state from = decision->as.task.from;
    struct change change = {row->run, row, task_state_name(from), task_state_name(row->state),
                            row->reason};

    if (!latest_is_done(&commit->latest, decision)) {
        struct bind bind = bind_begin(commit->store, STATEMENT_TASK_SET);
        bind_task_row(&bind, row);
        if (!bind_run_one(&bind, commit->err))
            return false;
    }
    return from == row->state || decision->as.task.is_quiet || write_transition(commit, &change);
}

static bool drop_unmapped(struct commit *commit, const struct task_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_TASK_UNMAPPED_DROP);

    bind_int(&bind, row->run);
    bind_int(&bind, row->task);
    return bind_run_one(&bind, commit->err);
}

/* The transition from none to none is where `explain` finds when and how far it was expanded. */
static bool write_expand(struct commit *commit, const struct decision_expand *expand)
{
    struct task_row row = expand->row;
    const char *none = task_state_name(TASK_NONE);
    struct change change = {row.run, &expand->row, none, none, row.reason};

    if (expand->first == 0 && !drop_unmapped(commit, &row))
        return false;
    for (uint32_t i = expand->first; i < expand->count; i++) {
        row.map_index = (int32_t)i;
        if (!insert_task_row(commit, &row))
            return false;
    }
    return write_transition(commit, &change);
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
static bool write_attempt_new(struct commit *commit, const struct attempt_row *row,
                              enum statement statement)
{
    struct bind bind = bind_begin(commit->store, statement);

    bind_attempt_key(&bind, row);
    bind_attempt_state(&bind, row);
    bind_text(&bind, text_or(row->rendered, "{}"));
    bind_text(&bind, row->outputs);
    return bind_run_one(&bind, commit->err);
}

static bool write_attempt(struct commit *commit, const struct attempt_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ATTEMPT_SET);

    bind_attempt_key(&bind, row);
    bind_attempt_state(&bind, row);
    bind_text(&bind, row->outputs);
    bind_text(&bind, row->stop_reason);
    return bind_run_one(&bind, commit->err) &&
           (row->state != TASK_SUCCESS || datasets_write(commit->store, row, commit->err));
}

static bool write_backfill(struct commit *commit, const struct backfill_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_BACKFILL_PUT);

    bind_int(&bind, row->id);
    bind_text(&bind, row->dag_id);
    bind_int(&bind, row->from_us);
    bind_int(&bind, row->to_us);
    bind_int(&bind, row->run_backwards);
    bind_int(&bind, row->is_paused);
    bind_text(&bind, reprocess_name(row->reprocess));
    bind_int(&bind, row->max_active_runs);
    bind_text(&bind, text_or(row->conf, "{}"));
    bind_int(&bind, row->created_at_us);
    bind_int(&bind, row->updated_at_us);
    bind_time(&bind, row->completed_at_us);
    bind_time(&bind, row->cursor_us);
    bind_int(&bind, row->total);
    bind_int(&bind, row->made);
    bind_int(&bind, row->skipped);
    bind_int(&bind, row->succeeded);
    bind_int(&bind, row->failed);
    bind_int(&bind, row->cancelled);
    bind_text(&bind, row->tasks);
    bind_int(&bind, row->upstream);
    bind_int(&bind, row->downstream);
    bind_text(&bind, on_failure_name(row->on_failure));
    bind_text(&bind, row->pause_reason);
    bind_time(&bind, row->retry_before_us);
    bind_time(&bind, row->retry_cursor_us);
    bind_int(&bind, row->pace_us);
    bind_time(&bind, row->paced_at_us);
    bind_int(&bind, row->is_forced);
    return bind_run(&bind, commit->err);
}

static bool write_asset_event(struct commit *commit, const struct asset_event_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ASSET_EVENT_NEW);

    bind_int(&bind, row->id);
    bind_text(&bind, row->asset);
    bind_int(&bind, row->at_us);
    bind_time(&bind, row->run);
    if (row->run == 0) {
        bind_null(&bind);
        bind_null(&bind);
    } else {
        bind_int(&bind, row->task);
        bind_int(&bind, row->map_index);
    }
    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->run_id);
    bind_text(&bind, row->task_id);
    bind_text(&bind, row->partition);
    bind_text(&bind, row->extra);
    bind_int(&bind, row->is_unseen);
    return bind_run(&bind, commit->err);
}

static bool write_asset_wait(struct commit *commit, const struct asset_wait_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ASSET_WAIT_NEW);

    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->partition);
    bind_int(&bind, row->event);
    return bind_run(&bind, commit->err);
}

static bool write_asset_taken(struct commit *commit, const struct decision *decision)
{
    struct bind take = bind_begin(commit->store, STATEMENT_ASSET_TAKE);
    struct bind drop = bind_begin(commit->store, STATEMENT_ASSET_TAKEN);

    bind_text(&take, decision->as.asset_taken.dag_id);
    bind_text(&take, decision->as.asset_taken.partition);
    bind_int(&take, decision->as.asset_taken.run);
    bind_text(&drop, decision->as.asset_taken.dag_id);
    bind_text(&drop, decision->as.asset_taken.partition);
    return bind_run(&take, commit->err) && bind_run(&drop, commit->err);
}

static bool write_asset_dropped(struct commit *commit, const struct asset_wait_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ASSET_DROPPED);

    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->asset);
    return bind_run(&bind, commit->err);
}

static bool write_asset_seen(struct commit *commit)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ASSET_SEEN);

    return bind_run(&bind, commit->err);
}

static bool write_callback(struct commit *commit, const struct callback_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_CALLBACK_PUT);

    bind_int(&bind, row->id);
    bind_text(&bind, row->dag_id);
    bind_int(&bind, row->run);
    bind_text(&bind, row->task_id);
    bind_int(&bind, row->map_index);
    bind_text(&bind, callback_event_name(row->event));
    bind_text(&bind, callback_state_name(row->state));
    bind_text(&bind, row->kind);
    bind_text(&bind, row->options);
    bind_text(&bind, row->document);
    bind_int(&bind, row->tries);
    bind_int(&bind, row->max_tries);
    bind_int(&bind, row->retry_delay_us);
    bind_int(&bind, row->created_at_us);
    bind_time(&bind, row->next_at_us);
    bind_time(&bind, row->ended_at_us);
    bind_text(&bind, row->token);
    bind_text(&bind, row->worker);
    bind_text(&bind, row->reason);
    return bind_run_one(&bind, commit->err);
}

static bool write_decision(struct commit *commit, const struct decision *decision)
{
    switch (decision->kind) {
    case DECIDE_DAG:
        return write_dag(commit, &decision->as.dag);
    case DECIDE_VERSION:
        return write_version(commit, &decision->as.version);
    case DECIDE_RUN_NEW:
        return write_run_new(commit, decision);
    case DECIDE_RUN:
        return write_run(commit, decision);
    case DECIDE_RUN_RESET:
        return write_run_reset(commit, decision);
    case DECIDE_EXPAND:
        return write_expand(commit, &decision->as.expand);
    case DECIDE_TASK:
        return write_task(commit, decision);
    case DECIDE_ATTEMPT_NEW:
        return write_attempt_new(commit, &decision->as.attempt, STATEMENT_ATTEMPT_NEW);
    case DECIDE_ATTEMPT_AGAIN:
        return write_attempt_new(commit, &decision->as.attempt, STATEMENT_ATTEMPT_AGAIN);
    case DECIDE_ATTEMPT:
        return write_attempt(commit, &decision->as.attempt);
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
        return write_backfill(commit, &decision->as.backfill);
    case DECIDE_ASSET_EVENT:
        return write_asset_event(commit, &decision->as.asset_event);
    case DECIDE_ASSET_SEEN:
        return write_asset_seen(commit);
    case DECIDE_ASSET_WAIT:
        return write_asset_wait(commit, &decision->as.asset_wait);
    case DECIDE_ASSET_TAKEN:
        return write_asset_taken(commit, decision);
    case DECIDE_ASSET_DROPPED:
        return write_asset_dropped(commit, &decision->as.asset_wait);
    case DECIDE_CALLBACK:
        return write_callback(commit, &decision->as.callback);
    case DECIDE_START:
    case DECIDE_START_CALLBACK:
    case DECIDE_STOP:
    case DECIDE_ACK:
    case DECIDE_REPLY:
        return true; /* acts: the loop's, after the commit */
    }
    return err_set(commit->err, ERR_FAILED, "a decision of unknown kind");
}

static bool is_durable(const struct decision *decision)
{
    return decision->kind < DECIDE_START;
}

static struct store_put *queue_put(struct store *store, enum statement statement)
{
    if (store->put_count == store->put_capacity) {
        store->put_capacity = mem_grow(store->put_capacity, store->put_count + 1);
        store->puts = mem_resize_array(store->puts, store->put_capacity, sizeof(*store->puts));
    }
    struct store_put *put = &store->puts[store->put_count++];
    *put = (struct store_put){.statement = statement};
    return put;
}

void store_put_import_error(struct store *store, const char *file, const char *report,
                            const char *findings_json, int64_t now_us)
{
    enum statement statement = file == NULL     ? STATEMENT_IMPORT_ERROR_CLEAR
                               : report == NULL ? STATEMENT_IMPORT_ERROR_DROP
                                                : STATEMENT_IMPORT_ERROR_PUT;
    struct store_put *put = queue_put(store, statement);

    put->texts[0] = mem_strdup(file);
    put->texts[1] = mem_strdup(report);
    put->texts[2] = mem_strdup(findings_json);
    put->numbers[0] = now_us;
}

void store_put_pool(struct store *store, const char *name, int64_t slots, const char *description)
{
    struct store_put *put = queue_put(store, STATEMENT_POOL_PUT);

    put->texts[0] = mem_strdup(name);
    put->texts[1] = mem_strdup(description);
    put->numbers[0] = slots;
}

void store_put_idempotency(struct store *store, const char *key, const char *body_hash,
                           int64_t now_us, int64_t status, const char *response)
{
    struct store_put *put = queue_put(store, STATEMENT_IDEMPOTENCY_PUT);

    put->texts[0] = mem_strdup(key);
    put->texts[1] = mem_strdup(body_hash);
    put->texts[2] = mem_strdup(response);
    put->numbers[0] = now_us;
    put->numbers[1] = status;
}

static bool write_put(struct commit *commit, const struct store_put *put)
{
    struct bind bind = bind_begin(commit->store, put->statement);

    if (put->statement == STATEMENT_IMPORT_ERROR_DROP) {
        bind_text(&bind, put->texts[0]);
    } else if (put->statement == STATEMENT_IMPORT_ERROR_PUT) {
        bind_text(&bind, put->texts[0]);
        bind_int(&bind, put->numbers[0]);
        bind_text(&bind, put->texts[1]);
        bind_text(&bind, text_or(put->texts[2], "[]"));
    } else if (put->statement == STATEMENT_POOL_PUT) {
        bind_text(&bind, put->texts[0]);
        bind_int(&bind, put->numbers[0]);
        bind_text(&bind, put->texts[1]);
    } else if (put->statement == STATEMENT_IDEMPOTENCY_PUT) {
        bind_text(&bind, put->texts[0]);
        bind_text(&bind, put->texts[1]);
        bind_int(&bind, put->numbers[0]);
        bind_int(&bind, put->numbers[1]);
        bind_text(&bind, text_or(put->texts[2], ""));
    }
    return bind_run(&bind, commit->err);
}

static void clear_puts(struct store *store)
{
    for (size_t i = 0; i < store->put_count; i++)
        for (size_t k = 0; k < sizeof(store->puts[i].texts) / sizeof(char *); k++)
            free(store->puts[i].texts[k]);
    store->put_count = 0;
}

bool store_check_epoch(struct store *store, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_META_GET);
    int64_t epoch = 0;
    bool row = false;

    bind_text(&bind, "epoch");
    bool ok = bind_step(&bind, &row, err);
    if (ok && row) {
        struct columns columns = {.stmt = bind.stmt};
        (void)str_to_int(column_name(&columns), &epoch);
    }
    bind_end(&bind);
    if (ok && (uint64_t)epoch != store->identity.epoch) {
        store->is_broken = true;
        ok = err_set(err, ERR_CONFLICT,
                     "%s: another scheduler has taken the state over (epoch %lld, ours is %llu)",
                     store->path, (long long)epoch, (unsigned long long)store->identity.epoch);
    }
    return ok;
}

static bool write_all(struct commit *commit, const struct decisions *decisions)
{
    struct store *store = commit->store;
    struct bind begin = bind_begin(store, STATEMENT_BEGIN);
    struct bind end = bind_begin(store, STATEMENT_COMMIT);

    if (!bind_run(&begin, commit->err) || !store_check_epoch(store, commit->err))
        return false;
    for (size_t i = 0; i < store->put_count; i++)
        if (!write_put(commit, &store->puts[i]))
            return false;
    for (size_t i = 0; i < decisions->count; i++)
        if (!write_decision(commit, &decisions->items[i]))
            return false;
    return bind_run(&end, commit->err);
}

bool store_commit(struct store *store, const struct decisions *decisions, int64_t now_us,
                  struct err *err)
{
    struct commit commit = {.store = store, .now_us = now_us, .seq = store->last_seq, .err = err};
    bool needed = store->put_count > 0;

    if (store->is_broken)
        return err_set(err, ERR_IO, "%s: an earlier commit failed", store->path);
    for (size_t i = 0; i < decisions->count && !needed; i++)
        needed = is_durable(&decisions->items[i]);
    if (!needed)
        return true;
    reserve_ahead(store);
    latest_find(&commit.latest, decisions);
    bool ok = write_all(&commit, decisions);
    latest_release(&commit.latest);
    if (!ok) {
        /* The transaction stays open until the process ends: rolling back could touch the disk. */
        store->is_broken = true;
        return false;
    }
    store->last_seq = commit.seq;
    store_set_mark(store);
    clear_puts(store);
    return true;
}
