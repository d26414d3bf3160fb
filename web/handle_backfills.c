/* Backfills: create, list, get, control, adjust, progress. */
#include "web/handlers.h"

#include "base/json.h"
#include "web/backfill_body.h"
#include "web/link.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/problem.h"
#include "web/route.h"
#include "web/view.h"

#include <string.h>

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

/* The command that a checked body asks for; what it leaves out is the scheduler's default. */
static json_t *create_command(const json_t *body, const char *dag_id)
{
    static const char *const as_they_are[] = {"tasks", "upstream", "downstream", "on_failure",
                                              "force"};
    json_t *command =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:b}", "command", "backfill_create", "dag_id",
                  dag_id, "from", (json_int_t)body_time(body, "from_date"), "to",
                  (json_int_t)body_time(body, "to_date"), "max_active_runs",
                  (json_int_t)json_get_int(body, "max_active_runs", 10), "reprocess",
                  json_get_string(body, "reprocess_behavior", reprocess_name(REPROCESS_NONE)),
                  "run_backwards", json_get_bool(body, "run_backwards", false));
    json_t *conf = json_object_get(body, "dag_run_conf");

    if (json_is_object(conf))
        (void)json_object_set(command, "conf", conf);
    for (size_t i = 0; i < sizeof(as_they_are) / sizeof(as_they_are[0]); i++) {
        json_t *value = json_object_get(body, as_they_are[i]);
        if (value != NULL)
            (void)json_object_set(command, as_they_are[i], value);
    }
    return command;
}

static void create(struct web *web, struct request *request, json_t *body,
                   const struct dag_row *dag)
{
    if (body == NULL)
        return;
    json_t *command = create_command(body, dag->dag_id);
    json_decref(body);
    link_command(web->link, request, command, done);
}

void handle_backfill_create(struct web *web, struct request *request)
{
    struct dag_row dag = {0};

    create(web, request, backfill_body(web, request, false, &dag), &dag);
}

void handle_backfill_create_own(struct web *web, struct request *request)
{
    struct dag_row dag = {0};

    create(web, request, backfill_body(web, request, true, &dag), &dag);
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

void handle_backfill_retry(struct web *web, struct request *request)
{
    control(web, request, "retry");
}

void handle_backfill_patch(struct web *web, struct request *request)
{
    static const char *const on_failure[] = {"continue", "stop", NULL};
    static const struct field changes[] = {
        {.name = "max_active_runs", .type = FIELD_INT, .min = 1,               .max = 100000},
        {.name = "on_failure",                         .type = FIELD_CHOICE,                       .choices = on_failure},
    };
    struct backfill_row row = {0};

    if (!lookup_backfill(web, request, &row))
        return;
    json_t *command = body_check(request, changes, sizeof(changes) / sizeof(changes[0]));
    if (command == NULL)
        return;
    (void)json_object_set_new(command, "command", json_string("backfill_control"));
    (void)json_object_set_new(command, "backfill", json_integer(row.id));
    (void)json_object_set_new(command, "action", json_string("set"));
    link_command(web->link, request, command, done);
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
