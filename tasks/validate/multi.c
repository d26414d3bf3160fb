/* Row-level expectations about several columns, and the rules that look for doubled values. */
#include "tasks/validate/compile.h"
#include "tasks/validate/sqltext.h"

#include <string.h>

struct columns {
    struct compiled_column items[RULE_VALUES_MAX];
    size_t count;
    const char *considered;
};

/* "a IS NOT NULL OR b IS NOT NULL", or with AND. */
static const char *any_or_all(const struct validation *v, const struct columns *columns,
                              const char *joiner)
{
    const char *sql = "";

    for (size_t i = 0; i < columns->count; i++)
        sql = arena_printf(v->arena, "%s%s%s IS NOT NULL", sql, i == 0 ? "" : joiner,
                           columns->items[i].sql);
    return arena_printf(v->arena, "(%s)", sql);
}

static bool columns_open(struct validation *v, struct rule *rule, struct columns *columns,
                         struct err *err)
{
    const json_t *list = json_object_get(rule->kwargs, "column_list");
    const char *ignore = rule_string(rule, "ignore_row_if");
    size_t i;
    json_t *name;

    if (json_array_size(list) < 2 || json_array_size(list) > RULE_VALUES_MAX)
        return err_set(err, ERR_INVALID, "column_list needs 2 to %d columns", RULE_VALUES_MAX);
    columns->count = 0;
    json_array_foreach(list, i, name)
    {
        struct compiled_column *column = &columns->items[columns->count++];
        if (!rule_compile_column(v, json_string_value(name), column, err))
            return false;
        rule->values[rule->value_count++] = column->sql;
    }
    columns->considered = "true";
    if (strcmp(ignore, "all_values_are_missing") == 0)
        columns->considered = any_or_all(v, columns, " OR ");
    else if (strcmp(ignore, "any_value_is_missing") == 0)
        columns->considered = any_or_all(v, columns, " AND ");
    return true;
}

bool rule_compile_multi_sum(struct validation *v, struct rule *rule, struct err *err)
{
    struct columns columns;
    const char *sum = "";

    if (!columns_open(v, rule, &columns, err))
        return false;
    for (size_t i = 0; i < columns.count; i++)
        sum = arena_printf(v->arena, "%s%s%s", sum, i == 0 ? "" : " + ", columns.items[i].sql);
    const char *total = sqltext_literal(v->arena, json_object_get(rule->kwargs, "sum_total"));
    return rule_compile_rows(v, rule, columns.considered,
                             arena_printf(v->arena, "(%s) = %s", sum, total));
}

bool rule_compile_multi_distinct(struct validation *v, struct rule *rule, struct err *err)
{
    struct columns columns;
    struct buf equal = {0};

    if (!columns_open(v, rule, &columns, err))
        return false;
    for (size_t i = 0; i < columns.count; i++)
        for (size_t k = i + 1; k < columns.count; k++)
            if (sqltext_type_is_text(columns.items[i].type) ==
                sqltext_type_is_text(columns.items[k].type))
                buf_printf(&equal, "%scoalesce(%s = %s, false)", equal.len == 0 ? "" : " OR ",
                           columns.items[i].sql, columns.items[k].sql);
    /* Text and what is none are never the same value; DuckDB would try to cast. */
    const char *good =
        arena_printf(v->arena, "NOT (%s)", equal.len == 0 ? "false" : buf_text(&equal));
    buf_release(&equal);
    return rule_compile_rows(v, rule, columns.considered, good);
}

/* The rows grouped by their key, those groups of more than one: each stands for n rows. */
static bool rule_compile_doubled(struct validation *v, struct rule *rule)
{
    const char *keys = "";

    for (size_t i = 0; i < rule->value_count; i++)
        keys = arena_printf(v->arena, "%s%s%s", keys, i == 0 ? "" : ", ", rule->values[i]);
    rule->from = arena_printf(v->arena,
                              "(SELECT %s, count(*) AS millrace_n%s GROUP BY %s "
                              "HAVING count(*) > 1) AS doubled",
                              keys, validation_rows_of(v, rule), keys);
    rule->weight = "millrace_n";
    rule->sorted = true;
    return rule_compile_query_rows(v, rule, "true");
}

bool rule_compile_unique(struct validation *v, struct rule *rule, struct err *err)
{
    struct compiled_column c;

    if (!rule_compile_column_of(v, rule, &c, err))
        return false;
    rule->values[rule->value_count++] = c.sql;
    rule->considered = arena_printf(v->arena, "%s IS NOT NULL", c.sql);
    return rule_compile_doubled(v, rule);
}

bool rule_compile_compound_unique(struct validation *v, struct rule *rule, struct err *err)
{
    struct columns columns;

    if (!columns_open(v, rule, &columns, err))
        return false;
    rule->considered = columns.considered;
    return rule_compile_doubled(v, rule);
}
