/* CSV records by RFC 4180, with LF, CRLF and CR line ends in any mixture. */
#include "base/mem.h"
#include "tasks/ingest/ingest.h"

#include <stdlib.h>
#include <string.h>

static void end_field(struct record *record)
{
    if (record->count == record->capacity) {
        record->capacity = mem_grow(record->capacity, record->count + 1);
        record->ends = mem_resize_array(record->ends, record->capacity, sizeof(*record->ends));
    }
    record->ends[record->count++] = record->text.len;
}

struct str record_field(const struct record *record, size_t field)
{
    size_t start = field == 0 ? 0 : record->ends[field - 1];

    return (struct str){buf_text(&record->text) + start, record->ends[field] - start};
}

void record_release(struct record *record)
{
    buf_release(&record->text);
    free(record->ends);
    *record = (struct record){0};
}

/* The length of the line end at `at`: 0 = none there. */
static size_t line_end(struct str window, size_t at)
{
    if (window.ptr[at] == '\n')
        return 1;
    if (window.ptr[at] != '\r')
        return 0;
    return at + 1 < window.len && window.ptr[at + 1] == '\n' ? 2 : 1;
}

static void count_lines(struct record *record, struct str bytes)
{
    for (size_t at = 0; at < bytes.len;) {
        size_t len = line_end(bytes, at);
        record->lines += len > 0;
        at += len > 0 ? len : 1;
    }
}

/* A record that can't be read ends with its first line, so that one stray quote costs one row. */
static bool give_up(struct record *record, struct str window, const char *problem)
{
    size_t at = 0;

    while (at < window.len && line_end(window, at) == 0)
        at++;
    record->raw_len = at;
    record->consumed = at + (at < window.len ? line_end(window, at) : 0);
    record->lines = record->consumed > at;
    record->problem = problem;
    return true;
}

/* Reads a quoted field from behind its opening quote; returns where it ends, or SIZE_MAX when its
 * closing quote is not in the window. */
static size_t read_quoted(struct record *record, struct str window, size_t at, char quote)
{
    for (;;) {
        const char *end = at < window.len ? memchr(window.ptr + at, quote, window.len - at) : NULL;
        if (end == NULL)
            return SIZE_MAX;
        size_t stop = (size_t)(end - window.ptr);
        buf_add(&record->text, window.ptr + at, stop - at);
        if (stop + 1 >= window.len || window.ptr[stop + 1] != quote)
            return stop + 1;
        buf_add_char(&record->text, quote);
        at = stop + 2;
    }
}

static size_t read_bare(struct record *record, struct str window, size_t at, char delimiter)
{
    size_t stop = at;

    while (stop < window.len && window.ptr[stop] != delimiter && window.ptr[stop] != '\n' &&
           window.ptr[stop] != '\r')
        stop++;
    buf_add(&record->text, window.ptr + at, stop - at);
    return stop;
}

static bool finish(struct record *record, struct str window, size_t at, size_t end_len)
{
    record->raw_len = at;
    record->consumed = at + end_len;
    count_lines(record, str_sub(window, 0, record->consumed));
    return true;
}

bool record_parse(struct record *record, struct str window, bool at_end, char delimiter, char quote)
{
    bool full = at_end || window.len > RECORD_BYTES_MAX;
    size_t at = 0;

    buf_clear(&record->text);
    record->count = 0;
    record->lines = 0;
    record->problem = NULL;
    for (;;) {
        bool quoted = at < window.len && quote != '\0' && window.ptr[at] == quote;
        at = quoted ? read_quoted(record, window, at + 1, quote)
                    : read_bare(record, window, at, delimiter);
        if (at == SIZE_MAX)
            return full && give_up(record, window, "a quote is opened but not closed");
        /* What follows decides, and a CR may be half of a CRLF: both need one more byte. */
        if (!at_end && at + 1 >= window.len)
            return window.len > RECORD_BYTES_MAX &&
                   give_up(record, window, "the record is longer than 4 MiB");
        end_field(record);
        if (at >= window.len)
            return finish(record, window, at, 0);
        if (line_end(window, at) > 0)
            return finish(record, window, at, line_end(window, at));
        if (window.ptr[at] != delimiter)
            return give_up(record, window, "text follows a closing quote");
        at++;
    }
}
