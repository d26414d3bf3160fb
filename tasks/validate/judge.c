/* From counts and values to outcomes, by Great Expectations' rules. */
#include "base/json.h"
#include "tasks/validate/catalogue.h"
#include "tasks/validate/compile.h"
#include "tasks/validate/sqltext.h"
#include "tasks/validate/text.h"

#include <inttypes.h>
#include <string.h>

static struct engine_result *ask(struct validation *v, const char *sql, struct err *err)
{
    return engine_query(v->engine, sql, err);
}

/* One row of a sample: a value, a pair as [a, b], more columns as an object. */
static void add_sample(const struct rule *rule, struct engine_result *result, struct jw *w)
{
    if (rule->value_count == 1) {
        text_add_value(result, 0, w);
        return;
    }
    if (json_object_get(rule->kwargs, "column_A") != NULL) {
        jw_begin_array(w);
        for (size_t i = 0; i < rule->value_count; i++)
            text_add_value(result, i, w);
        jw_end_array(w);
        return;
    }
    jw_begin_object(w);
    for (size_t i = 0; i < rule->value_count; i++) {
        jw_key(w, engine_column_name(result, i));
        text_add_value(result, i, w);
    }
    jw_end_object(w);
}

/* Runs a sample query and returns its rows as a JSON array; with counts, as {value, count}. */
static const char *sample(struct validation *v, const struct rule *rule, const char *sql,
                          bool counts, struct err *err)
{
    struct engine_result *result = ask(v, sql, err);
    struct buf text = {0};
    struct jw w = {.out = &text};

    if (result == NULL)
        return NULL;
    jw_begin_array(&w);
    while (engine_next(result, err)) {
        if (counts) {
            jw_begin_object(&w);
            jw_key(&w, "value");
        }
        add_sample(rule, result, &w);
        if (counts) {
            jw_kv_int(&w, "count", engine_int(result, rule->value_count));
            jw_end_object(&w);
        }
    }
    jw_end_array(&w);
    engine_result_free(result);
    const char *list = err->code == ERR_NONE ? arena_strdup(v->arena, buf_text(&text)) : NULL;
    buf_release(&text);
    return list;
}

static const char *value_list(const struct validation *v, const struct rule *rule)
{
    const char *list = "";

    for (size_t i = 0; i < rule->value_count; i++)
        list = arena_printf(v->arena, "%s%s%s", list, i == 0 ? "" : ", ", rule->values[i]);
    return list;
}

/* Not-null rules: what is unexpected has no value to show but null, as often as GX shows it. */
static void sample_nulls(struct validation *v, struct rule *rule)
{
    const char *list = "";

    for (int64_t i = 0; i < rule->unexpected && i < VALIDATION_SAMPLES; i++)
        list = arena_printf(v->arena, "%s%snull", list, i == 0 ? "" : ",");
    rule->samples = arena_printf(v->arena, "[%s]", list);
    rule->sample_counts =
        arena_printf(v->arena, "[{\"value\":null,\"count\":%" PRId64 "}]", rule->unexpected);
}

static bool take_samples(struct validation *v, struct rule *rule, struct err *err)
{
    if (rule->value_count == 0) {
        sample_nulls(v, rule);
        return true;
    }
    const char *values = value_list(v, rule);
    const char *rows =
        rule->from == NULL
            ? arena_printf(v->arena, "%s AND (%s)", validation_rows_of(v, rule), rule->bad)
            : arena_printf(v->arena, " FROM %s WHERE %s", rule->from, rule->bad);
    const char *weight =
        rule->weight == NULL ? "count(*)" : arena_printf(v->arena, "sum(%s)", rule->weight);
    const char *first = arena_printf(v->arena, "SELECT %s%s%s LIMIT %d", values, rows,
                                     rule->sorted ? " ORDER BY ALL" : "", VALIDATION_SAMPLES);
    const char *often = arena_printf(
        v->arena,
        "SELECT %s, (%s)::BIGINT AS millrace_n%s GROUP BY %s ORDER BY %zu DESC, %s LIMIT %d",
        values, weight, rows, values, rule->value_count + 1, values, VALIDATION_SAMPLES);
    rule->samples = sample(v, rule, first, false, err);
    rule->sample_counts = rule->samples == NULL ? NULL : sample(v, rule, often, true, err);
    return rule->sample_counts != NULL;
}

static bool ask_count(struct validation *v, const char *sql, int64_t *ret, struct err *err)
{
    struct engine_result *result = ask(v, sql, err);
    bool ok = result != NULL && engine_next(result, err);

    if (ok)
        *ret = engine_int(result, 0);
    engine_result_free(result);
    return ok;
}

bool judge_map(struct validation *v, struct rule *rule, struct err *err)
{
    rule->elements = v->metrics[rule->metrics[0]].integer;
    rule->missing = v->metrics[rule->metrics[1]].integer;
    if (rule->query == NULL)
        rule->unexpected = v->metrics[rule->metrics[2]].integer;
    else if (!ask_count(v, rule->query, &rule->unexpected, err))
        return false;
    int64_t considered = rule->elements - rule->missing;
    rule->has_counts = true;
    rule->success = considered == 0 ||
                    (double)(considered - rule->unexpected) / (double)considered >= rule->mostly;
    rule->summary =
        arena_printf(v->arena, "%" PRId64 " of %" PRId64 " rows", rule->unexpected, considered);
    if (considered == 0)
        rule->warning = "0 rows evaluated";
    return rule->success || take_samples(v, rule, err);
}

bool judge_settled(struct validation *v, struct rule *rule, struct err *err)
{
    (void)v;
    (void)rule;
    (void)err;
    return true; /* by its compiler: the columns say it all */
}

static void observe(struct validation *v, struct rule *rule, const char *json, bool success)
{
    rule->observed = json;
    rule->success = success;
    rule->summary = arena_printf(v->arena, "observed %s", json);
}

bool judge_range(struct validation *v, struct rule *rule, struct err *err)
{
    if (rule->query == NULL) {
        observe(v, rule, v->metrics[rule->metrics[0]].json,
                v->metrics[rule->metrics[1]].integer != 0);
        return true;
    }
    struct engine_result *result = ask(v, rule->query, err);
    bool ok = result != NULL && engine_next(result, err);
    if (ok)
        observe(v, rule, text_value(v->arena, result, 0), engine_bool(result, 1));
    engine_result_free(result);
    return ok;
}

bool judge_quantiles(struct validation *v, struct rule *rule, struct err *err)
{
    const json_t *ranges = json_object_get(rule->kwargs, "quantile_ranges");
    const json_t *quantiles = json_object_get(ranges, "quantiles");
    struct engine_result *result = ask(v, rule->query, err);
    const char *values = "";
    const char *met = "";
    bool success = true;

    if (result == NULL || !engine_next(result, err)) {
        engine_result_free(result);
        return false;
    }
    for (size_t i = 0; i < json_array_size(quantiles); i++) {
        const char *comma = i == 0 ? "" : ",";
        bool ok = engine_bool(result, 2 * i + 1);
        success = success && ok;
        values =
            arena_printf(v->arena, "%s%s%s", values, comma, text_value(v->arena, result, 2 * i));
        met = arena_printf(v->arena, "%s%s%s", met, comma, ok ? "true" : "false");
    }
    engine_result_free(result);
    const char *asked = text_json(v->arena, json_deep_copy(quantiles));
    observe(v, rule, arena_printf(v->arena, "{\"quantiles\":%s,\"values\":[%s]}", asked, values),
            success);
    rule->details = arena_printf(v->arena, "{\"success_details\":[%s]}", met);
    return true;
}

bool judge_most_common(struct validation *v, struct rule *rule, struct err *err)
{
    struct engine_result *result = ask(v, rule->query, err);
    const char *values = "";
    size_t count = 0;
    bool found = false;

    if (result == NULL)
        return false;
    for (; engine_next(result, err); count++) {
        values = arena_printf(v->arena, "%s%s%s", values, count == 0 ? "" : ",",
                              text_value(v->arena, result, 0));
        found = found || engine_bool(result, 1);
    }
    engine_result_free(result);
    if (err->code != ERR_NONE)
        return false;
    observe(v, rule, arena_printf(v->arena, "[%s]", values),
            found && (count == 1 || rule_flag(rule, "ties_okay")));
    return true;
}

bool judge_other_count(struct validation *v, struct rule *rule, struct err *err)
{
    int64_t own = v->metrics[rule->metrics[0]].integer;
    int64_t other;

    if (!ask_count(v, rule->query, &other, err))
        return false;
    observe(v, rule,
            arena_printf(v->arena, "{\"self\":%" PRId64 ",\"other\":%" PRId64 "}", own, other),
            own == other);
    return true;
}

static const char *first_column(struct validation *v, const char *sql, struct err *err)
{
    static const struct rule plain = {.value_count = 1};

    return sample(v, &plain, sql, false, err);
}

/* The members of the set as a table (i, m), m of the column's type. */
static const char *members_table(struct validation *v, const struct rule *rule)
{
    const json_t *set = json_object_get(rule->kwargs, "value_set");
    struct buf sql = {0};
    size_t i;
    json_t *member;

    json_array_foreach(set, i, member)
        buf_printf(&sql, "%s(%zu, %s)", i == 0 ? "" : ", ", i,
                   sqltext_member(v->arena, member, rule->values[0]));
    const char *table = arena_printf(v->arena, "(VALUES %s) AS members(i, m)",
                                     sql.len == 0 ? "(-1, NULL)" : buf_text(&sql));
    buf_release(&sql);
    return table;
}

static bool find_missing(struct validation *v, const struct rule *rule, const char *members,
                         json_t *missing, struct err *err)
{
    const json_t *set = json_object_get(rule->kwargs, "value_set");
    const char *sql = arena_printf(
        v->arena,
        "SELECT i FROM %s WHERE i >= 0 AND NOT EXISTS (SELECT 1 FROM %s AS d WHERE d.millrace_v = "
        "members.m) ORDER BY i",
        members, rule->from);
    struct engine_result *result = ask(v, sql, err);

    if (result == NULL)
        return false;
    while (engine_next(result, err)) {
        json_t *member = json_array_get(set, (size_t)engine_int(result, 0));
        if (!json_is_null(member))
            (void)json_array_append(missing, member);
    }
    engine_result_free(result);
    return err->code == ERR_NONE;
}

bool judge_distinct(struct validation *v, struct rule *rule, struct err *err)
{
    const char *members = members_table(v, rule);
    const char *outside = arena_printf(v->arena,
                                       "SELECT millrace_v FROM %s AS d WHERE NOT EXISTS (SELECT 1 "
                                       "FROM %s WHERE m = millrace_v) ORDER BY 1 LIMIT %d",
                                       rule->from, members, VALIDATION_SAMPLES);
    const char *all =
        arena_printf(v->arena, "SELECT millrace_v FROM %s ORDER BY 1 LIMIT 100", rule->from);
    json_t *missing = json_array();
    const char *unexpected = rule->distinct_only ? first_column(v, outside, err) : "[]";
    const char *observed = unexpected == NULL ? NULL : first_column(v, all, err);
    bool ok =
        observed != NULL && (!rule->distinct_all || find_missing(v, rule, members, missing, err));

    if (ok) {
        observe(v, rule, observed, strcmp(unexpected, "[]") == 0 && json_array_size(missing) == 0);
        const char *absent = text_json(v->arena, json_incref(missing));
        rule->details =
            arena_printf(v->arena, "{\"unexpected\":%s,\"missing\":%s}", unexpected, absent);
        rule->summary = arena_printf(v->arena, "unexpected %s, missing %s", unexpected, absent);
    }
    json_decref(missing);
    return ok;
}

bool judge_rows(struct validation *v, struct rule *rule, struct err *err)
{
    const char *count = arena_printf(v->arena, "SELECT count(*) FROM (%s\n)", rule->query);
    const char *first =
        arena_printf(v->arena, "SELECT * FROM (%s\n) LIMIT %d", rule->query, VALIDATION_SAMPLES);
    struct buf text = {0};
    struct jw w = {.out = &text};

    if (!ask_count(v, count, &rule->unexpected, err))
        return false;
    struct engine_result *result = ask(v, first, err);
    if (result == NULL)
        return false;
    jw_begin_array(&w);
    while (engine_next(result, err)) {
        jw_begin_object(&w);
        for (size_t i = 0; i < engine_column_count(result); i++) {
            jw_key(&w, engine_column_name(result, i));
            text_add_value(result, i, &w);
        }
        jw_end_object(&w);
    }
    jw_end_array(&w);
    engine_result_free(result);
    rule->details = arena_printf(v->arena, "{\"unexpected_rows\":%s}", buf_text(&text));
    buf_release(&text);
    observe(v, rule, arena_printf(v->arena, "%" PRId64, rule->unexpected), rule->unexpected == 0);
    rule->summary = arena_printf(v->arena, "%" PRId64 " rows", rule->unexpected);
    return err->code == ERR_NONE;
}
