/* The look at each file before it is loaded: digest, header, number of records, merge markers. */
#include "base/digest.h"
#include "base/mem.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <stdlib.h>
#include <string.h>

bool line_is_merge_marker(struct str line)
{
    if (line.len < 7 || strchr("<=>|", line.ptr[0]) == NULL)
        return false;
    for (size_t i = 1; i < 7; i++)
        if (line.ptr[i] != line.ptr[0])
            return false;
    return line.len == 7 || (line.ptr[0] != '=' && line.ptr[7] == ' ');
}

bool fail_for_marker(const char *path, int64_t line, struct str text, struct err *err)
{
    err_set(err, ERR_INVALID,
            "%s:%lld: '%.*s' is the marker of a merge conflict that was never resolved; repair the "
            "file and run this task again",
            path, (long long)line, (int)(text.len > 60 ? 60 : text.len), text.ptr);
    err->line = (uint32_t)line;
    return false;
}

static struct str without_cr(struct str line)
{
    return line.len > 0 && line.ptr[line.len - 1] == '\r' ? str_sub(line, 0, line.len - 1) : line;
}

static bool has_odd_quotes(struct str line, char quote)
{
    bool odd = false;

    for (size_t at = 0; at < line.len; at++) {
        const char *found = memchr(line.ptr + at, quote, line.len - at);
        if (found == NULL)
            break;
        odd = !odd;
        at = (size_t)(found - line.ptr);
    }
    return odd;
}

struct scan {
    struct ingest *ingest;
    struct ingest_file *file;
    int64_t line;      /* of the line at hand */
    bool in_quotes;    /* it begins inside a quoted field */
    struct str header; /* bytes of the header's line */
};

/* Counts one physical line. */
static bool scan_line(struct scan *scan, struct str line, struct err *err)
{
    struct str text = without_cr(line);

    if (!scan->in_quotes) {
        if (text.len == 0)
            return true;
        if (line_is_merge_marker(text))
            return fail_for_marker(scan->file->path, scan->line, text, err);
        scan->file->records++;
        if (scan->header.len > 0 && str_eq(text, scan->header))
            scan->file->plain = false;
    }
    if (scan->ingest->format == INGEST_CSV && has_odd_quotes(text, scan->ingest->quote))
        scan->in_quotes = !scan->in_quotes;
    return true;
}

/* Scans the whole lines of the window, and at the end of the file its rest. */
static bool scan_window(struct scan *scan, struct reader *reader, struct err *err)
{
    struct str window = reader_window(reader);
    size_t at = 0;

    while (at < window.len) {
        const char *newline = memchr(window.ptr + at, '\n', window.len - at);
        if (newline == NULL && !reader_at_end(reader))
            break;
        size_t end = newline == NULL ? window.len : (size_t)(newline - window.ptr);
        if (!scan_line(scan, str_sub(window, at, end), err))
            return false;
        scan->line++;
        at = newline == NULL ? window.len : end + 1;
    }
    reader_consume(reader, at);
    return true;
}

static bool scan_rest(struct scan *scan, struct reader *reader, struct err *err)
{
    while (!reader_at_end(reader)) {
        if (!scan_window(scan, reader, err) || !reader_fill(reader, err))
            return false;
    }
    return scan_window(scan, reader, err);
}

static bool next_record(struct record *record, struct reader *reader, const struct ingest *ingest,
                        struct err *err)
{
    while (!record_parse(record, reader_window(reader), reader_at_end(reader), ingest->delimiter,
                         ingest->quote))
        if (!reader_fill(reader, err))
            return false;
    return true;
}

static void keep_header(struct ingest *ingest, struct ingest_file *file,
                        const struct record *record)
{
    file->header_count = record->count;
    file->header = arena_alloc_array(&ingest->arena, record->count, sizeof(*file->header));
    for (size_t i = 0; i < record->count; i++)
        file->header[i] = arena_str(&ingest->arena, str_trim(record_field(record, i)));
}

/* What a crash leaves of a file that was being written are often zeros to its end. */
static bool fail_for_nul(const char *path, int64_t line, struct str raw, const char *what,
                         struct err *err)
{
    const char *nul = memchr(raw.ptr, '\0', raw.len);

    for (const char *at = raw.ptr; at < nul; at++)
        line += *at == '\n';
    err_set(err, ERR_DATA,
            "%s:%lld: NUL bytes where the file should begin with %s, so this is no text; get the "
            "file again (a crash while it was written may leave such)",
            path, (long long)line, what);
    err->line = (uint32_t)line;
    return false;
}

/* The header is the first record that is not blank. */
static bool read_header(struct scan *scan, struct reader *reader, struct record *record,
                        struct err *err)
{
    const char *path = scan->file->path;

    for (;;) {
        while (!reader_at_end(reader) && reader_window(reader).len == 0)
            if (!reader_fill(reader, err))
                return false;
        if (reader_window(reader).len == 0)
            return err_set(err, ERR_DATA,
                           "%s is empty: not even a header is there (is it still being written?)",
                           path);
        if (!next_record(record, reader, scan->ingest, err))
            return false;
        struct str raw = str_sub(reader_window(reader), 0, record->raw_len);
        if (line_is_merge_marker(raw))
            return fail_for_marker(path, scan->line, raw, err);
        if (raw.len > 0)
            break;
        reader_consume(reader, record->consumed);
        scan->line += record->lines;
        scan->file->plain = false;
    }
    struct str raw = str_sub(reader_window(reader), 0, record->raw_len);
    if (memchr(raw.ptr, '\0', raw.len) != NULL)
        return fail_for_nul(path, scan->line, raw, "a header", err);
    if (record->problem != NULL)
        return err_set(err, ERR_INVALID, "%s:%lld: the header can't be read: %s", path,
                       (long long)scan->line, record->problem);
    if (!str_is_utf8(buf_str(&record->text)))
        return err_set(err, ERR_INVALID, "%s:%lld: the header is not UTF-8", path,
                       (long long)scan->line);
    keep_header(scan->ingest, scan->file, record);
    scan->header = arena_str(&scan->ingest->arena, raw);
    scan->line += record->lines;
    reader_consume(reader, record->consumed);
    return true;
}

static bool check_first_line(struct scan *scan, struct reader *reader, struct err *err)
{
    while (!reader_at_end(reader) && reader_window(reader).len == 0)
        if (!reader_fill(reader, err))
            return false;
    struct str window = reader_window(reader);
    if (window.len == 0 || window.ptr[0] != '\0')
        return true;
    return fail_for_nul(scan->file->path, scan->line, str_sub(window, 0, 1), "JSON", err);
}

static bool digest_file(struct ingest_file *file, struct err *err)
{
    int64_t bytes = 0;

    return digest_sha256_file(file->path, file->sha256, &bytes, err);
}

static bool survey_text(struct ingest *ingest, struct ingest_file *file, struct err *err)
{
    struct scan scan = {.ingest = ingest, .file = file, .line = 1};
    struct record record = {0};
    struct reader *reader = reader_open(file->path, err);
    bool hash = reader != NULL && reader_hash(reader);
    bool ok = reader != NULL && reader_skip_bom(reader, file->path, err);

    if (ok && ingest->format == INGEST_CSV && ingest->has_header)
        ok = read_header(&scan, reader, &record, err);
    if (ok && ingest->format == INGEST_NDJSON)
        ok = check_first_line(&scan, reader, err);
    ok = ok && scan_rest(&scan, reader, err);
    if (ok && hash)
        reader_end_hash(reader, file->sha256);
    else if (ok)
        ok = digest_file(file, err);
    record_release(&record);
    reader_close(reader);
    return ok;
}

/* Fields without a header take their names from the options, or column0, column1, … */
static bool name_fields(struct ingest *ingest, struct err *err)
{
    for (size_t f = 0; f < ingest->file_count; f++) {
        struct ingest_file *file = &ingest->files[f];
        size_t count = json_array_size(ingest->names);
        if (count == 0)
            return err_set(err, ERR_INVALID,
                           "source.header is false, so source.names must name the fields in order");
        file->header = arena_alloc_array(&ingest->arena, count, sizeof(*file->header));
        file->header_count = count;
        for (size_t i = 0; i < count; i++)
            file->header[i] = str_from(json_string_value(json_array_get(ingest->names, i)));
    }
    return true;
}

static bool survey_parquet(struct ingest *ingest, struct ingest_file *file, struct err *err)
{
    struct buf sql = {0};
    size_t capacity = 0;

    if (file->before.st_size == 0)
        return err_set(err, ERR_DATA, "%s is empty (is it still being written?)", file->path);
    buf_add_text(&sql, "DESCRIBE SELECT * FROM read_parquet(");
    engine_add_literal(&sql, str_from(file->path));
    buf_add_text(&sql, ", hive_partitioning = false)");
    struct engine_result *rows = engine_query(ingest->attempt->engine, buf_text(&sql), err);
    buf_release(&sql);
    if (rows == NULL)
        return err_wrap(err, "%s", file->path);
    struct str *names = NULL;
    while (engine_next(rows, err)) {
        if (file->header_count == capacity) {
            capacity = mem_grow(capacity, capacity + 1);
            names = mem_resize_array(names, capacity, sizeof(*names));
        }
        names[file->header_count++] = arena_str(&ingest->arena, engine_text(rows, 0));
    }
    engine_result_free(rows);
    file->header = arena_alloc_array(&ingest->arena, file->header_count, sizeof(*names));
    for (size_t i = 0; i < file->header_count; i++)
        file->header[i] = names[i];
    free(names);
    return err->code == ERR_NONE;
}

bool survey_files(struct ingest *ingest, struct err *err)
{
    for (size_t i = 0; i < ingest->file_count; i++) {
        struct ingest_file *file = &ingest->files[i];
        file->plain = true;
        bool ok = ingest->format == INGEST_PARQUET
                      ? digest_file(file, err) && survey_parquet(ingest, file, err)
                      : survey_text(ingest, file, err);
        if (!ok)
            return false;
    }
    if (ingest->format == INGEST_CSV && !ingest->has_header)
        return name_fields(ingest, err);
    return true;
}
