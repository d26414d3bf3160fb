/* What Airflow's API lacks: the event stream, the last runs of every DAG, and why tasks are in
 * their state. */
#include "web/handlers.h"

#include "base/timefmt.h"
#include "web/hub.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/route.h"
#include "web/versions.h"
#include "web/view.h"

#include <string.h>

enum { transitions_max = 2000, callbacks_max = 500 };

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

/* ---- explain ---- */

struct explanation {
    const struct run_view *run;
    const struct dag_row *dag_row;
    const struct dag *dag; /* of the run's version; NULL = can't be read */
    const struct task_row *tasks;
    size_t task_count;
    const struct transition_view *transitions;
    const struct callback_row *callbacks;
    size_t callback_count;
    size_t transition_count;
};

static const struct task_row *find_row(const struct explanation *all, uint32_t task)
{
    for (size_t i = 0; i < all->task_count; i++)
        if (all->tasks[i].task == task)
            return &all->tasks[i];
    return NULL;
}

static void write_upstream(struct jw *w, const struct explanation *all, const struct dag_task *task)
{
    jw_key(w, "upstream");
    jw_begin_array(w);
    for (uint32_t i = 0; task != NULL && i < task->upstream_count; i++) {
        const struct task_row *row = find_row(all, task->upstream[i]);
        jw_begin_object(w);
        jw_kv_string(w, "task_id", all->dag->tasks[task->upstream[i]].task_id);
        jw_kv_string(w, "state", row == NULL ? "none" : task_state_name(row->state));
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* The names of the upstream tasks that are not final yet. */
static void describe_waiting(const struct explanation *all, const struct dag_task *task,
                             struct buf *out)
{
    const char *separator = "";

    for (uint32_t i = 0; i < task->upstream_count; i++) {
        const struct task_row *row = find_row(all, task->upstream[i]);
        if (row != NULL && task_state_is_final(row->state))
            continue;
        buf_printf(out, "%s%s (%s)", separator, all->dag->tasks[task->upstream[i]].task_id,
                   row == NULL ? "none" : task_state_name(row->state));
        separator = ", ";
    }
}

static void describe_none(const struct explanation *all, const struct dag_task *task,
                          struct buf *out)
{
    struct buf waiting = {0};

    if (all->run->run.state == RUN_QUEUED) {
        buf_add_text(out, "The run has not started");
        if (all->run->run.reason != NULL)
            buf_printf(out, ": %s", all->run->run.reason);
        else if (all->dag_row->is_paused)
            buf_printf(out, ": the DAG is paused%s%s",
                       all->dag_row->pause_reason == NULL ? "" : ": ",
                       all->dag_row->pause_reason == NULL ? "" : all->dag_row->pause_reason);
        return;
    }
    if (task != NULL)
        describe_waiting(all, task, &waiting);
    if (waiting.len > 0)
        buf_printf(out, "Waits for %s", buf_text(&waiting));
    else
        buf_add_text(out, "Not looked at yet");
    buf_release(&waiting);
}

/* The run's own limit is looked at as it is now; the stored reason is of when the task became
 * ready, and is told as such. */
static void describe_ready(const struct explanation *all, const struct task_row *row,
                           const struct dag_task *task, struct buf *out)
{
    int64_t active = 0;

    for (size_t i = 0; i < all->task_count; i++)
        active += all->tasks[i].state == TASK_QUEUED || all->tasks[i].state == TASK_RUNNING ||
                  all->tasks[i].state == TASK_RESTARTING;
    if (all->dag != NULL && active >= all->dag->max_active_tasks)
        buf_printf(out, "Ready; waits for the run, which is at max_active_tasks: %lld/%lld",
                   (long long)active, (long long)all->dag->max_active_tasks);
    else
        buf_printf(out, "Ready; waits for a slot of pool %s and a worker",
                   task == NULL ? "?" : task->pool);
    if (row->reason != NULL)
        buf_printf(out, "; when it became ready: %s", row->reason);
}

/* One sentence; a reason the scheduler stored always comes with it. */
static void describe(const struct explanation *all, const struct task_row *row,
                     const struct dag_task *task, struct buf *out)
{
    char when[TIMEFMT_SIZE];

    switch (row->state) {
    case TASK_NONE:
        describe_none(all, task, out);
        break;
    case TASK_SCHEDULED:
        describe_ready(all, row, task, out);
        return;
    case TASK_QUEUED:
        buf_printf(out, "Handed to a worker; try %lld has not begun", (long long)row->try_number);
        break;
    case TASK_RUNNING:
        buf_printf(out, "Try %lld is running", (long long)row->try_number);
        break;
    case TASK_SUCCESS:
        buf_printf(out, "Try %lld succeeded", (long long)row->try_number);
        break;
    case TASK_FAILED:
        buf_printf(out, "Failed at try %lld of %lld", (long long)row->try_number,
                   (long long)row->max_tries + 1);
        break;
    case TASK_UP_FOR_RETRY:
        buf_printf(out, "Try %lld failed; the next one comes at %s", (long long)row->try_number,
                   row->retry_at_us == 0 ? "once" : timefmt_utc(row->retry_at_us, when));
        break;
    case TASK_UPSTREAM_FAILED:
        buf_printf(out, "Never ran: its trigger rule %s can't be met any more",
                   task == NULL ? "?" : trigger_rule_name(task->trigger_rule));
        break;
    case TASK_UP_FOR_RESCHEDULE:
    case TASK_DEFERRED:
        buf_add_text(out, "Waits without a slot");
        break;
    case TASK_SKIPPED:
    case TASK_REMOVED:
    case TASK_RESTARTING:
    case TASK_STATE_COUNT:
        buf_add_text(out, task_state_name(row->state));
        break;
    }
    if (row->reason != NULL && row->state != TASK_SUCCESS)
        buf_printf(out, ": %s", row->reason);
}

static void write_explained_task(struct jw *w, const struct explanation *all,
                                 const struct task_row *row)
{
    const struct dag_task *task =
        all->dag == NULL || row->task >= all->dag->task_count ? NULL : &all->dag->tasks[row->task];
    struct buf why = {0};

    describe(all, row, task, &why);
    jw_begin_object(w);
    jw_kv_string(w, "task_id", row->task_id);
    jw_kv_int(w, "map_index", row->map_index);
    jw_kv_string(w, "state", task_state_name(row->state));
    jw_kv_int(w, "try_number", row->try_number);
    jw_kv_string(w, "why", buf_text(&why));
    jw_kv_string(w, "reason", row->reason);
    jw_kv_string(w, "pool", task == NULL ? NULL : task->pool);
    jw_kv_string(w, "trigger_rule", task == NULL ? NULL : trigger_rule_name(task->trigger_rule));
    jw_kv_time(w, "retry_at", row->retry_at_us);
    write_upstream(w, all, task);
    jw_end_object(w);
    buf_release(&why);
}

static void write_callbacks(struct jw *w, const struct callback_row *rows, size_t count)
{
    jw_key(w, "callbacks");
    jw_begin_array(w);
    for (size_t i = 0; i < count; i++)
        view_callback(w, &rows[i]);
    jw_end_array(w);
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
    write_callbacks(&w, rows, count);
    jw_end_object(&w);
}

static void write_explanation(struct jw *w, const struct explanation *all)
{
    const struct run_row *run = &all->run->run;

    jw_begin_object(w);
    jw_kv_string(w, "dag_id", run->dag_id);
    jw_kv_string(w, "dag_run_id", run->run_id);
    jw_kv_string(w, "state", run_state_name(run->state));
    jw_kv_string(w, "reason", run->reason);
    jw_kv_bool(w, "is_paused", all->dag_row->is_paused);
    jw_kv_string(w, "pause_reason", all->dag_row->pause_reason);
    jw_kv_int(w, "dag_version", all->run->version_number);
    jw_key(w, "tasks");
    jw_begin_array(w);
    for (size_t i = 0; i < all->task_count; i++)
        write_explained_task(w, all, &all->tasks[i]);
    jw_end_array(w);
    jw_key(w, "transitions");
    jw_begin_array(w);
    for (size_t i = 0; i < all->transition_count; i++)
        view_transition(w, &all->transitions[i]);
    jw_end_array(w);
    write_callbacks(w, all->callbacks, all->callback_count);
    jw_end_object(w);
}

void handle_run_explain(struct web *web, struct request *request)
{
    struct run_view run = {0};
    struct dag_row dag = {0};
    struct task_row *tasks = NULL;
    struct transition_view *transitions = NULL;
    struct callback_row *callbacks = NULL;
    struct explanation all = {.run = &run, .dag_row = &dag};
    struct err err;

    if (!lookup_run(web, request, &run) || !lookup_dag(web, request, &dag))
        return;
    if (!read_run_tasks(web->read, &request->arena, run.run.id, &tasks, &all.task_count, &err) ||
        !read_run_transitions(web->read, &request->arena, run.run.id, transitions_max, &transitions,
                              &all.transition_count, &err) ||
        !read_run_callbacks(web->read, &request->arena, run.run.id, callbacks_max, &callbacks,
                            &all.callback_count, &err)) {
        respond_err(request, &err);
        return;
    }
    all.dag = versions_get(web->versions, run.run.version_id);
    all.tasks = tasks;
    all.transitions = transitions;
    all.callbacks = callbacks;
    struct jw w = {.out = respond_json(request, 200)};
    write_explanation(&w, &all);
}
