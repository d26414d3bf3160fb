/* The flow of a validation: compile all rules, scan once, judge each. */
#include "tasks/validate/validation.h"

#include "base/mem.h"
#include "tasks/validate/catalogue.h"
#include "tasks/validate/sqltext.h"
#include "tasks/validate/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool read_columns(struct validation *v, struct err *err)
{
    struct engine_result *result =
        engine_query(v->engine, "SELECT * FROM " VALIDATION_BATCH " LIMIT 0", err);

    if (result == NULL)
        return false;
    v->column_count = engine_column_count(result);
    v->columns = arena_alloc_array(v->arena, v->column_count, sizeof(*v->columns));
    for (size_t i = 0; i < v->column_count; i++) {
        v->columns[i].name = arena_strdup(v->arena, engine_column_name(result, i));
        v->columns[i].type = arena_strdup(v->arena, engine_column_type(result, i));
    }
    engine_result_free(result);
    return true;
}

bool validation_open(struct validation *v, const char *from_item, struct err *err)
{
    const char *sql = arena_printf(
        v->arena, "CREATE OR REPLACE VIEW " VALIDATION_BATCH " AS SELECT * FROM %s", from_item);

    return (engine_run(v->engine, sql, NULL, err) && read_columns(v, err)) ||
           err_wrap(err, "read the dataset");
}

void validation_release(struct validation *v)
{
    free(v->metrics);
    v->metrics = NULL;
    v->metric_count = v->metric_capacity = 0;
}

const struct validation_column *validation_find_column(const struct validation *v, const char *name)
{
    for (size_t i = 0; i < v->column_count; i++)
        if (strcmp(v->columns[i].name, name) == 0)
            return &v->columns[i];
    for (size_t i = 0; i < v->column_count; i++)
        if (strcasecmp(v->columns[i].name, name) == 0)
            return &v->columns[i];
    return NULL;
}

size_t validation_add_metric(struct validation *v, const char *sql)
{
    for (size_t i = 0; i < v->metric_count; i++)
        if (strcmp(v->metrics[i].sql, sql) == 0)
            return i;
    if (v->metric_count == v->metric_capacity) {
        v->metric_capacity = mem_grow(v->metric_capacity, v->metric_count + 1);
        v->metrics = mem_resize_array(v->metrics, v->metric_capacity, sizeof(*v->metrics));
    }
    v->metrics[v->metric_count] = (struct validation_metric){.sql = sql, .json = "null"};
    return v->metric_count++;
}

const char *validation_rows_of(const struct validation *v, const struct rule *rule)
{
    if (rule->condition == NULL)
        return arena_printf(v->arena, " FROM " VALIDATION_BATCH " WHERE (%s)", rule->considered);
    return arena_printf(v->arena, " FROM " VALIDATION_BATCH " WHERE (%s) AND (%s)", rule->condition,
                        rule->considered);
}

/* The author's condition: one expression that the engine can bind over the dataset. */
static bool check_condition(struct validation *v, const struct rule *rule, struct err *err)
{
    if (rule->condition == NULL)
        return true;
    const char *sql =
        arena_printf(v->arena, "SELECT 1 FROM " VALIDATION_BATCH " WHERE (%s)", rule->condition);
    return sqltext_check_expression(rule->condition, err) &&
           (engine_check_select(v->engine, sql, err) || err_wrap(err, "row_condition"));
}

static void set_exception(struct validation *v, struct rule *rule, const struct err *err)
{
    rule->success = false;
    rule->exception = arena_strdup(v->arena, err->message);
    rule->summary = rule->exception;
}

static void compile_all(struct validation *v)
{
    for (size_t i = 0; i < v->rules->count; i++) {
        struct rule *rule = v->rules->items[i];
        struct err err = {0};
        if (!check_condition(v, rule, &err) || !rule->entry->compile(v, rule, &err))
            set_exception(v, rule, &err);
    }
}

/* Asks for some of the metrics in one SELECT. */
static bool scan(struct validation *v, const size_t *places, size_t count, struct err *err)
{
    struct buf sql = {0};
    bool ok = false;

    buf_add_text(&sql, "SELECT ");
    for (size_t i = 0; i < count; i++)
        buf_printf(&sql, "%s%s", i == 0 ? "" : ", ", v->metrics[places[i]].sql);
    buf_add_text(&sql, " FROM " VALIDATION_BATCH);
    struct engine_result *result = engine_query(v->engine, buf_text(&sql), err);
    buf_release(&sql);
    if (result != NULL && engine_next(result, err)) {
        for (size_t i = 0; i < count; i++) {
            struct validation_metric *metric = &v->metrics[places[i]];
            metric->is_null = engine_is_null(result, i);
            metric->integer = engine_int(result, i);
            metric->json = text_value(v->arena, result, i);
        }
        ok = true;
    }
    engine_result_free(result);
    return ok;
}

static bool scan_all(struct validation *v, struct err *err)
{
    size_t *places = mem_alloc_array(v->metric_count, sizeof(*places));

    for (size_t i = 0; i < v->metric_count; i++)
        places[i] = i;
    bool ok = scan(v, places, v->metric_count, err);
    free(places);
    return ok;
}

/* Errors that say nothing about a rule: the disk, the memory. */
static bool is_environment(const struct err *err)
{
    return err->code == ERR_IO || err->code == ERR_LIMIT || err->code == ERR_FAILED;
}

/* One rule spoils the scan for all (a cast that fails on some row, say): each is asked alone, and
 * those that can't be answered carry the exception. */
static bool scan_each(struct validation *v, struct err *err)
{
    const size_t rows = 0;

    if (!scan(v, &rows, 1, err))
        return false;
    for (size_t i = 0; i < v->rules->count; i++) {
        struct rule *rule = v->rules->items[i];
        struct err own = {0};
        if (rule->exception != NULL || rule->metric_count == 0 ||
            scan(v, rule->metrics, rule->metric_count, &own))
            continue;
        if (is_environment(&own)) {
            *err = own;
            return false;
        }
        set_exception(v, rule, &own);
    }
    return true;
}

/* Counts the rows that meet every row-level rule, rules that only inform aside. */
static size_t add_valid_rows(struct validation *v)
{
    struct buf sql = {0};

    buf_add_text(&sql, "count_if(NOT (false");
    for (size_t i = 0; i < v->rules->count; i++) {
        const struct rule *rule = v->rules->items[i];
        if (rule->bad == NULL || rule->entry->pass != 1 || rule->exception != NULL ||
            rule->severity == SEVERITY_INFO)
            continue;
        buf_printf(&sql, " OR coalesce((%s) AND (%s) AND (%s), false)",
                   rule->condition == NULL ? "true" : rule->condition, rule->considered, rule->bad);
    }
    buf_add_text(&sql, "))");
    size_t place = validation_add_metric(v, arena_strdup(v->arena, buf_text(&sql)));
    buf_release(&sql);
    return place;
}

static bool run_scan(struct validation *v, struct err *err)
{
    size_t valid = v->valid_rows_pct < 0 ? 0 : add_valid_rows(v);

    if (!scan_all(v, err)) {
        if (is_environment(err) || !scan_each(v, err))
            return err_wrap(err, "scan the dataset");
        /* The rules that raised an exception are left out of the valid rows now. */
        valid = v->valid_rows_pct < 0 ? 0 : add_valid_rows(v);
        if (valid != 0 && !scan(v, &valid, 1, err))
            return err_wrap(err, "scan the dataset");
    }
    v->rows = v->metrics[0].integer;
    v->valid_rows = v->metrics[valid].integer;
    v->sla_success = v->valid_rows_pct < 0 || v->rows == 0 ||
                     (double)v->valid_rows / (double)v->rows * 100 >= v->valid_rows_pct;
    return true;
}

static bool judge_all(struct validation *v, struct err *err)
{
    for (size_t i = 0; i < v->rules->count; i++) {
        struct rule *rule = v->rules->items[i];
        struct err own = {0};
        if (rule->exception == NULL && !rule->entry->judge(v, rule, &own)) {
            if (is_environment(&own)) {
                *err = own;
                return err_wrap(err, "%s", rule_title(rule, v->arena));
            }
            set_exception(v, rule, &own);
        }
        if (rule->success)
            v->successful++;
        else
            v->failed++;
        if (!rule->success && rule->severity == SEVERITY_CRITICAL)
            v->failed_critical++;
    }
    return true;
}

bool validation_run(struct validation *v, struct err *err)
{
    (void)validation_add_metric(v, "count(*)"); /* place 0 */
    compile_all(v);
    return run_scan(v, err) && judge_all(v, err);
}
