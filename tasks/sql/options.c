/* The options of sql. */
#include "millrace/task_kind.h"

#include <stddef.h>

static const char *const codecs[] = {"zstd", "snappy", "gzip", "uncompressed", NULL};

static const struct option fields[] = {
    {.key = "inputs",
     .type = OPTION_MAP,
     .flags = OPTION_TEMPLATE,
     .fallback = "{}",
     .doc =
         "Name in the query → published dataset (its root, with the partition's keys as columns, "
         "or one partition). What is read is one version of each, and the manifest names it."},
    {.key = "query",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "One SELECT over the inputs, in DuckDB's SQL."                                 },
    {.key = "order_by",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "Columns of the result to sort by. Without it the rows come as the query gives them; "
            "sort by a key to get the same bytes from the same inputs."                  },
    {.key = "target",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "The dataset's partition to publish: lake/totals/dt={{ ds }}."},
    {.key = "codec",
     .type = OPTION_ENUM,
     .fallback = "\"zstd\"",
     .choices = codecs,
     .doc = "Compression of the Parquet file."},
};

static const struct option_alias aliases[] = {
    {"sql",         "query" },
    {"output",      "target"},
    {"dataset",     "inputs"},
    {"compression", "codec" },
    {NULL,          NULL    },
};

static const struct option_table sql_options = {
    .name = "with of sql",
    .doc = "A SELECT over published datasets, its rows published as one Parquet partition.",
    .options = fields,
    .count = sizeof(fields) / sizeof(fields[0]),
    .aliases = aliases,
};

static void check_sql(const struct node *with, struct diags *diags)
{
    const struct node *inputs = node_get(with, "inputs");

    for (size_t i = 0; inputs != NULL && i < inputs->entry_count; i++) {
        const struct node_entry *input = &inputs->entries[i];
        if (input->value->kind != NODE_STRING)
            diag_add(diags, "MR0240", input->value->at, "write its path, such as lake/events",
                     "input `%.*s` must be the path of a dataset", STR_ARG(input->key));
    }
}

const struct task_kind sql_kind = {
    .name = "sql",
    .doc = "Runs one SELECT over published datasets and publishes its rows as Parquet.",
    .class = TASK_CLASS_DATA,
    .options = &sql_options,
    .publishes = true,
    .version = 1,
    .check = check_sql,
};
