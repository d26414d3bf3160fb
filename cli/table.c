#include "cli/table.h"

#include "base/buf.h"
#include "base/json.h"

#include <libsmartcols/libsmartcols.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static void print_text(const struct table_column *columns, size_t column_count, const json_t *rows)
{
    struct libscols_table *table = scols_new_table();
    struct buf cell = {0};
    size_t i;
    const json_t *row;

    for (size_t c = 0; table != NULL && c < column_count; c++)
        (void)scols_table_new_column(table, columns[c].header, 0, SCOLS_FL_WRAP);
    json_array_foreach(rows, i, row)
    {
        struct libscols_line *line = table == NULL ? NULL : scols_table_new_line(table, NULL);
        for (size_t c = 0; line != NULL && c < column_count; c++) {
            buf_clear(&cell);
            add_cell(member(row, columns[c].key), &cell);
            (void)scols_line_set_data(line, c, buf_text(&cell));
        }
    }
    if (table != NULL)
        (void)scols_print_table(table);
    scols_unref_table(table);
    buf_release(&cell);
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

/* Characters, as far as none is wider than another. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0u) != 0x80u;
    return width;
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

static void measure(struct table_stream *stream, const json_t *rows)
{
    struct buf cell = {0};
    size_t i;
    const json_t *row;

    for (size_t c = 0; c < stream->column_count; c++) {
        stream->widths[c] = width_of(stream->columns[c].header);
        json_array_foreach(rows, i, row)
        {
            buf_clear(&cell);
            add_cell(member(row, stream->columns[c].key), &cell);
            size_t width = width_of(buf_text(&cell));
            if (width > stream->widths[c])
                stream->widths[c] = width;
        }
    }
    buf_release(&cell);
}

static void add_text(struct table_stream *stream, const json_t *rows)
{
    struct buf cell = {0};
    size_t i;
    const json_t *row;

    if (!stream->has_begun) {
        measure(stream, rows);
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

void table_print_object(const struct table_column *fields, size_t field_count, const json_t *object,
                        enum table_format format)
{
    struct buf cell = {0};
    bool wide = resolve(format) == TABLE_TEXT;

    if (resolve(format) == TABLE_JSON) {
        print_json(object);
        return;
    }
    for (size_t i = 0; i < field_count; i++) {
        buf_clear(&cell);
        add_cell(member(object, fields[i].key), &cell);
        if (wide)
            printf("%-18s %s\n", fields[i].header, buf_text(&cell));
        else
            printf("%s\t%s\n", fields[i].header, buf_text(&cell));
    }
    buf_release(&cell);
}
