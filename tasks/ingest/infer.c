/* Columns where none are declared: names and types as a look of DuckDB at all of the source gives
 * them. Looking at every value takes longer than loading it, so for a long CSV the types come from
 * its beginning first, as a guess: a load that reads every value without a doubt proves it, as a
 * look at all of the source could only find wider types. What can't be proven is looked at whole.
 */
#include "base/json.h"
#include "base/mem.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The sniffer reads its sample in whole vectors; what is looked for in the sample is looked for in
 * fewer rows, so that the sniffer has seen it for sure. */
#define SAMPLE_ROWS 20480
#define CHECKED_ROWS 16384
#define ALL_ROWS (-1)

static void add_paths(const struct ingest *ingest, struct buf *sql)
{
    buf_add_char(sql, '[');
    for (size_t i = 0; i < ingest->file_count; i++) {
        buf_add_text(sql, i == 0 ? "" : ", ");
        engine_add_literal(sql, str_from(ingest->files[i].path));
    }
    buf_add_char(sql, ']');
}

static void add_reader(const struct ingest *ingest, int64_t sample_rows, struct buf *sql)
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
        buf_printf(sql,
                   ", header = true, sample_size = %lld, ignore_errors = true, "
                   "union_by_name = true, hive_partitioning = false",
                   (long long)sample_rows);
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
static json_t *ask_types(struct ingest *ingest, int64_t sample_rows, struct err *err)
{
    struct buf sql = {0};
    json_t *types = json_object();

    buf_add_text(&sql, "DESCRIBE SELECT * FROM ");
    add_reader(ingest, sample_rows, &sql);
    struct engine_result *rows = engine_query(ingest->attempt->engine, buf_text(&sql), err);
    buf_release(&sql);
    while (rows != NULL && engine_next(rows, err))
        (void)json_object_set_new_nocheck(
            types, arena_str(&ingest->arena, engine_text(rows, 0)).ptr, engine_json(rows, 1));
    engine_result_free(rows);
    return types;
}

/* The names that `rename` makes into this one; NULL = none. */
static const json_t *former_names(struct ingest *ingest, const char *name)
{
    const char *old = NULL;
    json_t *now = NULL;
    json_t *names = json_array();

    json_object_foreach(ingest->rename, old, now)
    {
        if (strcmp(json_string_value(now), name) == 0)
            (void)json_array_append_new(names, json_string(old));
    }
    (void)json_array_append_new(ingest->owned, names);
    return json_array_size(names) > 0 ? names : NULL;
}

static void add_inferred(struct ingest *ingest, const char *field, const char *type, bool optional)
{
    const char *name = json_get_string(ingest->rename, field, field);

    for (size_t i = 0; i < ingest->column_count; i++)
        if (strcmp(ingest->columns[i].name, name) == 0)
            return;
    struct ingest_column *column = ingest_add_column(ingest, name);
    column->sniffed = arena_strdup(&ingest->arena, type);
    column->type = lake_type(ingest, type);
    column->optional = optional;
    column->from = former_names(ingest, name);
}

/* Files may differ in how they spell a name, as for columns that are declared. */
static bool has_column(const struct ingest *ingest, const char *field)
{
    const char *name = json_get_string(ingest->rename, field, field);

    for (size_t i = 0; i < ingest->column_count; i++)
        if (strcasecmp(ingest->columns[i].name, name) == 0)
            return true;
    return false;
}

/* The names are those of our own reading of the headers. The first file says what columns there
 * are, and all files have to have them; what more a later file has is new, and `on_new_column`
 * says what becomes of it. */
static void add_from_headers(struct ingest *ingest, const json_t *types)
{
    const char *policy = json_get_string(ingest->attempt->options, "on_new_column", "ignore");
    size_t count = strcmp(policy, "keep") == 0 ? ingest->file_count : 1;

    for (size_t f = 0; f < count; f++) {
        const struct ingest_file *file = &ingest->files[f];
        for (size_t i = 0; i < file->header_count; i++) {
            const char *field = arena_str(&ingest->arena, file->header[i]).ptr;
            if (*field != '\0' && (f == 0 || !has_column(ingest, field)))
                add_inferred(ingest, field, json_get_string(types, field, "VARCHAR"), f > 0);
        }
    }
}

/* The columns that no file has, which stand at the end, leave the others. */
static void drop_inferred(struct ingest *ingest)
{
    size_t kept = 0;

    for (size_t c = 0; c < ingest->column_count; c++)
        if (ingest->columns[c].derived != NULL)
            ingest->columns[kept++] = ingest->columns[c];
    ingest->column_count = kept;
}

/* Makes the columns of these types, with the derived ones behind them. */
static bool make_columns(struct ingest *ingest, const json_t *types, struct err *err)
{
    const char *name = NULL;
    json_t *type = NULL;

    drop_inferred(ingest);
    struct ingest_column *derived = ingest->columns;
    size_t derived_count = ingest->column_count;
    ingest->columns = NULL;
    ingest->column_count = 0;
    if (ingest->format == INGEST_NDJSON)
        json_object_foreach((json_t *)(uintptr_t)types, name, type)
            add_inferred(ingest, name, json_string_value(type), true);
    else
        add_from_headers(ingest, types);
    bool ok = ingest->column_count > 0 ||
              err_set(err, ERR_INVALID, "no columns can be inferred from the source; declare them");
    for (size_t i = 0; i < derived_count; i++)
        *ingest_add_column(ingest, derived[i].name) = derived[i];
    free(derived);
    return ok;
}

static bool infer_all(struct ingest *ingest, struct err *err)
{
    struct err problem = {0};
    json_t *types = ask_types(ingest, ALL_ROWS, &problem);
    bool ok = true;

    if (problem.code != ERR_NONE && ingest->format != INGEST_CSV) {
        *err = problem;
        ok = err_wrap(err, "infer the columns of the source");
    }
    ok = ok && make_columns(ingest, types, err);
    json_decref(types);
    return ok;
}

/* Whether it is worth the while: a short source is looked at whole at once, and a load that won't
 * take the quick way proves nothing. */
static bool can_guess(const struct ingest *ingest)
{
    int64_t records = 0;

    if (ingest->format != INGEST_CSV || !ingest->has_header)
        return false;
    for (size_t f = 0; f < ingest->file_count; f++) {
        if (!ingest->files[f].plain)
            return false;
        records += ingest->files[f].records;
    }
    return records > 2 * SAMPLE_ROWS;
}

/* How a text of a type that the sniffer knows is read without a doubt; *ret_name NULL: any text is
 * right. False: there is no such function. */
static bool find_guess(const char *type, const char **ret_name)
{
    static const char *const guesses[][2] = {
        {"VARCHAR",                  NULL                    },
        {"BOOLEAN",                  "millrace_guess_bool"   },
        {"BIGINT",                   "millrace_guess_int"    },
        {"DOUBLE",                   "millrace_guess_double" },
        {"DATE",                     "millrace_guess_date"   },
        {"TIMESTAMP",                "millrace_guess_time"   },
        {"TIMESTAMP WITH TIME ZONE", "millrace_guess_instant"},
    };

    for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
        if (strcmp(type, guesses[i][0]) == 0) {
            *ret_name = guesses[i][1];
            return true;
        }
    }
    return false;
}

/* A column without any value in a sample is text for the sniffer, but may be anything further down.
 * False when there may be one, or when the sample can't be read. */
static bool texts_have_values(const struct ingest *ingest, size_t index, const json_t *types)
{
    const struct ingest_file *file = &ingest->files[index];
    struct err ignored = {0};
    struct buf sql = {0};

    if (file->records <= CHECKED_ROWS)
        return true;
    buf_add_text(&sql, "SELECT true");
    for (size_t i = 0; i < file->header_count; i++) {
        char *field = mem_dup(file->header[i].ptr, file->header[i].len);
        if (strcmp(json_get_string(types, field, "VARCHAR"), "VARCHAR") == 0)
            buf_printf(&sql, " AND count(c%zu) > 0", i);
        free(field);
    }
    buf_add_text(&sql, " AS seen FROM (FROM ");
    quick_add_reader(ingest, index, index + 1, &sql);
    buf_printf(&sql, " LIMIT %d)", CHECKED_ROWS);
    json_t *row = engine_one_row(ingest->attempt->engine, buf_text(&sql), &ignored);
    bool seen = json_get_bool(row, "seen", false);
    json_decref(row);
    buf_release(&sql);
    return seen;
}

static bool types_can_be_guessed(const struct ingest *ingest, const json_t *types)
{
    const char *name = NULL;
    const char *guess = NULL;
    json_t *type = NULL;

    json_object_foreach((json_t *)(uintptr_t)types, name, type)
    {
        if (!find_guess(json_string_value(type), &guess))
            return false;
    }
    for (size_t f = 0; f < ingest->file_count; f++)
        if (!texts_have_values(ingest, f, types))
            return false;
    return json_object_size(types) > 0;
}

/* Makes the columns by the beginning of the source. *ret_done is false when it can't tell. */
static bool infer_guess(struct ingest *ingest, bool *ret_done, struct err *err)
{
    struct err ignored = {0};
    json_t *types = ask_types(ingest, SAMPLE_ROWS, &ignored);

    *ret_done = ignored.code == ERR_NONE && types_can_be_guessed(ingest, types);
    bool ok = !*ret_done || make_columns(ingest, types, err);
    for (size_t c = 0; *ret_done && ok && c < ingest->column_count; c++) {
        struct ingest_column *column = &ingest->columns[c];
        if (column->derived == NULL)
            (void)find_guess(column->sniffed, &column->guess);
    }
    json_decref(types);
    return ok;
}

bool infer_columns(struct ingest *ingest, struct err *err)
{
    if (ingest->declared)
        return true;
    if (can_guess(ingest) && !infer_guess(ingest, &ingest->guessed, err))
        return false;
    return ingest->guessed || infer_all(ingest, err);
}

bool infer_again(struct ingest *ingest, struct err *err)
{
    ingest->guessed = false;
    return infer_all(ingest, err) && match_files(ingest, err);
}
