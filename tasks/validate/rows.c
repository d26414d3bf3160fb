/* Row-level expectations: each becomes one count in the scan. */
#include "tasks/validate/compile.h"
#include "tasks/validate/sqltext.h"

#include <inttypes.h>
#include <string.h>

/* A rule about the non-null values of one column; `good` is said of the column. */
static bool column_rows(struct validation *v, struct rule *rule, const struct compiled_column *c,
                        const char *good)
{
    rule->values[rule->value_count++] = c->sql;
    return rule_compile_rows(v, rule, arena_printf(v->arena, "%s IS NOT NULL", c->sql), good);
}

bool rule_compile_not_null(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    rule->counts_missing = false;
    return rule_compile_rows(v, rule, "true", arena_printf(v->arena, "%s IS NOT NULL", c.sql));
}

bool rule_compile_null(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    rule->counts_missing = false;
    rule->values[rule->value_count++] = c.sql;
    return rule_compile_rows(v, rule, "true", arena_printf(v->arena, "%s IS NULL", c.sql));
}

bool rule_compile_between(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;
    const char *range;

    if (!rule_compile_column_of(v, rule, &c, err) ||
        !rule_compile_range(v, rule, c.sql, c.type, &range, err))
        return false;
    if (sqltext_type_is_float(c.type)) /* DuckDB sorts NaN above all numbers */
        range = arena_printf(v->arena, "NOT isnan(%s) AND %s", c.sql, range);
    return column_rows(v, rule, &c, range);
}

static const char *set_sql(const struct validation *v, const struct rule *rule,
                           const struct compiled_column *c)
{
    const json_t *set = json_object_get(rule->kwargs, "value_set");
    struct buf sql = {0};
    size_t i;
    json_t *member;

    json_array_foreach(set, i, member) if (!json_is_null(member)) buf_printf(
        &sql, "%s%s", sql.len == 0 ? "" : ", ", sqltext_member(v->arena, member, c->type));
    const char *list = "false";
    if (sql.len > 0)
        list = arena_printf(v->arena, "coalesce(%s IN (%s), false)", c->sql, buf_text(&sql));
    buf_release(&sql);
    return list;
}

bool rule_compile_in_set(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    return rule_compile_column_of(v, rule, &c, err) &&
           column_rows(v, rule, &c, set_sql(v, rule, &c));
}

bool rule_compile_not_in_set(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    return rule_compile_column_of(v, rule, &c, err) &&
           column_rows(v, rule, &c, arena_printf(v->arena, "NOT %s", set_sql(v, rule, &c)));
}

/* A test of the column's text against one pattern, `test` being "regexp_matches(%, pattern)" in two
 * halves around it. */
static const char *text_test(const struct validation *v, const struct compiled_column *c,
                             const char *pattern, bool is_regex)
{
    const char *literal = sqltext_quoted(v->arena, pattern);

    if (is_regex)
        return arena_printf(v->arena, "regexp_matches(%s, %s)", c->text, literal);
    return arena_printf(v->arena, "(%s LIKE %s)", c->text, literal);
}

static bool one_pattern(struct validation *v, struct rule *rule, bool is_regex, bool negate,
                        struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    const char *pattern = rule_string(rule, is_regex ? "regex" : "like_pattern");
    const char *test = text_test(v, &c, pattern, is_regex);
    return column_rows(v, rule, &c, negate ? arena_printf(v->arena, "NOT %s", test) : test);
}

static bool pattern_list(struct validation *v, struct rule *rule, bool is_regex, bool negate,
                         struct err *err)
{
    const json_t *list =
        json_object_get(rule->kwargs, is_regex ? "regex_list" : "like_pattern_list");
    const char *joiner = strcmp(rule_string(rule, "match_on"), "all") == 0 ? " AND " : " OR ";
    struct compiled_column c;
    const char *test = "";
    size_t i;
    json_t *pattern;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    if (json_array_size(list) == 0)
        return err_set(err, ERR_INVALID, "the list of patterns is empty");
    json_array_foreach(list, i, pattern) test =
        arena_printf(v->arena, "%s%s%s", test, i == 0 ? "" : joiner,
                     text_test(v, &c, json_string_value(pattern), is_regex));
    return column_rows(v, rule, &c, negate ? arena_printf(v->arena, "NOT (%s)", test) : test);
}

bool rule_compile_regex(struct validation *v, struct rule *rule, struct err *err)
{
    return one_pattern(v, rule, true, false, err);
}

bool rule_compile_not_regex(struct validation *v, struct rule *rule, struct err *err)
{
    return one_pattern(v, rule, true, true, err);
}

bool rule_compile_regex_list(struct validation *v, struct rule *rule, struct err *err)
{
    return pattern_list(v, rule, true, false, err);
}

bool rule_compile_not_regex_list(struct validation *v, struct rule *rule, struct err *err)
{
    return pattern_list(v, rule, true, true, err);
}

bool rule_compile_like(struct validation *v, struct rule *rule, struct err *err)
{
    return one_pattern(v, rule, false, false, err);
}

bool rule_compile_not_like(struct validation *v, struct rule *rule, struct err *err)
{
    return one_pattern(v, rule, false, true, err);
}

bool rule_compile_like_list(struct validation *v, struct rule *rule, struct err *err)
{
    return pattern_list(v, rule, false, false, err);
}

bool rule_compile_not_like_list(struct validation *v, struct rule *rule, struct err *err)
{
    return pattern_list(v, rule, false, true, err);
}

bool rule_compile_lengths_between(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;
    const char *range;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    const char *length = arena_printf(v->arena, "length(%s)", c.text);
    return rule_compile_range(v, rule, length, "BIGINT", &range, err) &&
           column_rows(v, rule, &c, range);
}

bool rule_compile_lengths_equal(struct validation *v, struct rule *rule, struct err *err)
{
    int64_t length = (int64_t)json_integer_value(json_object_get(rule->kwargs, "value"));
    struct compiled_column c;

    return rule_compile_column_of(v, rule, &c, err) &&
           column_rows(v, rule, &c,
                       arena_printf(v->arena, "length(%s) = %" PRId64, c.text, length));
}

/* ISO 8601 by a cast, then the written forms that dateutil reads and people use. */
bool rule_compile_date_parseable(struct validation *v, struct rule *rule, struct err *err)
{
    static const char formats[] =
        "['%m/%d/%Y', '%m/%d/%y', '%m/%d/%Y %H:%M', '%m/%d/%y %H:%M', '%m/%d/%Y %H:%M:%S', "
        "'%d.%m.%Y', '%d.%m.%Y %H:%M', '%d.%m.%Y %H:%M:%S', '%d/%m/%Y', '%d-%m-%Y', '%Y/%m/%d', "
        "'%Y%m%d', '%Y%m%dT%H%M%S', '%b %d %Y', '%b %d, %Y', '%B %d %Y', '%B %d, %Y', "
        "'%d %b %Y', '%d %B %Y', '%a, %d %b %Y %H:%M:%S']";
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    if (sqltext_type_is_time(c.type))
        return column_rows(v, rule, &c, "true");
    return column_rows(v, rule, &c,
                       arena_printf(v->arena,
                                    "TRY_CAST(%s AS TIMESTAMPTZ) IS NOT NULL OR "
                                    "try_strptime(%s, %s) IS NOT NULL",
                                    c.text, c.text, formats));
}

bool rule_compile_strftime(struct validation *v, struct rule *rule, struct err *err)
{
    const char *format = sqltext_quoted(v->arena, rule_string(rule, "strftime_format"));
    struct compiled_column c;

    return rule_compile_column_of(v, rule, &c, err) &&
           column_rows(v, rule, &c,
                       arena_printf(v->arena, "try_strptime(%s, %s) IS NOT NULL", c.text, format));
}

bool rule_compile_json_parseable(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    return rule_compile_column_of(v, rule, &c, err) &&
           column_rows(v, rule, &c, arena_printf(v->arena, "json_valid(%s)", c.text));
}

struct pair {
    struct compiled_column a;
    struct compiled_column b;
    const char *considered;
};

static bool pair_open(struct validation *v, struct rule *rule, struct pair *pair, struct err *err)
{
    const char *ignore = rule_string(rule, "ignore_row_if");

    if (!rule_compile_column(v, rule_string(rule, "column_A"), &pair->a, err) ||
        !rule_compile_column(v, rule_string(rule, "column_B"), &pair->b, err))
        return false;
    rule->values[rule->value_count++] = pair->a.sql;
    rule->values[rule->value_count++] = pair->b.sql;
    pair->considered = "true";
    if (strcmp(ignore, "neither") != 0)
        pair->considered = arena_printf(
            v->arena, "(%s IS NOT NULL %s %s IS NOT NULL)", pair->a.sql,
            strcmp(ignore, "either_value_is_missing") == 0 ? "AND" : "OR", pair->b.sql);
    return true;
}

bool rule_compile_pair_greater(struct validation *v, struct rule *rule, struct err *err)
{
    struct pair pair;

    return pair_open(v, rule, &pair, err) &&
           rule_compile_rows(v, rule, pair.considered,
                             arena_printf(v->arena, "%s %s %s", pair.a.sql,
                                          rule_flag(rule, "or_equal") ? ">=" : ">", pair.b.sql));
}

bool rule_compile_pair_equal(struct validation *v, struct rule *rule, struct err *err)
{
    struct pair pair;

    return pair_open(v, rule, &pair, err) &&
           rule_compile_rows(v, rule, pair.considered,
                             arena_printf(v->arena, "%s = %s", pair.a.sql, pair.b.sql));
}

/* A null in a listed pair stands for a missing value. */
static const char *pair_side(const struct validation *v, const struct compiled_column *c,
                             const json_t *value)
{
    if (value == NULL || json_is_null(value))
        return arena_printf(v->arena, "%s IS NULL", c->sql);
    return arena_printf(v->arena, "coalesce(%s = %s, false)", c->sql,
                        sqltext_member(v->arena, value, c->type));
}

bool rule_compile_pair_in_set(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *pairs = json_object_get(rule->kwargs, "value_pairs_set");
    struct pair pair;
    struct buf test = {0};
    size_t i;
    json_t *item;

    if (!pair_open(v, rule, &pair, err))
        return false;
    json_array_foreach(pairs, i, item)
    {
        if (json_array_size(item) != 2) {
            buf_release(&test);
            return err_set(err, ERR_INVALID, "value_pairs_set[%zu] is no pair [a, b]", i);
        }
        buf_printf(&test, "%s(%s AND %s)", i == 0 ? "" : " OR ",
                   pair_side(v, &pair.a, json_array_get(item, 0)),
                   pair_side(v, &pair.b, json_array_get(item, 1)));
    }
    const char *good = arena_strdup(v->arena, test.len == 0 ? "false" : buf_text(&test));
    buf_release(&test);
    return rule_compile_rows(v, rule, pair.considered, good);
}
