/* Values as SQL. The careful form gives NULL where a value can't be converted, and the caller asks
 * why; the quick form raises an error. Where both give a value it is the same one. */
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include "base/json.h"

#include <string.h>

static bool is_type(const struct ingest_column *column, const char *type)
{
    return column->type != NULL && strcmp(column->type, type) == 0;
}

static bool is_int(const struct ingest_column *column)
{
    struct str type = str_from(column->type);

    return str_ends(type, STR("INT")) || str_ends(type, STR("INTEGER"));
}

static bool is_instant(const struct ingest_column *column)
{
    return column->type != NULL && strncmp(column->type, "TIMESTAMP", 9) == 0;
}

static bool is_utc(const struct ingest *ingest)
{
    return strcmp(ingest->timezone, "UTC") == 0;
}

/* The integer that a text is, or NULL: a cast would round 1.5. UBIGINT reaches beyond what
 * millrace_int() gives. */
static void add_int(const struct ingest_column *column, const char *field, struct buf *sql)
{
    if (is_type(column, "UBIGINT"))
        buf_printf(sql,
                   "CASE WHEN regexp_full_match(%s::VARCHAR, '\\s*[+]?[0-9]+\\s*') THEN %s END",
                   field, field);
    else
        buf_printf(sql, "millrace_int(%s::VARCHAR)", field);
}

void sql_add_strings(const json_t *texts, struct buf *sql)
{
    size_t i = 0;
    json_t *text = NULL;

    buf_add_char(sql, '[');
    json_array_foreach(texts, i, text)
    {
        buf_add_text(sql, i == 0 ? "" : ", ");
        engine_add_literal(sql, str_from(json_string_value(text)));
    }
    buf_add_char(sql, ']');
}

/* One time format. With an offset in it strptime gives an instant, else a time in the source's
 * zone. */
static void add_time(const struct ingest *ingest, const struct ingest_column *column,
                     const char *field, const char *format, struct buf *sql)
{
    bool has_offset = strstr(format, "%z") != NULL || strstr(format, "%Z") != NULL;
    bool local = is_instant(column) && !has_offset;
    bool direct = local && is_utc(ingest); /* not through DuckDB's calendar library: it is slow */

    buf_printf(sql, "(%stry_strptime(%s, ", direct ? "make_timestamptz(epoch_us(" : "", field);
    engine_add_literal(sql, str_from(format));
    buf_add_text(sql, direct ? ")))" : ")");
    if (local && !direct) {
        buf_add_text(sql, " AT TIME ZONE ");
        engine_add_literal(sql, str_from(ingest->timezone));
    }
    buf_add_char(sql, ')');
    if (!is_instant(column))
        buf_add_text(sql, "::DATE");
}

static void add_times(const struct ingest *ingest, const struct ingest_column *column,
                      const char *field, struct buf *sql)
{
    size_t i = 0;
    json_t *format = NULL;
    struct buf text = {0};

    buf_printf(&text, "CASE WHEN NOT millrace_time_word(%s) THEN %s END", field, field);
    buf_add_text(sql, "coalesce(");
    json_array_foreach(column->formats, i, format)
    {
        buf_add_text(sql, i == 0 ? "" : ", ");
        add_time(ingest, column, buf_text(&text), json_string_value(format), sql);
    }
    buf_release(&text);
}

static void add_converted(const struct ingest *ingest, const struct ingest_column *column,
                          const char *field, struct buf *sql)
{
    const char *type = column->type;

    if (type == NULL || is_type(column, "VARCHAR")) {
        buf_printf(sql, type == NULL ? "%s" : "%s::VARCHAR", field);
    } else if (column->formats != NULL && ingest->format != INGEST_PARQUET) {
        add_times(ingest, column, field, sql);
        buf_add_char(sql, ')');
    } else if (is_int(column)) {
        buf_add_text(sql, "TRY_CAST(");
        add_int(column, field, sql);
        buf_printf(sql, " AS %s)", type);
    } else if (is_type(column, "JSON")) {
        buf_printf(sql, "CASE WHEN json_valid(%s) THEN %s::JSON END", field, field);
    } else {
        buf_printf(sql, "TRY_CAST(%s AS %s)", field, type);
    }
}

static void add_constant(const char *text, const char *type, struct buf *sql)
{
    buf_add_text(sql, "CAST(");
    engine_add_literal(sql, str_from(text));
    buf_printf(sql, " AS %s)", type);
}

static void add_fallback(const struct ingest_column *column, struct buf *sql)
{
    struct buf text = {0};

    if (json_is_string(column->fallback))
        buf_add_text(&text, json_string_value(column->fallback));
    else
        json_dump_canonical(column->fallback, &text);
    add_constant(buf_text(&text), column->type, sql);
    buf_release(&text);
}

static bool add_without_field(const struct ingest_column *column, const char *field,
                              struct buf *sql)
{
    if (column->derived != NULL)
        add_constant(column->derived, column->type, sql);
    else if (field == NULL && column->fallback != NULL)
        add_fallback(column, sql);
    else if (field == NULL)
        buf_printf(sql, "CAST(NULL AS %s)", column->type);
    else
        return false;
    return true;
}

void sql_add_value(const struct ingest *ingest, const struct ingest_column *column,
                   const char *field, struct buf *sql)
{
    if (add_without_field(column, field, sql))
        return;
    if (column->fallback != NULL) {
        buf_printf(sql, "CASE WHEN %s IS NULL THEN ", field);
        add_fallback(column, sql);
        buf_add_text(sql, " ELSE ");
    }
    add_converted(ingest, column, field, sql);
    if (column->fallback != NULL)
        buf_add_text(sql, " END");
}

/* The type the CSV reader itself converts to: only where its conversion is that of a CAST. It reads
 * instants otherwise (of '20260102' it makes NULL without a word). */
const char *sql_quick_type(const struct ingest_column *column)
{
    bool own = column->guess != NULL || is_int(column) || is_instant(column) ||
               column->formats != NULL || is_type(column, "JSON") || is_type(column, "DATE") ||
               is_type(column, "TIME");

    return own ? "VARCHAR" : column->type;
}

static void add_quick_converted(const struct ingest *ingest, const struct ingest_column *column,
                                const char *field, struct buf *sql)
{
    if (column->formats != NULL) {
        buf_printf(sql, "CASE WHEN %s IS NOT NULL THEN ", field);
        add_times(ingest, column, field, sql);
        buf_printf(sql, ", CAST(error('no format fits') AS %s)) END", column->type);
    } else if (column->guess != NULL && is_instant(column) && !is_utc(ingest)) {
        buf_printf(sql, "CASE WHEN %s(%s) IS NOT NULL THEN CAST(%s AS %s) END", column->guess,
                   field, field, column->type);
    } else if (column->guess != NULL) {
        buf_printf(sql, "%s(%s)", column->guess, field);
    } else if (is_type(column, "UBIGINT")) {
        buf_printf(sql, "CASE WHEN %s IS NOT NULL THEN coalesce(CAST(", field);
        add_int(column, field, sql);
        buf_printf(sql, " AS %s), CAST(error('not an integer') AS %s)) END", column->type,
                   column->type);
    } else if (is_int(column)) {
        buf_printf(sql, "CAST(millrace_need_int(%s) AS %s)", field, column->type);
    } else if (is_instant(column) && is_utc(ingest)) {
        buf_printf(sql, "coalesce(millrace_instant(%s), CAST(%s AS %s))", field, field,
                   column->type);
    } else {
        buf_printf(sql, "CAST(%s AS %s)", field, column->type);
    }
}

void sql_add_quick_value(const struct ingest *ingest, const struct ingest_column *column,
                         const char *field, struct buf *sql)
{
    bool strict = !column->nullable && column->derived == NULL && column->fallback == NULL;

    if (strict)
        buf_add_text(sql, "coalesce(");
    if (!add_without_field(column, field, sql)) {
        if (column->fallback != NULL)
            buf_add_text(sql, "coalesce(");
        add_quick_converted(ingest, column, field, sql);
        if (column->fallback != NULL) {
            buf_add_text(sql, ", ");
            add_fallback(column, sql);
            buf_add_char(sql, ')');
        }
    }
    if (strict)
        buf_printf(sql, ", CAST(error('null') AS %s))", column->type);
}

void sql_add_copy(const struct ingest *ingest, const char *query, const char *name, struct buf *sql)
{
    struct buf path = {0};

    buf_printf(&path, "%s/%s", publication_folder(ingest->publication), name);
    buf_printf(sql, "COPY (%s) TO ", query);
    engine_add_literal(sql, buf_str(&path));
    buf_printf(sql, " (FORMAT parquet, COMPRESSION %s)",
               json_get_string(ingest->attempt->options, "codec", "zstd"));
    buf_release(&path);
}
