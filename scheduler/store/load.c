/* Loading for recovery, and the look-ups that prepare an event. */
#include "scheduler/store/statements.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

/* A name that is not in its table means a database that this program can't read. */
#define READ_ENUM(type, columns, out)                                                              \
    (type##_parse(column_name(columns), (out)) ||                                                  \
     err_set(err, ERR_IO, "state.db holds a " #type " that this program does not know"))

static void read_dag(struct columns *columns, struct dag_row *row)
{
    row->dag_id = column_text(columns);
    row->file = column_text(columns);
    row->is_paused = column_bool(columns);
    row->is_stale = column_bool(columns);
    row->version_id = column_int(columns);
    row->version_number = column_int(columns);
    row->last_tick_us = column_int(columns);
    row->next_start_us = column_int(columns);
    row->next_end_us = column_int(columns);
    row->parsed_at_us = column_int(columns);
    row->failed_in_row = column_int(columns);
    row->pause_reason = column_text(columns);
}

static void read_version(struct columns *columns, struct version_row *row)
{
    row->id = column_int(columns);
    row->dag_id = column_text(columns);
    row->number = column_int(columns);
    row->hash = column_text(columns);
    row->file = column_text(columns);
    row->source = column_str(columns);
    row->created_at_us = column_int(columns);
}

static bool read_run(struct columns *columns, struct run_row *row, struct err *err)
{
    row->id = column_int(columns);
    row->dag_id = column_text(columns);
    row->run_id = column_text(columns);
    row->version_id = column_int(columns);
    if (!READ_ENUM(run_type, columns, &row->run_type) ||
        !READ_ENUM(run_state, columns, &row->state) ||
        !READ_ENUM(triggered_by, columns, &row->triggered_by))
        return false;
    row->logical_date_us = column_int(columns);
    row->interval_start_us = column_int(columns);
    row->interval_end_us = column_int(columns);
    row->run_after_us = column_int(columns);
    row->queued_at_us = column_int(columns);
    row->started_at_us = column_int(columns);
    row->ended_at_us = column_int(columns);
    row->backfill_id = column_int(columns);
    row->clear_number = column_int(columns);
    row->conf = column_text(columns);
    row->note = column_text(columns);
    row->reason = column_text(columns);
    row->doom = column_text(columns);
    row->is_forced = column_int(columns) != 0;
    row->deadlines_missed = column_int(columns);
    return true;
}

static bool read_task(struct columns *columns, struct task_row *row, struct err *err)
{
    row->run = column_int(columns);
    row->task = (uint32_t)column_int(columns);
    row->map_index = (int32_t)column_int(columns);
    row->task_id = column_text(columns);
    if (!READ_ENUM(task_state, columns, &row->state))
        return false;
    row->try_number = column_int(columns);
    row->max_tries = column_int(columns);
    row->scheduled_at_us = column_int(columns);
    row->queued_at_us = column_int(columns);
    row->started_at_us = column_int(columns);
    row->ended_at_us = column_int(columns);
    row->retry_at_us = column_int(columns);
    row->reason = column_text(columns);
    row->wait_since_us = column_int(columns);
    row->pokes = column_int(columns);
    return true;
}

static bool read_attempt(struct columns *columns, struct attempt_row *row, struct err *err)
{
    row->run = column_int(columns);
    row->task = (uint32_t)column_int(columns);
    row->map_index = (int32_t)column_int(columns);
    row->try_number = column_int(columns);
    row->token = column_text(columns);
    if (!READ_ENUM(task_state, columns, &row->state))
        return false;
    row->worker = column_text(columns);
    row->pid = column_int(columns);
    row->queued_at_us = column_int(columns);
    row->started_at_us = column_int(columns);
    row->ended_at_us = column_int(columns);
    row->exit_code = column_int_or(columns, -1);
    row->signal = column_int(columns);
    struct str outcome = column_name(columns);
    if (outcome.ptr != NULL && !outcome_parse(outcome, &row->outcome))
        return err_set(err, ERR_IO, "state.db holds an unknown outcome `%.*s`", STR_ARG(outcome));
    row->reason = column_text(columns);
    row->rendered = column_text(columns);
    row->outputs = column_text(columns);
    row->stop_reason = column_text(columns);
    return true;
}

static bool read_backfill(struct columns *columns, struct backfill_row *row, struct err *err)
{
    row->id = column_int(columns);
    row->dag_id = column_text(columns);
    row->from_us = column_int(columns);
    row->to_us = column_int(columns);
    row->run_backwards = column_bool(columns);
    row->is_paused = column_bool(columns);
    if (!READ_ENUM(reprocess, columns, &row->reprocess))
        return false;
    row->max_active_runs = column_int(columns);
    row->conf = column_text(columns);
    row->created_at_us = column_int(columns);
    row->updated_at_us = column_int(columns);
    row->completed_at_us = column_int(columns);
    row->cursor_us = column_int(columns);
    row->total = column_int(columns);
    row->made = column_int(columns);
    row->skipped = column_int(columns);
    row->succeeded = column_int(columns);
    row->failed = column_int(columns);
    row->cancelled = column_bool(columns);
    row->tasks = column_text(columns);
    row->upstream = column_bool(columns);
    row->downstream = column_bool(columns);
    if (!READ_ENUM(on_failure, columns, &row->on_failure))
        return false;
    row->pause_reason = column_text(columns);
    row->retry_before_us = column_int(columns);
    row->retry_cursor_us = column_int(columns);
    row->pace_us = column_int(columns);
    row->paced_at_us = column_int(columns);
    row->is_forced = column_bool(columns);
    return true;
}

/* The rows of a query, one after the other, each in an arena of its own. Whoever walks them sets
 * `ok` to false to stop; the query is over when rows_next() says false. */
struct rows {
    struct bind bind;
    struct arena arena;
    struct columns columns; /* of the row at hand */
    bool ok;
};

static struct rows rows_of(struct bind bind)
{
    return (struct rows){.bind = bind, .ok = true};
}

static bool rows_next(struct rows *rows, struct err *err)
{
    bool row = false;

    arena_release(&rows->arena);
    rows->ok = rows->ok && bind_step(&rows->bind, &row, err);
    rows->columns = (struct columns){.stmt = rows->bind.stmt, .arena = &rows->arena};
    if (rows->ok && row)
        return true;
    bind_end(&rows->bind);
    return false;
}

bool store_load_dags(struct store *store, const char *dag_id, store_each_dag each, void *context,
                     struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_LOAD_DAGS);

    bind_text(&bind, dag_id);
    struct rows rows = rows_of(bind);
    while (rows_next(&rows, err)) {
        struct dag_row dag = {0};
        struct version_row version = {0};
        read_dag(&rows.columns, &dag);
        read_version(&rows.columns, &version);
        rows.ok = each(context, &dag, &version, err);
    }
    return rows.ok;
}

static bool read_callback(struct columns *columns, struct callback_row *row, struct err *err)
{
    row->id = column_int(columns);
    row->dag_id = column_text(columns);
    row->run = column_int(columns);
    row->task_id = column_text(columns);
    row->map_index = (int32_t)column_int(columns);
    if (!READ_ENUM(callback_event, columns, &row->event) ||
        !READ_ENUM(callback_state, columns, &row->state))
        return false;
    row->kind = column_text(columns);
    row->options = column_text(columns);
    row->document = column_text(columns);
    row->tries = column_int(columns);
    row->max_tries = column_int(columns);
    row->retry_delay_us = column_int(columns);
    row->created_at_us = column_int(columns);
    row->next_at_us = column_int(columns);
    row->ended_at_us = column_int(columns);
    row->token = column_text(columns);
    row->worker = column_text(columns);
    row->reason = column_text(columns);
    return true;
}

bool store_load_callbacks(struct store *store, const char *dag_id, store_each_callback each,
                          void *context, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_LOAD_CALLBACKS);

    bind_text(&bind, dag_id);
    struct rows rows = rows_of(bind);
    while (rows_next(&rows, err)) {
        struct callback_row callback = {0};
        rows.ok = read_callback(&rows.columns, &callback, err);
        if (rows.ok)
            each(context, &callback);
    }
    return rows.ok;
}

bool store_load_live_backfills(struct store *store, const char *dag_id, store_each_backfill each,
                               void *context, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_LOAD_BACKFILLS);

    bind_text(&bind, dag_id);
    struct rows rows = rows_of(bind);
    while (rows_next(&rows, err)) {
        struct backfill_row backfill = {0};
        rows.ok = read_backfill(&rows.columns, &backfill, err) && each(context, &backfill, err);
    }
    return rows.ok;
}

bool store_load_asset_waits(struct store *store, store_each_asset_wait each, void *context,
                            struct err *err)
{
    struct rows rows = rows_of(bind_begin(store, STATEMENT_LOAD_ASSET_WAITS));

    while (rows_next(&rows, err)) {
        struct asset_wait_row wait = {0};
        wait.dag_id = column_text(&rows.columns);
        wait.asset = column_text(&rows.columns);
        wait.partition = column_text(&rows.columns);
        wait.event = column_int(&rows.columns);
        wait.extra = column_text(&rows.columns);
        wait.event_partition = column_text(&rows.columns);
        rows.ok = each(context, &wait, err);
    }
    return rows.ok;
}

bool store_load_unseen_asset_events(struct store *store, store_each_asset_event each, void *context,
                                    struct err *err)
{
    struct rows rows = rows_of(bind_begin(store, STATEMENT_LOAD_ASSET_EVENTS));

    while (rows_next(&rows, err)) {
        struct asset_event_row event = {.map_index = -1};
        event.id = column_int(&rows.columns);
        event.asset = column_text(&rows.columns);
        event.at_us = column_int(&rows.columns);
        event.partition = column_text(&rows.columns);
        event.extra = column_text(&rows.columns);
        rows.ok = each(context, &event, err);
    }
    return rows.ok;
}

/* All task rows of a run, as an array in the arena. */
static bool load_tasks(struct store *store, int64_t run, struct arena *arena,
                       const struct task_row **ret_rows, size_t *ret_count, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_LOAD_TASKS);
    struct task_row *rows = NULL;
    size_t count = 0;
    size_t capacity = 0;
    bool row = false;

    bind_int(&bind, run);
    bool ok = bind_step(&bind, &row, err);
    while (ok && row) {
        struct columns columns = {.stmt = bind.stmt, .arena = arena};
        if (count == capacity) {
            capacity = mem_grow(capacity, count + 1);
            rows = mem_resize_array(rows, capacity, sizeof(*rows));
        }
        rows[count] = (struct task_row){0};
        ok = read_task(&columns, &rows[count++], err) && bind_step(&bind, &row, err);
    }
    bind_end(&bind);
    if (ok && count > 0) {
        struct task_row *copy = arena_alloc_array(arena, count, sizeof(*copy));
        for (size_t i = 0; i < count; i++)
            copy[i] = rows[i];
        *ret_rows = copy;
    }
    *ret_count = ok ? count : 0;
    free(rows);
    return ok;
}

static bool load_attempts(struct store *store, int64_t run, struct arena *arena,
                          const struct attempt_row **ret_rows, size_t *ret_count, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_LOAD_ATTEMPTS);
    struct attempt_row *rows = NULL;
    size_t count = 0;
    size_t capacity = 0;
    bool row = false;

    bind_int(&bind, run);
    bool ok = bind_step(&bind, &row, err);
    while (ok && row) {
        struct columns columns = {.stmt = bind.stmt, .arena = arena};
        if (count == capacity) {
            capacity = mem_grow(capacity, count + 1);
            rows = mem_resize_array(rows, capacity, sizeof(*rows));
        }
        rows[count] = (struct attempt_row){0};
        ok = read_attempt(&columns, &rows[count++], err) && bind_step(&bind, &row, err);
    }
    bind_end(&bind);
    if (ok && count > 0) {
        struct attempt_row *copy = arena_alloc_array(arena, count, sizeof(*copy));
        for (size_t i = 0; i < count; i++)
            copy[i] = rows[i];
        *ret_rows = copy;
    }
    *ret_count = ok ? count : 0;
    free(rows);
    return ok;
}

static bool load_version(struct store *store, int64_t id, struct arena *arena,
                         struct version_row *ret, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_LOAD_VERSION);
    bool row = false;

    bind_int(&bind, id);
    bool ok = bind_step(&bind, &row, err);
    if (ok && !row)
        ok = err_set(err, ERR_IO, "%s: version %lld is missing", store->path, (long long)id);
    if (ok) {
        struct columns columns = {.stmt = bind.stmt, .arena = arena};
        read_version(&columns, ret);
    }
    bind_end(&bind);
    return ok;
}

struct run_loader {
    struct store *store;
    store_each_run each;
    void *context;
    struct arena version_arena; /* of the version loaded last: runs of one version come together */
    struct version_row version;
};

static bool load_run(struct run_loader *loader, struct columns *columns, struct err *err)
{
    struct run_row run = {0};
    const struct task_row *tasks = NULL;
    const struct attempt_row *attempts = NULL;
    size_t task_count = 0;
    size_t attempt_count = 0;

    if (!read_run(columns, &run, err))
        return false;
    if (loader->version.id != run.version_id) {
        arena_release(&loader->version_arena);
        loader->version = (struct version_row){0};
        if (!load_version(loader->store, run.version_id, &loader->version_arena, &loader->version,
                          err))
            return false;
    }
    return load_tasks(loader->store, run.id, columns->arena, &tasks, &task_count, err) &&
           load_attempts(loader->store, run.id, columns->arena, &attempts, &attempt_count, err) &&
           loader->each(loader->context, &run, &loader->version, tasks, task_count, attempts,
                        attempt_count, err);
}

bool store_load_live_runs(struct store *store, const char *dag_id, store_each_run each,
                          void *context, struct err *err)
{
    struct run_loader loader = {.store = store, .each = each, .context = context};
    struct bind bind = bind_begin(store, STATEMENT_LOAD_RUNS);

    bind_text(&bind, dag_id);
    struct rows rows = rows_of(bind);
    while (rows_next(&rows, err))
        rows.ok = load_run(&loader, &rows.columns, err);
    arena_release(&loader.version_arena);
    return rows.ok;
}

bool store_load_foreign_tokens(struct store *store, const char *dag_id, store_each_token each,
                               void *context, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_LOAD_OPEN_TOKENS);

    bind_text(&bind, dag_id);
    struct rows rows = rows_of(bind);
    while (rows_next(&rows, err))
        each(context, column_text(&rows.columns));
    return rows.ok;
}

/* The statement that finds the run of a want, bound. */
static struct bind find_wanted(struct store *store, const struct core_want *want)
{
    if (want->is_previous) {
        struct bind before = bind_begin(store, STATEMENT_FIND_RUN_BEFORE);
        bind_text(&before, want->dag_id);
        bind_int(&before, want->logical_date_us);
        bind_int(&before, want->skip_manual);
        return before;
    }
    if (!want->is_retry) {
        struct bind by_date = bind_begin(store, STATEMENT_FIND_RUN_BY_DATE);
        bind_text(&by_date, want->dag_id);
        bind_int(&by_date, want->logical_date_us);
        return by_date;
    }
    struct bind bind = bind_begin(store, want->is_backwards ? STATEMENT_FIND_FAILED_BACKWARDS
                                                            : STATEMENT_FIND_FAILED_FORWARDS);
    bind_int(&bind, want->backfill_id);
    bind_int(&bind, want->logical_date_us);
    bind_int(&bind, want->before_us);
    bind_int(&bind, want->offset);
    return bind;
}

static bool find_changed_input(struct store *store, struct arena *arena, struct known_run *known,
                               struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_FIND_CHANGED_INPUT);
    bool row = false;

    bind_int(&bind, known->row.id);
    bool ok = bind_step(&bind, &row, err);
    if (ok && row) {
        struct columns columns = {.stmt = bind.stmt, .arena = arena};
        known->changed_input = column_text(&columns);
    }
    bind_end(&bind);
    return ok;
}

static bool takes_attempts(const struct core_want *want, const struct known_run *known)
{
    return !want->is_question && !want->is_previous &&
           (want->reprocess != REPROCESS_FAILED || known->row.state == RUN_FAILED);
}

/* What the core needs to know of a finished run that may be processed again. */
static bool attach(struct store *store, struct arena *arena, const struct core_want *want,
                   struct known_run *known, struct err *err)
{
    bool is_stale = want->reprocess == REPROCESS_STALE;

    if (!want->is_question && !want->is_previous &&
        (want->reprocess == REPROCESS_NONE || want->reprocess == REPROCESS_MISSING))
        return true;
    return (!is_stale || find_changed_input(store, arena, known, err)) &&
           load_tasks(store, known->row.id, arena, &known->tasks, &known->task_count, err) &&
           (!takes_attempts(want, known) ||
            load_attempts(store, known->row.id, arena, &known->attempts, &known->attempt_count,
                          err));
}

bool store_known_run(struct store *store, struct arena *arena, const struct core_want *want,
                     struct known_run *ret, struct err *err)
{
    struct bind bind = find_wanted(store, want);
    struct known_run known = {0};

    bool ok = bind_step(&bind, &known.exists, err);
    if (ok && known.exists) {
        struct columns columns = {.stmt = bind.stmt, .arena = arena};
        ok = read_run(&columns, &known.row, err);
        known.version_hash = ok ? column_text(&columns) : NULL;
        known.version_number = ok ? column_int(&columns) : 0;
    }
    bind_end(&bind);
    if (ok && known.exists && run_state_is_final(known.row.state))
        ok = attach(store, arena, want, &known, err);
    if (ok)
        *ret = known;
    return ok;
}

/* The runs that a query gives, in the arena; `limit` of them are too many. */
static bool find_runs(struct bind *bind, struct arena *arena, struct run_rows **ret,
                      size_t *ret_count, struct err *err)
{
    struct run_rows *runs = arena_alloc_array(arena, CHOICE_RUNS_MAX, sizeof(*runs));
    size_t count = 0;
    bool row = false;

    bool ok = bind_step(bind, &row, err);
    while (ok && row) {
        struct columns columns = {.stmt = bind->stmt, .arena = arena};
        if (count == CHOICE_RUNS_MAX) {
            ok = err_set(err, ERR_LIMIT, "more than %d runs at once: give them in parts",
                         CHOICE_RUNS_MAX);
            break;
        }
        ok = read_run(&columns, &runs[count++].row, err) && bind_step(bind, &row, err);
    }
    bind_end(bind);
    *ret = runs;
    *ret_count = ok ? count : 0;
    return ok;
}

static bool find_named(struct store *store, struct arena *arena, const char *dag_id,
                       const char *run_id, struct run_rows **ret, size_t *ret_count,
                       struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_FIND_RUN_NAMED);

    bind_text(&bind, dag_id);
    bind_text(&bind, run_id);
    return find_runs(&bind, arena, ret, ret_count, err);
}

/* With past or future: from and to in place of the one run. */
static bool widen(const struct run_choice *choice, const struct run_row *run,
                  struct run_choice *ret, struct err *err)
{
    if (run->logical_date_us == 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "run %s has no logical date: there are no runs before and after it",
                       run->run_id);
    *ret = (struct run_choice){
        .from_us = choice->include_past ? 0 : run->logical_date_us,
        .to_us = choice->include_future ? 0 : run->logical_date_us,
    };
    return true;
}

static bool find_range(struct store *store, struct arena *arena, const char *dag_id,
                       const struct run_choice *range, bool dated, struct run_rows **ret,
                       size_t *ret_count, struct err *err)
{
    struct bind bind =
        bind_begin(store, dated ? STATEMENT_FIND_RUNS_BETWEEN : STATEMENT_FIND_RUNS_OF_DAG);

    bind_text(&bind, dag_id);
    if (dated) {
        bind_int(&bind, range->from_us == 0 ? INT64_MIN : range->from_us);
        bind_int(&bind, range->to_us == 0 ? INT64_MAX : range->to_us);
    }
    bind_int(&bind, CHOICE_RUNS_MAX + 1);
    return find_runs(&bind, arena, ret, ret_count, err);
}

bool store_choose_runs(struct store *store, struct arena *arena, const char *dag_id,
                       const struct run_choice *choice, struct run_rows **ret, size_t *ret_count,
                       struct err *err)
{
    struct run_choice range = *choice;

    if (choice->run_id != NULL) {
        if (!find_named(store, arena, dag_id, choice->run_id, ret, ret_count, err))
            return false;
        if (*ret_count == 0 || (!choice->include_past && !choice->include_future))
            return true;
        if (!widen(choice, &(*ret)[0].row, &range, err))
            return false;
    }
    bool dated = choice->run_id != NULL || range.from_us != 0 || range.to_us != 0;
    return find_range(store, arena, dag_id, &range, dated, ret, ret_count, err);
}

bool store_load_run_rows(struct store *store, struct arena *arena, struct run_rows *run,
                         struct err *err)
{
    return load_tasks(store, run->row.id, arena, &run->tasks, &run->task_count, err) &&
           load_attempts(store, run->row.id, arena, &run->attempts, &run->attempt_count, err);
}

bool store_load_version(struct store *store, struct arena *arena, int64_t id,
                        struct version_row *ret, struct err *err)
{
    return load_version(store, id, arena, ret, err);
}

bool store_find_backfill(struct store *store, struct arena *arena, int64_t id,
                         const struct backfill_row **ret, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_FIND_BACKFILL);
    bool row = false;

    *ret = NULL;
    bind_int(&bind, id);
    bool ok = bind_step(&bind, &row, err);
    if (ok && row) {
        struct columns columns = {.stmt = bind.stmt, .arena = arena};
        struct backfill_row *found = arena_alloc(arena, sizeof(*found));
        ok = read_backfill(&columns, found, err);
        *ret = found;
    }
    bind_end(&bind);
    return ok;
}

bool store_run_id_exists(struct store *store, const char *dag_id, const char *run_id, bool *ret,
                         struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_FIND_RUN_BY_ID);
    bool row = false;

    bind_text(&bind, dag_id);
    bind_text(&bind, run_id);
    bool ok = bind_step(&bind, &row, err);
    bind_end(&bind);
    if (ok)
        *ret = row;
    return ok;
}
