#include "tasks/validate/report.h"

#include "tasks/validate/catalogue.h"
#include "tasks/validate/text.h"

#include <inttypes.h>
#include <string.h>

/* How many failed expectations the task's reason spells out. */
#define REASON_MAX 3

bool report_success(const struct validation *v)
{
    return v->failed_critical == 0 && v->sla_success;
}

static void write_percent(struct jw *w, const char *key, int64_t part, int64_t whole)
{
    if (whole == 0)
        jw_kv_null(w, key);
    else
        jw_kv_real(w, key, (double)part / (double)whole * 100);
}

static void write_counts(struct jw *w, const struct rule *rule)
{
    int64_t considered = rule->elements - rule->missing;

    jw_kv_int(w, "element_count", rule->elements);
    jw_kv_int(w, "unexpected_count", rule->unexpected);
    write_percent(w, "unexpected_percent", rule->unexpected, considered);
    jw_kv_raw(w, "partial_unexpected_list", rule->samples == NULL ? "[]" : rule->samples);
    if (rule->counts_missing) {
        jw_kv_int(w, "missing_count", rule->missing);
        write_percent(w, "missing_percent", rule->missing, rule->elements);
        write_percent(w, "unexpected_percent_total", rule->unexpected, rule->elements);
        write_percent(w, "unexpected_percent_nonmissing", rule->unexpected, considered);
    }
    jw_kv_raw(w, "partial_unexpected_counts",
              rule->sample_counts == NULL ? "[]" : rule->sample_counts);
}

static void write_result(struct jw *w, const struct rule *rule)
{
    jw_key(w, "result");
    jw_begin_object(w);
    if (rule->exception == NULL) {
        if (rule->has_counts)
            write_counts(w, rule);
        if (rule->observed != NULL)
            jw_kv_raw(w, "observed_value", rule->observed);
        if (rule->has_counts || rule->details != NULL)
            jw_kv_raw(w, "details", rule->details == NULL ? "{}" : rule->details);
    }
    jw_end_object(w);
}

static void write_config(struct jw *w, const struct rule *rule)
{
    jw_key(w, "expectation_config");
    jw_begin_object(w);
    jw_kv_string(w, "type", rule->entry->name);
    jw_key(w, "kwargs");
    text_write(w, rule->kwargs);
    jw_kv_string(w, "severity", severity_name(rule->severity));
    jw_key(w, "meta");
    if (json_is_object(rule->meta))
        text_write(w, rule->meta);
    else
        jw_raw(w, STR("{}"));
    jw_kv_string(w, "id", rule->id);
    if (rule->description != NULL)
        jw_kv_string(w, "description", rule->description);
    jw_end_object(w);
}

static void write_exception(struct jw *w, const struct rule *rule)
{
    jw_key(w, "exception_info");
    jw_begin_object(w);
    jw_kv_bool(w, "raised_exception", rule->exception != NULL);
    jw_kv_string(w, "exception_message", rule->exception);
    jw_kv_null(w, "exception_traceback");
    jw_end_object(w);
}

static void write_rule(struct jw *w, const struct rule *rule)
{
    jw_begin_object(w);
    jw_kv_bool(w, "success", rule->success);
    write_config(w, rule);
    write_result(w, rule);
    write_exception(w, rule);
    jw_key(w, "meta");
    jw_begin_object(w);
    jw_kv_string(w, "on_fail", rule->severity == SEVERITY_CRITICAL ? "fail" : "warn");
    jw_kv_int(w, "pass", rule->entry->pass);
    if (rule->sql != NULL)
        jw_kv_string(w, "sql", rule->sql);
    if (rule->warning != NULL)
        jw_kv_string(w, "warning", rule->warning);
    jw_end_object(w);
    jw_end_object(w);
}

static void write_statistics(struct jw *w, const struct validation *v)
{
    jw_key(w, "statistics");
    jw_begin_object(w);
    jw_kv_int(w, "evaluated_expectations", (int64_t)v->rules->count);
    jw_kv_int(w, "successful_expectations", (int64_t)v->successful);
    jw_kv_int(w, "unsuccessful_expectations", (int64_t)v->failed);
    write_percent(w, "success_percent", (int64_t)v->successful, (int64_t)v->rules->count);
    jw_end_object(w);
}

static void write_sla(struct jw *w, const struct validation *v)
{
    if (v->valid_rows_pct < 0)
        return;
    jw_key(w, "sla");
    jw_begin_object(w);
    jw_kv_bool(w, "success", v->sla_success);
    jw_kv_real(w, "valid_rows_pct", v->valid_rows_pct);
    write_percent(w, "observed_pct", v->valid_rows, v->rows);
    jw_kv_int(w, "valid_rows", v->valid_rows);
    jw_end_object(w);
}

static void write_meta(struct jw *w, const struct report *report, const char *checkpoint)
{
    jw_key(w, "meta");
    jw_begin_object(w);
    jw_key(w, "run_id");
    jw_begin_object(w);
    jw_kv_string(w, "run_name", report->run_id);
    if (report->time_us != 0)
        jw_kv_time(w, "run_time", report->time_us);
    jw_end_object(w);
    jw_kv_string(w, "checkpoint_name", checkpoint);
    if (report->time_us != 0)
        jw_kv_time(w, "validation_time", report->time_us);
    jw_kv_string(w, "engine", "duckdb " ENGINE_DUCKDB_VERSION);
    jw_kv_string(w, "dataset", report->dataset);
    jw_kv_string(w, "dataset_version", report->version);
    jw_kv_int(w, "rows", report->validation->rows);
    write_sla(w, report->validation);
    jw_end_object(w);
}

void report_write(const struct report *report, struct buf *out)
{
    const struct validation *v = report->validation;
    struct jw w = {.out = out};
    const char *checkpoint = arena_printf(v->arena, "%s.%s", report->dag_id, report->task_id);
    const char *suite = v->rules->suite_name;

    jw_begin_object(&w);
    jw_kv_bool(&w, "success", v->failed == 0 && v->sla_success);
    jw_kv_string(&w, "suite_name", suite == NULL ? checkpoint : suite);
    jw_kv_string(&w, "batch_id", arena_printf(v->arena, "%s@%s", report->dataset, report->version));
    if (report->id != NULL)
        jw_kv_string(&w, "id", report->id);
    jw_kv_raw(&w, "suite_parameters", "{}");
    write_statistics(&w, v);
    jw_key(&w, "results");
    jw_begin_array(&w);
    for (size_t i = 0; i < v->rules->count; i++)
        write_rule(&w, v->rules->items[i]);
    jw_end_array(&w);
    write_meta(&w, report, checkpoint);
    jw_end_object(&w);
    buf_add_char(out, '\n');
}

/* The first line of what may be a long message. */
static struct str first_line(const char *text)
{
    struct str line = str_from(text);
    size_t end = str_find(line, '\n', 0);

    return end == SIZE_MAX ? line : str_sub(line, 0, end);
}

static const char *mark_of(const struct rule *rule)
{
    if (rule->success)
        return rule->warning == NULL ? "ok" : "ok!";
    return rule->severity == SEVERITY_CRITICAL ? "FAIL" : severity_name(rule->severity);
}

void report_log(const struct report *report, struct buf *out)
{
    const struct validation *v = report->validation;
    size_t width = 0;

    for (size_t i = 0; i < v->rules->count; i++) {
        size_t length = strlen(rule_title(v->rules->items[i], v->arena));
        width = length > width ? length : width;
    }
    width = width > 80 ? 80 : width;
    buf_printf(out, "%s: %" PRId64 " rows, version %s\n", report->dataset, v->rows,
               report->version);
    for (size_t i = 0; i < v->rules->count; i++) {
        const struct rule *rule = v->rules->items[i];
        struct str summary = first_line(rule->summary == NULL ? "" : rule->summary);
        buf_printf(out, "  %-8s %-*s  %.*s\n", mark_of(rule), (int)width,
                   rule_title(rule, v->arena), STR_ARG(summary));
        if (rule->samples != NULL && rule->value_count > 0)
            buf_printf(out, "  %-8s %-*s  as %.200s%s\n", "", (int)width, "", rule->samples,
                       strlen(rule->samples) > 200 ? "…" : "");
        if (rule->warning != NULL)
            buf_printf(out, "  %-8s warning: %s\n", "", rule->warning);
    }
    if (v->valid_rows_pct >= 0)
        buf_printf(out, "  %-8s sla: %" PRId64 " of %" PRId64 " rows valid, %.10g %% asked for\n",
                   v->sla_success ? "ok" : "FAIL", v->valid_rows, v->rows, v->valid_rows_pct);
    buf_printf(out, "%zu of %zu expectations met\n", v->successful, v->rules->count);
}

/* Adds the failed rules of one severity class until REASON_MAX are told. */
static size_t add_failed(const struct validation *v, bool critical, size_t told, struct buf *out)
{
    for (size_t i = 0; i < v->rules->count && told < REASON_MAX; i++) {
        const struct rule *rule = v->rules->items[i];
        if (rule->success || (rule->severity == SEVERITY_CRITICAL) != critical)
            continue;
        struct str summary = first_line(rule->summary == NULL ? "" : rule->summary);
        summary = str_sub(summary, 0, summary.len < 250 ? summary.len : 250);
        buf_printf(out, "%s%s: %.*s", told == 0 ? ": " : "; ", rule_title(rule, v->arena),
                   STR_ARG(summary));
        told++;
    }
    return told;
}

void report_reason(const struct validation *v, struct buf *out)
{
    buf_printf(out, "%zu of %zu expectations failed", v->failed, v->rules->count);
    size_t told = add_failed(v, true, 0, out);
    told = add_failed(v, false, told, out);
    if (v->failed > told)
        buf_printf(out, "; and %zu more", v->failed - told);
    if (!v->sla_success)
        buf_printf(out, "; sla: %" PRId64 " of %" PRId64 " rows valid, %.10g %% asked for",
                   v->valid_rows, v->rows, v->valid_rows_pct);
}
