/* The options of ingest, and what their table can't say: the columns' own options. */
#include "millrace/task_kind.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const formats[] = {"auto", "csv", "ndjson", "parquet", NULL};
static const char *const new_columns[] = {"ignore", "fail", "keep", NULL};
static const char *const codecs[] = {"zstd", "snappy", "gzip", "uncompressed", NULL};

/* clang-format 14 crashes over rows that have more members than the first one. */
/* clang-format off */
static const struct option source_fields[] = {
    {.key = "path",
     .type = OPTION_STRINGS,
     .flags = OPTION_REQUIRED | OPTION_OR_SINGLE | OPTION_TEMPLATE,
     .doc = "Files to read: paths or globs (* ? [] {}), relative to the project's folder. .gz and "
            ".zst are read as they are. A pattern that matches nothing fails the attempt."},
    {.key = "format",
     .type = OPTION_ENUM,
     .fallback = "\"auto\"",
     .choices = formats,
     .doc = "auto goes by the name: .csv, .tsv, .txt, .ndjson, .jsonl, .json, .parquet."},
    {.key = "header",
     .type = OPTION_BOOL,
     .fallback = "true",
     .doc = "CSV: whether the first record names the fields. Each file's header is read by itself: "
            "order and spelling may differ from file to file."},
    {.key = "names",
     .type = OPTION_STRINGS,
     .doc = "CSV without a header: the names of its fields, in order."},
    {.key = "delimiter",
     .type = OPTION_STRING,
     .doc = "CSV: one character; default a comma, in .tsv files a tab."},
    {.key = "quote",
     .type = OPTION_STRING,
     .fallback = "\"\\\"\"",
     .doc = "CSV: one character, or an empty string for none. Inside quotes it is doubled."},
    {.key = "null_values",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .fallback = "[\"\"]",
     .doc = "CSV: texts that mean null."},
};

static const struct option_table source_table = {
    .name = "source of ingest",
    .doc = "Files and how to read them.",
    .options = source_fields,
    .count = sizeof(source_fields) / sizeof(source_fields[0]),
};

static const struct option reject_fields[] = {
    {.key = "max_rows",
     .type = OPTION_INT,
     .min = 0,
     .max = 1e6,
     .doc = "More rejected rows than this fail the task."},
    {.key = "max_pct",
     .type = OPTION_FLOAT,
     .fallback = "10",
     .min = 0,
     .max = 100,
     .doc = "More rejected rows than this percentage of those read fail the task."},
};

static const struct option_table reject_table = {
    .name = "reject of ingest",
    .doc =
        "How many rows may be rejected. They go to <lake>.millrace/rejects/<dataset>/… as NDJSON "
        "with file, line, column, value, reason and the raw line.",
    .options = reject_fields,
    .count = sizeof(reject_fields) / sizeof(reject_fields[0]),
};

static const struct option column_fields[] = {
    {.key = "type",
     .type = OPTION_STRING,
     .fallback = "\"VARCHAR\"",
     .doc = "VARCHAR, BOOLEAN, BIGINT, DOUBLE, DECIMAL(12,2), DATE, TIMESTAMPTZ, UUID, JSON, … "
            "Timestamps are instants in UTC."},
    {.key = "from",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "Other names the field has or had in the files."},
    {.key = "formats",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "DATE and TIMESTAMPTZ: strptime formats, tried in this order ('%m/%d/%y %H:%M'). "
            "Put %y before %Y, which also takes two digits."},
    {.key = "nullable",
     .type = OPTION_BOOL,
     .fallback = "true",
     .doc = "false: a row without a value is rejected."},
    {.key = "optional",
     .type = OPTION_BOOL,
     .fallback = "false",
     .doc = "true: the field may be missing from a file; else that file fails the task."},
    {.key = "default",                                       .type = OPTION_SCALAR,                                       .doc = "The value where the source has none."},
};

static const struct option_table column_table = {
    .name = "a column of ingest",
    .doc = "One column of the target.",
    .options = column_fields,
    .count = sizeof(column_fields) / sizeof(column_fields[0]),
};

static const struct option fields[] = {
    {.key = "source",
     .type = OPTION_OBJECT,
     .flags = OPTION_REQUIRED | OPTION_OR_STRING | OPTION_TEMPLATE,
     .fields = &source_table,
     .doc = "A path or glob, or a map with how to read it."},
    {.key = "target",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "The dataset's partition to publish: lake/events/dt={{ ds }}."},
    {.key = "columns",
     .type = OPTION_MAP,
     .doc =
         "The target's columns: name → type, or name → {type, from, formats, nullable, optional, "
         "default}. Without it the columns are those of the first file, which all others have to "
         "have too; types are inferred from all of the files."},
    {.key = "rename",
     .type = OPTION_MAP,
     .doc = "Former names of fields → the names they have now, for columns that are inferred."},
    {.key = "on_new_column",
     .type = OPTION_ENUM,
     .fallback = "\"ignore\"",
     .choices = new_columns,
     .doc =
         "A field that `columns` does not name, or without it the first file: ignore it (the "
         "manifest tells), fail, or keep it, as text where `columns` are declared."},
    {.key = "derive",
     .type = OPTION_MAP,
     .flags = OPTION_TEMPLATE,
     .doc =
         "Constant columns: name → text, or name → {value, type}. Take {{ ts }}, not the time of "
         "day: a retry gives the same bytes then."},
    {.key = "unique_key",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "Of rows with equal keys one is kept (nulls are equal to each other)."},
    {.key = "order_by",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "The row with the greatest value here is the one that is kept; among equals the last "
            "one read, files in name order."},
    {.key = "filter",
     .type = OPTION_STRING,
     .flags = OPTION_TEMPLATE,
     .doc = "An SQL condition on the target's columns; other rows are left out and counted."},
    {.key = "timezone",
     .type = OPTION_STRING,
     .fallback = "\"UTC\"",
     .doc = "The time zone of times without an offset."},
    {.key = "min_rows",
     .type = OPTION_INT,
     .fallback = "0",
     .min = 0,
     .max = 1e15,
     .doc = "Fewer rows than this fail the task before anything is published."},
    {.key = "reject",
     .type = OPTION_OBJECT,
     .fields = &reject_table,
     .doc = "How many bad rows are tolerated."},
    {.key = "codec",
     .type = OPTION_ENUM,
     .fallback = "\"zstd\"",
     .choices = codecs,
     .doc = "Compression of the Parquet file."},
};

/* clang-format on */

static const struct option_alias aliases[] = {
    {"path",             "source"       },
    {"input",            "source"       },
    {"output",           "target"       },
    {"destination",      "target"       },
    {"dataset",          "target"       },
    {"schema",           "columns"      },
    {"primary_key",      "unique_key"   },
    {"dedupe",           "unique_key"   },
    {"max_rejects",      "reject"       },
    {"quarantine",       "reject"       },
    {"on_schema_change", "on_new_column"},
    {"compression",      "codec"        },
    {NULL,               NULL           },
};

static const struct option_table ingest_options = {
    .name = "with of ingest",
    .doc = "Raw files in, one Parquet partition out.",
    .options = fields,
    .count = sizeof(fields) / sizeof(fields[0]),
    .aliases = aliases,
};

static const char *const type_words[] = {
#define TYPE(word, sql) word,
#include "tasks/ingest/types.def"
#undef TYPE
};

#define TYPE_WORD_COUNT (sizeof(type_words) / sizeof(type_words[0]))

static bool type_is_known(struct str type)
{
    char text[64];

    if (type.len >= sizeof(text))
        return false;
    (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(type));
    for (size_t i = 0; i < TYPE_WORD_COUNT; i++)
        if (strcasecmp(type_words[i], text) == 0)
            return true;
    return strncasecmp(text, "DECIMAL(", 8) == 0 || strncasecmp(text, "NUMERIC(", 8) == 0;
}

static void check_type(const struct node *type, struct diags *diags)
{
    if (type == NULL || type->kind != NODE_STRING || type_is_known(type->text))
        return;
    diag_add(diags, "MR0230", type->at,
             diag_suggest(diags, type->text, type_words, TYPE_WORD_COUNT),
             "`%.*s` is no type of a column", STR_ARG(type->text));
}

static void check_columns(const struct node *columns, struct diags *diags)
{
    if (columns == NULL || columns->kind != NODE_MAP)
        return;
    if (columns->entry_count == 0)
        diag_add(diags, "MR0230", columns->at, "leave it out to have columns inferred",
                 "`columns` names no column");
    for (size_t i = 0; i < columns->entry_count; i++) {
        const struct node *value = columns->entries[i].value;
        if (value->kind == NODE_MAP) {
            json_decref(options_check(&column_table, value, value->at, diags));
            check_type(node_get(value, "type"), diags);
        } else if (value->kind == NODE_STRING) {
            check_type(value, diags);
        } else {
            diag_add(diags, "MR0230", value->at, "write its type, such as BIGINT",
                     "column `%.*s` must be a type or a map", STR_ARG(columns->entries[i].key));
        }
    }
}

static bool is_column(const struct node *with, struct str name)
{
    const char *const maps[] = {"columns", "derive"};

    for (size_t m = 0; m < 2; m++) {
        const struct node *map = node_get(with, maps[m]);
        for (size_t i = 0; map != NULL && i < map->entry_count; i++)
            if (str_eq(map->entries[i].key, name))
                return true;
    }
    return false;
}

static void check_name(const struct node *with, const char *option, const struct node *name,
                       struct diags *diags)
{
    const struct node *columns = node_get(with, "columns");
    const char *names[64];
    size_t count = 0;

    if (name->kind != NODE_STRING || is_column(with, name->text))
        return;
    for (size_t i = 0; i < columns->entry_count && count < sizeof(names) / sizeof(names[0]); i++)
        names[count++] = arena_str(diags->arena, columns->entries[i].key).ptr;
    const char *hint = diag_suggest(diags, name->text, names, count);
    diag_add(diags, "MR0231", name->at, hint != NULL ? hint : "declare it in `columns`",
             "`%s` names `%.*s`, which is neither in `columns` nor in `derive`", option,
             STR_ARG(name->text));
}

/* With declared columns, what others there are is known before a file is read, unless new ones are
 * to be kept. */
static void check_names(const struct node *with, const char *option, struct diags *diags)
{
    const struct node *columns = node_get(with, "columns");
    const struct node *names = node_get(with, option);

    if (names == NULL || columns == NULL || columns->kind != NODE_MAP ||
        str_is(node_get_text(with, "on_new_column"), "keep"))
        return;
    if (names->kind != NODE_LIST)
        check_name(with, option, names, diags);
    for (size_t i = 0; i < names->item_count; i++)
        check_name(with, option, names->items[i], diags);
}

static void check_single(const struct node *source, const char *key, struct diags *diags)
{
    const struct node *value = node_get(source, key);

    if (value != NULL && value->kind == NODE_STRING && value->text.len > 1)
        diag_add(diags, "MR0231", value->at, NULL, "`%s` must be one character", key);
}

static void check_ingest(const struct node *with, struct diags *diags)
{
    const struct node *source = node_get(with, "source");
    const struct node *header = node_get(source, "header");
    const struct node *order = node_get(with, "order_by");
    const struct node *rename = node_get(with, "rename");

    check_columns(node_get(with, "columns"), diags);
    check_names(with, "unique_key", diags);
    check_names(with, "order_by", diags);
    check_single(source, "delimiter", diags);
    check_single(source, "quote", diags);
    if (header != NULL && header->kind == NODE_BOOL && !header->scalar.boolean &&
        node_get(source, "names") == NULL)
        diag_add(diags, "MR0231", header->at, "add `names: [a, b, …]`",
                 "a CSV without a header needs the names of its fields");
    if (order != NULL && node_get(with, "unique_key") == NULL)
        diag_add(diags, "MR0231", order->at, "add `unique_key`",
                 "`order_by` only says which of several rows with one key is kept");
    if (rename != NULL && node_get(with, "columns") != NULL)
        diag_add(diags, "MR0231", rename->at, "use `from` in the column instead",
                 "`rename` is for columns that are inferred");
}

const struct task_kind ingest_kind = {
    .name = "ingest",
    .doc = "Reads raw CSV, NDJSON or Parquet files into one published Parquet partition; rows that "
           "can't be read go to a dead-letter file with file, line and reason.",
    .class = TASK_CLASS_DATA,
    .options = &ingest_options,
    .publishes = true,
    .version = 1,
    .check = check_ingest,
};
