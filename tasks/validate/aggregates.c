/* What sums up a column in one value: most of it in the scan, what is costly in its own query. */
#include "tasks/validate/compile.h"

#include "base/json.h"
#include "base/timefmt.h"
#include "tasks/validate/sqltext.h"

#include <string.h>

/* Metrics 0 and 1: the value, and whether it lies in the rule's range. No value is no success. */
static bool in_scan(struct validation *v, struct rule *rule, const char *aggregate,
                    const char *type, struct err *err)
{
    const char *range;

    if (!rule_compile_range(v, rule, aggregate, type, &range, err))
        return false;
    rule->sql = aggregate;
    rule->metrics[0] = validation_add_metric(v, aggregate);
    rule->metrics[1] =
        validation_add_metric(v, arena_printf(v->arena, "coalesce(%s, false)", range));
    rule->metric_count = 2;
    return true;
}

static bool in_query(struct validation *v, struct rule *rule, const struct compiled_column *c,
                     const char *aggregate, const char *type, struct err *err)
{
    const char *range;

    if (!rule_compile_range(v, rule, "o", type, &range, err))
        return false;
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c->sql);
    rule->query = arena_printf(v->arena, "SELECT o, coalesce(%s, false) FROM (SELECT %s AS o%s)",
                               range, aggregate, validation_rows_of(v, rule));
    rule->sql = rule->query;
    return true;
}

/* An aggregate over the rule's column; `of_floats` is the function for inexact columns, which adds
 * in a way that does not depend on the order of the rows as far as that is possible. */
static bool aggregate(struct validation *v, struct rule *rule, const char *function,
                      const char *of_floats, struct err *err)
{
    struct compiled_column c;
    bool keeps_type = strcmp(function, "min") == 0 || strcmp(function, "max") == 0;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    if (!keeps_type && !sqltext_type_is_number(c.type))
        return err_set(err, ERR_INVALID, "the column is %s, and %s needs numbers", c.type,
                       function);
    const char *name = sqltext_type_is_float(c.type) ? of_floats : function;
    const char *sql = rule_compile_filtered(v, rule, arena_printf(v->arena, "%s(%s)", name, c.sql));
    return in_scan(v, rule, sql, keeps_type ? c.type : "DOUBLE", err);
}

bool rule_compile_column_min(struct validation *v, struct rule *rule, struct err *err)
{
    return aggregate(v, rule, "min", "min", err);
}

bool rule_compile_column_max(struct validation *v, struct rule *rule, struct err *err)
{
    return aggregate(v, rule, "max", "max", err);
}

bool rule_compile_column_mean(struct validation *v, struct rule *rule, struct err *err)
{
    return aggregate(v, rule, "avg", "favg", err);
}

bool rule_compile_column_sum(struct validation *v, struct rule *rule, struct err *err)
{
    return aggregate(v, rule, "sum", "fsum", err);
}

bool rule_compile_column_stdev(struct validation *v, struct rule *rule, struct err *err)
{
    return aggregate(v, rule, "stddev_samp", "stddev_samp", err);
}

bool rule_compile_non_null_share(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    const char *some = rule_compile_filtered(v, rule, arena_printf(v->arena, "count(%s)", c.sql));
    const char *all = rule_compile_filtered(v, rule, "count(*)");
    return in_scan(v, rule, arena_printf(v->arena, "(%s / nullif(%s, 0))", some, all), "DOUBLE",
                   err);
}

bool rule_compile_median(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    const char *type = sqltext_type_is_number(c.type) ? "DOUBLE" : c.type;
    return in_query(v, rule, &c, arena_printf(v->arena, "median(%s)", c.sql), type, err);
}

bool rule_compile_unique_count(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    return rule_compile_column_of(v, rule, &c, err) &&
           in_query(v, rule, &c, arena_printf(v->arena, "count(DISTINCT %s)", c.sql), "BIGINT",
                    err);
}

bool rule_compile_unique_share(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    return rule_compile_column_of(v, rule, &c, err) &&
           in_query(v, rule, &c,
                    arena_printf(v->arena, "count(DISTINCT %s) / nullif(count(*), 0)", c.sql),
                    "DOUBLE", err);
}

bool rule_compile_row_count(struct validation *v, struct rule *rule, struct err *err)
{
    return in_scan(v, rule, rule_compile_filtered(v, rule, "count(*)"), "BIGINT", err);
}

bool rule_compile_row_count_equal(struct validation *v, struct rule *rule, struct err *err)
{
    const char *count = rule_compile_filtered(v, rule, "count(*)");
    const char *value = sqltext_literal(v->arena, json_object_get(rule->kwargs, "value"));

    (void)err;
    rule->sql = count;
    rule->metrics[0] = validation_add_metric(v, count);
    rule->metrics[1] = validation_add_metric(v, arena_printf(v->arena, "(%s = %s)", count, value));
    rule->metric_count = 2;
    return true;
}

/* Quantiles as GX takes them: values that occur, nothing interpolated. */
static bool quantile_sql(struct validation *v, const struct compiled_column *c,
                         const json_t *quantiles, const json_t *ranges, struct rule *rule,
                         struct err *err)
{
    const char *inner = "";
    const char *outer = "";

    for (size_t i = 0; i < json_array_size(quantiles); i++) {
        const json_t *quantile = json_array_get(quantiles, i);
        const json_t *range = json_array_get(ranges, i);
        if (!json_is_number(quantile) || json_number_value(quantile) < 0 ||
            json_number_value(quantile) > 1 || json_array_size(range) != 2)
            return err_set(err, ERR_INVALID,
                           "quantile_ranges: entry %zu is not a number from 0 to 1 with a range "
                           "[least, largest]",
                           i);
        const json_t *least = json_array_get(range, 0);
        const json_t *largest = json_array_get(range, 1);
        const char *low = json_is_null(least) ? "true"
                                              : arena_printf(v->arena, "q%zu >= %s", i,
                                                             sqltext_literal(v->arena, least));
        const char *high = json_is_null(largest) ? "true"
                                                 : arena_printf(v->arena, "q%zu <= %s", i,
                                                                sqltext_literal(v->arena, largest));
        inner = arena_printf(v->arena, "%s%squantile_disc(%s, %s) AS q%zu", inner,
                             i == 0 ? "" : ", ", c->sql, sqltext_literal(v->arena, quantile), i);
        outer = arena_printf(v->arena,
                             "%s%sq%zu, coalesce((%s) AND (%s) AND q%zu IS NOT NULL, "
                             "false)",
                             outer, i == 0 ? "" : ", ", i, low, high, i);
    }
    rule->query = arena_printf(v->arena, "SELECT %s FROM (SELECT %s%s)", outer, inner,
                               validation_rows_of(v, rule));
    rule->sql = rule->query;
    return true;
}

bool rule_compile_quantiles(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *ranges = json_object_get(rule->kwargs, "quantile_ranges");
    const json_t *quantiles = json_object_get(ranges, "quantiles");
    const json_t *values = json_object_get(ranges, "value_ranges");
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    if (json_array_size(quantiles) == 0 || json_array_size(quantiles) != json_array_size(values))
        return err_set(err, ERR_INVALID,
                       "quantile_ranges: quantiles and value_ranges must be lists of the same "
                       "length");
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c.sql);
    return quantile_sql(v, &c, quantiles, values, rule, err);
}

/* The instant that the newest value is compared with. */
static bool as_of(const struct validation *v, const struct rule *rule, int64_t *ret_us,
                  struct err *err)
{
    const char *given = json_get_string(rule->kwargs, "as_of", NULL);
    bool has_offset;

    if (given == NULL && v->as_of_us == 0)
        return err_set(err, ERR_INVALID, "this run has no data interval: give as_of");
    if (given == NULL)
        *ret_us = v->as_of_us;
    else if (!timefmt_parse(str_from(given), ret_us, &has_offset))
        return err_set(err, ERR_INVALID, "as_of: `%s` is no date or time", given);
    return true;
}

bool rule_compile_freshness(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;
    int64_t now_us;
    int64_t age_us;
    char limit[TIMEFMT_SIZE];
    char now[TIMEFMT_SIZE];

    if (!rule_compile_column_of(v, rule, &c, err) || !as_of(v, rule, &now_us, err))
        return false;
    if (!duration_parse(str_from(rule_string(rule, "max_age")), &age_us))
        return err_set(err, ERR_INVALID, "max_age: `%s` is no duration, as 6h or 2d",
                       rule_string(rule, "max_age"));
    (void)timefmt_utc(now_us, now);
    (void)timefmt_utc(now_us - age_us, limit);
    const char *value = sqltext_type_is_time(c.type)
                            ? arena_printf(v->arena, "CAST(%s AS TIMESTAMPTZ)", c.sql)
                            : arena_printf(v->arena, "TRY_CAST(%s AS TIMESTAMPTZ)", c.text);
    const char *newest = rule_compile_filtered(v, rule, arena_printf(v->arena, "max(%s)", value));
    rule->sql = newest;
    rule->metrics[0] = validation_add_metric(v, newest);
    rule->metrics[1] = validation_add_metric(
        v, arena_printf(v->arena, "coalesce(%s >= TIMESTAMPTZ '%s', false)", newest, limit));
    rule->metric_count = 2;
    rule->details = arena_printf(v->arena, "{\"as_of\":\"%s\",\"not_before\":\"%s\"}", now, limit);
    return true;
}
