/* Views of what a DAG file says: DAGs, versions, tasks. */
#include "web/view.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "millrace/settings.h"

#include <stdio.h>
#include <stdlib.h>

enum { concurrency_default = 16 };

static void write_tag(struct jw *w, const char *dag_id, const char *tag)
{
    jw_begin_object(w);
    jw_kv_string(w, "name", tag);
    jw_kv_string(w, "dag_id", dag_id);
    jw_kv_string(w, "dag_display_name", dag_id);
    jw_end_object(w);
}

static void write_places(struct jw *w, const struct view_dag *view)
{
    struct buf path = {0};
    char token[SHA256_HEX_SIZE];

    if (view->row->file[0] != '/')
        buf_printf(&path, "%s/", view->dags_folder);
    buf_add_text(&path, view->row->file);
    digest_sha256_hex(buf_str(&path), token);
    jw_kv_string(w, "relative_fileloc", view->row->file);
    jw_kv_string(w, "fileloc", buf_text(&path));
    jw_kv_string(w, "file_token", token);
    buf_release(&path);
}

static void write_lists(struct jw *w, const struct view_dag *view)
{
    static const char *const run_types[] = {"backfill", "scheduled", "manual"};
    const struct dag *dag = view->dag;

    jw_key(w, "tags");
    jw_begin_array(w);
    for (size_t i = 0; dag != NULL && i < dag->tag_count; i++)
        write_tag(w, view->row->dag_id, dag->tags[i]);
    jw_end_array(w);
    jw_key(w, "owners");
    jw_begin_array(w);
    if (dag != NULL && dag->owner != NULL)
        jw_string(w, dag->owner);
    jw_end_array(w);
    jw_key(w, "allowed_run_types");
    jw_begin_array(w);
    for (size_t i = 0; i < 3; i++)
        jw_string(w, run_types[i]);
    jw_end_array(w);
}

static void write_schedule(struct jw *w, const struct view_dag *view)
{
    const struct dag *dag = view->dag;
    const char *text = dag == NULL ? NULL : dag->schedule.text;
    struct buf description = {0};

    jw_kv_string(w, "timetable_summary", text);
    if (text != NULL)
        buf_printf(&description, "%s, %s", text, dag->timezone);
    else
        buf_add_text(&description, "Never, external triggers only");
    jw_kv_string(w, "timetable_description", buf_text(&description));
    buf_release(&description);
    jw_kv_bool(w, "timetable_partitioned", false);
    jw_kv_time(w, "next_dagrun_logical_date", view->row->next_start_us);
    jw_kv_time(w, "next_dagrun_data_interval_start", view->row->next_start_us);
    jw_kv_time(w, "next_dagrun_data_interval_end", view->row->next_end_us);
    jw_kv_time(w, "next_dagrun_run_after", view->row->next_end_us);
}

/* Airflow's form: {"lake": {"value": "lake", "description": null, "schema": {"type": "string"}}}.
 */
static void write_params(struct jw *w, const struct dag *dag)
{
    const char *name = NULL;
    json_t *value = NULL;
    struct buf text = {0};

    jw_begin_object(w);
    json_object_foreach((json_t *)(uintptr_t)(dag == NULL ? NULL : dag->params), name, value)
    {
        const char *type = json_get_string(dag->param_types, name, NULL);
        buf_clear(&text);
        json_dump_ordered(value, &text);
        jw_key(w, name);
        jw_begin_object(w);
        jw_kv_raw(w, "value", buf_text(&text));
        jw_kv_null(w, "description");
        jw_key(w, "schema");
        jw_begin_object(w);
        if (type != NULL)
            jw_kv_string(w, "type", type);
        jw_end_object(w);
        jw_end_object(w);
    }
    jw_end_object(w);
    buf_release(&text);
}

static void write_details(struct jw *w, const struct view_dag *view)
{
    const struct dag *dag = view->dag;

    jw_kv_bool(w, "catchup", dag != NULL && dag->catchup);
    jw_kv_null(w, "dag_run_timeout");
    jw_kv_null(w, "asset_expression");
    jw_kv_string(w, "doc_md", dag == NULL ? NULL : dag->doc);
    jw_kv_time(w, "start_date", dag == NULL ? 0 : dag->start_date_us);
    jw_kv_time(w, "end_date", dag == NULL ? 0 : dag->end_date_us);
    jw_kv_bool(w, "is_paused_upon_creation", dag != NULL && dag->paused_upon_creation);
    jw_key(w, "params");
    write_params(w, dag);
    jw_kv_bool(w, "render_template_as_native_obj", false);
    jw_kv_null(w, "template_search_path");
    jw_kv_string(w, "timezone", dag == NULL ? NULL : dag->timezone);
    jw_kv_time(w, "last_parsed", view->row->parsed_at_us);
    jw_kv_raw(w, "default_args", "{}");
    jw_kv_raw(w, "owner_links", "{}");
    jw_kv_bool(w, "is_favorite", false);
    jw_kv_int(w, "active_runs_count", view->active_runs);
    jw_kv_int(w, "concurrency", dag == NULL ? concurrency_default : dag->max_active_tasks);
    jw_key(w, "latest_dag_version");
    view_version(w, view->row->dag_id, view->version->number, view->version->created_at_us);
}

static bool has_task_limits(const struct dag *dag)
{
    for (uint32_t i = 0; i < dag->task_count; i++)
        if (dag->tasks[i].max_active_tis_per_dag > 0 || dag->tasks[i].max_active_tis_per_dagrun > 0)
            return true;
    return false;
}

void view_dag(struct jw *w, const struct view_dag *view)
{
    const struct dag_row *row = view->row;
    const struct dag *dag = view->dag;

    jw_begin_object(w);
    jw_kv_string(w, "dag_id", row->dag_id);
    jw_kv_string(w, "dag_display_name", row->dag_id);
    jw_kv_bool(w, "is_paused", row->is_paused);
    jw_kv_string(w, "pause_reason", row->pause_reason);
    jw_kv_bool(w, "is_stale", row->is_stale);
    jw_kv_time(w, "last_parsed_time", row->parsed_at_us);
    jw_kv_null(w, "last_parse_duration");
    jw_kv_null(w, "last_expired");
    jw_kv_null(w, "bundle_name");
    jw_kv_null(w, "bundle_version");
    write_places(w, view);
    jw_kv_string(w, "description", dag == NULL ? NULL : dag->description);
    write_schedule(w, view);
    write_lists(w, view);
    jw_kv_int(w, "max_active_tasks", dag == NULL ? concurrency_default : dag->max_active_tasks);
    jw_kv_int(w, "max_active_runs", dag == NULL ? concurrency_default : dag->max_active_runs);
    jw_kv_int(w, "max_consecutive_failed_dag_runs", dag == NULL ? 0 : dag->max_failed_in_row);
    jw_kv_bool(w, "has_task_concurrency_limits", dag != NULL && has_task_limits(dag));
    jw_kv_bool(w, "has_import_errors", view->has_import_errors);
    if (view->version != NULL)
        write_details(w, view);
    jw_end_object(w);
}

void view_version(struct jw *w, const char *dag_id, int64_t number, int64_t created_at_us)
{
    struct buf name = {0};
    char id[37];

    buf_printf(&name, "version/%s/%lld", dag_id, (long long)number);
    digest_uuid(buf_str(&name), id);
    buf_release(&name);
    jw_begin_object(w);
    jw_kv_string(w, "id", id);
    jw_kv_int(w, "version_number", number);
    jw_kv_string(w, "dag_id", dag_id);
    jw_kv_string(w, "dag_display_name", dag_id);
    jw_kv_null(w, "bundle_name");
    jw_kv_null(w, "bundle_version");
    jw_kv_null(w, "bundle_url");
    jw_kv_time(w, "created_at", created_at_us);
    jw_end_object(w);
}

/* Airflow's TimeDelta; 0 is written as null where a task has no limit. */
static void write_delta(struct jw *w, const char *key, int64_t us, bool zero_is_null)
{
    if (us == 0 && zero_is_null) {
        jw_kv_null(w, key);
        return;
    }
    jw_key(w, key);
    jw_begin_object(w);
    jw_kv_string(w, "__type", "TimeDelta");
    jw_kv_int(w, "days", us / US_PER_DAY);
    jw_kv_int(w, "seconds", us % US_PER_DAY / US_PER_SECOND);
    jw_kv_int(w, "microseconds", us % US_PER_SECOND);
    jw_end_object(w);
}

static void write_neighbours(struct jw *w, const char *key, const struct dag *dag,
                             const uint32_t *tasks, uint32_t count)
{
    jw_key(w, key);
    jw_begin_array(w);
    for (uint32_t i = 0; i < count; i++)
        jw_string(w, dag->tasks[tasks[i]].task_id);
    jw_end_array(w);
}

void view_task(struct jw *w, const struct dag *dag, uint32_t index)
{
    const struct dag_task *task = &dag->tasks[index];

    jw_begin_object(w);
    jw_kv_string(w, "task_id", task->task_id);
    jw_kv_string(w, "task_display_name", task->task_id);
    jw_kv_string(w, "operator_name", task->kind->name);
    jw_key(w, "class_ref");
    jw_begin_object(w);
    jw_kv_string(w, "class_name", task->kind->name);
    jw_kv_string(w, "module_path", "millrace");
    jw_end_object(w);
    jw_kv_bool(w, "depends_on_past", task->depends_on_past);
    jw_kv_bool(w, "wait_for_downstream", task->wait_for_downstream);
    write_neighbours(w, "downstream_task_ids", dag, task->downstream, task->downstream_count);
    jw_kv_string(w, "doc_md", task->doc);
    jw_kv_time(w, "start_date", dag->start_date_us);
    jw_kv_time(w, "end_date", dag->end_date_us);
    write_delta(w, "execution_timeout", task->execution_timeout_us, true);
    write_delta(w, "retry_delay", task->retry_delay_us, false);
    jw_kv_int(w, "retries", task->retries);
    jw_kv_real(w, "retry_exponential_backoff", task->retry_backoff);
    jw_kv_string(w, "pool", task->pool);
    jw_kv_int(w, "pool_slots", task->pool_slots);
    jw_kv_int(w, "priority_weight", task->priority_weight);
    jw_kv_string(w, "weight_rule", weight_rule_name(task->weight_rule));
    jw_kv_string(w, "trigger_rule", trigger_rule_name(task->trigger_rule));
    jw_kv_string(w, "queue", "default");
    jw_kv_string(w, "owner", task->owner);
    jw_kv_raw(w, "params", "{}");
    jw_kv_raw(w, "template_fields", "[]");
    jw_kv_string(w, "ui_color", "#fff");
    jw_kv_string(w, "ui_fgcolor", "#000");
    jw_kv_bool(w, "is_mapped", task->expand != NULL);
    jw_kv_raw(w, "extra_links", "[]");
    write_neighbours(w, "upstream_task_ids", dag, task->upstream, task->upstream_count);
    jw_end_object(w);
}
