/* Loading for the careful way: records are split here, each with its line, and go into a table as
 * text; what can't be split is rejected at once. */
#include "base/json.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <stdio.h>
#include <string.h>

#define NUL_BYTES "NUL bytes, so this is no text"
#define RAW_BYTES_MAX ((size_t)64 << 10)

static bool make_table(struct ingest *ingest, struct err *err)
{
    struct buf sql = {0};

    buf_add_text(&sql, "CREATE OR REPLACE TABLE " INGEST_TABLE "(f BIGINT, l BIGINT, raw VARCHAR");
    for (size_t c = 0; ingest->format == INGEST_CSV && c < ingest->column_count; c++)
        buf_printf(&sql, ", c%zu VARCHAR", c);
    buf_add_char(&sql, ')');
    bool ok = engine_run(ingest->attempt->engine, buf_text(&sql), NULL, err);
    buf_release(&sql);
    return ok;
}

struct load {
    struct ingest *ingest;
    struct engine_appender *appender;
    size_t index; /* of the file */
    int64_t line; /* where the record at hand begins */
};

static bool reject_record(struct load *load, struct str raw, const char *reason, struct err *err)
{
    struct reject_detail detail = {.reason = reason, .raw = raw};

    return reject_add(load->ingest, load->index, load->line, &detail, err);
}

static bool is_null_text(const struct ingest *ingest, struct str text)
{
    size_t i = 0;
    json_t *null_value = NULL;

    if (ingest->null_values == NULL)
        return text.len == 0;
    json_array_foreach(ingest->null_values, i,
                       null_value) if (str_is(text, json_string_value(null_value))) return true;
    return false;
}

/* Files joined by hand repeat their header; some leave parts of it empty. */
static bool repeats_header(const struct ingest_file *file, const struct record *record)
{
    size_t equal = 0;

    for (size_t i = 0; i < record->count; i++) {
        struct str field = str_trim(record_field(record, i));
        if (field.len == 0)
            continue;
        if (!str_eq(field, file->header[i]))
            return false;
        equal++;
    }
    return equal >= 2 || (equal == 1 && record->count == 1);
}

static void append_head(struct load *load, struct str raw)
{
    engine_append_int(load->appender, (int64_t)load->index);
    engine_append_int(load->appender, load->line);
    engine_append_text(load->appender, raw);
}

static bool append_record(struct load *load, const struct record *record, struct str raw,
                          struct err *err)
{
    const struct ingest *ingest = load->ingest;
    const struct ingest_file *file = &ingest->files[load->index];

    append_head(load, raw.len > RAW_BYTES_MAX ? (struct str){0} : raw);
    for (size_t c = 0; c < ingest->column_count; c++) {
        struct str field =
            file->field_of[c] == 0 ? (struct str){0} : record_field(record, file->field_of[c] - 1);
        if (file->field_of[c] == 0 || is_null_text(ingest, field))
            engine_append_null(load->appender);
        else
            engine_append_text(load->appender, field);
    }
    return engine_append_row(load->appender, err);
}

static bool load_record(struct load *load, const struct record *record, struct str raw,
                        struct err *err)
{
    const struct ingest_file *file = &load->ingest->files[load->index];
    char reason[120];

    if (raw.len == 0)
        return true;
    if (line_is_merge_marker(raw))
        return fail_for_marker(file->path, load->line, raw, err);
    load->ingest->rows_in++;
    if (record->problem != NULL)
        return reject_record(load, raw, record->problem, err);
    if (!str_is_utf8(raw))
        return reject_record(load, raw, "not valid UTF-8", err);
    if (record->count != file->header_count && memchr(raw.ptr, '\0', raw.len) != NULL)
        return reject_record(load, raw, NUL_BYTES, err);
    if (record->count != file->header_count) {
        (void)snprintf(reason, sizeof(reason), "%zu fields where the header has %zu", record->count,
                       file->header_count);
        return reject_record(load, raw, reason, err);
    }
    if (load->ingest->has_header && repeats_header(file, record))
        return reject_record(load, raw, "repeats the header", err);
    return append_record(load, record, raw, err);
}

/* The next record of the window; *ret_more is false at the end of the file. */
static bool next_record(struct load *load, struct reader *reader, struct record *record,
                        bool *ret_more, struct err *err)
{
    const struct ingest *ingest = load->ingest;

    *ret_more = true;
    for (;;) {
        struct str window = reader_window(reader);
        if (window.len == 0 && reader_at_end(reader)) {
            *ret_more = false;
            return true;
        }
        if (window.len > 0 &&
            record_parse(record, window, reader_at_end(reader), ingest->delimiter, ingest->quote))
            return true;
        if (!reader_fill(reader, err))
            return false;
    }
}

static bool load_csv(struct load *load, struct reader *reader, struct err *err)
{
    struct record record = {0};
    bool header = load->ingest->has_header;
    bool more = true;
    bool ok = true;

    while (ok && (ok = next_record(load, reader, &record, &more, err)) && more) {
        struct str raw = str_sub(reader_window(reader), 0, record.raw_len);
        if (!header)
            ok = load_record(load, &record, raw, err);
        else if (raw.len > 0)
            header = false;
        load->line += record.lines;
        reader_consume(reader, record.consumed);
    }
    record_release(&record);
    return ok;
}

static bool load_json_line(struct load *load, struct str line, struct err *err)
{
    struct str text = str_trim(line);

    if (text.len == 0)
        return true;
    if (line_is_merge_marker(text))
        return fail_for_marker(load->ingest->files[load->index].path, load->line, text, err);
    load->ingest->rows_in++;
    if (!str_is_utf8(text))
        return reject_record(load, text, "not valid UTF-8", err);
    if (memchr(text.ptr, '\0', text.len) != NULL)
        return reject_record(load, text, NUL_BYTES, err);
    append_head(load, text);
    return engine_append_row(load->appender, err);
}

static bool load_ndjson(struct load *load, struct reader *reader, struct err *err)
{
    for (;;) {
        struct str window = reader_window(reader);
        size_t end = window.len == 0 ? SIZE_MAX : str_find(window, '\n', 0);
        if (end == SIZE_MAX && !reader_at_end(reader)) {
            if (window.len > RECORD_BYTES_MAX * 4)
                return err_set(err, ERR_LIMIT, "%s:%lld: a line is longer than 16 MiB",
                               load->ingest->files[load->index].path, (long long)load->line);
            if (!reader_fill(reader, err))
                return false;
            continue;
        }
        if (window.len == 0)
            return true;
        size_t len = end == SIZE_MAX ? window.len : end;
        if (!load_json_line(load, str_sub(window, 0, len), err))
            return false;
        load->line++;
        reader_consume(reader, end == SIZE_MAX ? window.len : end + 1);
    }
}

static bool load_files(struct ingest *ingest, struct engine_appender *appender, struct err *err)
{
    bool ok = true;

    for (size_t f = 0; ok && f < ingest->file_count; f++) {
        struct load load = {.ingest = ingest, .appender = appender, .index = f, .line = 1};
        struct reader *reader = reader_open(ingest->files[f].path, err);
        ok = reader != NULL && reader_skip_bom(reader, ingest->files[f].path, err) &&
             (ingest->format == INGEST_CSV ? load_csv(&load, reader, err)
                                           : load_ndjson(&load, reader, err));
        reader_close(reader);
    }
    return ok;
}

bool table_fill(struct ingest *ingest, struct err *err)
{
    struct err ignored = {0};

    if (!make_table(ingest, err))
        return false;
    struct engine_appender *appender =
        engine_append_begin(ingest->attempt->engine, INGEST_TABLE, err);
    if (appender == NULL)
        return false;
    bool ok = load_files(ingest, appender, err);
    return engine_append_end(appender, ok ? err : &ignored) && ok;
}
