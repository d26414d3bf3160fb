#include "scheduler/store/prune.h"

#include "scheduler/store/statements.h"

#include <assert.h>
#include <string.h>

/* What one step may look at and remove: a few milliseconds of the loop's time. */
#define RUNS_SEEN_MAX 256
#define RUNS_MAX 16
#define ROWS_MAX 400

/* The runs that may go, of the next ones in the order of their ids. */
static bool find_runs(struct store *store, struct prune *prune, int64_t *runs, size_t *ret_count,
                      struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_PRUNE_FIND);
    size_t seen = 0;
    bool row = false;

    *ret_count = 0;
    bind_int(&bind, prune->cursor);
    bind_int(&bind, prune->ended_before_us);
    bind_int(&bind, RUNS_SEEN_MAX);
    bool ok = bind_step(&bind, &row, err);
    while (ok && row && *ret_count < RUNS_MAX) {
        struct columns columns = {.stmt = bind.stmt};
        prune->cursor = column_int(&columns);
        if (column_bool(&columns))
            runs[(*ret_count)++] = prune->cursor;
        seen++;
        ok = bind_step(&bind, &row, err);
    }
    bind_end(&bind);
    if (ok && seen == 0)
        prune->cursor = 0;
    return ok;
}

static bool run_with(struct store *store, enum statement statement, const int64_t *numbers,
                     size_t count, struct err *err)
{
    struct bind bind = bind_begin(store, statement);

    for (size_t i = 0; i < count; i++)
        bind_int(&bind, numbers[i]);
    return bind_run(&bind, err);
}

static bool remove_runs(struct store *store, struct prune *prune, const int64_t *runs, size_t count,
                        struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!run_with(store, STATEMENT_PRUNE_NOTE, &runs[i], 1, err) ||
            !run_with(store, STATEMENT_PRUNE_RUN, &runs[i], 1, err))
            return false;
    prune->runs += (int64_t)count;
    return true;
}

/* 0 when there is none. */
static bool first_noted(struct store *store, int64_t *ret, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_PRUNE_NEXT);
    bool row = false;
    bool ok = bind_step(&bind, &row, err);

    *ret = 0;
    if (ok && row) {
        struct columns columns = {.stmt = bind.stmt};
        *ret = column_int(&columns);
    }
    bind_end(&bind);
    return ok;
}

/* What hangs on the run, table by table, until the step has done enough; then the note. */
static bool remove_rows(struct store *store, struct prune *prune, int64_t run, struct err *err)
{
    static const enum statement tables[] = {
        STATEMENT_PRUNE_TRANSITIONS, STATEMENT_PRUNE_ATTEMPTS,  STATEMENT_PRUNE_TASKS,
        STATEMENT_PRUNE_USES,        STATEMENT_PRUNE_CALLBACKS, STATEMENT_PRUNE_ASSET_EVENTS};
    int64_t left = ROWS_MAX;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        const int64_t numbers[] = {run, left};
        if (!run_with(store, tables[i], numbers, 2, err))
            return false;
        left -= sqlite3_changes(store->db);
        prune->rows += sqlite3_changes(store->db);
        if (left <= 0)
            return true;
    }
    return run_with(store, STATEMENT_PRUNE_DONE, &run, 1, err);
}

static bool remove_keys(struct store *store, struct prune *prune, bool *ret_more, struct err *err)
{
    const int64_t numbers[] = {prune->keys_before_us, ROWS_MAX};

    if (!run_with(store, STATEMENT_PRUNE_KEYS, numbers, 2, err))
        return false;
    prune->rows += sqlite3_changes(store->db);
    *ret_more = sqlite3_changes(store->db) == ROWS_MAX;
    return true;
}

static bool begin(struct store *store, struct err *err)
{
    return run_with(store, STATEMENT_BEGIN, NULL, 0, err) && store_check_epoch(store, err);
}

static bool end(struct store *store, struct err *err)
{
    return run_with(store, STATEMENT_COMMIT, NULL, 0, err);
}

/* Rows of runs that are gone come first, then further runs, and at the end of a pass the keys. */
bool store_prune(struct store *store, struct prune *prune, bool *ret_more, struct err *err)
{
    int64_t runs[RUNS_MAX];
    int64_t noted = 0;
    size_t count = 0;

    *ret_more = true;
    if (store->is_broken)
        return err_set(err, ERR_IO, "%s: an earlier commit failed", store->path);
    if (!first_noted(store, &noted, err))
        return false;
    if (noted != 0)
        return begin(store, err) && remove_rows(store, prune, noted, err) && end(store, err);
    if (prune->ended_before_us != 0) {
        if (!find_runs(store, prune, runs, &count, err))
            return false;
        if (count > 0)
            return begin(store, err) && remove_runs(store, prune, runs, count, err) &&
                   end(store, err);
        if (prune->cursor != 0)
            return true;
    }
    *ret_more = false;
    return prune->keys_before_us == 0 ||
           (begin(store, err) && remove_keys(store, prune, ret_more, err) && end(store, err));
}

bool store_is_run_over(struct store *store, int64_t run, int64_t ended_before_us, bool *ret_gone,
                       bool *ret_over, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_PRUNE_LOOK);
    bool row = false;

    bind_int(&bind, run);
    bind_int(&bind, ended_before_us);
    bool ok = bind_step(&bind, &row, err);
    if (ok) {
        assert(row); /* of aggregates */
        struct columns columns = {.stmt = bind.stmt};
        *ret_gone = column_bool(&columns);
        *ret_over = column_bool(&columns);
    }
    bind_end(&bind);
    return ok;
}
