/* Lists on stdout: a table on a terminal, tab-separated values in a pipe, JSON on request. */
#ifndef MILLRACE_CLI_TABLE_H
#define MILLRACE_CLI_TABLE_H

#include "base/err.h"

#include <jansson.h>

#define TABLE_STREAM_COLUMNS_MAX 8

enum table_format { TABLE_AUTO, TABLE_TEXT, TABLE_TSV, TABLE_JSON };

struct table_column {
    const char *header; /* "RUN" */
    const char *key;    /* member of the row; "a.b" reaches into an object */
};

/* "table", "tsv" or "json"; false for any other word. */
bool table_format_parse(const char *word, enum table_format *ret);

/* Prints the array `rows` (objects). JSON prints `document` as it came from the server. */
void table_print(const struct table_column *columns, size_t column_count, const json_t *rows,
                 const json_t *document, enum table_format format);

/* A list that comes in parts, each printed as it comes: nothing of it is kept. The columns of a
 * table are as wide as the first part needs; a longer cell later on moves what is behind it. */
struct table_stream {
    const struct table_column *columns;
    size_t column_count; /* at most TABLE_STREAM_COLUMNS_MAX */
    enum table_format format;
    const char *key; /* JSON: the list's name in the document */
    size_t widths[TABLE_STREAM_COLUMNS_MAX];
    size_t row_count; /* so far */
    bool has_begun;
};

/* `rows` is an array of objects. */
void table_stream_add(struct table_stream *stream, const json_t *rows);

/* After the last part, of which there is one at least; `rest` are the other members of the JSON
 * document. */
void table_stream_end(const struct table_stream *stream, const json_t *rest);

/* Prints one object as "name  value" lines (TSV in a pipe), or as JSON. */
void table_print_object(const struct table_column *fields, size_t field_count, const json_t *object,
                        enum table_format format);

#endif
