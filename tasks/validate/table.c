/* Expectations about the table itself: columns, types, and the row counts of earlier days. */
#include "tasks/validate/compile.h"

#include "base/json.h"
#include "tasks/validate/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Pandas', SQL's and Spark's words for DuckDB's types, in lower case. */
static const char *const type_words[][2] = {
    {"int",              "INTEGER"                 },
    {"int4",             "INTEGER"                 },
    {"int32",            "INTEGER"                 },
    {"integertype",      "INTEGER"                 },
    {"int8",             "TINYINT"                 },
    {"int16",            "SMALLINT"                },
    {"int64",            "BIGINT"                  },
    {"long",             "BIGINT"                  },
    {"longtype",         "BIGINT"                  },
    {"biginteger",       "BIGINT"                  },
    {"float32",          "FLOAT"                   },
    {"real",             "FLOAT"                   },
    {"float64",          "DOUBLE"                  },
    {"double precision", "DOUBLE"                  },
    {"doubletype",       "DOUBLE"                  },
    {"str",              "VARCHAR"                 },
    {"string",           "VARCHAR"                 },
    {"stringtype",       "VARCHAR"                 },
    {"text",             "VARCHAR"                 },
    {"object",           "VARCHAR"                 },
    {"char",             "VARCHAR"                 },
    {"bool",             "BOOLEAN"                 },
    {"booleantype",      "BOOLEAN"                 },
    {"datetime",         "TIMESTAMP"               },
    {"timestamptype",    "TIMESTAMP"               },
    {"datetime64[us]",   "TIMESTAMP"               },
    {"datetime64[ns]",   "TIMESTAMP_NS"            },
    {"datetime64",       "TIMESTAMP"               },
    {"timestamptz",      "TIMESTAMP WITH TIME ZONE"},
    {"datetype",         "DATE"                    },
    {"numeric",          "DECIMAL"                 },
    {"bytes",            "BLOB"                    },
    {"binary",           "BLOB"                    },
};

static bool type_matches(const char *actual, const char *wanted)
{
    const char *name = wanted;

    for (size_t i = 0; i < sizeof(type_words) / sizeof(type_words[0]); i++)
        if (strcasecmp(type_words[i][0], wanted) == 0)
            name = type_words[i][1];
    /* pandas' "float" is 64 bits wide, SQL's 32: both are meant by it. */
    if (strcasecmp(wanted, "float") == 0 && strcmp(actual, "DOUBLE") == 0)
        return true;
    if (strcasecmp(name, "DECIMAL") == 0)
        return strncmp(actual, "DECIMAL", 7) == 0;
    return strcasecmp(actual, name) == 0;
}

bool rule_compile_of_type(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    rule->success = type_matches(c.type, rule_string(rule, "type_"));
    rule->observed = text_json(v->arena, json_string(c.type));
    rule->summary = arena_printf(v->arena, "it is %s", c.type);
    return true;
}

bool rule_compile_in_type_list(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *list = json_object_get(rule->kwargs, "type_list");
    struct compiled_column c;
    size_t i;
    json_t *name;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    json_array_foreach(list, i, name) rule->success =
        rule->success || type_matches(c.type, json_string_value(name));
    rule->observed = text_json(v->arena, json_string(c.type));
    rule->summary = arena_printf(v->arena, "it is %s", c.type);
    return true;
}

static void settle_count(struct validation *v, struct rule *rule, bool success)
{
    rule->success = success;
    rule->observed = arena_printf(v->arena, "%zu", v->column_count);
    rule->summary = arena_printf(v->arena, "%zu columns", v->column_count);
}

bool rule_compile_column_count(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *least = json_object_get(rule->kwargs, "min_value");
    const json_t *largest = json_object_get(rule->kwargs, "max_value");
    double count = (double)v->column_count;
    double min = json_number_value(least);
    double max = json_number_value(largest);

    if ((least != NULL && !json_is_number(least)) ||
        (largest != NULL && !json_is_number(largest)) || (least == NULL && largest == NULL))
        return err_set(err, ERR_INVALID, "min_value or max_value must be a number");
    bool low = least == NULL || (rule_flag(rule, "strict_min") ? count > min : count >= min);
    bool high = largest == NULL || (rule_flag(rule, "strict_max") ? count < max : count <= max);
    settle_count(v, rule, low && high);
    return true;
}

bool rule_compile_column_count_equal(struct validation *v, struct rule *rule, struct err *err)
{
    int64_t wanted = json_get_int(rule->kwargs, "value", -1);

    (void)err;
    settle_count(v, rule, wanted >= 0 && (uint64_t)wanted == v->column_count);
    return true;
}

static json_t *column_names(const struct validation *v)
{
    json_t *names = json_array();

    for (size_t i = 0; i < v->column_count; i++)
        (void)json_array_append_new(names, json_string(v->columns[i].name));
    return names;
}

static bool list_has(const json_t *list, const char *name)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item) if (json_is_string(item) &&
                                          strcmp(json_string_value(item), name) == 0) return true;
    return false;
}

/* The strings of `list` that `other` lacks. */
static json_t *list_minus(const json_t *list, const json_t *other)
{
    json_t *rest = json_array();
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item) if (json_is_string(item) &&
                                          !list_has(other, json_string_value(item)))(void)
        json_array_append(rest, item);
    return rest;
}

bool rule_compile_columns_set(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *wanted = json_object_get(rule->kwargs, "column_set");
    json_t *names = column_names(v);
    json_t *unexpected = list_minus(names, wanted);
    json_t *missing = list_minus(wanted, names);
    bool exact = rule_flag(rule, "exact_match");
    json_t *mismatched = json_object();

    (void)err;
    rule->success = json_array_size(missing) == 0 && (!exact || json_array_size(unexpected) == 0);
    rule->summary = arena_printf(v->arena, "%zu missing, %zu unexpected columns",
                                 json_array_size(missing), json_array_size(unexpected));
    if (json_array_size(unexpected) > 0)
        (void)json_object_set(mismatched, "unexpected", unexpected);
    if (json_array_size(missing) > 0)
        (void)json_object_set(mismatched, "missing", missing);
    rule->observed = text_json(v->arena, names);
    rule->details = text_json(v->arena, json_pack("{s:o}", "mismatched", mismatched));
    json_decref(unexpected);
    json_decref(missing);
    return true;
}

bool rule_compile_columns_list(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *wanted = json_object_get(rule->kwargs, "column_list");
    json_t *names = column_names(v);
    json_t *mismatched = json_array();
    size_t most = json_array_size(names) > json_array_size(wanted) ? json_array_size(names)
                                                                   : json_array_size(wanted);

    (void)err;
    for (size_t i = 0; i < most; i++) {
        json_t *expected = json_array_get(wanted, i);
        json_t *found = json_array_get(names, i);
        if (expected == NULL || found == NULL || !json_equal(expected, found))
            (void)json_array_append_new(
                mismatched, json_pack("{s:I,s:O?,s:O?}", "Expected Column Position", (json_int_t)i,
                                      "Expected", expected, "Found", found));
    }
    rule->success = json_array_size(mismatched) == 0;
    rule->summary = arena_printf(v->arena, "%zu places differ", json_array_size(mismatched));
    rule->observed = text_json(v->arena, names);
    rule->details = text_json(v->arena, json_pack("{s:o}", "mismatched", mismatched));
    return true;
}

bool rule_compile_column_exists(struct validation *v, struct rule *rule, struct err *err)
{
    const char *name = rule_string(rule, "column");
    int64_t wanted = json_get_int(rule->kwargs, "column_index", -1);

    (void)err;
    rule->summary = "there is no such column";
    for (size_t i = 0; i < v->column_count; i++)
        if (strcmp(v->columns[i].name, name) == 0) {
            rule->success = wanted < 0 || (uint64_t)wanted == i;
            rule->summary = arena_printf(v->arena, "it is column %zu", i);
        }
    return true;
}

bool rule_compile_row_change(struct validation *v, struct rule *rule, struct err *err)
{
    (void)err;
    rule->metrics[0] = validation_add_metric(v, rule_compile_filtered(v, rule, "count(*)"));
    rule->metric_count = 1;
    return true;
}

static int compare_counts(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Mean or median of the earlier partitions' rows; the number of them is at most `most`. */
static double earlier_rows(const struct validation *v, size_t most, bool median, size_t *ret_count)
{
    double counts[1000];
    size_t count = 0;
    double sum = 0;

    for (size_t i = 0; i < json_array_size(v->history) && count < most && count < 1000; i++) {
        const json_t *content = json_object_get(json_array_get(v->history, i), "content");
        const json_t *rows = json_object_get(content, "rows");
        if (!json_is_integer(rows))
            continue;
        counts[count] = (double)json_integer_value(rows);
        sum += counts[count++];
    }
    *ret_count = count;
    if (count == 0)
        return 0;
    if (!median)
        return sum / (double)count;
    qsort(counts, count, sizeof(counts[0]), compare_counts);
    return (counts[(count - 1) / 2] + counts[count / 2]) / 2;
}

bool judge_row_change(struct validation *v, struct rule *rule, struct err *err)
{
    size_t most = (size_t)json_get_int(rule->kwargs, "partitions", 7);
    int64_t needed = json_get_int(rule->kwargs, "min_history", 1);
    bool median = strcmp(rule_string(rule, "statistic"), "median") == 0;
    size_t count;
    double before = earlier_rows(v, most, median, &count);
    int64_t rows = v->metrics[rule->metrics[0]].integer;

    (void)err;
    rule->observed = arena_printf(v->arena, "%" PRId64, rows);
    if (count == 0 || (int64_t)count < needed) {
        rule->success = true;
        rule->warning =
            arena_printf(v->arena, "only %zu earlier partitions to compare with", count);
        rule->summary = arena_printf(v->arena, "%" PRId64 " rows, %s", rows, rule->warning);
        return true;
    }
    double least = json_get_number(rule->kwargs, "min_ratio", 0) * before;
    double largest = json_get_number(rule->kwargs, "max_ratio", INFINITY);
    if (before > 0) /* of nothing, any number is a multiple where there is no limit */
        largest *= before;
    else if (isfinite(largest))
        largest = 0;
    rule->success = (double)rows >= least && (double)rows <= largest;
    rule->summary = arena_printf(v->arena, "%" PRId64 " rows against %.10g in the %zu before", rows,
                                 before, count);
    rule->details = text_json(
        v->arena, json_pack("{s:f,s:I}", "rows_before", before, "partitions", (json_int_t)count));
    return true;
}
