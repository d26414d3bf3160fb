/* What Airflow's API lacks: the event stream, the last runs of every DAG, and callbacks. */
#include "web/handlers.h"

#include "web/hub.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/route.h"
#include "web/view.h"

#include <string.h>

enum { callbacks_max = 500 };

void handle_events(struct web *web, struct request *request)
{
    const char *id = request->last_event_id;
    int64_t after = -1;

    if (id == NULL)
        id = request_param(request, "last_event_id");
    if (id != NULL && (!str_to_int(str_from(id), &after) || after < 0)) {
        respond_detail(request, 400, "Last-Event-ID is not an id of this stream");
        return;
    }
    hub_join(web->hub, request, after);
}

/* {"dag_id", "runs": [newest first]} */
static bool write_runs(struct web *web, struct request *request, struct jw *w, const char *dag_id,
                       int64_t limit, struct err *err)
{
    struct run_view *runs = NULL;
    size_t count = 0;

    if (!read_last_runs(web->read, &request->arena, dag_id, limit, &runs, &count, err))
        return false;
    jw_begin_object(w);
    jw_kv_string(w, "dag_id", dag_id);
    jw_key(w, "runs");
    jw_begin_array(w);
    for (size_t i = 0; i < count; i++)
        view_run_brief(w, &runs[i]);
    jw_end_array(w);
    jw_end_object(w);
    return true;
}

void handle_runs_summary(struct web *web, struct request *request)
{
    struct dag_row *dags = NULL;
    size_t count = 0;
    int64_t limit = 14;
    struct err err;

    if (!params_int(request, "limit", 1, 100, &limit))
        return;
    if (!read_dags(web->read, &request->arena, &dags, &count, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "dags");
    jw_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        if (!write_runs(web, request, &w, dags[i].dag_id, limit, &err)) {
            respond_err(request, &err);
            return;
        }
    }
    jw_end_array(&w);
    jw_end_object(&w);
}

void handle_dag_runs_summary(struct web *web, struct request *request)
{
    struct dag_row dag = {0};
    int64_t limit = 14;
    struct err err;

    if (!params_int(request, "limit", 1, 100, &limit) || !lookup_dag(web, request, &dag))
        return;
    struct jw w = {.out = respond_json(request, 200)};
    if (!write_runs(web, request, &w, dag.dag_id, limit, &err))
        respond_err(request, &err);
}

void handle_run_callbacks(struct web *web, struct request *request)
{
    struct run_view run = {0};
    struct callback_row *rows = NULL;
    size_t count = 0;
    struct err err;

    if (!lookup_run(web, request, &run))
        return;
    if (!read_run_callbacks(web->read, &request->arena, run.run.id, callbacks_max, &rows, &count,
                            &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "callbacks");
    jw_begin_array(&w);
    for (size_t i = 0; i < count; i++)
        view_callback(&w, &rows[i]);
    jw_end_array(&w);
    jw_end_object(&w);
}
