/* Opening the database, checking that it is the one we were built for, and running statements. */
#include "tasks/engine/engine.h"

#include "base/mem.h"
#include "tasks/engine/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool engine_fail(struct err *err, duckdb_error_type type, const char *message)
{
    enum err_code code = ERR_DATA;
    const char *text = message == NULL ? "unknown error" : message;

    if (type == DUCKDB_ERROR_PARSER || type == DUCKDB_ERROR_SYNTAX || type == DUCKDB_ERROR_BINDER ||
        type == DUCKDB_ERROR_CATALOG)
        code = ERR_INVALID;
    if (type == DUCKDB_ERROR_IO || strstr(text, "No space left on device") != NULL)
        code = ERR_IO;
    if (type == DUCKDB_ERROR_OUT_OF_MEMORY)
        code = ERR_LIMIT;
    return err_set(err, code, "%s", text);
}

static bool config_set(duckdb_config config, const char *name, const char *value, struct err *err)
{
    if (duckdb_set_config(config, name, value) == DuckDBSuccess)
        return true;
    return err_set(err, ERR_FAILED, "DuckDB does not know the setting %s", name);
}

static bool open_database(struct engine *engine, struct err *err)
{
    static const char *const settings[][2] = {
        {"threads",                      "1"    },
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions",    "false"},
        {"preserve_insertion_order",     "true" },
    };
    duckdb_config config = NULL;
    char *message = NULL;
    bool ok = duckdb_create_config(&config) == DuckDBSuccess ||
              err_set(err, ERR_FAILED, "DuckDB gives no configuration");

    for (size_t i = 0; ok && i < sizeof(settings) / sizeof(settings[0]); i++)
        ok = config_set(config, settings[i][0], settings[i][1], err);
    if (ok && duckdb_open_ext(NULL, &engine->database, config, &message) != DuckDBSuccess)
        ok = err_set(err, ERR_FAILED, "open DuckDB: %s", message == NULL ? "failed" : message);
    if (ok && duckdb_connect(engine->database, &engine->connection) != DuckDBSuccess)
        ok = err_set(err, ERR_FAILED, "connect to DuckDB");
    duckdb_free(message);
    duckdb_destroy_config(&config);
    return ok;
}

/* The features below come with the library only when it was built with these extensions in it. */
static bool check_extensions(struct engine *engine, struct err *err)
{
    static const char sql[] = "SELECT coalesce(string_agg(n, ', ' ORDER BY n), '') FROM "
                              "(VALUES ('parquet'), ('json'), ('icu'), ('core_functions')) t(n) "
                              "WHERE n NOT IN (SELECT extension_name FROM duckdb_extensions() "
                              "WHERE loaded)";
    struct engine_result *result = engine_query(engine, sql, err);
    bool ok = result != NULL && engine_next(result, err);

    if (ok && engine_text(result, 0).len > 0)
        ok = err_set(err, ERR_FAILED,
                     "libduckdb.so lacks the built-in extensions %.*s: fetch the pinned build with "
                     "deploy/fetch-npm",
                     STR_ARG(engine_text(result, 0)));
    engine_result_free(result);
    return ok;
}

static bool check_version(struct err *err)
{
    const char *version = duckdb_library_version();

    if (strcmp(version, ENGINE_DUCKDB_VERSION) == 0)
        return true;
    return err_set(err, ERR_FAILED,
                   "libduckdb.so is %s, but " ENGINE_DUCKDB_VERSION
                   " is needed: fetch the pinned build with deploy/fetch-npm",
                   version);
}

/* The function is registered before any row is streamed: inside the transaction of a result that
 * was not read to its end it would be rolled back with it. */
struct engine *engine_open(struct err *err)
{
    if (!check_version(err))
        return NULL;
    struct engine *engine = mem_alloc(sizeof(*engine));
    if (open_database(engine, err) && engine_run(engine, "SET GLOBAL TimeZone='UTC'", NULL, err) &&
        engine_register_xxh3(engine->connection, err) &&
        engine_register_strict(engine->connection, err) && check_extensions(engine, err))
        return engine;
    engine_close(engine);
    return NULL;
}

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->connection != NULL)
        duckdb_disconnect(&engine->connection);
    if (engine->database != NULL)
        duckdb_close(&engine->database);
    free(engine);
}

bool engine_set_limits(struct engine *engine, int64_t memory_bytes, int64_t threads,
                       const char *temp_folder, struct err *err)
{
    struct buf sql = {0};

    buf_printf(&sql, "SET memory_limit='%" PRId64 "B'; SET threads=%" PRId64 "; ", memory_bytes,
               threads < 1 ? 1 : threads);
    buf_add_text(&sql, "SET temp_directory=");
    engine_add_literal(&sql, str_from(temp_folder));
    bool ok = engine_run(engine, buf_text(&sql), NULL, err);
    buf_release(&sql);
    return ok;
}

bool engine_run(struct engine *engine, const char *sql, int64_t *ret_changed, struct err *err)
{
    duckdb_connection connection = engine->connection;
    duckdb_result result;

    /* A second query on one connection would end the result that is being streamed from it. */
    if (engine->streaming > 0 && duckdb_connect(engine->database, &connection) != DuckDBSuccess)
        return err_set(err, ERR_FAILED, "connect to DuckDB");
    bool ok = duckdb_query(connection, sql, &result) == DuckDBSuccess;
    if (!ok)
        engine_fail(err, duckdb_result_error_type(&result), duckdb_result_error(&result));
    else if (ret_changed != NULL)
        *ret_changed = (int64_t)duckdb_rows_changed(&result);
    duckdb_destroy_result(&result);
    if (connection != engine->connection)
        duckdb_disconnect(&connection);
    return ok;
}

static bool check_prepared(struct engine *engine, duckdb_extracted_statements statements,
                           struct err *err)
{
    duckdb_prepared_statement prepared = NULL;
    bool ok = duckdb_prepare_extracted_statement(engine->connection, statements, 0, &prepared) ==
              DuckDBSuccess;

    if (!ok)
        err_set(err, ERR_INVALID, "%s", duckdb_prepare_error(prepared));
    else if (duckdb_prepared_statement_type(prepared) != DUCKDB_STATEMENT_TYPE_SELECT)
        ok = err_set(err, ERR_INVALID, "only a SELECT is allowed here: it may read, not change");
    duckdb_destroy_prepare(&prepared);
    return ok;
}

bool engine_check_select(struct engine *engine, const char *sql, struct err *err)
{
    duckdb_extracted_statements statements = NULL;
    idx_t count = duckdb_extract_statements(engine->connection, sql, &statements);
    bool ok = false;

    if (count == 1)
        ok = check_prepared(engine, statements, err);
    else if (count > 1)
        err_set(err, ERR_INVALID, "one SELECT is expected, but there are %" PRIu64 " statements",
                (uint64_t)count);
    else {
        const char *message = duckdb_extract_statements_error(statements);
        err_set(err, ERR_INVALID, "%s", message == NULL ? "there is no statement" : message);
    }
    duckdb_destroy_extracted(&statements);
    return ok;
}

static void add_quoted(struct buf *sql, struct str text, char quote)
{
    buf_add_char(sql, quote);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == quote)
            buf_add_char(sql, quote);
        buf_add_char(sql, text.ptr[i]);
    }
    buf_add_char(sql, quote);
}

void engine_add_identifier(struct buf *sql, struct str name)
{
    add_quoted(sql, name, '"');
}

void engine_add_literal(struct buf *sql, struct str text)
{
    add_quoted(sql, text, '\'');
}
