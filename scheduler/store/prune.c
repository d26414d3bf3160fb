#include "scheduler/store/prune.h"

#include "scheduler/store/statements.h"

#include <assert.h>
#include <string.h>

/* What one step may look at and remove: a few milliseconds of the loop's time. */
#define SEEN_MAX 256
#define ROWS_MAX 400

/* The tables that are gone through, in this order: what a run needed may go once the run has. */
static const struct {
    enum statement find; /* of the next rows by id: the id, and whether the row may go */
    enum statement remove;
    size_t max; /* rows removed in a step: many go with a run, and a version is long */
} tables[] = {
    {STATEMENT_PRUNE_FIND,           STATEMENT_PRUNE_RUN,      16 },
    {STATEMENT_PRUNE_FIND_EVENTS,    STATEMENT_PRUNE_EVENT,    256},
    {STATEMENT_PRUNE_FIND_BACKFILLS, STATEMENT_PRUNE_BACKFILL, 64 },
    {STATEMENT_PRUNE_FIND_VERSIONS,  STATEMENT_PRUNE_VERSION,  16 },
};
#define TABLE_COUNT (sizeof(tables) / sizeof(tables[0]))
#define TABLE_RUNS 0

/* The rows that may go, of the next ones of the pass's table; at its end comes the next table. */
static bool find_rows(struct store *store, struct prune *prune, int64_t *ids, size_t *ret_count,
                      struct err *err)
{
    struct bind bind = bind_begin(store, tables[prune->table].find);
    size_t seen = 0;
    bool row = false;

    *ret_count = 0;
    bind_int(&bind, prune->cursor);
    bind_int(&bind, prune->ended_before_us);
    bind_int(&bind, SEEN_MAX);
    bool ok = bind_step(&bind, &row, err);
    while (ok && row && *ret_count < tables[prune->table].max) {
        struct columns columns = {.stmt = bind.stmt};
        prune->cursor = column_int(&columns);
        if (column_bool(&columns))
            ids[(*ret_count)++] = prune->cursor;
        seen++;
        ok = bind_step(&bind, &row, err);
    }
    bind_end(&bind);
    if (ok && seen == 0) {
        prune->cursor = 0;
        prune->table++;
    }
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

static bool remove_found(struct store *store, struct prune *prune, const int64_t *ids, size_t count,
                         struct err *err)
{
    bool are_runs = prune->table == TABLE_RUNS;

    for (size_t i = 0; i < count; i++)
        if ((are_runs && !run_with(store, STATEMENT_PRUNE_NOTE, &ids[i], 1, err)) ||
            !run_with(store, tables[prune->table].remove, &ids[i], 1, err))
            return false;
    *(are_runs ? &prune->runs : &prune->rows) += (int64_t)count;
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
    static const enum statement of_run[] = {
        STATEMENT_PRUNE_TRANSITIONS, STATEMENT_PRUNE_ATTEMPTS,  STATEMENT_PRUNE_TASKS,
        STATEMENT_PRUNE_USES,        STATEMENT_PRUNE_CALLBACKS, STATEMENT_PRUNE_ASSET_EVENTS};
    int64_t left = ROWS_MAX;

    for (size_t i = 0; i < sizeof(of_run) / sizeof(of_run[0]); i++) {
        const int64_t numbers[] = {run, left};
        if (!run_with(store, of_run[i], numbers, 2, err))
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

/* Rows of runs that are gone come first, then further runs and what they needed, and at the end of
 * a pass the keys. */
bool store_prune(struct store *store, struct prune *prune, bool *ret_more, struct err *err)
{
    int64_t ids[SEEN_MAX];
    int64_t noted = 0;
    size_t count = 0;

    *ret_more = true;
    if (store->is_broken)
        return err_set(err, ERR_IO, "%s: an earlier commit failed", store->path);
    if (!first_noted(store, &noted, err))
        return false;
    if (noted != 0)
        return begin(store, err) && remove_rows(store, prune, noted, err) && end(store, err);
    if (prune->ended_before_us != 0 && prune->table < TABLE_COUNT)
        return find_rows(store, prune, ids, &count, err) &&
               (count == 0 || (begin(store, err) && remove_found(store, prune, ids, count, err) &&
                               end(store, err)));
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
