/* Columns where none are declared: names and types from a look of DuckDB at all of the source. */
#include "base/json.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <string.h>

static void add_paths(const struct ingest *ingest, struct buf *sql)
{
    buf_add_char(sql, '[');
    for (size_t i = 0; i < ingest->file_count; i++) {
        buf_add_text(sql, i == 0 ? "" : ", ");
        engine_add_literal(sql, str_from(ingest->files[i].path));
    }
    buf_add_char(sql, ']');
}

static void add_reader(const struct ingest *ingest, struct buf *sql)
{
    char delimiter[2] = {ingest->delimiter, '\0'};
    char quote[2] = {ingest->quote, '\0'};

    switch (ingest->format) {
    case INGEST_CSV:
        buf_add_text(sql, "read_csv(");
        add_paths(ingest, sql);
        buf_add_text(sql, ", delim = ");
        engine_add_literal(sql, str_from(delimiter));
        buf_add_text(sql, ", quote = ");
        engine_add_literal(sql, str_from(quote));
        buf_add_text(sql, ", header = true, sample_size = -1, ignore_errors = true, "
                          "union_by_name = true, hive_partitioning = false");
        if (ingest->null_values != NULL) {
            buf_add_text(sql, ", nullstr = ");
            sql_add_strings(ingest->null_values, sql);
        }
        break;
    case INGEST_NDJSON:
        buf_add_text(sql, "read_json(");
        add_paths(ingest, sql);
        buf_add_text(sql, ", format = 'newline_delimited', sample_size = -1, ignore_errors = true, "
                          "union_by_name = true, hive_partitioning = false");
        break;
    case INGEST_PARQUET:
        buf_add_text(sql, "read_parquet(");
        add_paths(ingest, sql);
        buf_add_text(sql, ", union_by_name = true, hive_partitioning = false");
        break;
    }
    buf_add_char(sql, ')');
}

/* Instants in the lake have a zone; nested JSON stays JSON text. */
static const char *lake_type(struct ingest *ingest, const char *type)
{
    if (strncmp(type, "TIMESTAMP", 9) == 0)
        return "TIMESTAMP WITH TIME ZONE";
    if (strcmp(type, "HUGEINT") == 0 || strcmp(type, "UHUGEINT") == 0)
        return "DECIMAL(38,0)"; /* Parquet has no such integers */
    if (ingest->format == INGEST_NDJSON && strpbrk(type, "[(") != NULL &&
        strncmp(type, "DECIMAL", 7) != 0)
        return "JSON";
    return arena_strdup(&ingest->arena, type);
}

/* Name → type of every column DuckDB sees; empty when it can't tell. */
static json_t *ask_types(struct ingest *ingest, struct err *err)
{
    struct buf sql = {0};
    json_t *types = json_object();

    buf_add_text(&sql, "DESCRIBE SELECT * FROM ");
    add_reader(ingest, &sql);
    struct engine_result *rows = engine_query(ingest->attempt->engine, buf_text(&sql), err);
    buf_release(&sql);
    while (rows != NULL && engine_next(rows, err))
        (void)json_object_set_new_nocheck(
            types, arena_str(&ingest->arena, engine_text(rows, 0)).ptr, engine_json(rows, 1));
    engine_result_free(rows);
    return types;
}

static void add_inferred(struct ingest *ingest, const char *field, const char *type)
{
    const char *name = json_get_string(ingest->rename, field, field);

    for (size_t i = 0; i < ingest->column_count; i++)
        if (strcmp(ingest->columns[i].name, name) == 0)
            return;
    struct ingest_column *column = ingest_add_column(ingest, name);
    column->type = lake_type(ingest, type);
    column->optional = true;
    if (name != field) {
        json_t *from = json_array();
        const char *old = NULL;
        json_t *now = NULL;
        json_object_foreach(ingest->rename, old,
                            now) if (strcmp(json_string_value(now), name) == 0)(void)
            json_array_append_new(from, json_string(old));
        (void)json_array_append_new(ingest->owned, from);
        column->from = from;
    }
}

/* The names are those of our own reading of the headers, in the order in which they turn up. */
static void add_from_headers(struct ingest *ingest, const json_t *types)
{
    for (size_t f = 0; f < ingest->file_count; f++) {
        const struct ingest_file *file = &ingest->files[f];
        for (size_t i = 0; i < file->header_count; i++) {
            const char *field = arena_str(&ingest->arena, file->header[i]).ptr;
            if (*field != '\0')
                add_inferred(ingest, field, json_get_string(types, field, "VARCHAR"));
        }
    }
}

bool infer_columns(struct ingest *ingest, struct err *err)
{
    struct err problem = {0};
    struct ingest_column *derived = ingest->columns;
    size_t derived_count = ingest->column_count;
    const char *name = NULL;
    json_t *type = NULL;

    if (ingest->declared)
        return true;
    ingest->columns = NULL;
    ingest->column_count = 0;
    json_t *types = ask_types(ingest, &problem);
    if (problem.code != ERR_NONE && ingest->format != INGEST_CSV) {
        json_decref(types);
        *err = problem;
        return err_wrap(err, "infer the columns of the source");
    }
    if (ingest->format == INGEST_NDJSON)
        json_object_foreach(types, name, type) add_inferred(ingest, name, json_string_value(type));
    else
        add_from_headers(ingest, types);
    json_decref(types);
    if (ingest->column_count == 0)
        return err_set(err, ERR_INVALID,
                       "no columns can be inferred from the source; declare them");
    for (size_t i = 0; i < derived_count; i++)
        *ingest_add_column(ingest, derived[i].name) = derived[i];
    return true;
}
