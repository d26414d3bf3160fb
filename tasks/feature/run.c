/* feature: from events (and labels) to one published table of features. */
#include "base/json.h"
#include "base/timefmt.h"
#include "tasks/feature/feature.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RESULT_FILE "part-000.parquet"

typedef void (*compile_step)(const struct plan *plan, size_t source, struct buf *sql);

static bool run_sql(struct engine *engine, struct buf *sql, struct err *err)
{
    bool ok = engine_run(engine, buf_text(sql), NULL, err);

    buf_release(sql);
    return ok;
}

static bool make_schema(struct engine *engine, struct err *err)
{
    return engine_run(engine, "DROP SCHEMA IF EXISTS " FEATURE_SCHEMA " CASCADE", NULL, err) &&
           engine_run(engine, "CREATE SCHEMA " FEATURE_SCHEMA, NULL, err);
}

/* Labels later than the run's data would be given features from days that are not all in. */
static bool check_horizon(const struct attempt *attempt, const struct plan *plan, int64_t max_us,
                          struct err *err)
{
    char latest[TIMEFMT_SIZE];
    char end[TIMEFMT_SIZE];

    if (attempt->interval_end_us <= attempt->interval_start_us ||
        max_us <= attempt->interval_end_us)
        return true;
    return err_set(err, ERR_INVALID,
                   "%s: the latest `%s` is %s, after the end of the run's data interval (%s), so "
                   "its windows would read data that is not complete",
                   plan->has_spine ? plan->spine.path : "as_of",
                   plan->has_spine ? plan->spine.time : "as_of", timefmt_utc(max_us, latest),
                   timefmt_utc(attempt->interval_end_us, end));
}

static bool make_spine(const struct attempt *attempt, const struct plan *plan,
                       struct span *ret_span, int64_t *ret_rows, struct err *err)
{
    struct buf sql = {0};

    compile_spine(plan, &sql);
    if (!run_sql(attempt->engine, &sql, err))
        return err_wrap(err, "read %s", plan->has_spine ? plan->spine.path : "the entities");
    json_t *row = engine_one_row(attempt->engine,
                                 "SELECT count(*) AS rows, count(*) - count(_t) AS no_time, "
                                 "coalesce(min(_t), 0) AS first, coalesce(max(_t), 0) AS last "
                                 "FROM " FEATURE_SCHEMA ".spine",
                                 err);
    if (row == NULL)
        return false;
    int64_t no_time = json_get_int(row, "no_time", 0);
    *ret_rows = json_get_int(row, "rows", 0);
    *ret_span = (struct span){json_get_int(row, "first", 0), json_get_int(row, "last", 0)};
    json_decref(row);
    if (no_time > 0)
        return err_set(err, ERR_DATA, "%s: %" PRId64 " rows have no `%s`, so they have no features",
                       plan->spine.path, no_time, plan->spine.time);
    return *ret_rows == 0 || check_horizon(attempt, plan, ret_span->max_us, err);
}

static bool make_events(const struct attempt *attempt, const struct plan *plan, struct span span,
                        struct err *err)
{
    for (size_t i = 0; i < plan->source_count; i++) {
        struct buf sql = {0};
        compile_events(plan, i, span, &sql);
        if (!run_sql(attempt->engine, &sql, err))
            return err_wrap(err, "source `%s` (%s)", plan->sources[i].name,
                            plan->sources[i].input.path);
    }
    return true;
}

static bool make_inputs(const struct attempt *attempt, const struct plan *plan, int64_t *ret_rows,
                        struct err *err)
{
    struct span span = {plan->as_of_us, plan->as_of_us};

    if (plan->has_spine)
        return make_spine(attempt, plan, &span, ret_rows, err) &&
               make_events(attempt, plan, span, err);
    return check_horizon(attempt, plan, plan->as_of_us, err) &&
           make_events(attempt, plan, span, err) && make_spine(attempt, plan, &span, ret_rows, err);
}

static bool make_features(const struct attempt *attempt, const struct plan *plan, struct err *err)
{
    for (size_t i = 0; i < plan->source_count; i++) {
        const struct feature_source *source = &plan->sources[i];
        const compile_step steps[] = {source->cell_count > 0 ? compile_running : NULL,
                                      source->joined_count > 0 ? compile_joined : NULL};
        for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]); step++) {
            struct buf sql = {0};
            if (steps[step] == NULL)
                continue;
            steps[step](plan, i, &sql);
            if (!run_sql(attempt->engine, &sql, err))
                return err_wrap(err, "features of `%s`", source->name);
        }
    }
    return true;
}

static bool write_result(const struct attempt *attempt, const struct plan *plan,
                         struct publication *publication, struct err *err)
{
    struct buf sql = {0};
    struct buf path = {0};
    int64_t rows = 0;

    buf_printf(&path, "%s/" RESULT_FILE, publication_folder(publication));
    buf_add_text(&sql, "COPY (");
    compile_result(plan, &sql);
    buf_add_text(&sql, ") TO ");
    engine_add_literal(&sql, buf_str(&path));
    buf_printf(&sql, " (FORMAT parquet, COMPRESSION %s)",
               json_get_string(plan->options, "codec", "zstd"));
    bool ok = engine_run(attempt->engine, buf_text(&sql), &rows, err) || err_wrap(err, "write");
    buf_release(&sql);
    buf_release(&path);
    return ok && publication_add_file(publication, RESULT_FILE, rows, err) &&
           publication_describe_parquet(publication, err);
}

static bool describe_sources(const struct attempt *attempt, const struct plan *plan,
                             json_t *content, struct err *err)
{
    json_t *sources = json_object();

    for (size_t i = 0; i < plan->source_count; i++) {
        struct buf sql = {0};
        compile_source_counts(plan, i, &sql);
        json_t *row = engine_one_row(attempt->engine, buf_text(&sql), err);
        buf_release(&sql);
        if (row == NULL) {
            json_decref(sources);
            return err_wrap(err, "count %s", plan->sources[i].input.path);
        }
        printf("source %s: %" PRId64 " rows, %" PRId64 " without entity, %" PRId64
               " without time, %" PRId64 " filtered\n",
               plan->sources[i].name, json_get_int(row, "rows", 0),
               json_get_int(row, "no_entity", 0), json_get_int(row, "no_time", 0),
               json_get_int(row, "filtered", 0));
        (void)json_object_set_new_nocheck(sources, plan->sources[i].name, row);
    }
    (void)json_object_set_new(content, "sources", sources);
    return true;
}

static bool describe(const struct attempt *attempt, const struct plan *plan, int64_t rows,
                     struct publication *publication, struct err *err)
{
    json_t *content = publication_content(publication);

    if (plan->has_spine)
        dataset_add_inputs(plan->spine.dataset, publication);
    for (size_t i = 0; i < plan->source_count; i++)
        dataset_add_inputs(plan->sources[i].input.dataset, publication);
    (void)json_object_set_new(
        content, "counts",
        json_pack("{s:I, s:I}", "rows_in", (json_int_t)rows, "rows_out", (json_int_t)rows));
    (void)json_object_set(content, "entity", json_object_get(plan->options, "entity"));
    (void)json_object_set(content, "features", json_object_get(plan->options, "features"));
    (void)json_object_set_new(
        content, "time", json_string(plan->has_spine ? plan->spine.time_column->name : "as_of"));
    return describe_sources(attempt, plan, content, err);
}

static bool publish(struct attempt *attempt, const struct plan *plan, int64_t rows, struct err *err)
{
    struct publication *publication =
        publication_begin(attempt, json_get_string(attempt->options, "target", ""), err);
    bool unchanged = false;

    (void)json_object_set_new(attempt->outputs, "rows_in", json_integer((json_int_t)rows));
    (void)json_object_set_new(attempt->outputs, "features",
                              json_integer((json_int_t)plan->feature_count));
    bool ok = publication != NULL && describe(attempt, plan, rows, publication, err) &&
              write_result(attempt, plan, publication, err) &&
              publication_commit(publication, &unchanged, err);

    publication_free(publication);
    if (!ok)
        return false;
    printf("%" PRId64 " rows with %zu features%s\n", rows, plan->feature_count,
           unchanged ? ", the same as published already" : "");
    return true;
}

static bool is_unchanged(const struct attempt *attempt, const struct plan *plan)
{
    json_t *before = published_candidate(attempt, json_get_string(attempt->options, "target", ""));
    json_t *list = json_array();

    if (plan->has_spine)
        dataset_list_inputs(plan->spine.dataset, list);
    for (size_t i = 0; i < plan->source_count; i++)
        dataset_list_inputs(plan->sources[i].input.dataset, list);
    bool same = published_is_unchanged(attempt, before, list);
    json_decref(list);
    json_decref(before);
    return same;
}

bool feature_run(struct attempt *attempt, struct err *err)
{
    struct plan plan = {0};
    int64_t rows = 0;
    bool ok = plan_make(attempt, &plan, err);

    if (ok && !is_unchanged(attempt, &plan))
        ok = make_schema(attempt->engine, err) && make_inputs(attempt, &plan, &rows, err) &&
             make_features(attempt, &plan, err) && publish(attempt, &plan, rows, err);

    plan_release(&plan);
    return ok;
}
