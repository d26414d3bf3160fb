#include "tasks/validate/compile.h"

#include "base/json.h"
#include "tasks/validate/sqltext.h"

#include <string.h>

bool rule_compile_column(const struct validation *v, const char *name, struct compiled_column *ret,
                         struct err *err)
{
    const struct validation_column *column = validation_find_column(v, name);
    struct buf known = {0};

    if (column == NULL) {
        for (size_t i = 0; i < v->column_count; i++)
            buf_printf(&known, "%s%s", i == 0 ? "" : ", ", v->columns[i].name);
        err_set(err, ERR_INVALID,
                "Error: The column \"%s\" in BatchData does not exist. It has: %.700s", name,
                buf_text(&known));
        buf_release(&known);
        return false;
    }
    ret->name = column->name;
    ret->type = column->type;
    ret->sql = sqltext_identifier(v->arena, column->name);
    ret->text = strcmp(column->type, "VARCHAR") == 0
                    ? ret->sql
                    : arena_printf(v->arena, "CAST(%s AS VARCHAR)", ret->sql);
    return true;
}

bool rule_compile_column_of(const struct validation *v, const struct rule *rule,
                            struct compiled_column *ret, struct err *err)
{
    return rule_compile_column(v, rule_string(rule, "column"), ret, err);
}

const char *rule_string(const struct rule *rule, const char *key)
{
    return json_get_string(rule->kwargs, key, "");
}

bool rule_flag(const struct rule *rule, const char *key)
{
    return json_get_bool(rule->kwargs, key, false);
}

static const char *with_condition(const struct validation *v, const struct rule *rule,
                                  const char *expression)
{
    if (rule->condition == NULL)
        return expression;
    return arena_printf(v->arena, "(%s) AND (%s)", rule->condition, expression);
}

static const char *count_if(const struct validation *v, const struct rule *rule,
                            const char *expression)
{
    return arena_printf(v->arena, "count_if(%s)", with_condition(v, rule, expression));
}

/* Elements and missing: the first two metrics of every row-level rule. */
static void add_counts(struct validation *v, struct rule *rule)
{
    const char *elements = rule->condition == NULL ? "count(*)" : count_if(v, rule, "true");
    const char *missing = arena_printf(v->arena, "NOT (%s)", rule->considered);

    rule->metrics[0] = validation_add_metric(v, elements);
    rule->metrics[1] = validation_add_metric(v, count_if(v, rule, missing));
    rule->metric_count = 2;
}

bool rule_compile_rows(struct validation *v, struct rule *rule, const char *considered,
                       const char *good)
{
    rule->considered = considered;
    rule->bad = arena_printf(v->arena, "(%s) IS NOT TRUE", good);
    add_counts(v, rule);
    rule->sql =
        count_if(v, rule, arena_printf(v->arena, "(%s) AND (%s)", rule->considered, rule->bad));
    rule->metrics[2] = validation_add_metric(v, rule->sql);
    rule->metric_count = 3;
    return true;
}

bool rule_compile_query_rows(struct validation *v, struct rule *rule, const char *bad)
{
    const char *weight = rule->weight == NULL ? "1" : rule->weight;

    rule->bad = bad;
    add_counts(v, rule);
    rule->query = arena_printf(v->arena, "SELECT coalesce(sum(%s), 0)::BIGINT FROM %s WHERE %s",
                               weight, rule->from, bad);
    rule->sql = rule->query;
    return true;
}

static bool bound_literal(const struct validation *v, const json_t *bound, const char *type,
                          const char **ret, struct err *err)
{
    const char *literal = sqltext_literal(v->arena, bound);

    if (sqltext_type_is_text(type) && !json_is_string(bound))
        return err_set(err, ERR_INVALID,
                       "the column is text (%s) and the bound %s is none: ingest it with another "
                       "type, or give the bound as a string",
                       type, literal);
    if (sqltext_type_is_number(type) && !json_is_number(bound))
        return err_set(err, ERR_INVALID, "the values are numbers (%s) and the bound %s is none",
                       type, literal);
    if (sqltext_type_is_time(type) && json_is_string(bound))
        literal = arena_printf(v->arena, "CAST(%s AS %s)", literal,
                               strcmp(type, "DATE") == 0 ? "TIMESTAMP" : type);
    *ret = literal;
    return true;
}

bool rule_compile_range(const struct validation *v, const struct rule *rule, const char *expression,
                        const char *type, const char **ret_sql, struct err *err)
{
    const json_t *least = json_object_get(rule->kwargs, "min_value");
    const json_t *largest = json_object_get(rule->kwargs, "max_value");
    const char *literal;
    const char *range = "true";

    if (least == NULL && largest == NULL)
        return err_set(err, ERR_INVALID, "min_value and max_value cannot both be None");
    if (least != NULL) {
        if (!bound_literal(v, least, type, &literal, err))
            return err_wrap(err, "min_value");
        range = arena_printf(v->arena, "(%s %s %s)", expression,
                             rule_flag(rule, "strict_min") ? ">" : ">=", literal);
    }
    if (largest != NULL) {
        if (!bound_literal(v, largest, type, &literal, err))
            return err_wrap(err, "max_value");
        range = arena_printf(v->arena, "%s AND (%s %s %s)", range, expression,
                             rule_flag(rule, "strict_max") ? "<" : "<=", literal);
    }
    *ret_sql = range;
    return true;
}

const char *rule_compile_filtered(const struct validation *v, const struct rule *rule,
                                  const char *aggregate)
{
    if (rule->condition == NULL)
        return aggregate;
    return arena_printf(v->arena, "%s FILTER (WHERE (%s))", aggregate, rule->condition);
}
