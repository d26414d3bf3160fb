/* Backfills: create, preview, list, get, control, progress. */
#include "web/handlers.h"

#include "base/clock.h"
#include "base/json.h"
#include "scheduler/core/timetable.h"
#include "web/body.h"
#include "web/link.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/problem.h"
#include "web/route.h"
#include "web/versions.h"
#include "web/view.h"

#include <stdlib.h>
#include <string.h>

enum { preview_max = 100000 };

static const char *const reprocess_choices[] = {"failed", "completed", "none", NULL};

static const struct field fields[] = {
    {.name = "dag_id",         .type = FIELD_STRING,                             .flags = FIELD_REQUIRED, .max = 250},
    {.name = "from_date",              .type = FIELD_TIME,                                                              .flags = FIELD_REQUIRED},
    {.name = "to_date",.type = FIELD_TIME,.flags = FIELD_REQUIRED},
    {.name = "run_backwards",        .type = FIELD_BOOL                                             },
    {.name = "dag_run_conf",                        .type = FIELD_OBJECT,                                                  .flags = FIELD_NULLABLE},
    {.name = "reprocess_behavior",                        .type = FIELD_CHOICE,      .choices = reprocess_choices},
    {.name = "max_active_runs", .type = FIELD_INT,.min = 1, .max = 100000},
    {.name = "run_on_latest_version",.type = FIELD_BOOL},
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

void handle_backfills_list(struct web *web, struct request *request)
{
    const char *dag_id = request_param(request, "dag_id");
    struct read_page page;
    struct backfill_row *rows = NULL;
    size_t count = 0;
    int64_t total = 0;
    bool active = false;
    struct err err;

    if (dag_id == NULL) {
        problem_query(request, "dag_id", "missing", "Field required");
        return;
    }
    if (!params_page(request, "id", &page) || !params_bool(request, "active", &active))
        return;
    if (!read_backfills(web->read, &request->arena, strcmp(dag_id, "~") == 0 ? NULL : dag_id,
                        active, &page, &rows, &count, &total, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "backfills");
    jw_begin_array(&w);
    for (size_t i = 0; i < count; i++)
        view_backfill(&w, &rows[i]);
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", total);
    jw_end_object(&w);
}

void handle_backfill_get(struct web *web, struct request *request)
{
    struct backfill_row row = {0};

    if (!lookup_backfill(web, request, &row))
        return;
    struct jw w = {.out = respond_json(request, 200)};
    view_backfill(&w, &row);
}

/* The DAG a body names; 404 if there is none. */
static bool find_dag(struct web *web, struct request *request, const json_t *body,
                     struct dag_row *ret)
{
    const char *dag_id = json_get_string(body, "dag_id", "");
    struct err err;

    if (read_dag(web->read, &request->arena, dag_id, ret, &err))
        return true;
    if (err.code == ERR_NOT_FOUND)
        respond_detail(request, 404, "Could not find dag %s", dag_id);
    else
        respond_err(request, &err);
    return false;
}

/* A checked body and its DAG; NULL after answering. */
static json_t *check_body(struct web *web, struct request *request, struct dag_row *ret)
{
    json_t *body = body_check(request, fields, FIELD_COUNT);

    if (body == NULL)
        return NULL;
    if (body_time(body, "from_date") > body_time(body, "to_date")) {
        respond_detail(request, 422, "from_date must not be after to_date");
        json_decref(body);
        return NULL;
    }
    if (!find_dag(web, request, body, ret)) {
        json_decref(body);
        return NULL;
    }
    return body;
}

static void done(struct web *web, struct request *request, const struct link_answer *answer)
{
    struct backfill_row row = {0};
    struct err err;

    if (answer->err.code != ERR_NONE)
        respond_err(request, &answer->err);
    else if (!read_backfill(web->read, &request->arena, answer->row, &row, &err))
        respond_err(request, &err);
    else {
        struct jw w = {.out = respond_json(request, 200)};
        view_backfill(&w, &row);
    }
}

void handle_backfill_create(struct web *web, struct request *request)
{
    struct dag_row dag = {0};
    json_t *body = check_body(web, request, &dag);

    if (body == NULL)
        return;
    json_t *command =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:b}", "command", "backfill_create", "dag_id",
                  dag.dag_id, "from", (json_int_t)body_time(body, "from_date"), "to",
                  (json_int_t)body_time(body, "to_date"), "max_active_runs",
                  (json_int_t)json_get_int(body, "max_active_runs", 10), "reprocess",
                  json_get_string(body, "reprocess_behavior", reprocess_name(REPROCESS_NONE)),
                  "run_backwards", json_get_bool(body, "run_backwards", false));
    json_t *conf = json_object_get(body, "dag_run_conf");
    if (json_is_object(conf))
        (void)json_object_set(command, "conf", conf);
    json_decref(body);
    link_command(web->link, request, command, done);
}

/* Whether a backfill would touch an interval that has a run in this state. */
static bool reprocesses(const char *behavior, enum run_state state)
{
    if (strcmp(behavior, "failed") == 0)
        return state == RUN_FAILED;
    if (strcmp(behavior, "completed") == 0)
        return run_state_is_final(state);
    return false;
}

static int by_date(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = ((const struct known_date *)b)->logical_date_us;

    return x < y ? -1 : x > y;
}

struct preview {
    const struct dag *dag;
    const struct known_date *known;
    size_t known_count;
    const char *behavior;
};

static bool is_wanted(const struct preview *preview, int64_t date_us)
{
    const struct known_date *found = preview->known_count == 0
                                         ? NULL
                                         : bsearch(&date_us, preview->known, preview->known_count,
                                                   sizeof(*preview->known), by_date);

    return found == NULL || reprocesses(preview->behavior, found->state);
}

static void write_date(struct jw *w, int64_t us)
{
    jw_begin_object(w);
    jw_kv_time(w, "logical_date", us);
    jw_kv_null(w, "partition_key");
    jw_kv_null(w, "partition_date");
    jw_end_object(w);
}

static int64_t write_preview(struct jw *w, const struct preview *preview, int64_t from_us,
                             int64_t to_us)
{
    struct interval interval;
    int64_t now = clock_wall_us();
    int64_t count = 0;

    for (int64_t at = from_us; timetable_interval_from(preview->dag, at, &interval);
         at = interval.start_us + 1) {
        if (interval.start_us > to_us || interval.end_us > now || count == preview_max)
            break;
        if (!is_wanted(preview, interval.start_us))
            continue;
        write_date(w, interval.start_us);
        count++;
    }
    return count;
}

static void answer_preview(struct web *web, struct request *request, const json_t *body,
                           const struct dag_row *row)
{
    struct known_date *known = NULL;
    struct preview preview = {.dag = versions_get(web->versions, row->version_id)};
    int64_t from_us = body_time(body, "from_date");
    int64_t to_us = body_time(body, "to_date");
    struct err err;

    preview.behavior = json_get_string(body, "reprocess_behavior", "none");
    if (preview.dag == NULL || preview.dag->schedule.kind == SCHEDULE_NONE) {
        respond_detail(request, 422, "%s has no schedule: there are no intervals to backfill",
                       row->dag_id);
        return;
    }
    if (!read_known_dates(web->read, &request->arena, row->dag_id, from_us, to_us, &known,
                          &preview.known_count, &err)) {
        respond_err(request, &err);
        return;
    }
    preview.known = known;
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "backfills");
    jw_begin_array(&w);
    int64_t count = write_preview(&w, &preview, from_us, to_us);
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", count);
    jw_end_object(&w);
}

void handle_backfill_dry_run(struct web *web, struct request *request)
{
    struct dag_row dag = {0};
    json_t *body = check_body(web, request, &dag);

    if (body == NULL)
        return;
    answer_preview(web, request, body, &dag);
    json_decref(body);
}

static void control(struct web *web, struct request *request, const char *action)
{
    struct backfill_row row = {0};

    if (!lookup_backfill(web, request, &row))
        return;
    json_t *command = json_pack("{s:s, s:I, s:s}", "command", "backfill_control", "backfill",
                                (json_int_t)row.id, "action", action);
    link_command(web->link, request, command, done);
}

void handle_backfill_pause(struct web *web, struct request *request)
{
    control(web, request, "pause");
}

void handle_backfill_unpause(struct web *web, struct request *request)
{
    control(web, request, "unpause");
}

void handle_backfill_cancel(struct web *web, struct request *request)
{
    control(web, request, "cancel");
}

static void write_progress(struct jw *w, const struct backfill_row *row,
                           const int64_t live[RUN_STATE_COUNT])
{
    bool open = row->completed_at_us == 0;
    int64_t left = row->total - row->skipped - row->succeeded - row->failed;
    int64_t to_do = left - live[RUN_RUNNING] - live[RUN_QUEUED];

    jw_begin_object(w);
    jw_kv_int(w, "id", row->id);
    jw_kv_string(w, "dag_id", row->dag_id);
    jw_kv_int(w, "total", row->total);
    jw_kv_int(w, "made", row->made);
    jw_kv_int(w, "skipped", row->skipped);
    jw_kv_int(w, "succeeded", row->succeeded);
    jw_kv_int(w, "failed", row->failed);
    jw_kv_int(w, "running", live[RUN_RUNNING]);
    jw_kv_int(w, "queued", live[RUN_QUEUED]);
    jw_kv_int(w, "to_do", open && to_do > 0 ? to_do : 0);
    jw_kv_int(w, "remaining", open && left > 0 ? left : 0);
    view_backfill_own(w, row);
    jw_kv_time(w, "created_at", row->created_at_us);
    jw_kv_time(w, "completed_at", row->completed_at_us);
    jw_kv_real(w, "runs_per_second", row->pace_us > 0 ? 1e6 / (double)row->pace_us : 0);
    if (open && !row->is_paused && row->pace_us > 0 && left > 0)
        jw_kv_real(w, "eta_seconds", (double)left * (double)row->pace_us / 1e6);
    else
        jw_kv_null(w, "eta_seconds");
    jw_end_object(w);
}

void handle_backfill_progress(struct web *web, struct request *request)
{
    struct backfill_row row = {0};
    int64_t live[RUN_STATE_COUNT];
    struct err err;

    if (!lookup_backfill(web, request, &row))
        return;
    if (!read_backfill_live(web->read, row.id, live, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    write_progress(&w, &row, live);
}
