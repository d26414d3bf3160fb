/* Appending rows to a table without going through SQL text. */
#include "base/mem.h"
#include "tasks/engine/internal.h"

#include <stdlib.h>

struct engine_appender {
    duckdb_appender appender;
    bool failed; /* a value was refused; reported with its row */
};

struct engine_appender *engine_append_begin(struct engine *engine, const char *table,
                                            struct err *err)
{
    struct engine_appender *appender = mem_alloc(sizeof(*appender));

    if (duckdb_appender_create(engine->connection, NULL, table, &appender->appender) ==
        DuckDBSuccess)
        return appender;
    err_set(err, ERR_FAILED, "append to %s: %s", table, duckdb_appender_error(appender->appender));
    (void)duckdb_appender_destroy(&appender->appender);
    free(appender);
    return NULL;
}

void engine_append_int(struct engine_appender *appender, int64_t value)
{
    if (duckdb_append_int64(appender->appender, value) != DuckDBSuccess)
        appender->failed = true;
}

void engine_append_text(struct engine_appender *appender, struct str value)
{
    if (duckdb_append_varchar_length(appender->appender, value.ptr == NULL ? "" : value.ptr,
                                     value.len) != DuckDBSuccess)
        appender->failed = true;
}

void engine_append_null(struct engine_appender *appender)
{
    if (duckdb_append_null(appender->appender) != DuckDBSuccess)
        appender->failed = true;
}

static bool fail(struct engine_appender *appender, struct err *err)
{
    const char *message = duckdb_appender_error(appender->appender);

    return engine_fail(err, DUCKDB_ERROR_INVALID, message);
}

bool engine_append_row(struct engine_appender *appender, struct err *err)
{
    if (!appender->failed && duckdb_appender_end_row(appender->appender) == DuckDBSuccess)
        return true;
    return fail(appender, err);
}

bool engine_append_end(struct engine_appender *appender, struct err *err)
{
    bool ok = duckdb_appender_close(appender->appender) == DuckDBSuccess || fail(appender, err);

    (void)duckdb_appender_destroy(&appender->appender);
    free(appender);
    return ok;
}
