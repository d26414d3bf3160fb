/* The options of shard, and what their tables can't say: which options go with which split, cutoffs
 * in order, fractions that add up. */
#include "millrace/task_kind.h"

#include "base/template.h"
#include "base/timefmt.h"

#include <math.h>

static const char *const formats[] = {"webdataset", "tfrecord", "parquet", NULL};
static const char *const split_kinds[] = {"none", "temporal", "hash", NULL};

/* clang-format 14 ends with a crash when it aligns rows of these lengths. */
/* clang-format off */
static const struct option split_fields[] = {
    {.key = "kind",
     .type = OPTION_ENUM,
     .flags = OPTION_REQUIRED,
     .choices = split_kinds,
     .doc = "temporal cuts at instants; hash keeps all rows of one key together."},
    {.key = "time",
     .type = OPTION_STRING,
     .doc = "temporal: the column to cut by. Rows without a time are left out and counted."},
    {.key = "cutoffs",
     .type = OPTION_STRINGS,
     .flags = OPTION_TEMPLATE | OPTION_OR_SINGLE,
     .doc = "temporal: ascending dates or times; a split ends before its cutoff. A time without "
            "offset is in the DAG's zone."},
    {.key = "names",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "temporal: one name more than cutoffs; without it train, test, or train, validation, "
            "test."},
    {.key = "gap",
     .type = OPTION_DURATION,
     .fallback = "\"0s\"",
     .doc = "temporal: how long after each cutoff rows are left out (and counted), so that what a "
            "label looks ahead to does not lie in the next split."},
    {.key = "key",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "hash: the columns whose value decides, so that no user is in two splits."},
    {.key = "fractions",
     .type = OPTION_MAP,
     .doc = "hash: the share of each split by name, as {train: 0.8, test: 0.2}; together 1. To one "
            "hundredth of a percent."},
    {.key = "seed",
     .type = OPTION_INT,
     .fallback = "0",
     .min = 0,
     .max = 9e15,
     .doc = "hash: another seed gives another split."},
};

static const struct option_table split_table = {
    .name = "split",
    .doc = "How rows are divided; each split has a folder of its own.",
    .options = split_fields,
    .count = sizeof(split_fields) / sizeof(split_fields[0]),
};

static const struct option shuffle_fields[] = {
    {.key = "seed",
     .type = OPTION_INT,
     .flags = OPTION_REQUIRED,
     .min = 0,
     .max = 9e15,
     .doc = "The same seed gives the same order, on every machine."},
};

static const struct option_table shuffle_table = {
    .name = "shuffle",
    .doc = "A random order that can be repeated.",
    .options = shuffle_fields,
    .count = sizeof(shuffle_fields) / sizeof(shuffle_fields[0]),
};

static const struct option size_fields[] = {
    {.key = "rows",
     .type = OPTION_INT,
     .min = 1,
     .max = 1e12,
     .doc = "At most so many rows in a shard."},
    {.key = "mb",
     .type = OPTION_FLOAT,
     .min = 0.001,
     .max = 1e6,
     .doc = "At most so many megabytes (of 1,000,000 bytes) in a shard, or one row; for Parquet an "
            "estimate from the dataset's files."},
};

static const struct option_table size_table = {
    .name = "size",
    .doc = "When a shard is full; with both, whichever comes first.",
    .options = size_fields,
    .count = sizeof(size_fields) / sizeof(size_fields[0]),
};

static const struct option options[] = {
    {.key = "dataset",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "The published dataset to read: its root (all partitions) or one partition."},
    {.key = "target",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "The dataset of shards to publish, as shards/churn."},
    {.key = "format",
     .type = OPTION_ENUM,
     .flags = OPTION_REQUIRED,
     .choices = formats,
     .doc = "webdataset: tar files, per sample one .json and a member per column of `extensions`. "
            "tfrecord: tf.train.Example; integers and booleans int64, times int64 microseconds, "
            "numbers float32, all else bytes. parquet: the columns as they are."},
    {.key = "split",
     .type = OPTION_OBJECT,
     .fields = &split_table,
     .doc = "How rows are divided; without it there is one set of shards."},
    {.key = "shuffle",
     .type = OPTION_OBJECT,
     .fields = &shuffle_table,
     .doc = "Shuffle within each split; without it rows stay in the dataset's order."},
    {.key = "size",
     .type = OPTION_OBJECT,
     .fields = &size_table,
     .doc = "When a shard is full; without it, at 256 megabytes."},
    {.key = "key",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "webdataset: the columns that name a sample, joined by '-'; together unique, without "
            "'.' and '/'. Without it, the row's number in its split."},
    {.key = "columns",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "The columns to write, in this order; without it, all."},
    {.key = "extensions",
     .type = OPTION_MAP,
     .doc = "webdataset: columns that become members of their own, as {image: jpg, caption: txt}; "
            "all others go into the sample's .json."},
    {.key = "label",
     .type = OPTION_STRING,
     .doc = "A column whose values are counted per split, for the manifest."},
};
/* clang-format on */

static const struct option_alias aliases[] = {
    {"splits",     "split"  },
    {"seed",       "shuffle"},
    {"shard_size", "size"   },
    {"input",      "dataset"},
    {NULL,         NULL     },
};

static const struct option_table shard_options = {
    .name = "with of shard",
    .doc = "A dataset as training shards. Files stand in a folder per split, as "
           "train/train-000000.tar, train/train-00000-of-00004.tfrecord or "
           "train/part-00000.parquet; rows, time range and label counts of each split stand in the "
           "manifest, rows and digest of each file beside them.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
    .aliases = aliases,
};

/* What each kind of split needs and what means nothing to it. */
static const struct {
    const char *key;
    const char *kind;
    bool is_required;
} split_rules[] = {
    {"time",      "temporal", true },
    {"cutoffs",   "temporal", true },
    {"names",     "temporal", false},
    {"gap",       "temporal", false},
    {"key",       "hash",     true },
    {"fractions", "hash",     true },
    {"seed",      "hash",     false},
};

static void check_split_keys(const struct node *split, struct diags *diags)
{
    struct str kind = node_get_text(split, "kind");

    for (size_t i = 0; kind.len > 0 && i < sizeof(split_rules) / sizeof(split_rules[0]); i++) {
        const struct node *value = node_get(split, split_rules[i].key);
        bool belongs = str_is(kind, split_rules[i].kind);
        if (value != NULL && !belongs)
            diag_add(diags, "MR0240", value->at, "drop it, or change the kind",
                     "a split of kind %.*s has no `%s`: that is for kind %s", STR_ARG(kind),
                     split_rules[i].key, split_rules[i].kind);
        if (value == NULL && belongs && split_rules[i].is_required)
            diag_add(diags, "MR0241", split->at, NULL, "a split of kind %.*s needs `%s`",
                     STR_ARG(kind), split_rules[i].key);
    }
}

static size_t count_of(const struct node *list)
{
    return list->kind == NODE_LIST ? list->item_count : 1;
}

static void check_cutoffs(const struct node *split, struct diags *diags)
{
    const struct node *cutoffs = node_get(split, "cutoffs");
    const struct node *names = node_get(split, "names");
    int64_t before = INT64_MIN;

    if (cutoffs == NULL)
        return;
    for (size_t i = 0; i < count_of(cutoffs); i++) {
        const struct node *item = cutoffs->kind == NODE_LIST ? cutoffs->items[i] : cutoffs;
        int64_t us = 0;
        bool has_offset = false;
        if (template_is(item->text))
            continue;
        if (!timefmt_parse(item->text, &us, &has_offset))
            diag_add(diags, "MR0242", item->at, "write 2026-03-15 or 2026-03-15T00:00:00Z",
                     "the cutoff '%.*s' is no date or time", STR_ARG(item->text));
        else if (us <= before)
            diag_add(diags, "MR0242", item->at, "write the cutoffs in ascending order",
                     "the cutoff '%.*s' is not after the one before it", STR_ARG(item->text));
        else
            before = us;
    }
    if (names != NULL ? count_of(names) != count_of(cutoffs) + 1 : count_of(cutoffs) > 2)
        diag_add(diags, "MR0243", names != NULL ? names->at : cutoffs->at,
                 "each cutoff ends one split and begins the next", "%zu cutoffs need %zu names",
                 count_of(cutoffs), count_of(cutoffs) + 1);
}

static void check_fractions(const struct node *split, struct diags *diags)
{
    const struct node *fractions = node_get(split, "fractions");
    double sum = 0;

    if (fractions == NULL || fractions->kind != NODE_MAP)
        return;
    for (size_t i = 0; i < fractions->entry_count; i++) {
        const struct node_entry *entry = &fractions->entries[i];
        double share = 0;
        if ((entry->value->kind != NODE_FLOAT && entry->value->kind != NODE_INT) ||
            !str_to_float(entry->value->text, &share) || share <= 0 || share > 1)
            diag_add(diags, "MR0244", entry->value->at, "write a number, as 0.8",
                     "the share of `%.*s` is not between 0 and 1", STR_ARG(entry->key));
        if (!str_is_id(entry->key))
            diag_add(diags, "MR0245", entry->key_at, "use letters, digits, '_' and '-'",
                     "`%.*s` can't be the name of a folder", STR_ARG(entry->key));
        sum += share;
    }
    if (fabs(sum - 1) > 1e-6)
        diag_add(diags, "MR0244", fractions->at, NULL, "the fractions add up to %g, not to 1", sum);
}

static void shard_check(const struct node *with, struct diags *diags)
{
    const struct node *split = node_get(with, "split");
    const struct node *extensions = node_get(with, "extensions");
    struct str format = node_get_text(with, "format");

    if (extensions != NULL && format.len > 0 && !str_is(format, "webdataset"))
        diag_add(diags, "MR0246", extensions->at, "drop it",
                 "extensions are for webdataset, not for %.*s", STR_ARG(format));
    if (split == NULL || split->kind != NODE_MAP)
        return;
    check_split_keys(split, diags);
    check_cutoffs(split, diags);
    check_fractions(split, diags);
}

const struct task_kind shard_kind = {
    .name = "shard",
    .doc = "Writes a dataset as shards for training: WebDataset tar, TFRecord or Parquet, split, "
           "shuffled and counted, the same bytes every time.",
    .class = TASK_CLASS_DATA,
    .options = &shard_options,
    .publishes = true,
    .version = 1,
    .check = shard_check,
};
