/* Kullback-Leibler divergence of a column from a partition: numbers in bins, or categories. */
#include "base/json.h"
#include "tasks/validate/compile.h"
#include "tasks/validate/sqltext.h"
#include "tasks/validate/text.h"

#include <math.h>
#include <string.h>

/* As many bins or categories a partition may have. */
#define PARTITION_MAX 1000

/* Shares of the bins in order: expected and observed. Both have a lower and an upper tail (bins),
 * or one for all other categories, at the end. */
struct shares {
    double expected[PARTITION_MAX + 2];
    double observed[PARTITION_MAX + 2];
    size_t count;
};

static bool numbers_only(const json_t *list, bool increasing)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_number(json_array_get(list, i)))
            return false;
        if (increasing && i > 0 &&
            json_number_value(json_array_get(list, i)) <=
                json_number_value(json_array_get(list, i - 1)))
            return false;
    }
    return json_array_size(list) > 0;
}

static bool check_partition(const json_t *partition, const json_t *bins, const json_t *values,
                            struct err *err)
{
    const json_t *weights = json_object_get(partition, "weights");
    size_t wanted = bins != NULL ? json_array_size(bins) - 1 : json_array_size(values);
    double sum = 0;

    if ((bins == NULL) == (values == NULL) || (bins != NULL && !numbers_only(bins, true)) ||
        (values != NULL && json_array_size(values) == 0))
        return err_set(err, ERR_INVALID,
                       "partition_object needs `bins` (increasing numbers) or `values`, and "
                       "`weights`");
    if (!numbers_only(weights, false) || json_array_size(weights) != wanted ||
        wanted > PARTITION_MAX)
        return err_set(err, ERR_INVALID, "partition_object needs %zu weights, and %d at most",
                       wanted, PARTITION_MAX);
    for (size_t i = 0; i < wanted; i++) {
        double weight = json_number_value(json_array_get(weights, i));
        if (weight < 0)
            return err_set(err, ERR_INVALID, "partition_object: a weight is negative");
        sum += weight;
    }
    if (fabs(sum - 1) > 1e-6)
        return err_set(err, ERR_INVALID, "partition_object: the weights add up to %g, not 1", sum);
    return true;
}

/* One count per bin, the last one closed on both sides, then those below and above all. */
static void add_bins(struct validation *v, const char *column, const json_t *bins, struct buf *sql)
{
    size_t count = json_array_size(bins);

    for (size_t i = 0; i + 1 < count; i++)
        buf_printf(sql, "count_if(%s >= %s AND %s %s %s), ", column,
                   sqltext_literal(v->arena, json_array_get(bins, i)), column,
                   i + 2 == count ? "<=" : "<",
                   sqltext_literal(v->arena, json_array_get(bins, i + 1)));
    buf_printf(sql, "count_if(%s < %s), count_if(%s > %s)", column,
               sqltext_literal(v->arena, json_array_get(bins, 0)), column,
               sqltext_literal(v->arena, json_array_get(bins, count - 1)));
}

static void add_values(struct validation *v, const struct compiled_column *c, const json_t *values,
                       struct buf *sql)
{
    struct buf members = {0};
    size_t i;
    json_t *value;

    json_array_foreach(values, i, value)
    {
        const char *member = sqltext_member(v->arena, value, c->type);
        buf_printf(sql, "count_if(%s = %s), ", c->sql, member);
        buf_printf(&members, "%s%s", i == 0 ? "" : ", ", member);
    }
    buf_printf(sql, "count_if(NOT coalesce(%s IN (%s), false))", c->sql, buf_text(&members));
    buf_release(&members);
}

bool rule_compile_divergence(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *partition = json_object_get(rule->kwargs, "partition_object");
    const json_t *bins = json_object_get(partition, "bins");
    const json_t *values = json_object_get(partition, "values");
    struct compiled_column c;
    struct buf counts = {0};

    if (!rule_compile_column_of(v, rule, &c, err) || !check_partition(partition, bins, values, err))
        return false;
    if (bins != NULL && !sqltext_type_is_number(c.type))
        return err_set(err, ERR_INVALID, "the column is %s, and bins need numbers", c.type);
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c.sql);
    if (bins != NULL)
        add_bins(v, c.sql, bins, &counts);
    else
        add_values(v, &c, values, &counts);
    rule->query = arena_printf(v->arena, "SELECT count(*), %s%s", buf_text(&counts),
                               validation_rows_of(v, rule));
    rule->sql = rule->query;
    buf_release(&counts);
    return true;
}

/* The expected shares: some weight is held back for the tails, and some for bins of no weight. */
static void fill_expected(const struct rule *rule, struct shares *shares)
{
    const json_t *partition = json_object_get(rule->kwargs, "partition_object");
    const json_t *weights = json_object_get(partition, "weights");
    double tail = json_get_number(rule->kwargs, "tail_weight_holdout", 0);
    double inner = json_get_number(rule->kwargs, "internal_weight_holdout", 0);
    size_t count = json_array_size(weights);
    size_t empty = 0;

    for (size_t i = 0; i < count; i++)
        empty += json_number_value(json_array_get(weights, i)) == 0;
    if (empty == 0)
        inner = 0;
    for (size_t i = 0; i < count; i++) {
        double weight = json_number_value(json_array_get(weights, i));
        double share = weight == 0 && inner > 0 ? inner / (double)empty : weight * (1 - inner);
        shares->expected[i] = share * (1 - tail);
    }
    for (size_t i = count; i < shares->count; i++)
        shares->expected[i] = tail / (double)(shares->count - count);
}

/* Σ p ln(p/q); infinite where something is observed that has no expected weight. */
static double divergence(const struct shares *shares)
{
    double sum = 0;

    for (size_t i = 0; i < shares->count; i++) {
        double p = shares->observed[i];
        if (p > 0)
            sum += p * log(p / shares->expected[i]);
    }
    return sum < 0 ? 0 : sum; /* rounding */
}

static json_t *share_list(const double *shares, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, json_real(shares[i]));
    return list;
}

static bool fill_observed(struct validation *v, const struct rule *rule, struct shares *shares,
                          int64_t *ret_rows, struct err *err)
{
    struct engine_result *result = engine_query(v->engine, rule->query, err);
    bool ok = result != NULL && engine_next(result, err);

    if (ok) {
        *ret_rows = engine_int(result, 0);
        shares->count = engine_column_count(result) - 1;
        for (size_t i = 0; i<shares->count && * ret_rows> 0; i++)
            shares->observed[i] = (double)engine_int(result, i + 1) / (double)*ret_rows;
    }
    engine_result_free(result);
    return ok;
}

bool judge_divergence(struct validation *v, struct rule *rule, struct err *err)
{
    double threshold = json_get_number(rule->kwargs, "threshold", 0);
    struct shares *shares = arena_alloc(v->arena, sizeof(*shares));
    int64_t rows;

    if (!fill_observed(v, rule, shares, &rows, err))
        return false;
    fill_expected(rule, shares);
    double value = rows == 0 ? NAN : divergence(shares);
    rule->success = isfinite(value) && value <= threshold;
    rule->observed =
        text_json(v->arena, isfinite(value) ? json_real(value) : json_null()); /* as GX */
    rule->summary = isfinite(value) ? arena_printf(v->arena, "divergence %.6g", value)
                    : rows == 0     ? "no values"
                                    : "there are values where the partition has no weight";
    rule->details = text_json(v->arena, json_pack("{s:o,s:o}", "observed_weights",
                                                  share_list(shares->observed, shares->count),
                                                  "expected_weights",
                                                  share_list(shares->expected, shares->count)));
    return true;
}
