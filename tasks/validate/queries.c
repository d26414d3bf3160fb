/* Expectations that need a query of their own beyond one aggregate. */
#include "tasks/validate/compile.h"

#include "tasks/validate/sqltext.h"

#include <string.h>

static bool ordered(struct validation *v, struct rule *rule, const char *relation, struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c.sql);
    rule->from =
        arena_printf(v->arena, "(SELECT %s, lag(%s) OVER () AS millrace_before%s) AS pairs", c.sql,
                     c.sql, validation_rows_of(v, rule));
    rule->values[rule->value_count++] = c.sql;
    return rule_compile_query_rows(
        v, rule,
        arena_printf(v->arena, "millrace_before IS NOT NULL AND NOT (%s %s millrace_before)", c.sql,
                     relation));
}

bool rule_compile_increasing(struct validation *v, struct rule *rule, struct err *err)
{
    return ordered(v, rule, rule_flag(rule, "strictly") ? ">" : ">=", err);
}

bool rule_compile_decreasing(struct validation *v, struct rule *rule, struct err *err)
{
    return ordered(v, rule, rule_flag(rule, "strictly") ? "<" : "<=", err);
}

bool rule_compile_z_scores(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;
    const json_t *threshold = json_object_get(rule->kwargs, "threshold");

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    if (!sqltext_type_is_number(c.type))
        return err_set(err, ERR_INVALID, "the column is %s, and z-scores need numbers", c.type);
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c.sql);
    const char *rows = validation_rows_of(v, rule);
    /* With one value or equal ones there is no deviation, and no value is far from the mean. */
    rule->from = arena_printf(
        v->arena,
        "(SELECT millrace_v, (millrace_v - m) / nullif(s, 0) AS millrace_z FROM "
        "(SELECT %s AS millrace_v%s) AS x, (SELECT avg(%s) AS m, stddev_samp(%s) AS s%s) AS y) "
        "AS scores",
        c.sql, rows, c.sql, c.sql, rows);
    rule->values[rule->value_count++] = "millrace_v";
    return rule_compile_query_rows(
        v, rule,
        arena_printf(v->arena, "NOT coalesce(%s < %s, true)",
                     rule_flag(rule, "double_sided") ? "abs(millrace_z)" : "millrace_z",
                     sqltext_literal(v->arena, threshold)));
}

static bool open_other(struct validation *v, const char *path, const char **ret, struct err *err)
{
    struct buf sql = {0};

    if (v->open_other == NULL)
        return err_set(err, ERR_INVALID, "no other dataset can be read here");
    if (!v->open_other(v->context, path, &sql, err)) {
        buf_release(&sql);
        return false;
    }
    *ret = arena_strdup(v->arena, buf_text(&sql));
    buf_release(&sql);
    return true;
}

bool rule_compile_referential(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;
    const char *other;
    const char *key = rule_string(rule, "other_column");

    if (!rule_compile_column_of(v, rule, &c, err) ||
        !open_other(v, rule_string(rule, "dataset"), &other, err))
        return false;
    const char *other_key = key[0] == '\0' ? c.sql : sqltext_identifier(v->arena, key);
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c.sql);
    rule->from = arena_printf(v->arena,
                              "(SELECT %s AS millrace_v%s) AS x ANTI JOIN (SELECT %s AS millrace_k "
                              "FROM %s) AS y ON millrace_v = millrace_k",
                              c.sql, validation_rows_of(v, rule), other_key, other);
    rule->values[rule->value_count++] = "millrace_v";
    rule->sorted = true;
    return rule_compile_query_rows(v, rule, "true");
}

bool rule_compile_row_count_other(struct validation *v, struct rule *rule, struct err *err)
{
    const char *other;

    if (!open_other(v, rule_string(rule, "other_table_name"), &other, err))
        return false;
    rule->metrics[0] = validation_add_metric(v, rule_compile_filtered(v, rule, "count(*)"));
    rule->metric_count = 1;
    rule->query = arena_printf(v->arena, "SELECT count(*) FROM %s", other);
    rule->sql = rule->query;
    return true;
}

static bool distinct(struct validation *v, struct rule *rule, bool only, bool all, struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c.sql);
    rule->from = arena_printf(v->arena, "(SELECT DISTINCT %s AS millrace_v%s)", c.sql,
                              validation_rows_of(v, rule));
    rule->values[rule->value_count++] = c.type;
    rule->distinct_only = only;
    rule->distinct_all = all;
    rule->sql = rule->from;
    return true;
}

bool rule_compile_distinct_in_set(struct validation *v, struct rule *rule, struct err *err)
{
    return distinct(v, rule, true, false, err);
}

bool rule_compile_distinct_contain(struct validation *v, struct rule *rule, struct err *err)
{
    return distinct(v, rule, false, true, err);
}

bool rule_compile_distinct_equal(struct validation *v, struct rule *rule, struct err *err)
{
    return distinct(v, rule, true, true, err);
}

bool rule_compile_most_common(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *set = json_object_get(rule->kwargs, "value_set");
    struct compiled_column c;
    struct buf members = {0};
    size_t i;
    json_t *member;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    json_array_foreach(set, i, member)
        buf_printf(&members, "%s%s", i == 0 ? "" : ", ", sqltext_member(v->arena, member, c.type));
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c.sql);
    rule->query = arena_printf(
        v->arena,
        "SELECT millrace_v, coalesce(millrace_v IN (%s), false) FROM (SELECT %s AS millrace_v, "
        "count(*) AS n%s GROUP BY 1) QUALIFY n = max(n) OVER () ORDER BY millrace_v LIMIT 100",
        members.len == 0 ? "NULL" : buf_text(&members), c.sql, validation_rows_of(v, rule));
    rule->sql = rule->query;
    buf_release(&members);
    return true;
}

bool rule_compile_unexpected_rows(struct validation *v, struct rule *rule, struct err *err)
{
    static const char mark[] = "{batch}";
    const char *text = rule_string(rule, "unexpected_rows_query");
    struct buf sql = {0};

    for (const char *at = strstr(text, mark); at != NULL; at = strstr(text, mark)) {
        buf_add(&sql, text, (size_t)(at - text));
        buf_add_text(&sql, VALIDATION_BATCH);
        text = at + sizeof(mark) - 1;
    }
    buf_add_text(&sql, text);
    struct str trimmed = str_trim(buf_str(&sql));
    if (trimmed.len > 0 && trimmed.ptr[trimmed.len - 1] == ';')
        trimmed.len--;
    rule->query = arena_printf(v->arena, "%.*s", STR_ARG(trimmed));
    rule->sql = rule->query;
    buf_release(&sql);
    return engine_check_select(v->engine, rule->query, err) ||
           err_wrap(err, "unexpected_rows_query");
}
