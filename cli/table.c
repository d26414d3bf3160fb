#include "cli/table.h"

#include "base/buf.h"
#include "base/json.h"

#include <libsmartcols/libsmartcols.h>
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
