/* Views of what happened: runs, task instances, attempts, backfills, errors, transitions. */
#include "web/view.h"

#include "base/digest.h"

#include <stdio.h>
#include <stdlib.h>

/* Seconds between two instants, null unless both are there. */
static void write_duration(struct jw *w, int64_t from_us, int64_t to_us)
{
    if (from_us == 0 || to_us == 0)
        jw_kv_null(w, "duration");
    else
        jw_kv_real(w, "duration", (double)(to_us - from_us) / 1e6);
}

void view_run(struct jw *w, const struct run_view *view)
{
    const struct run_row *run = &view->run;

    jw_begin_object(w);
    jw_kv_string(w, "dag_run_id", run->run_id);
    jw_kv_string(w, "dag_id", run->dag_id);
    jw_kv_string(w, "dag_display_name", run->dag_id);
    jw_kv_time(w, "logical_date", run->logical_date_us);
    jw_kv_time(w, "queued_at", run->queued_at_us);
    jw_kv_time(w, "start_date", run->started_at_us);
    jw_kv_time(w, "end_date", run->ended_at_us);
    write_duration(w, run->started_at_us, run->ended_at_us);
    jw_kv_time(w, "data_interval_start", run->interval_start_us);
    jw_kv_time(w, "data_interval_end", run->interval_end_us);
    jw_kv_time(w, "run_after", run->run_after_us);
    jw_kv_time(w, "last_scheduling_decision", view->updated_at_us);
    jw_kv_string(w, "run_type", run_type_name(run->run_type));
    jw_kv_string(w, "state", run_state_name(run->state));
    jw_kv_string(w, "triggered_by", triggered_by_name(run->triggered_by));
    jw_kv_null(w, "triggering_user_name");
    jw_kv_raw(w, "conf", run->conf);
    jw_kv_string(w, "note", run->note);
    jw_key(w, "dag_versions");
    jw_begin_array(w);
    view_version(w, run->dag_id, view->version_number, view->version_created_at_us);
    jw_end_array(w);
    jw_kv_null(w, "bundle_version");
    jw_kv_null(w, "partition_key");
    jw_kv_string(w, "reason", run->reason);
    if (run->backfill_id == 0)
        jw_kv_null(w, "backfill_id");
    else
        jw_kv_int(w, "backfill_id", run->backfill_id);
    jw_end_object(w);
}

void view_run_brief(struct jw *w, const struct run_view *view)
{
    const struct run_row *run = &view->run;

    jw_begin_object(w);
    jw_kv_string(w, "dag_run_id", run->run_id);
    jw_kv_string(w, "state", run_state_name(run->state));
    jw_kv_string(w, "run_type", run_type_name(run->run_type));
    jw_kv_time(w, "logical_date", run->logical_date_us);
    jw_kv_time(w, "run_after", run->run_after_us);
    jw_kv_time(w, "start_date", run->started_at_us);
    jw_kv_time(w, "end_date", run->ended_at_us);
    write_duration(w, run->started_at_us, run->ended_at_us);
    jw_end_object(w);
}

static const struct dag_task *task_of(const struct dag *dag, const struct task_row *row)
{
    return dag == NULL || row->task >= dag->task_count ? NULL : &dag->tasks[row->task];
}

/* What TaskInstanceResponse and TaskInstanceHistoryResponse share beyond the states. */
static void write_task_common(struct jw *w, const struct task_view *view, const struct dag *dag)
{
    const struct dag_task *task = task_of(dag, &view->task);

    jw_kv_string(w, "task_id", view->task.task_id);
    jw_kv_string(w, "dag_id", view->dag_id);
    jw_kv_string(w, "dag_run_id", view->run_id);
    jw_kv_int(w, "map_index", view->task.map_index);
    jw_kv_string(w, "task_display_name", view->task.task_id);
    jw_kv_string(w, "dag_display_name", view->dag_id);
    jw_kv_null(w, "unixname");
    jw_kv_string(w, "pool", task == NULL ? "default_pool" : task->pool);
    jw_kv_int(w, "pool_slots", task == NULL ? 1 : task->pool_slots);
    jw_kv_string(w, "queue", "default");
    jw_kv_int(w, "priority_weight", task == NULL ? 1 : task->priority_weight_total);
    jw_kv_string(w, "operator", task == NULL ? NULL : task->kind->name);
    jw_kv_string(w, "operator_name", task == NULL ? NULL : task->kind->name);
    jw_kv_string(w, "executor", "local");
    jw_kv_string(w, "executor_config", "{}");
    jw_kv_int(w, "max_tries", view->task.max_tries);
    jw_key(w, "dag_version");
    view_version(w, view->dag_id, view->version_number, view->version_created_at_us);
}

static void write_state(struct jw *w, enum task_state state)
{
    jw_kv_string(w, "state", state == TASK_NONE ? NULL : task_state_name(state));
}

static void write_pid(struct jw *w, int64_t pid)
{
    if (pid == 0)
        jw_kv_null(w, "pid");
    else
        jw_kv_int(w, "pid", pid);
}

/* The options the attempt was started with, as text values: what the client's model wants. */
static void write_rendered(struct jw *w, const char *rendered)
{
    json_error_t error;
    json_t *document = rendered == NULL ? NULL : json_loads(rendered, 0, &error);
    const json_t *options = json_object_get(document, "options");
    char *text = json_is_object(options) ? json_dumps(options, JSON_COMPACT) : NULL;

    jw_kv_raw(w, "rendered_fields", text == NULL ? "{}" : text);
    free(text);
    json_decref(document);
}

void view_task_instance(struct jw *w, const struct task_view *view, const struct dag *dag)
{
    const struct task_row *task = &view->task;
    char name[80];
    char index[12];
    char id[37];

    (void)snprintf(name, sizeof(name), "task/%lld/%u/%d", (long long)task->run, task->task,
                   task->map_index);
    (void)snprintf(index, sizeof(index), "%d", task->map_index);
    digest_uuid(str_from(name), id);
    jw_begin_object(w);
    jw_kv_string(w, "id", id);
    write_task_common(w, view, dag);
    jw_kv_time(w, "logical_date", view->logical_date_us);
    jw_kv_time(w, "run_after", view->run_after_us);
    jw_kv_time(w, "start_date", task->started_at_us);
    jw_kv_time(w, "end_date", task->ended_at_us);
    write_duration(w, task->started_at_us, task->ended_at_us);
    write_state(w, task->state);
    jw_kv_int(w, "try_number", task->try_number);
    jw_kv_string(w, "hostname", view->worker);
    jw_kv_time(w, "queued_when", task->queued_at_us);
    jw_kv_time(w, "scheduled_when", task->scheduled_at_us);
    write_pid(w, view->pid);
    jw_kv_null(w, "note");
    if (task->map_index < 0)
        jw_kv_null(w, "rendered_map_index");
    else
        jw_kv_string(w, "rendered_map_index", index);
    write_rendered(w, view->rendered);
    jw_kv_null(w, "trigger");
    jw_kv_null(w, "triggerer_job");
    jw_kv_string(w, "reason", task->reason);
    jw_kv_time(w, "retry_at", task->retry_at_us);
    jw_end_object(w);
}

void view_attempt(struct jw *w, const struct task_view *view, const struct attempt_row *attempt,
                  const struct dag *dag)
{
    jw_begin_object(w);
    write_task_common(w, view, dag);
    jw_kv_time(w, "start_date", attempt->started_at_us);
    jw_kv_time(w, "end_date", attempt->ended_at_us);
    write_duration(w, attempt->started_at_us, attempt->ended_at_us);
    write_state(w, attempt->state);
    jw_kv_int(w, "try_number", attempt->try_number);
    jw_kv_string(w, "hostname", attempt->worker);
    jw_kv_time(w, "queued_when", attempt->queued_at_us);
    jw_kv_time(w, "scheduled_when", attempt->queued_at_us);
    write_pid(w, attempt->pid);
    if (attempt->exit_code < 0)
        jw_kv_null(w, "exit_code");
    else
        jw_kv_int(w, "exit_code", attempt->exit_code);
    jw_kv_int(w, "signal", attempt->signal);
    jw_kv_string(w, "outcome", attempt->ended_at_us == 0 ? NULL : outcome_name(attempt->outcome));
    jw_kv_string(w, "reason", attempt->reason);
    jw_kv_raw(w, "outputs", attempt->outputs);
    jw_end_object(w);
}

/* What Airflow's clients know that comes closest. */
static enum reprocess airflow_reprocess(enum reprocess reprocess)
{
    if (reprocess == REPROCESS_MISSING)
        return REPROCESS_NONE;
    return reprocess == REPROCESS_STALE ? REPROCESS_COMPLETED : reprocess;
}

void view_backfill_own(struct jw *w, const struct backfill_row *row)
{
    jw_kv_bool(w, "is_paused", row->is_paused);
    jw_kv_string(w, "pause_reason", row->pause_reason);
    jw_kv_bool(w, "cancelled", row->cancelled);
    jw_kv_bool(w, "is_retrying", row->retry_before_us != 0);
    jw_kv_int(w, "max_active_runs", row->max_active_runs);
    jw_kv_bool(w, "run_backwards", row->run_backwards);
    jw_kv_string(w, "reprocess", reprocess_name(row->reprocess));
    jw_kv_string(w, "on_failure", on_failure_name(row->on_failure));
    jw_kv_raw(w, "tasks", row->tasks);
    jw_kv_bool(w, "upstream", row->upstream);
    jw_kv_bool(w, "downstream", row->downstream);
    jw_kv_bool(w, "force", row->is_forced);
}

void view_backfill(struct jw *w, const struct backfill_row *row)
{
    jw_begin_object(w);
    jw_kv_int(w, "id", row->id);
    jw_kv_string(w, "dag_id", row->dag_id);
    jw_kv_string(w, "dag_display_name", row->dag_id);
    jw_kv_time(w, "from_date", row->from_us);
    jw_kv_time(w, "to_date", row->to_us);
    jw_kv_raw(w, "dag_run_conf", row->conf);
    jw_kv_string(w, "reprocess_behavior", reprocess_name(airflow_reprocess(row->reprocess)));
    view_backfill_own(w, row);
    jw_kv_time(w, "created_at", row->created_at_us);
    jw_kv_time(w, "completed_at", row->completed_at_us);
    jw_kv_time(w, "updated_at", row->updated_at_us);
    jw_kv_int(w, "total", row->total);
    jw_kv_int(w, "succeeded", row->succeeded);
    jw_kv_int(w, "failed", row->failed);
    jw_kv_int(w, "skipped", row->skipped);
    jw_end_object(w);
}

void view_import_error(struct jw *w, const struct import_error_row *row)
{
    jw_begin_object(w);
    jw_kv_int(w, "import_error_id", row->id);
    jw_kv_time(w, "timestamp", row->at_us);
    jw_kv_string(w, "filename", row->file);
    jw_kv_null(w, "bundle_name");
    jw_kv_string(w, "stack_trace", row->report);
    jw_kv_raw(w, "findings", row->findings);
    jw_end_object(w);
}

void view_callback(struct jw *w, const struct callback_row *row)
{
    jw_begin_object(w);
    jw_kv_int(w, "id", row->id);
    jw_kv_string(w, "task_id", row->task_id);
    jw_kv_int(w, "map_index", row->map_index);
    jw_kv_string(w, "event", callback_event_name(row->event));
    jw_kv_string(w, "kind", row->kind);
    jw_kv_string(w, "state", callback_state_name(row->state));
    jw_kv_int(w, "tries", row->tries);
    jw_kv_int(w, "max_tries", row->max_tries);
    jw_kv_time(w, "created_at", row->created_at_us);
    jw_kv_time(w, "next_at", row->next_at_us);
    jw_kv_time(w, "ended_at", row->ended_at_us);
    jw_kv_string(w, "reason", row->reason);
    jw_kv_raw(w, "document", row->document);
    jw_end_object(w);
}

void view_transition(struct jw *w, const struct transition_view *view)
{
    jw_begin_object(w);
    jw_kv_int(w, "seq", view->seq);
    jw_kv_time(w, "at", view->at_us);
    jw_kv_string(w, "dag_id", view->dag_id);
    jw_kv_string(w, "dag_run_id", view->run_id);
    if (view->backfill_id == 0)
        jw_kv_null(w, "backfill_id");
    else
        jw_kv_int(w, "backfill_id", view->backfill_id);
    jw_kv_string(w, "task_id", view->task_id);
    if (view->task_id != NULL) {
        jw_kv_int(w, "map_index", view->map_index);
        jw_kv_int(w, "try_number", view->try_number);
    }
    jw_kv_string(w, "from", view->from_state);
    jw_kv_string(w, "to", view->to_state);
    jw_kv_string(w, "reason", view->reason);
    jw_end_object(w);
}
