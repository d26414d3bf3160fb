/* The attempt: opens the dataset, gathers the rules, validates, writes the report. */
#include "millrace/attempt.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "tasks/publish/publish.h"
#include "tasks/validate/catalogue.h"
#include "tasks/validate/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITE_BYTES_MAX (16u * 1024 * 1024)
#define OTHERS_MAX 32
#define FAILED_NAMES_MAX 20

/* What one attempt holds; freed by job_release(). */
struct job {
    struct attempt *attempt;
    struct arena arena;
    struct rules rules;
    struct validation validation;
    struct dataset *dataset;
    struct dataset *others[OTHERS_MAX];
    size_t other_count;
    json_t *history;
    const char *path;
    const char *version;
};

static void job_release(struct job *job)
{
    validation_release(&job->validation);
    rules_release(&job->rules);
    dataset_free(job->dataset);
    for (size_t i = 0; i < job->other_count; i++)
        dataset_free(job->others[i]);
    json_decref(job->history);
    arena_release(&job->arena);
}

static bool open_other(void *context, const char *path, struct buf *sql, struct err *err)
{
    struct job *job = context;

    if (job->other_count == OTHERS_MAX)
        return err_set(err, ERR_INVALID, "at most %d other datasets can be compared with",
                       OTHERS_MAX);
    struct dataset *other = dataset_open(path, err);
    if (other == NULL)
        return err_wrap(err, "dataset %s", path);
    job->others[job->other_count++] = other;
    dataset_add_source(other, sql);
    return true;
}

static bool load_suite(struct job *job, const char *path, struct err *err)
{
    struct buf text = {0};
    bool ok = fs_read_file(path, SUITE_BYTES_MAX, &text, err);
    json_t *suite = ok ? json_parse(buf_str(&text), err) : NULL;

    /* A suite that can't be read is no better at the next try. */
    if (!ok && err->code == ERR_NOT_FOUND)
        err->code = ERR_INVALID;
    ok = suite != NULL &&
         (rules_add_suite(&job->rules, &job->arena, suite, err) || err_wrap(err, "%s", path));
    if (suite == NULL && err->line > 0)
        err_wrap(err, "%s:%u:%u", path, err->line, err->column);
    json_decref(suite);
    buf_release(&text);
    return ok || err_wrap(err, "suite");
}

static bool load_rules(struct job *job, struct err *err)
{
    const json_t *options = job->attempt->options;
    const char *suite = json_get_string(options, "suite", NULL);

    if (suite != NULL && !load_suite(job, suite, err))
        return false;
    if (!rules_add_options(&job->rules, &job->arena, json_object_get(options, "expectations"), err))
        return false;
    if (job->rules.count == 0)
        return err_set(err, ERR_INVALID, "there is nothing to validate: no expectation");
    return true;
}

/* The version of what is read: the partition's, or a digest over all partitions' versions. */
static const char *dataset_version(struct job *job)
{
    size_t count = dataset_partition_count(job->dataset);
    char digest[SHA256_HEX_SIZE];
    struct buf all = {0};

    if (count == 1)
        return json_get_string(dataset_manifest(job->dataset, 0), "version", "");
    for (size_t i = 0; i < count; i++)
        buf_printf(&all, "%s\n", json_get_string(dataset_manifest(job->dataset, i), "version", ""));
    digest_sha256_hex(buf_str(&all), digest);
    buf_release(&all);
    return arena_printf(&job->arena, "%.16s", digest);
}

/* As many earlier manifests as the rules ask for; 0 when none does. */
static size_t history_wanted(const struct rules *rules)
{
    size_t most = 0;

    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = rules->items[i];
        size_t wanted = (size_t)json_get_int(rule->kwargs, "partitions", 0);
        if (rule->entry->judge == judge_row_change && wanted > most)
            most = wanted;
    }
    return most;
}

static bool open_dataset(struct job *job, struct err *err)
{
    struct validation *v = &job->validation;
    const json_t *sla = json_object_get(job->attempt->options, "sla");
    size_t history = history_wanted(&job->rules);
    struct buf from = {0};

    job->dataset = dataset_open(job->path, err);
    if (job->dataset == NULL)
        return err_wrap(err, "dataset %s", job->path);
    job->version = dataset_version(job);
    if (history > 0) {
        job->history = dataset_manifests_before(job->path, history, err);
        if (job->history == NULL)
            return false;
    }
    *v = (struct validation){.arena = &job->arena,
                             .engine = job->attempt->engine,
                             .rules = &job->rules,
                             .as_of_us = job->attempt->interval_end_us,
                             .history = job->history,
                             .open_other = open_other,
                             .context = job,
                             .valid_rows_pct = json_get_number(sla, "valid_rows_pct", -1)};
    dataset_add_source(job->dataset, &from);
    bool ok = validation_open(v, buf_text(&from), err);
    buf_release(&from);
    return ok;
}

static struct report make_report(struct job *job)
{
    return (struct report){
        .validation = &job->validation,
        .dataset = job->path,
        .version = job->version,
        .dag_id = job->attempt->dag_id,
        .task_id = job->attempt->task_id,
        .run_id = job->attempt->run_id,
    };
}

/* Publishes the report as a dataset of one NDJSON line: what depends on the clock is left out, so
 * that the same data gives the same version. */
static bool publish_report(struct job *job, const char *target, struct err *err)
{
    struct report report = make_report(job);
    struct attempt own = *job->attempt;
    struct buf text = {0};
    bool unchanged;

    own.outputs = json_object(); /* the publication's outputs are not the task's */
    struct publication *publication = publication_begin(&own, target, err);
    bool ok = publication != NULL;
    if (ok) {
        char *path = fs_join(publication_folder(publication), "validation.ndjson");
        report_write(&report, &text);
        dataset_add_inputs(job->dataset, publication);
        ok = fs_write_file(path, buf_str(&text), 0644, err) &&
             publication_add_file(publication, "validation.ndjson", 1, err) &&
             publication_commit(publication, &unchanged, err);
        free(path);
    }
    publication_free(publication);
    json_decref(own.outputs);
    buf_release(&text);
    return ok || err_wrap(err, "publish the report as %s", target);
}

static bool write_report(struct job *job, struct err *err)
{
    struct report report = make_report(job);
    const char *target = json_get_string(job->attempt->options, "report", NULL);
    char *path = fs_join(job->attempt->folder, "validation.json");
    char id[37];
    struct buf text = {0};

    digest_uuid(str_from(job->attempt->token), id);
    report.id = id;
    report.time_us = clock_wall_us();
    report_write(&report, &text);
    bool ok = fs_write_file(path, buf_str(&text), 0644, err) || err_wrap(err, "write the report");
    (void)json_object_set_new(job->attempt->outputs, "report_path", json_string(path));
    buf_clear(&text);
    report_log(&report, &text);
    (void)fputs(buf_text(&text), stdout);
    (void)fflush(stdout);
    buf_release(&text);
    free(path);
    return ok && (target == NULL || publish_report(job, target, err));
}

static void fill_outputs(const struct job *job)
{
    const struct validation *v = &job->validation;
    json_t *outputs = job->attempt->outputs;
    json_t *failed = json_array();

    for (size_t i = 0; i < v->rules->count; i++)
        if (!v->rules->items[i]->success && json_array_size(failed) < FAILED_NAMES_MAX)
            (void)json_array_append_new(failed,
                                        json_string(rule_title(v->rules->items[i], v->arena)));
    (void)json_object_set_new(outputs, "success", json_boolean(report_success(v)));
    (void)json_object_set_new(outputs, "evaluated", json_integer((json_int_t)v->rules->count));
    (void)json_object_set_new(outputs, "successful", json_integer((json_int_t)v->successful));
    (void)json_object_set_new(outputs, "unsuccessful", json_integer((json_int_t)v->failed));
    (void)json_object_set_new(outputs, "failed", failed);
    (void)json_object_set_new(outputs, "rows", json_integer(v->rows));
    (void)json_object_set_new(outputs, "version", json_string(job->version));
    if (v->valid_rows_pct >= 0)
        (void)json_object_set_new(outputs, "valid_rows", json_integer(v->valid_rows));
}

static bool run_job(struct job *job, struct err *err)
{
    job->path = json_get_string(job->attempt->options, "dataset", "");
    if (!load_rules(job, err) || !open_dataset(job, err) ||
        !validation_run(&job->validation, err) || !write_report(job, err))
        return false;
    fill_outputs(job);
    if (report_success(&job->validation))
        return true;
    struct buf reason = {0};
    report_reason(&job->validation, &reason);
    err_set(err, ERR_FINDINGS, "%s", buf_text(&reason));
    buf_release(&reason);
    return false;
}

bool validate_run(struct attempt *attempt, struct err *err)
{
    struct job job = {.attempt = attempt};
    bool ok = run_job(&job, err);

    job_release(&job);
    return ok;
}
