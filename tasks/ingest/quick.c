/* The quick way: one COPY straight from the CSV files, in which every doubt is an error. When it
 * fails, or its row count is not what the survey counted, nothing is kept of it. */
#include "base/fs.h"
#include "base/json.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Text converts to anything, so a header repeated in the middle would pass for a row where all
 * columns are text. */
static bool has_typed_column(const struct ingest *ingest, const struct ingest_file *file)
{
    for (size_t c = 0; c < ingest->column_count; c++)
        if (file->field_of[c] > 0 && strcmp(ingest->columns[c].type, "VARCHAR") != 0)
            return true;
    return false;
}

static bool is_possible(const struct ingest *ingest)
{
    if (ingest->format != INGEST_CSV || ingest->quote == '\0')
        return false;
    for (size_t f = 0; f < ingest->file_count; f++)
        if (!ingest->files[f].plain || !has_typed_column(ingest, &ingest->files[f]))
            return false;
    return true;
}

static bool same_header(const struct ingest_file *a, const struct ingest_file *b)
{
    bool same = a->header_count == b->header_count;

    for (size_t i = 0; same && i < a->header_count; i++)
        same = str_eq(a->header[i], b->header[i]);
    return same;
}

static const char *field_type(const struct ingest *ingest, const struct ingest_file *file,
                              size_t field)
{
    for (size_t c = 0; file->field_of != NULL && c < ingest->column_count; c++)
        if (file->field_of[c] == field + 1)
            return sql_quick_type(&ingest->columns[c]);
    return "VARCHAR";
}

void quick_add_reader(const struct ingest *ingest, size_t from, size_t to, struct buf *sql)
{
    const struct ingest_file *file = &ingest->files[from];
    char delimiter[2] = {ingest->delimiter, '\0'};
    char quote[2] = {ingest->quote, '\0'};

    buf_add_text(sql, "read_csv([");
    for (size_t f = from; f < to; f++) {
        buf_add_text(sql, f == from ? "" : ", ");
        engine_add_literal(sql, str_from(ingest->files[f].path));
    }
    buf_printf(sql, "], auto_detect = false, header = %s, delim = ",
               ingest->has_header ? "true" : "false");
    engine_add_literal(sql, str_from(delimiter));
    buf_add_text(sql, ", quote = ");
    engine_add_literal(sql, str_from(quote));
    buf_add_text(sql, ", escape = ");
    engine_add_literal(sql, str_from(quote));
    if (ingest->null_values != NULL) {
        buf_add_text(sql, ", nullstr = ");
        sql_add_strings(ingest->null_values, sql);
    } else {
        buf_add_text(sql, ", nullstr = ['']");
    }
    buf_add_text(sql, ", hive_partitioning = false, columns = {");
    for (size_t i = 0; i < file->header_count; i++)
        buf_printf(sql, "%s'c%zu': '%s'", i == 0 ? "" : ", ", i, field_type(ingest, file, i));
    buf_add_text(sql, "})");
}

/* SELECT … FROM read_csv([files of one header]) UNION ALL … */
static void add_query(const struct ingest *ingest, struct buf *sql)
{
    for (size_t from = 0, to = 0; from < ingest->file_count; from = to) {
        const struct ingest_file *file = &ingest->files[from];
        to = from + 1;
        while (to < ingest->file_count && same_header(file, &ingest->files[to]))
            to++;
        buf_add_text(sql, from == 0 ? "SELECT " : " UNION ALL SELECT ");
        for (size_t c = 0; c < ingest->column_count; c++) {
            char field[32];
            (void)snprintf(field, sizeof(field), "c%zu", file->field_of[c] - 1);
            buf_add_text(sql, c == 0 ? "" : ", ");
            sql_add_quick_value(ingest, &ingest->columns[c], file->field_of[c] == 0 ? NULL : field,
                                sql);
            buf_add_text(sql, " AS ");
            engine_add_identifier(sql, str_from(ingest->columns[c].name));
        }
        buf_add_text(sql, " FROM ");
        quick_add_reader(ingest, from, to, sql);
    }
}

/* The filter sees rows whose values were all read: without the LIMIT, which keeps every row, DuckDB
 * would filter first, and a bad value in a row that is left out would never show. */
static void add_filtered(const struct ingest *ingest, struct buf *sql)
{
    if (ingest->filter == NULL) {
        add_query(ingest, sql);
        return;
    }
    buf_add_text(sql, "SELECT * FROM (SELECT * FROM (");
    add_query(ingest, sql);
    buf_printf(sql, ") LIMIT %" PRId64 ") WHERE (%s)", INT64_MAX, ingest->filter);
}

static int64_t count_records(const struct ingest *ingest)
{
    int64_t records = 0;

    for (size_t f = 0; f < ingest->file_count; f++)
        records += ingest->files[f].records;
    return records;
}

static bool is_hopeless(const struct err *err)
{
    return err->code == ERR_LIMIT || strstr(err->message, "No space left on device") != NULL;
}

static void remove_part(const struct ingest *ingest)
{
    char *path = fs_join(publication_folder(ingest->publication), INGEST_PART);

    (void)unlink(path);
    free(path);
}

bool quick_load(struct ingest *ingest, bool *ret_done, struct err *err)
{
    struct buf query = {0};
    struct buf sql = {0};
    struct err problem = {0};
    int64_t written = 0;

    *ret_done = false;
    if (!is_possible(ingest))
        return true;
    add_filtered(ingest, &query);
    sql_add_copy(ingest, buf_text(&query), INGEST_PART, &sql);
    bool ok = engine_run(ingest->attempt->engine, buf_text(&sql), &written, &problem);
    buf_release(&query);
    buf_release(&sql);
    int64_t records = count_records(ingest);
    if (ok && (written == records || (ingest->filter != NULL && written < records))) {
        ingest->rows_in = records;
        ingest->rows_out = written;
        ingest->filtered = records - written;
        *ret_done = true;
        return true;
    }
    remove_part(ingest);
    if (!ok && is_hopeless(&problem)) {
        *err = problem;
        return false;
    }
    return true;
}
