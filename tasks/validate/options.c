/* The options of validate: one table per expectation, made of a few shapes, and what the tables
 * can't say. */
#include "millrace/task_kind.h"

#include <stdlib.h>
#include <string.h>

static const char *const severities[] = {"critical", "warning", "info", NULL};
static const char *const match_choices[] = {"any", "all", NULL};
static const char *const pair_missing[] = {"both_values_are_missing", "either_value_is_missing",
                                           "neither", NULL};
static const char *const multi_missing[] = {"all_values_are_missing", "any_value_is_missing",
                                            "never", NULL};
static const char *const statistics[] = {"mean", "median", NULL};

#define TEXT(name, text)                                                                           \
    {                                                                                              \
        .key = name, .type = OPTION_STRING, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,            \
        .doc = text                                                                                \
    }
#define FIELD(name, kind, bits, value, text)                                                       \
    {                                                                                              \
        .key = name, .type = kind, .flags = bits, .fallback = value, .doc = text                   \
    }
#define CHOICE(name, names, value, text)                                                           \
    {                                                                                              \
        .key = name, .type = OPTION_ENUM, .fallback = value, .doc = text, .choices = names         \
    }

#define NUMBER(name, kind, bits, value, least, most, text)                                         \
    {                                                                                              \
        .key = name, .type = kind, .flags = bits, .fallback = value, .min = least, .max = most,    \
        .doc = text                                                                                \
    }
#define NESTED(name, kind, bits, table, text)                                                      \
    {                                                                                              \
        .key = name, .type = kind, .flags = bits, .doc = text, .fields = table                     \
    }
#define VARIANTS(name, kind, bits, value, table, text)                                             \
    {                                                                                              \
        .key = name, .type = kind, .flags = bits, .fallback = value, .doc = text,                  \
        .variants = table                                                                          \
    }

#define COLUMN TEXT("column", "The column's name.")
#define SCALAR_FLAGS (OPTION_TEMPLATE | OPTION_NULLABLE)
#define LIST_FLAGS (OPTION_REQUIRED | OPTION_TEMPLATE | OPTION_OR_SINGLE)
#define MOSTLY                                                                                     \
    NUMBER("mostly", OPTION_FLOAT, 0, "1", 0, 1,                                                   \
           "The share of the values looked at that must meet the expectation.")
#define BOUNDS                                                                                     \
    FIELD("min_value", OPTION_SCALAR, SCALAR_FLAGS, NULL, "The least value; null is open."),       \
        FIELD("max_value", OPTION_SCALAR, SCALAR_FLAGS, NULL, "The largest value; null is open."), \
        FIELD("strict_min", OPTION_BOOL, 0, "false", "The least value itself is not allowed."),    \
        FIELD("strict_max", OPTION_BOOL, 0, "false", "The largest value itself is not allowed.")
#define VALUE_SET FIELD("value_set", OPTION_SCALARS, LIST_FLAGS, NULL, "The values in question.")
#define MATCH_ON CHOICE("match_on", match_choices, "\"any\"", "Whether any or all must match.")
#define REGEX_LIST FIELD("regex_list", OPTION_STRINGS, LIST_FLAGS, NULL, "Regular expressions.")
#define LIKE_LIST FIELD("like_pattern_list", OPTION_STRINGS, LIST_FLAGS, NULL, "LIKE patterns.")
#define PAIR                                                                                       \
    TEXT("column_A", "The first column."), TEXT("column_B", "The second column."),                 \
        CHOICE("ignore_row_if", pair_missing, "\"both_values_are_missing\"",                       \
               "Which rows with nulls are left out.")
#define MULTI                                                                                      \
    FIELD("column_list", OPTION_STRINGS, LIST_FLAGS, NULL, "The columns' names."),                 \
        CHOICE("ignore_row_if", multi_missing, "\"all_values_are_missing\"",                       \
               "Which rows with nulls are left out.")
#define COMMON                                                                                     \
    FIELD("row_condition", OPTION_STRING, SCALAR_FLAGS, NULL,                                      \
          "An SQL condition; only rows that satisfy it are looked at."),                           \
        CHOICE("severity", severities, "\"critical\"",                                             \
               "critical fails the task; warning and info are only reported."),                    \
        FIELD("meta", OPTION_ANY, OPTION_NULLABLE, NULL, "Free JSON, kept in the report."),        \
        FIELD("description", OPTION_STRING, OPTION_NULLABLE, NULL, "What the rule is for."),       \
        FIELD("id", OPTION_STRING, OPTION_NULLABLE, NULL, "A name of your own, in the report.")

static const struct option map_fields[] = {COLUMN, MOSTLY, COMMON};
static const struct option map_bounds_fields[] = {COLUMN, BOUNDS, MOSTLY, COMMON};
static const struct option map_set_fields[] = {COLUMN, VALUE_SET, MOSTLY, COMMON};
static const struct option map_regex_fields[] = {COLUMN, TEXT("regex", "The expression."), MOSTLY,
                                                 COMMON};
static const struct option map_regex_list_fields[] = {COLUMN, REGEX_LIST, MATCH_ON, MOSTLY, COMMON};
static const struct option map_regexes_fields[] = {COLUMN, REGEX_LIST, MOSTLY, COMMON};
static const struct option map_like_fields[] = {COLUMN, TEXT("like_pattern", "The pattern."),
                                                MOSTLY, COMMON};
static const struct option map_like_list_fields[] = {COLUMN, LIKE_LIST, MATCH_ON, MOSTLY, COMMON};
static const struct option map_likes_fields[] = {COLUMN, LIKE_LIST, MOSTLY, COMMON};
static const struct option map_value_fields[] = {
    COLUMN, FIELD("value", OPTION_INT, OPTION_REQUIRED | OPTION_TEMPLATE, NULL, "The length."),
    MOSTLY, COMMON};
static const struct option map_strftime_fields[] = {
    COLUMN, TEXT("strftime_format", "The format, as %Y-%m-%d."), MOSTLY, COMMON};
static const struct option map_ordered_fields[] = {
    COLUMN, FIELD("strictly", OPTION_BOOL, 0, "false", "Equal neighbours are not allowed."), MOSTLY,
    COMMON};
static const struct option map_z_fields[] = {
    COLUMN,
    FIELD("threshold", OPTION_FLOAT, OPTION_REQUIRED | OPTION_TEMPLATE, NULL,
          "Standard deviations from the mean."),
    FIELD("double_sided", OPTION_BOOL, 0, "true", "Values far below the mean count too."), MOSTLY,
    COMMON};
static const struct option type_one_fields[] = {COLUMN, TEXT("type_", "The type's name."), COMMON};
static const struct option type_list_fields[] = {
    COLUMN, FIELD("type_list", OPTION_STRINGS, LIST_FLAGS, NULL, "The types' names."), COMMON};
static const struct option pair_fields[] = {PAIR, MOSTLY, COMMON};
static const struct option pair_greater_fields[] = {
    PAIR, FIELD("or_equal", OPTION_BOOL, 0, "false", "Equal values are allowed."), MOSTLY, COMMON};
static const struct option pair_set_fields[] = {
    PAIR, FIELD("value_pairs_set", OPTION_ANY, OPTION_REQUIRED, NULL, "A list of [a, b] pairs."),
    MOSTLY, COMMON};
static const struct option multi_fields[] = {MULTI, MOSTLY, COMMON};
static const struct option multi_sum_fields[] = {
    MULTI, FIELD("sum_total", OPTION_FLOAT, OPTION_REQUIRED | OPTION_TEMPLATE, NULL, "The sum."),
    MOSTLY, COMMON};
static const struct option aggregate_fields[] = {COLUMN, BOUNDS, COMMON};
static const struct option quantile_range_fields[] = {
    FIELD("quantiles", OPTION_ANY, OPTION_REQUIRED, NULL, "A list of numbers from 0 to 1."),
    FIELD("value_ranges", OPTION_ANY, OPTION_REQUIRED, NULL, "One [least, largest] for each."),
};
static const struct option_table quantile_ranges_table = {
    .name = "quantile_ranges",
    .doc = "Quantiles and the range that each must lie in.",
    .options = quantile_range_fields,
    .count = sizeof(quantile_range_fields) / sizeof(quantile_range_fields[0]),
};
static const struct option quantiles_fields[] = {
    COLUMN,
    NESTED("quantile_ranges", OPTION_OBJECT, OPTION_REQUIRED, &quantile_ranges_table,
           "Quantiles and the range that each must lie in."),
    COMMON,
};
static const struct option divergence_fields[] = {
    COLUMN,
    FIELD("partition_object", OPTION_ANY, OPTION_REQUIRED, NULL,
          "{bins: [0, 10, 20], weights: [0.7, 0.3]}, or {values: [a, b], weights: [0.5, 0.5]}."),
    NUMBER("threshold", OPTION_FLOAT, OPTION_REQUIRED, NULL, 0, 1e9, "The largest divergence."),
    NUMBER("tail_weight_holdout", OPTION_FLOAT, 0, "0", 0, 1,
           "The weight of what lies outside all bins or values."),
    NUMBER("internal_weight_holdout", OPTION_FLOAT, 0, "0", 0, 1,
           "The weight of bins and values that have none."),
    COMMON};
static const struct option distinct_fields[] = {COLUMN, VALUE_SET, COMMON};
static const struct option most_common_fields[] = {
    COLUMN, VALUE_SET,
    FIELD("ties_okay", OPTION_BOOL, 0, "false", "Of several equally frequent ones, one suffices."),
    COMMON};
static const struct option table_bounds_fields[] = {BOUNDS, COMMON};
static const struct option table_value_fields[] = {
    FIELD("value", OPTION_INT, OPTION_REQUIRED | OPTION_TEMPLATE, NULL, "The number."), COMMON};
static const struct option table_other_fields[] = {
    TEXT("other_table_name", "The other dataset, or one partition of it."), COMMON};
static const struct option table_set_fields[] = {
    FIELD("column_set", OPTION_STRINGS, LIST_FLAGS, NULL, "The columns' names."),
    FIELD("exact_match", OPTION_BOOL, 0, "true", "No other columns are allowed."), COMMON};
static const struct option table_list_fields[] = {
    FIELD("column_list", OPTION_STRINGS, LIST_FLAGS, NULL, "The columns' names."), COMMON};
static const struct option exist_fields[] = {
    COLUMN, FIELD("column_index", OPTION_INT, OPTION_NULLABLE, NULL, "Its place, from 0."), COMMON};
static const struct option rows_query_fields[] = {
    TEXT("unexpected_rows_query", "A SELECT; {batch} stands for the dataset."), COMMON};
static const struct option freshness_fields[] = {
    COLUMN,
    FIELD("max_age", OPTION_DURATION, OPTION_REQUIRED | OPTION_TEMPLATE, NULL,
          "How far the newest value may lie before as_of."),
    FIELD("as_of", OPTION_DATE, SCALAR_FLAGS, NULL,
          "The instant to compare with; without it the end of the run's data interval."),
    COMMON};
static const struct option row_change_fields[] = {
    NUMBER("partitions", OPTION_INT, 0, "7", 1, 1000,
           "How many partitions before this one to compare with."),
    NUMBER("min_history", OPTION_INT, 0, "1", 1, 1000,
           "With fewer earlier partitions the expectation passes, with a warning."),
    NUMBER("min_ratio", OPTION_FLOAT, OPTION_NULLABLE, "0.5", 0, 1e9,
           "The least ratio of this partition's rows to theirs; null is open."),
    NUMBER("max_ratio", OPTION_FLOAT, OPTION_NULLABLE, NULL, 0, 1e9,
           "The largest ratio; null is open."),
    CHOICE("statistic", statistics, "\"mean\"", "What of the earlier row counts to compare with."),
    COMMON};
static const struct option referential_fields[] = {
    COLUMN, TEXT("dataset", "The other dataset, or one partition of it."),
    FIELD("other_column", OPTION_STRING, SCALAR_FLAGS, NULL,
          "The column there; without it the same name."),
    MOSTLY, COMMON};

#define EXPECT_NAMED(text_name, table, shape, compile, judge, pass, text)                          \
    static const struct option_table table##_table = {                                             \
        .name = text_name,                                                                         \
        .doc = text,                                                                               \
        .options = shape##_fields,                                                                 \
        .count = sizeof(shape##_fields) / sizeof(shape##_fields[0]),                               \
    };
#include "tasks/validate/expectations.def"

static const struct option expectation_variants[] = {
#define EXPECT_NAMED(text_name, table, shape, compile, judge, pass, text)                          \
    {.key = text_name, .type = OPTION_OBJECT, .doc = text, .fields = &table##_table},
#include "tasks/validate/expectations.def"
};

/* Former names, dbt's and other tools' words. */
static const struct option_alias expectation_aliases[] = {
#define ALIAS(word, use) {word, use},
#include "tasks/validate/aliases.def"
#undef ALIAS
};

static const struct option_table expectations_table = {
    .name = "expectations",
    .doc = "The expectations, by Great Expectations' names.",
    .options = expectation_variants,
    .count = sizeof(expectation_variants) / sizeof(expectation_variants[0]),
    .aliases = expectation_aliases,
};

static const struct option sla_fields[] = {
    NUMBER("valid_rows_pct", OPTION_FLOAT, OPTION_REQUIRED, NULL, 0, 100,
           "The least share of rows, in percent, that meet every row-level expectation."),
};
static const struct option_table sla_table = {
    .name = "sla",
    .doc = "What the dataset as a whole must keep.",
    .options = sla_fields,
    .count = sizeof(sla_fields) / sizeof(sla_fields[0]),
};

static const struct option with_fields[] = {
    TEXT("dataset", "The published dataset, or one partition of it."),
    VARIANTS("expectations", OPTION_TAGGEDS, OPTION_TEMPLATE, "[]", &expectations_table,
             "What must hold, one expectation an entry."),
    FIELD("suite", OPTION_STRING, SCALAR_FLAGS, NULL,
          "A Great Expectations suite (JSON file), used as it is, before the expectations here."),
    FIELD("report", OPTION_STRING, SCALAR_FLAGS, NULL,
          "Publish the report here too; it always stands in the attempt's folder."),
    NESTED("sla", OPTION_OBJECT, OPTION_NULLABLE, &sla_table,
           "What the dataset as a whole must keep."),
};

static const struct option_alias with_aliases[] = {
    {"source", "dataset"     },
    {"table",  "dataset"     },
    {"input",  "dataset"     },
    {"rules",  "expectations"},
    {"checks", "expectations"},
    {"tests",  "expectations"},
    {NULL,     NULL          },
};

static const struct option_table validate_options = {
    .name = "with of validate",
    .doc = "Checks a published dataset against expectations; all row-level ones in one scan.",
    .options = with_fields,
    .count = sizeof(with_fields) / sizeof(with_fields[0]),
    .aliases = with_aliases,
};

/* What a scalar says when it is a number and no template. */
static bool node_number(const struct node *node, double *ret_value)
{
    if (node == NULL || (node->kind != NODE_INT && node->kind != NODE_FLOAT))
        return false;
    *ret_value = node->kind == NODE_INT ? (double)node->scalar.integer : node->scalar.number;
    return true;
}

static bool node_is_open(const struct node *node)
{
    return node == NULL || node->kind == NODE_NULL;
}

static bool option_is_in(const struct option_table *table, const char *key)
{
    return option_find(table, str_from(key)) != NULL;
}

static void check_bounds(const struct node *kwargs, struct position at, struct diags *diags)
{
    const struct node *least = node_get(kwargs, "min_value");
    const struct node *largest = node_get(kwargs, "max_value");
    double min;
    double max;

    if (node_is_open(least) && node_is_open(largest))
        diag_add(diags, "MR0210", at, "give min_value, max_value or both",
                 "an expectation about bounds has none");
    if (node_number(least, &min) && node_number(largest, &max) && min > max)
        diag_add(diags, "MR0210", least->at, "swap the two",
                 "min_value (%.*s) is larger than max_value (%.*s)", STR_ARG(least->text),
                 STR_ARG(largest->text));
}

static void check_quantiles(const struct node *kwargs, struct diags *diags)
{
    const struct node *ranges = node_get(kwargs, "quantile_ranges");
    const struct node *quantiles = node_get(ranges, "quantiles");
    const struct node *values = node_get(ranges, "value_ranges");

    if (quantiles == NULL || values == NULL)
        return;
    if (quantiles->kind != NODE_LIST || values->kind != NODE_LIST || quantiles->item_count == 0 ||
        quantiles->item_count != values->item_count)
        diag_add(diags, "MR0210", ranges->at,
                 "quantiles: [0.5, 0.9], value_ranges: [[0, 10], [5, null]]",
                 "quantiles and value_ranges must be lists of the same length");
}

static void check_ratios(const struct node *kwargs, struct diags *diags)
{
    const struct node *least = node_get(kwargs, "min_ratio");
    double min;
    double max;

    if (node_number(least, &min) && node_number(node_get(kwargs, "max_ratio"), &max) && min > max)
        diag_add(diags, "MR0210", least->at, "swap the two", "min_ratio is larger than max_ratio");
}

/* A condition is spliced into the scan: one expression, no second statement. */
static void check_condition(const struct node *kwargs, struct diags *diags)
{
    const struct node *condition = node_get(kwargs, "row_condition");

    if (condition != NULL && condition->kind == NODE_STRING &&
        str_find(condition->text, ';', 0) != SIZE_MAX)
        diag_add(diags, "MR0210", condition->at, "write one SQL expression, as \"country = 'DE'\"",
                 "row_condition holds a `;`");
}

static void check_expectation(const struct node_entry *entry, struct diags *diags)
{
    const struct option *variant = option_find(&expectations_table, entry->key);
    const struct node *kwargs = entry->value;

    if (variant == NULL || kwargs == NULL || kwargs->kind != NODE_MAP)
        return; /* the table has said so */
    if (option_is_in(variant->fields, "min_value"))
        check_bounds(kwargs, entry->key_at, diags);
    for (size_t i = 0; i < variant->fields->count; i++) {
        const struct option *field = &variant->fields->options[i];
        const struct node *list = node_get(kwargs, field->key);
        bool is_list = field->type == OPTION_SCALARS || field->type == OPTION_STRINGS;
        if (is_list && list != NULL && list->kind == NODE_LIST && list->item_count == 0)
            diag_add(diags, "MR0210", list->at, NULL, "%s is empty", field->key);
    }
    check_quantiles(kwargs, diags);
    check_ratios(kwargs, diags);
    check_condition(kwargs, diags);
}

static void check_with(const struct node *with, struct diags *diags)
{
    const struct node *list = node_get(with, "expectations");
    struct position at = with == NULL ? (struct position){1, 1, 1} : with->at;

    if (node_is_open(node_get(with, "suite")) && (node_is_open(list) || list->item_count == 0))
        diag_add(diags, "MR0211", list == NULL ? at : list->at,
                 "list expectations, or name a suite file under `suite`",
                 "there is nothing to validate: no expectations and no suite");
    for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->item_count; i++) {
        const struct node *item = list->items[i];
        if (item->kind == NODE_MAP && item->entry_count == 1)
            check_expectation(&item->entries[0], diags);
    }
}

const struct task_kind validate_kind = {
    .name = "validate",
    .doc = "Checks a published dataset against expectations and fails if a critical one does not "
           "hold, which stops what is downstream. The report has Great Expectations' shape.",
    .class = TASK_CLASS_DATA,
    .options = &validate_options,
    .check = check_with,
};
