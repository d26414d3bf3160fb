/* The careful way: what table.c has loaded as text is converted in SQL, which says for each bad row
 * what column stopped it. */
#include "base/json.h"
#include "base/mem.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VIEW "millrace_typed"
#define NOT_AN_OBJECT (-1)

/* A JSON path for a key: $."a b". */
static void add_path(const char *key, struct buf *sql)
{
    struct buf path = {0};

    buf_add_text(&path, "$.\"");
    for (; *key != '\0'; key++) {
        if (*key == '"' || *key == '\\')
            buf_add_char(&path, '\\');
        buf_add_char(&path, *key);
    }
    buf_add_char(&path, '"');
    engine_add_literal(sql, buf_str(&path));
    buf_release(&path);
}

static size_t name_count(const struct ingest_column *column)
{
    return column->derived != NULL ? 0 : 1 + json_array_size(column->from);
}

static const char *name_at(const struct ingest_column *column, size_t i)
{
    return i == 0 ? column->name : json_string_value(json_array_get(column->from, i - 1));
}

/* Text by json_extract_string, values by json_extract: all keys in one look at the document. */
static void add_extract(const struct ingest *ingest, const char *function, struct buf *sql)
{
    const char *separator = "";

    buf_printf(sql, "%s(raw, [", function);
    for (size_t c = 0; c < ingest->column_count; c++) {
        for (size_t i = 0; i < name_count(&ingest->columns[c]); i++) {
            buf_add_text(sql, separator);
            separator = ", ";
            add_path(name_at(&ingest->columns[c], i), sql);
        }
    }
    buf_add_text(sql, "])");
}

static void add_json_base(const struct ingest *ingest, struct buf *sql)
{
    size_t at = 0;

    buf_add_text(sql, "SELECT f, l, raw, x IS NOT NULL AS fine");
    for (size_t c = 0; c < ingest->column_count; c++) {
        const struct ingest_column *column = &ingest->columns[c];
        const char *list = strcmp(column->type, "JSON") == 0 ? "y" : "x";
        if (column->derived != NULL)
            continue;
        buf_add_text(sql, ", coalesce(NULL");
        for (size_t i = 0; i < name_count(column); i++)
            buf_printf(sql, ", nullif(%s[%zu]::VARCHAR, %s)", list, ++at,
                       *list == 'y' ? "'null'" : "NULL");
        buf_printf(sql, ") AS c%zu", c);
    }
    buf_add_text(sql, " FROM (SELECT *, CASE WHEN ok THEN ");
    add_extract(ingest, "json_extract_string", sql);
    buf_add_text(sql, " END AS x, CASE WHEN ok THEN ");
    add_extract(ingest, "json_extract", sql);
    buf_add_text(sql, " END AS y FROM (SELECT *, CASE WHEN json_valid(raw) THEN json_type(raw) = "
                      "'OBJECT' ELSE false END AS ok FROM " INGEST_TABLE "))");
}

static void add_parquet_base(const struct ingest *ingest, struct buf *sql)
{
    for (size_t f = 0; f < ingest->file_count; f++) {
        const struct ingest_file *file = &ingest->files[f];
        buf_printf(sql, "%sSELECT %zu AS f, file_row_number + 1 AS l, NULL::VARCHAR AS raw",
                   f == 0 ? "" : " UNION ALL ", f);
        for (size_t c = 0; c < ingest->column_count; c++) {
            if (ingest->columns[c].derived != NULL)
                continue;
            buf_add_text(sql, ", ");
            if (file->field_of[c] == 0)
                buf_add_text(sql, "NULL");
            else
                engine_add_identifier(sql, file->header[file->field_of[c] - 1]);
            buf_printf(sql, " AS c%zu", c);
        }
        buf_add_text(sql, " FROM read_parquet(");
        engine_add_literal(sql, str_from(file->path));
        buf_add_text(sql, ", file_row_number = true, hive_partitioning = false)");
    }
}

static void add_base(const struct ingest *ingest, struct buf *sql)
{
    switch (ingest->format) {
    case INGEST_CSV:
        buf_add_text(sql, "FROM " INGEST_TABLE);
        break;
    case INGEST_NDJSON:
        add_json_base(ingest, sql);
        break;
    case INGEST_PARQUET:
        add_parquet_base(ingest, sql);
        break;
    }
}

/* `bad` is the index of the first column that stops the row, NULL for a good row. */
static void add_bad(const struct ingest *ingest, struct buf *sql)
{
    buf_add_text(sql, ", CASE");
    if (ingest->format == INGEST_NDJSON)
        buf_printf(sql, " WHEN NOT fine THEN %d", NOT_AN_OBJECT);
    for (size_t c = 0; c < ingest->column_count; c++) {
        const struct ingest_column *column = &ingest->columns[c];
        if (column->derived != NULL)
            continue;
        buf_printf(sql, " WHEN v%zu IS NULL AND (%sc%zu IS NOT NULL) THEN %zu", c,
                   column->nullable ? "" : "true OR ", c, c);
    }
    buf_add_text(sql, " ELSE NULL END::INTEGER AS bad");
}

static bool make_view(struct ingest *ingest, struct err *err)
{
    struct buf sql = {0};

    buf_add_text(&sql, "CREATE OR REPLACE VIEW " VIEW " AS SELECT *");
    add_bad(ingest, &sql);
    buf_add_text(&sql, " FROM (SELECT *");
    for (size_t c = 0; c < ingest->column_count; c++) {
        char field[32];
        (void)snprintf(field, sizeof(field), "c%zu", c);
        buf_add_text(&sql, ", ");
        sql_add_value(ingest, &ingest->columns[c], field, &sql);
        buf_printf(&sql, " AS v%zu", c);
    }
    buf_add_text(&sql, " FROM (");
    add_base(ingest, &sql);
    buf_add_text(&sql, "))");
    bool ok = engine_run(ingest->attempt->engine, buf_text(&sql), NULL, err);
    buf_release(&sql);
    return ok;
}

static void explain(const struct ingest_column *column, bool has_value, struct buf *reason)
{
    if (!has_value) {
        buf_add_text(reason, "no value, and the column is not nullable");
    } else if (column->formats != NULL) {
        buf_add_text(reason, "fits none of the formats");
        for (size_t i = 0; i < json_array_size(column->formats); i++)
            buf_printf(reason, "%s %s", i == 0 ? "" : ",",
                       json_string_value(json_array_get(column->formats, i)));
    } else {
        buf_printf(reason, "not a %s", column->type == NULL ? "value" : column->type);
    }
}

static bool add_row_reject(struct ingest *ingest, struct engine_result *rows, struct err *err)
{
    int64_t bad = engine_int(rows, 3);
    const struct ingest_column *column = bad == NOT_AN_OBJECT ? NULL : &ingest->columns[bad];
    struct buf reason = {0};

    if (column == NULL)
        buf_add_text(&reason, "not a JSON object");
    else
        explain(column, !engine_is_null(rows, 4), &reason);
    struct reject_detail detail = {
        .column = column == NULL ? NULL : column->name,
        .value = engine_text(rows, 4),
        .has_value = !engine_is_null(rows, 4),
        .reason = buf_text(&reason),
        .raw = engine_text(rows, 2),
    };
    bool ok = reject_add(ingest, (size_t)engine_int(rows, 0), engine_int(rows, 1), &detail, err);
    buf_release(&reason);
    return ok;
}

/* Parquet has no lines: its raw row is the row as JSON. */
static void add_raw(const struct ingest *ingest, struct buf *sql)
{
    const char *separator = "";

    if (ingest->format != INGEST_PARQUET) {
        buf_add_text(sql, "raw");
        return;
    }
    buf_add_text(sql, "to_json({");
    for (size_t c = 0; c < ingest->column_count; c++) {
        if (ingest->columns[c].derived != NULL)
            continue;
        buf_add_text(sql, separator);
        separator = ", ";
        engine_add_literal(sql, str_from(ingest->columns[c].name));
        buf_printf(sql, ": c%zu", c);
    }
    buf_add_text(sql, "})::VARCHAR");
}

static bool collect_rejects(struct ingest *ingest, struct err *err)
{
    struct buf sql = {0};
    bool ok = true;

    buf_add_text(&sql, "SELECT f, l, ");
    add_raw(ingest, &sql);
    buf_add_text(&sql, ", bad, CASE bad");
    for (size_t c = 0; c < ingest->column_count; c++)
        if (ingest->columns[c].derived == NULL)
            buf_printf(&sql, " WHEN %zu THEN c%zu::VARCHAR", c, c);
    buf_add_text(&sql, " WHEN -2 THEN NULL END FROM " VIEW " WHERE bad IS NOT NULL");
    struct engine_result *rows = engine_query(ingest->attempt->engine, buf_text(&sql), err);
    buf_release(&sql);
    if (rows == NULL)
        return false;
    *err = (struct err){0};
    while (ok && engine_next(rows, err))
        ok = add_row_reject(ingest, rows, err);
    engine_result_free(rows);
    return ok && err->code == ERR_NONE;
}

static void add_good(const struct ingest *ingest, struct buf *sql)
{
    buf_add_text(sql, "SELECT ");
    for (size_t c = 0; c < ingest->column_count; c++) {
        buf_printf(sql, "%sv%zu AS ", c == 0 ? "" : ", ", c);
        engine_add_identifier(sql, str_from(ingest->columns[c].name));
    }
    buf_add_text(sql, " FROM " VIEW " WHERE bad IS NULL");
}

static bool count_of(struct ingest *ingest, const char *sql, int64_t *ret_count, struct err *err)
{
    json_t *row = engine_one_row(ingest->attempt->engine, sql, err);

    if (row == NULL)
        return false;
    *ret_count = json_get_int(row, "n", 0);
    json_decref(row);
    return true;
}

/* Rows that the filter leaves out are counted by themselves, so that the sum of all counts means
 * something. */
static bool copy_good(struct ingest *ingest, struct err *err)
{
    struct engine *engine = ingest->attempt->engine;
    struct buf query = {0};
    struct buf sql = {0};
    bool ok = true;

    add_good(ingest, &query);
    if (ingest->filter != NULL) {
        struct buf good = query;
        query = (struct buf){0};
        buf_printf(&sql, "SELECT count(*) AS n FROM (%s) WHERE NOT coalesce((%s), false)",
                   buf_text(&good), ingest->filter);
        ok = count_of(ingest, buf_text(&sql), &ingest->filtered, err) ||
             err_wrap(err, "filter %s", ingest->filter);
        buf_printf(&query, "SELECT * FROM (%s) WHERE (%s)", buf_text(&good), ingest->filter);
        buf_clear(&sql);
        buf_release(&good);
    }
    sql_add_copy(ingest, buf_text(&query), INGEST_PART, &sql);
    ok = ok && engine_run(engine, buf_text(&sql), &ingest->rows_out, err);
    buf_release(&query);
    buf_release(&sql);
    return ok;
}

bool careful_load(struct ingest *ingest, struct err *err)
{
    bool ok =
        (ingest->format == INGEST_PARQUET || table_fill(ingest, err)) && make_view(ingest, err);

    if (ok && ingest->format == INGEST_PARQUET)
        ok = count_of(ingest, "SELECT count(*) AS n FROM " VIEW, &ingest->rows_in, err);
    ok = ok && collect_rejects(ingest, err) && copy_good(ingest, err);
    if (!ok)
        return false;
    return engine_run(ingest->attempt->engine,
                      "DROP VIEW " VIEW "; DROP TABLE IF EXISTS " INGEST_TABLE, NULL, err);
}
