/* Lists on stdout: a table on a terminal, tab-separated values in a pipe, JSON on request. */
#ifndef MILLRACE_CLI_TABLE_H
#define MILLRACE_CLI_TABLE_H

#include "base/err.h"

#include <jansson.h>

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

/* Prints one object as "name  value" lines (TSV in a pipe), or as JSON. */
void table_print_object(const struct table_column *fields, size_t field_count, const json_t *object,
                        enum table_format format);

#endif
