/* The engine: DuckDB behind one door. Nothing outside tasks/engine names a duckdb_* function.
 *
 * A runner opens one engine before it knows its attempt (threads=1), and sets memory, threads and
 * temp folder at hand-over. SQL is text that the kinds compile; identifiers and literals go through
 * engine_add_identifier() and engine_add_literal(), never by hand. */
#ifndef MILLRACE_TASKS_ENGINE_H
#define MILLRACE_TASKS_ENGINE_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stddef.h>

struct engine;
struct engine_result;

#define ENGINE_DUCKDB_VERSION "v1.5.6"

/* Opens an in-memory database with threads=1, no extension auto-install or auto-load, time zone
 * UTC. Fails clearly when the library is not ENGINE_DUCKDB_VERSION or lacks parquet, json, icu or
 * core_functions. */
struct engine *engine_open(struct err *err);
void engine_close(struct engine *engine);

/* Limits for one attempt: memory in bytes, threads, and where to spill. */
bool engine_set_limits(struct engine *engine, int64_t memory_bytes, int64_t threads,
                       const char *temp_folder, struct err *err);

/* Runs one statement whose rows nobody wants. ret_changed may be NULL. The engine's own message is
 * in the error; "No space left on device" stays recognisable in it. */
bool engine_run(struct engine *engine, const char *sql, int64_t *ret_changed, struct err *err);

/* Whether the text is exactly one statement and that a SELECT (WITH, FROM and VALUES are SELECTs
 * too), which can be bound now. ERR_INVALID says what else it is. */
bool engine_check_select(struct engine *engine, const char *sql, struct err *err);

/* Runs a query and streams its rows. While the rows of one result are still being read, whatever
 * else runs uses a connection of its own, which sees tables and views but no temporary ones. */
struct engine_result *engine_query(struct engine *engine, const char *sql, struct err *err);
void engine_result_free(struct engine_result *result);

size_t engine_column_count(const struct engine_result *result);
const char *engine_column_name(const struct engine_result *result, size_t column);
const char *engine_column_type(const struct engine_result *result, size_t column); /* "BIGINT" */

/* Moves to the next row: false at the end (err->code is ERR_NONE) or on failure. */
bool engine_next(struct engine_result *result, struct err *err);

/* The value of a column of the current row. Strings are borrowed until the next engine_next(); any
 * type can be read as text (DuckDB's own cast). Reading NULL gives 0 or an empty str. */
bool engine_is_null(struct engine_result *result, size_t column);
int64_t engine_int(struct engine_result *result, size_t column);
double engine_real(struct engine_result *result, size_t column);
bool engine_bool(struct engine_result *result, size_t column);
struct str engine_text(struct engine_result *result, size_t column);
struct str engine_blob(struct engine_result *result, size_t column);

/* The value as JSON: booleans, integers and floats typed, all else as text; NULL, NaN and
 * infinities are null. A new reference. */
json_t *engine_json(struct engine_result *result, size_t column);

/* Convenience: one row as a JSON object (column → value, typed; DECIMAL, dates and times as text);
 * NULL on failure or when there is not exactly one row. */
json_t *engine_one_row(struct engine *engine, const char *sql, struct err *err);

/* Fills a table row by row: begin, then for each row its values in column order and
 * engine_append_row(), then end, which also frees. A value that does not fit its column is an error
 * of engine_append_row() or engine_append_end(). Text must be UTF-8. */
struct engine_appender;

struct engine_appender *engine_append_begin(struct engine *engine, const char *table,
                                            struct err *err);
void engine_append_int(struct engine_appender *appender, int64_t value);
void engine_append_text(struct engine_appender *appender, struct str value);
void engine_append_null(struct engine_appender *appender);
bool engine_append_row(struct engine_appender *appender, struct err *err);
bool engine_append_end(struct engine_appender *appender, struct err *err);

/* "name" and 'text', quoted for SQL. */
void engine_add_identifier(struct buf *sql, struct str name);
void engine_add_literal(struct buf *sql, struct str text);

/* SQL functions that every engine has besides DuckDB's own:
 *   millrace_xxh3(VARCHAR, UBIGINT) → UBIGINT: XXH3 of the text with a seed, equal on every machine
 *   and in every version (DuckDB's hash() is not); NULL gives NULL.
 *   millrace_int(VARCHAR) → BIGINT: the integer that the text is ("7", " +7 ", "7.0"), NULL for any
 *   other text; a CAST would round "1.5".
 *   millrace_need_int(VARCHAR) → BIGINT: the same, but any other text is an error.
 *   millrace_instant(VARCHAR) → TIMESTAMPTZ: of "2026-01-02 03:04:05[.678901][Z|+02|+02:00]", or
 *   T for the space, in UTC where it has no offset; NULL for any other text. As a CAST in a
 *   session in UTC, but much faster.
 *   millrace_guess_bool, _int, _double, _date, _time (a TIMESTAMPTZ without an offset), _instant:
 *   the value of a text that is of that type beyond doubt, and of no narrower one; else an error.
 *   millrace_time_word(VARCHAR) → BOOLEAN: whether the text is "epoch", "infinity", "-infinity", of
 *   which try_strptime() makes the year 1900, whatever the format. */

#endif
