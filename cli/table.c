#include "cli/table.h"

#include "base/buf.h"
#include "base/json.h"

#include <assert.h>
#include <libsmartcols/libsmartcols.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMN_WIDTH_MIN 12
#define NAME_WIDTH 18 /* of an object's members */
#define TABLE_COLUMNS_MAX 16

bool table_format_parse(const char *word, enum table_format *ret)
{
    static const char *const words[] = {"auto", "table", "tsv", "json"};

    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(word, words[i]) == 0) {
            *ret = (enum table_format)i;
            return true;
        }
    }
    return false;
}

static const json_t *member(const json_t *row, const char *key)
{
    const char *dot = strchr(key, '.');

    if (dot == NULL)
        return json_object_get(row, key);
    char first[64];
    size_t len = (size_t)(dot - key);
    if (len >= sizeof(first))
        return NULL;
    memcpy(first, key, len);
    first[len] = '\0';
    return member(json_object_get(row, first), dot + 1);
}

/* A value as one cell: tabs and line ends would break both forms and become spaces. */
static void add_cell(const json_t *value, struct buf *out)
{
    size_t start = out->len;

    if (json_is_string(value))
        buf_add(out, json_string_value(value), json_string_length(value));
    else if (json_is_real(value))
        buf_printf(out, "%.15g", json_real_value(value)); /* without digits of the conversion */
    else if (value != NULL && !json_is_null(value))
        json_dump_canonical(value, out);
    for (size_t i = start; i < out->len; i++)
        if (out->ptr[i] == '\t' || out->ptr[i] == '\n' || out->ptr[i] == '\r')
            out->ptr[i] = ' ';
}

static void print_json(const json_t *document)
{
    (void)json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    (void)fputc('\n', stdout);
}

static void print_tsv(const struct table_column *columns, size_t column_count, const json_t *rows)
{
    struct buf line = {0};
    size_t i;
    const json_t *row;

    json_array_foreach(rows, i, row)
    {
        buf_clear(&line);
        for (size_t c = 0; c < column_count; c++) {
            if (c > 0)
                buf_add_char(&line, '\t');
            add_cell(member(row, columns[c].key), &line);
        }
        puts(buf_text(&line));
    }
    buf_release(&line);
}

/* Characters, as far as none is wider than another. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0u) != 0x80u;
    return width;
}

/* How many columns the widest of what is too wide must give up, so that all fit; none goes below
 * COLUMN_WIDTH_MIN, below which words would hardly fit. */
static void fit_widths(size_t *widths, size_t count, size_t room)
{
    for (;;) {
        size_t total = count - 1; /* the gaps */
        size_t widest = 0;
        for (size_t c = 0; c < count; c++) {
            total += widths[c];
            if (widths[c] > widths[widest])
                widest = c;
        }
        if (total <= room || widths[widest] <= COLUMN_WIDTH_MIN)
            return;
        widths[widest]--;
    }
}

/* Makes line ends of spaces, so that no line is longer than `width` unless one of its words is. */
static void wrap_words(struct buf *text, size_t width)
{
    size_t space = SIZE_MAX; /* the last one in this line */
    size_t used = 0;         /* characters of this line */
    size_t after = 0;        /* of these, behind the space */

    for (size_t i = 0; i < text->len; i++) {
        if (((unsigned char)text->ptr[i] & 0xC0u) == 0x80u)
            continue;
        used++;
        after++;
        if (text->ptr[i] == ' ') {
            space = used <= width + 1 || space == SIZE_MAX ? i : space;
            after = space == i ? 0 : after;
        }
        if (used > width && space != SIZE_MAX) {
            text->ptr[space] = '\n';
            used = after;
            space = SIZE_MAX;
        }
    }
}

static void measure(const struct table_column *columns, size_t column_count, const json_t *rows,
                    size_t *widths)
{
    struct buf cell = {0};
    size_t i;
    const json_t *row;

    for (size_t c = 0; c < column_count; c++) {
        widths[c] = width_of(columns[c].header);
        json_array_foreach(rows, i, row)
        {
            buf_clear(&cell);
            add_cell(member(row, columns[c].key), &cell);
            size_t width = width_of(buf_text(&cell));
            if (width > widths[c])
                widths[c] = width;
        }
    }
    buf_release(&cell);
}

static void add_lines(struct libscols_table *table, const struct table_column *columns,
                      size_t column_count, const json_t *rows, const size_t *widths)
{
    struct buf cell = {0};
    size_t i;
    const json_t *row;

    json_array_foreach(rows, i, row)
    {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        for (size_t c = 0; line != NULL && c < column_count; c++) {
            buf_clear(&cell);
            add_cell(member(row, columns[c].key), &cell);
            wrap_words(&cell, widths[c]);
            (void)scols_line_set_data(line, c, buf_text(&cell));
        }
    }
    buf_release(&cell);
}

static void print_text(const struct table_column *columns, size_t column_count, const json_t *rows)
{
    size_t widths[TABLE_COLUMNS_MAX];
    struct libscols_table *table = scols_new_table();

    if (table == NULL)
        return;
    assert(column_count > 0 && column_count <= TABLE_COLUMNS_MAX);
    measure(columns, column_count, rows, widths);
    fit_widths(widths, column_count, scols_table_get_termwidth(table));
    for (size_t c = 0; c < column_count; c++) {
        struct libscols_column *column =
            scols_table_new_column(table, columns[c].header, 0, SCOLS_FL_WRAP);
        if (column == NULL)
            continue;
        (void)scols_column_set_safechars(column, "\n");
        (void)scols_column_set_wrapfunc(column, scols_wrapnl_chunksize, scols_wrapnl_nextchunk,
                                        NULL);
    }
    add_lines(table, columns, column_count, rows, widths);
    (void)scols_print_table(table);
    scols_unref_table(table);
}

static enum table_format resolve(enum table_format format)
{
    if (format != TABLE_AUTO)
        return format;
    return isatty(STDOUT_FILENO) ? TABLE_TEXT : TABLE_TSV;
}

void table_print(const struct table_column *columns, size_t column_count, const json_t *rows,
                 const json_t *document, enum table_format format)
{
    switch (resolve(format)) {
    case TABLE_JSON:
        print_json(document);
        return;
    case TABLE_TSV:
        print_tsv(columns, column_count, rows);
        return;
    case TABLE_TEXT:
    case TABLE_AUTO:
        print_text(columns, column_count, rows);
        return;
    }
}

static void print_padded(const struct table_stream *stream, size_t column, const char *text)
{
    size_t width = width_of(text);

    (void)fputs(text, stdout);
    if (column + 1 == stream->column_count) {
        (void)fputc('\n', stdout);
        return;
    }
    do
        (void)fputc(' ', stdout);
    while (width++ < stream->widths[column]);
}

static void add_text(struct table_stream *stream, const json_t *rows)
{
    struct buf cell = {0};
    size_t i;
    const json_t *row;

    if (!stream->has_begun) {
        measure(stream->columns, stream->column_count, rows, stream->widths);
        for (size_t c = 0; c < stream->column_count; c++)
            print_padded(stream, c, stream->columns[c].header);
    }
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < stream->column_count; c++) {
            buf_clear(&cell);
            add_cell(member(row, stream->columns[c].key), &cell);
            print_padded(stream, c, buf_text(&cell));
        }
    }
    buf_release(&cell);
}

static void add_json(struct table_stream *stream, const json_t *rows)
{
    size_t i;
    const json_t *row;

    if (!stream->has_begun)
        printf("{\n  \"%s\": [", stream->key);
    json_array_foreach(rows, i, row)
    {
        (void)fputs(stream->row_count + i == 0 ? "\n    " : ",\n    ", stdout);
        (void)json_dumpf(row, stdout, JSON_ENCODE_ANY);
    }
}

void table_stream_add(struct table_stream *stream, const json_t *rows)
{
    switch (resolve(stream->format)) {
    case TABLE_JSON:
        add_json(stream, rows);
        break;
    case TABLE_TSV:
        print_tsv(stream->columns, stream->column_count, rows);
        break;
    case TABLE_TEXT:
    case TABLE_AUTO:
        add_text(stream, rows);
        break;
    }
    stream->has_begun = true;
    stream->row_count += json_array_size(rows);
    (void)fflush(stdout);
}

void table_stream_end(const struct table_stream *stream, const json_t *rest)
{
    const char *key;
    json_t *value;

    if (resolve(stream->format) != TABLE_JSON)
        return;
    (void)fputs(stream->row_count == 0 ? "]" : "\n  ]", stdout);
    json_object_foreach((json_t *)(uintptr_t)rest, key, value)
    {
        printf(",\n  \"%s\": ", key);
        (void)json_dumpf(value, stdout, JSON_ENCODE_ANY);
    }
    (void)fputs("\n}\n", stdout);
}

static size_t terminal_width(void)
{
    struct libscols_table *table = scols_new_table();
    size_t width = table == NULL ? 80 : scols_table_get_termwidth(table);

    scols_unref_table(table);
    return width;
}

/* Lines after the first stand below the value, not below the name. */
static void print_field(const char *name, struct buf *value, size_t room)
{
    printf("%-*s ", NAME_WIDTH, name);
    wrap_words(value, room > NAME_WIDTH + COLUMN_WIDTH_MIN ? room - NAME_WIDTH - 1 : SIZE_MAX / 2);
    for (const char *at = buf_text(value); *at != '\0'; at++) {
        (void)fputc(*at, stdout);
        if (*at == '\n')
            printf("%-*s ", NAME_WIDTH, "");
    }
    (void)fputc('\n', stdout);
}

void table_print_object(const struct table_column *fields, size_t field_count, const json_t *object,
                        enum table_format format)
{
    struct buf cell = {0};
    bool wide = resolve(format) == TABLE_TEXT;
    size_t room = wide ? terminal_width() : 0;

    if (resolve(format) == TABLE_JSON) {
        print_json(object);
        return;
    }
    for (size_t i = 0; i < field_count; i++) {
        buf_clear(&cell);
        add_cell(member(object, fields[i].key), &cell);
        if (wide)
            print_field(fields[i].header, &cell, room);
        else
            printf("%s\t%s\n", fields[i].header, buf_text(&cell));
    }
    buf_release(&cell);
}
