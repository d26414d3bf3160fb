/* The options of feature, and what their tables can't say: references between sources and features,
 * windows that could look ahead, names used twice. */
#include "millrace/task_kind.h"

#include "base/timefmt.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SUGGEST_MAX 64

static const char *const aggregates[] = {"count", "count_distinct", "sum",  "mean",   "min",
                                         "max",   "first",          "last", "stddev", NULL};
static const char *const codecs[] = {"zstd", "snappy", "uncompressed", NULL};

static const struct option source_fields[] = {
    {.key = "dataset",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "A published dataset of events: its root (all partitions) or one partition."        },
    {.key = "time",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED,
     .doc = "The column that says when the event happened. Events without a time or an entity are "
            "left out and counted."                                                             },
    {.key = "available",
     .type = OPTION_STRING,
     .doc = "The column that says when the event became known; needed by strict_availability."},
    {.key = "where",
     .type = OPTION_STRING,
     .flags = OPTION_TEMPLATE,
     .doc = "An SQL condition: only events that satisfy it are used."},
};

static const struct option_table source_table = {
    .name = "source of feature",
    .doc = "Events that features are computed from.",
    .options = source_fields,
    .count = sizeof(source_fields) / sizeof(source_fields[0]),
};

static const struct option spine_fields[] = {
    {.key = "dataset",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "A published dataset of labels with the entity's columns: one row of it is one row of "
            "the result."                                                                    },
    {.key = "time",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED,
     .doc = "The column with the instant that the features must be true for."                },
    {.key = "keep",
     .type = OPTION_STRINGS,
     .flags = OPTION_OR_SINGLE,
     .doc = "Further columns to carry into the result, the label above all; without it, all."},
};

static const struct option_table spine_table = {
    .name = "spine of feature",
    .doc = "The labels to compute features for.",
    .options = spine_fields,
    .count = sizeof(spine_fields) / sizeof(spine_fields[0]),
};

static const struct option feature_fields[] = {
    {.key = "source",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED,
     .doc = "The name of one of the sources."},
    {.key = "agg",
     .type = OPTION_ENUM,
     .flags = OPTION_REQUIRED,
     .choices = aggregates,
     .doc = "What to compute over the window. Nulls are left out. sum of integers is a BIGINT, of "
            "decimals exact; first and last go by the source's time, at a tie by the value."},
    {.key = "column",
     .type = OPTION_STRING,
     .doc = "The column to aggregate; only count does without (it then counts events)."},
    {.key = "window",
     .type = OPTION_DURATION,
     .doc = "How far back to look: events with time - window < event <= time. Without it, all of "
            "the past."     },
    {.key = "where",
     .type = OPTION_STRING,
     .flags = OPTION_TEMPLATE,
     .doc = "An SQL condition: only events that satisfy it count for this feature."},
    {.key = "default",
     .type = OPTION_SCALAR,
     .doc = "The value where no event gives one; without it null. count is 0 there anyway."           },
};

static const struct option_alias feature_aliases[] = {
    {"aggregation", "agg"    },
    {"function",    "agg"    },
    {"value",       "column" },
    {"fill",        "default"},
    {NULL,          NULL     },
};

static const struct option_table feature_table = {
    .name = "feature",
    .doc = "One column of the result.",
    .options = feature_fields,
    .count = sizeof(feature_fields) / sizeof(feature_fields[0]),
    .aliases = feature_aliases,
};

/* clang-format 14 ends with a crash when it aligns rows of these lengths. */
/* clang-format off */
static const struct option options[] = {
    {.key = "sources",
     .type = OPTION_MAP,
     .flags = OPTION_REQUIRED,
     .fields = &source_table,
     .doc = "The events, by a name that the features refer to."},
    {.key = "target",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "The dataset, or the partition of it, to publish: lake/features/user/dt={{ ds }}."},
    {.key = "entity",
     .type = OPTION_STRINGS,
     .flags = OPTION_REQUIRED | OPTION_OR_SINGLE,
     .doc = "The columns that say whom a row is about; every source and the spine have them."},
    {.key = "spine",
     .type = OPTION_OBJECT,
     .fields = &spine_table,
     .doc = "The labels to compute features for, each as of its own time. Without it the result is "
            "a snapshot: one row per entity that has an event up to `as_of`."},
    {.key = "as_of",
     .type = OPTION_DATE,
     .flags = OPTION_TEMPLATE,
     .doc = "Without a spine: the instant of the snapshot, which becomes the column as_of. Without "
            "it, the end of the run's data interval. A time without offset is in the DAG's zone."},
    {.key = "features",
     .type = OPTION_MAP,
     .flags = OPTION_REQUIRED,
     .fields = &feature_table,
     .doc = "The features, by the name of their column."},
    {.key = "strict_availability",
     .type = OPTION_BOOL,
     .fallback = "false",
     .doc = "An event counts only once it was known: its `available` column must not be after the "
            "row's time either."},
    {.key = "codec",
     .type = OPTION_ENUM,
     .fallback = "\"zstd\"",
     .choices = codecs,
     .doc = "Compression of the Parquet file."},
};
/* clang-format on */

static const struct option_alias aliases[] = {
    {"labels",   "spine"  },
    {"key",      "entity" },
    {"entities", "entity" },
    {"dataset",  "sources"},
    {NULL,       NULL     },
};

static const struct option_table feature_options = {
    .name = "with of feature",
    .doc = "Features by declaration: aggregates of events over trailing windows, point in time "
           "correct. Windows are half-open, (time - window, time]: an event at the row's time "
           "counts, one exactly a window earlier does not, and nothing later ever does. Rows are "
           "ordered by entity and time.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
    .aliases = aliases,
};

static bool same_name(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

/* Whether a list of names, or the one name standing for it, holds `name`. */
static bool list_holds(const struct node *list, struct str name)
{
    if (list == NULL)
        return false;
    if (list->kind == NODE_STRING)
        return same_name(list->text, name);
    for (size_t i = 0; i < list->item_count; i++)
        if (same_name(list->items[i]->text, name))
            return true;
    return false;
}

static void check_source_name(const struct node *sources, const struct node *feature,
                              struct diags *diags)
{
    const struct node *source = node_get(feature, "source");
    const char *names[SUGGEST_MAX];
    char copies[SUGGEST_MAX][64];
    size_t count = 0;

    if (source == NULL || source->kind != NODE_STRING || sources == NULL ||
        sources->kind != NODE_MAP)
        return;
    for (size_t i = 0; i < sources->entry_count; i++) {
        struct str name = sources->entries[i].key;
        if (str_eq(name, source->text))
            return;
        if (count < SUGGEST_MAX && name.len < sizeof(copies[0])) {
            (void)snprintf(copies[count], sizeof(copies[0]), "%.*s", STR_ARG(name));
            names[count] = copies[count];
            count++;
        }
    }
    diag_add(diags, "MR0220", source->at, diag_suggest(diags, source->text, names, count),
             "there is no source `%.*s`", STR_ARG(source->text));
}

static void check_window(const struct node *feature, struct diags *diags)
{
    const struct node *window = node_get(feature, "window");
    int64_t us = 0;

    if (window == NULL)
        return;
    if (str_starts(window->text, STR("-")))
        diag_add(diags, "MR0221", window->at, "windows look back only; drop the minus",
                 "a window of %.*s would read after the row's time", STR_ARG(window->text));
    else if (duration_parse(window->text, &us) && us == 0)
        diag_add(diags, "MR0221", window->at, "leave `window` out to look at all of the past",
                 "a window of length 0 holds no events");
}

static void check_feature(const struct node *with, const struct node_entry *entry,
                          struct diags *diags)
{
    const struct node *feature = entry->value;
    const struct node *column = node_get(feature, "column");
    const struct node *fallback = node_get(feature, "default");
    struct str agg = node_get_text(feature, "agg");

    if (feature == NULL || feature->kind != NODE_MAP)
        return;
    check_source_name(node_get(with, "sources"), feature, diags);
    check_window(feature, diags);
    if (agg.len > 0 && column == NULL && !str_is(agg, "count"))
        diag_add(diags, "MR0222", entry->key_at, "add `column: …`",
                 "feature `%.*s`: %.*s needs a column", STR_ARG(entry->key), STR_ARG(agg));
    if (fallback != NULL && str_starts(agg, STR("count")))
        diag_add(diags, "MR0222", fallback->at, "drop it",
                 "feature `%.*s`: %.*s is 0 where there is nothing, so a default is never used",
                 STR_ARG(entry->key), STR_ARG(agg));
}

/* Each feature is a column, so its name must differ from all others whatever the case. */
static void check_feature_name(const struct node *with, size_t index, struct diags *diags)
{
    const struct node *features = node_get(with, "features");
    const struct node *spine = node_get(with, "spine");
    const struct node_entry *entry = &features->entries[index];
    const char *taken = NULL;

    if (list_holds(node_get(with, "entity"), entry->key))
        taken = "a column of the entity";
    else if (spine == NULL ? same_name(entry->key, STR("as_of"))
                           : same_name(entry->key, node_get_text(spine, "time")))
        taken = "the column of the time";
    else if (list_holds(node_get(spine, "keep"), entry->key))
        taken = "a column kept from the spine";
    for (size_t i = 0; taken == NULL && i < index; i++)
        if (same_name(entry->key, features->entries[i].key))
            taken = "another feature (case does not tell columns apart)";
    if (taken != NULL)
        diag_add(diags, "MR0223", entry->key_at, "choose another name",
                 "feature `%.*s` has the name of %s", STR_ARG(entry->key), taken);
}

static void check_availability(const struct node *with, struct diags *diags)
{
    const struct node *strict = node_get(with, "strict_availability");
    const struct node *sources = node_get(with, "sources");

    if (strict == NULL || strict->kind != NODE_BOOL || !strict->scalar.boolean || sources == NULL ||
        sources->kind != NODE_MAP)
        return;
    for (size_t i = 0; i < sources->entry_count; i++)
        if (node_get(sources->entries[i].value, "available") == NULL)
            diag_add(diags, "MR0224", sources->entries[i].key_at,
                     "name the column with the time of arrival, as `available: ingest_ts`",
                     "strict_availability needs `available` in source `%.*s`",
                     STR_ARG(sources->entries[i].key));
}

static void check_snapshot(const struct node *with, struct diags *diags)
{
    const struct node *as_of = node_get(with, "as_of");

    if (as_of != NULL && node_get(with, "spine") != NULL)
        diag_add(diags, "MR0225", as_of->at, "drop one of the two",
                 "as_of is the time of a snapshot, but with a spine each row has its own");
}

static void check_not_empty(const struct node *with, const char *key, struct diags *diags)
{
    const struct node *list = node_get(with, key);

    if (list != NULL && ((list->kind == NODE_MAP && list->entry_count == 0) ||
                         (list->kind == NODE_LIST && list->item_count == 0)))
        diag_add(diags, "MR0226", list->at, NULL, "%s is empty", key);
}

static void feature_check(const struct node *with, struct diags *diags)
{
    const struct node *features = node_get(with, "features");

    check_not_empty(with, "entity", diags);
    check_not_empty(with, "sources", diags);
    check_not_empty(with, "features", diags);
    check_availability(with, diags);
    check_snapshot(with, diags);
    if (features == NULL || features->kind != NODE_MAP)
        return;
    for (size_t i = 0; i < features->entry_count; i++) {
        check_feature(with, &features->entries[i], diags);
        check_feature_name(with, i, diags);
    }
}

const struct task_kind feature_kind = {
    .name = "feature",
    .doc = "Computes features from events: counts, sums, means and the like over trailing windows, "
           "for the rows of a label table or as a snapshot, without a look at the future.",
    .class = TASK_CLASS_DATA,
    .options = &feature_options,
    .publishes = true,
    .version = 1,
    .check = feature_check,
};
