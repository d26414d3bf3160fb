/* Runs: list, get, trigger. */
#include "web/handlers.h"

#include "base/json.h"
#include "web/body.h"
#include "web/link.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/problem.h"
#include "web/route.h"
#include "web/view.h"

#include <string.h>

static const char *const run_states[] = {"queued", "running", "success", "failed", NULL};
static const char *const run_types[] = {
    "backfill", "scheduled", "manual", "asset_triggered", "asset_materialization", NULL};

void handle_runs_list(struct web *web, struct request *request)
{
    const char *dag_id = route_arg(request, "dag_id");
    bool all = strcmp(dag_id, "~") == 0;
    struct run_filter filter = {.dag_id = all ? NULL : dag_id};
    struct dag_row dag = {0};
    struct read_page page;
    struct run_view *runs = NULL;
    size_t count = 0;
    int64_t total = 0;
    struct err err;

    filter.run_id_pattern = params_pattern(request, "run_id_pattern");
    filter.dag_id_pattern = params_pattern(request, "dag_id_pattern");
    filter.conf_contains = params_pattern(request, "conf_contains");
    if (!params_page(request, "id", &page) || !params_ranges(request, &filter.ranges) ||
        !params_list(request, "state", run_states, &filter.states) ||
        !params_list(request, "run_type", run_types, &filter.run_types) ||
        !params_int_list(request, "dag_version", &filter.dag_versions) ||
        !params_int(request, "backfill_id", 1, INT64_MAX, &filter.backfill_id) ||
        (!all && !lookup_dag(web, request, &dag)))
        return;
    if (!read_runs(web->read, &request->arena, &filter, &page, &runs, &count, &total, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "dag_runs");
    jw_begin_array(&w);
    for (size_t i = 0; i < count; i++)
        view_run(&w, &runs[i]);
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", total);
    jw_end_object(&w);
}

void handle_run_get(struct web *web, struct request *request)
{
    struct run_view run = {0};

    if (!lookup_run(web, request, &run))
        return;
    struct jw w = {.out = respond_json(request, 200)};
    view_run(&w, &run);
}

/* Airflow's answer to a run that exists already. */
static void respond_conflict(struct request *request, const char *message)
{
    struct jw w = {.out = respond_json(request, 409)};

    jw_begin_object(&w);
    jw_key(&w, "detail");
    jw_begin_object(&w);
    jw_kv_string(&w, "reason", "Unique constraint violation");
    jw_kv_string(&w, "statement", "trigger a run");
    jw_kv_string(&w, "orig_error", message);
    jw_kv_string(&w, "message", message);
    jw_end_object(&w);
    jw_end_object(&w);
}

static void trigger_done(struct web *web, struct request *request, const struct link_answer *answer)
{
    struct run_view run = {0};
    struct err err;

    if (answer->err.code == ERR_CONFLICT)
        respond_conflict(request, answer->err.message);
    else if (answer->err.code != ERR_NONE)
        respond_err(request, &answer->err);
    else if (!read_run_by_row(web->read, &request->arena, answer->row, &run, &err))
        respond_err(request, &err);
    else {
        struct jw w = {.out = respond_json(request, 200)};
        view_run(&w, &run);
    }
}

static void set_time(json_t *command, const char *name, const json_t *body, const char *field)
{
    int64_t us = body_time(body, field);

    if (us != 0)
        (void)json_object_set_new(command, name, json_integer(us));
}

static void set_text(json_t *command, const char *name, const json_t *body, const char *field)
{
    const char *text = json_get_string(body, field, NULL);

    if (text != NULL)
        (void)json_object_set_new(command, name, json_string(text));
}

static json_t *trigger_command(const char *dag_id, const json_t *body)
{
    json_t *command = json_pack("{s:s, s:s, s:s}", "command", "trigger", "dag_id", dag_id,
                                "triggered_by", triggered_by_name(TRIGGERED_BY_REST_API));
    json_t *conf = json_object_get(body, "conf");

    set_text(command, "run_id", body, "dag_run_id");
    set_text(command, "note", body, "note");
    if (json_get_bool(body, "force", false))
        (void)json_object_set_new(command, "force", json_true());
    set_time(command, "logical_date", body, "logical_date");
    set_time(command, "interval_start", body, "data_interval_start");
    set_time(command, "interval_end", body, "data_interval_end");
    set_time(command, "run_after", body, "run_after");
    if (json_is_object(conf))
        (void)json_object_set(command, "conf", conf);
    return command;
}

/* The rules that concern more than one field. */
static bool check_trigger(struct request *request, const json_t *body)
{
    struct problems problems = {.request = request};
    int64_t start = body_time(body, "data_interval_start");
    int64_t end = body_time(body, "data_interval_end");
    const json_t *partition = json_object_get(body, "partition_key");

    if ((start == 0) != (end == 0))
        problem_body(&problems, NULL, "value_error",
                     "Value error, Either both data_interval_start and data_interval_end must be "
                     "provided or both must be None",
                     NULL);
    else if (start > end)
        problem_body(&problems, "data_interval_end", "value_error",
                     "Value error, data_interval_end must not be before data_interval_start", NULL);
    if (partition != NULL && !json_is_null(partition))
        problem_body(&problems, "partition_key", "value_error",
                     "Value error, partitioned runs are not supported", partition);
    if (problems.count > 0)
        problem_end(&problems);
    return problems.count == 0;
}

void handle_run_trigger(struct web *web, struct request *request)
{
    static const struct field fields[] = {
        {.name = "dag_run_id",          .type = FIELD_STRING, .flags = FIELD_NULLABLE | FIELD_ID},
        {.name = "logical_date",        .type = FIELD_TIME,   .flags = FIELD_NULLABLE           },
        {.name = "data_interval_start", .type = FIELD_TIME,   .flags = FIELD_NULLABLE           },
        {.name = "data_interval_end",   .type = FIELD_TIME,   .flags = FIELD_NULLABLE           },
        {.name = "run_after",           .type = FIELD_TIME,   .flags = FIELD_NULLABLE           },
        {.name = "conf",                .type = FIELD_OBJECT, .flags = FIELD_NULLABLE           },
        {.name = "note",                .type = FIELD_STRING, .flags = FIELD_NULLABLE,            .max = 1000},
        {.name = "force",                             .type = FIELD_BOOL                                  },
        {.name = "partition_key",       .type = FIELD_STRING, .flags = FIELD_NULLABLE                      },
    };
    const char *dag_id = route_arg(request, "dag_id");
    struct dag_row dag = {0};
    struct err err;

    json_t *body = body_check(request, fields, sizeof(fields) / sizeof(fields[0]));
    if (body == NULL)
        return;
    if (!check_trigger(request, body)) {
        json_decref(body);
        return;
    }
    if (read_dag(web->read, &request->arena, dag_id, &dag, &err))
        link_command(web->link, request, trigger_command(dag_id, body), trigger_done);
    else if (err.code == ERR_NOT_FOUND)
        respond_detail(request, 404, "DAG with dag_id: '%s' not found", dag_id);
    else
        respond_err(request, &err);
    json_decref(body);
}
