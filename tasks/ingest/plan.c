/* From options to a plan: format, columns and their types. */
#include "base/json.h"
#include "base/mem.h"
#include "tasks/ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* DECIMAL(p,s), the one type with parameters, in DuckDB's own spelling. */
static const char *decimal_type(struct ingest *ingest, const char *word)
{
    unsigned width = 0;
    unsigned scale = 0;
    char end = '\0';

    if (strncasecmp(word, "DECIMAL", 7) != 0 && strncasecmp(word, "NUMERIC", 7) != 0)
        return NULL;
    if (sscanf(word + 7, " ( %u , %u %c", &width, &scale, &end) != 3 || end != ')' || width < 1 ||
        width > 38 || scale > width)
        return NULL;
    return arena_printf(&ingest->arena, "DECIMAL(%u,%u)", width, scale);
}

static const char *find_type(struct ingest *ingest, const char *word)
{
    static const struct {
        const char *word;
        const char *sql;
    } types[] = {
#define TYPE(word, sql) {word, sql},
#include "tasks/ingest/types.def"
#undef TYPE
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcasecmp(types[i].word, word) == 0)
            return types[i].sql;
    return decimal_type(ingest, word);
}

struct ingest_column *ingest_add_column(struct ingest *ingest, const char *name)
{
    ingest->columns =
        mem_resize_array(ingest->columns, ingest->column_count + 1, sizeof(*ingest->columns));
    struct ingest_column *column = &ingest->columns[ingest->column_count++];
    *column = (struct ingest_column){
        .name = arena_strdup(&ingest->arena, name),
        .type = "VARCHAR",
        .nullable = true,
    };
    return column;
}

/* An option that may be one string or a list of them, as a list; NULL when absent. */
static const json_t *string_list(struct ingest *ingest, const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    if (!json_is_string(value))
        return json_is_array(value) && json_array_size(value) > 0 ? value : NULL;
    json_t *list = json_array();
    (void)json_array_append(list, value);
    (void)json_array_append_new(ingest->owned, list);
    return list;
}

static bool plan_column(struct ingest *ingest, const char *name, const json_t *value,
                        struct err *err)
{
    struct ingest_column *column = ingest_add_column(ingest, name);
    const char *word = json_is_string(value) ? json_string_value(value)
                                             : json_get_string(value, "type", "VARCHAR");

    column->type = find_type(ingest, word);
    if (column->type == NULL)
        return err_set(err, ERR_INVALID, "column %s: '%s' is no type of a column", name, word);
    if (!json_is_object(value))
        return true;
    column->from = string_list(ingest, value, "from");
    column->formats = string_list(ingest, value, "formats");
    column->nullable = json_get_bool(value, "nullable", true);
    column->fallback = json_object_get(value, "default");
    if (json_is_null(column->fallback))
        column->fallback = NULL;
    column->optional = json_get_bool(value, "optional", false) || column->fallback != NULL;
    if (column->formats != NULL && strcmp(column->type, "DATE") != 0 &&
        strncmp(column->type, "TIMESTAMP", 9) != 0)
        return err_set(err, ERR_INVALID, "column %s: formats are for DATE and TIMESTAMPTZ only",
                       name);
    return true;
}

static const char *scalar_text(struct ingest *ingest, const json_t *value)
{
    struct buf text = {0};

    if (json_is_string(value))
        return json_string_value(value);
    json_dump_canonical(value, &text);
    const char *copy = arena_strdup(&ingest->arena, buf_text(&text));
    buf_release(&text);
    return copy;
}

static bool plan_derived(struct ingest *ingest, struct err *err)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(json_object_get(ingest->attempt->options, "derive"), name, value)
    {
        struct ingest_column *column = ingest_add_column(ingest, name);
        const char *word = json_get_string(value, "type", "VARCHAR");
        column->type = find_type(ingest, word);
        column->derived =
            scalar_text(ingest, json_is_object(value) ? json_object_get(value, "value") : value);
        if (column->type == NULL)
            return err_set(err, ERR_INVALID, "derive %s: '%s' is no type of a column", name, word);
    }
    return true;
}

static bool plan_format(struct ingest *ingest, const json_t *source, struct err *err)
{
    const char *format = json_get_string(source, "format", "auto");
    const char *type = file_type_of(ingest->files[0].path);
    bool automatic = strcmp(format, "auto") == 0;

    if (!automatic)
        type = format;
    for (size_t i = 1; automatic && i < ingest->file_count; i++)
        if (strcmp(file_type_of(ingest->files[i].path), type) != 0)
            return err_set(err, ERR_INVALID, "%s and %s are of different types; say source.format",
                           ingest->files[0].path, ingest->files[i].path);
    if (strcmp(type, "csv") == 0 || strcmp(type, "tsv") == 0 || strcmp(type, "txt") == 0)
        ingest->format = INGEST_CSV;
    else if (strcmp(type, "ndjson") == 0 || strcmp(type, "jsonl") == 0 || strcmp(type, "json") == 0)
        ingest->format = INGEST_NDJSON;
    else if (strcmp(type, "parquet") == 0)
        ingest->format = INGEST_PARQUET;
    else
        return err_set(err, ERR_INVALID, "the name %s does not tell its type; say source.format",
                       ingest->files[0].path);
    const char *delimiter =
        json_get_string(source, "delimiter", strcmp(type, "tsv") == 0 ? "\t" : ",");
    const char *quote = json_get_string(source, "quote", "\"");
    if (strlen(delimiter) != 1 || strlen(quote) > 1)
        return err_set(err, ERR_INVALID, "delimiter and quote are single characters");
    ingest->delimiter = delimiter[0];
    ingest->quote = quote[0];
    ingest->has_header = json_get_bool(source, "header", true);
    ingest->names = json_object_get(source, "names");
    ingest->null_values = string_list(ingest, source, "null_values");
    return true;
}

bool ingest_plan(struct ingest *ingest, struct err *err)
{
    const json_t *options = ingest->attempt->options;
    const json_t *source = json_object_get(options, "source");
    json_t *columns = json_object_get(options, "columns");
    const char *name = NULL;
    json_t *value = NULL;

    ingest->owned = json_array();
    ingest->ignored = json_array();
    if (!plan_format(ingest, json_is_object(source) ? source : NULL, err))
        return false;
    ingest->rename = json_object_get(options, "rename");
    ingest->timezone = json_get_string(options, "timezone", "UTC");
    ingest->filter = json_get_string(options, "filter", NULL);
    ingest->declared = json_object_size(columns) > 0;
    json_object_foreach(columns, name,
                        value) if (!plan_column(ingest, name, value, err)) return false;
    return plan_derived(ingest, err);
}
