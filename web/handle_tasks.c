/* Task instances and their attempts. */
#include "web/handlers.h"

#include "web/lookup.h"
#include "web/params.h"
#include "web/route.h"
#include "web/versions.h"
#include "web/view.h"

#include <stdlib.h>
#include <string.h>

static const char *const task_states[] = {
#define TASK_STATE(name, text, final, failed_like) text,
#include "millrace/states.def"
#undef TASK_STATE
    "no_status", NULL};

/* Airflow's second word for tasks without a state. */
static void rename_no_status(const char **states, struct arena *arena)
{
    const char *at = *states == NULL ? NULL : strstr(*states, "\"no_status\"");

    if (at != NULL)
        *states = arena_printf(arena, "%.*s\"none\"%s", (int)(at - *states), *states, at + 11);
}

static bool parse_filter(struct request *request, struct task_filter *filter)
{
    if (!params_ranges(request, &filter->ranges) ||
        !params_list(request, "task_id", NULL, &filter->task_ids) ||
        !params_list(request, "state", task_states, &filter->states) ||
        !params_int_list(request, "map_index", &filter->map_indexes) ||
        !params_int_list(request, "try_number", &filter->try_numbers) ||
        !params_int_list(request, "version_number", &filter->version_numbers))
        return false;
    rename_no_status(&filter->states, &request->arena);
    filter->task_id_pattern = params_pattern(request, "task_display_name_pattern");
    filter->run_id_pattern = params_pattern(request, "run_id_pattern");
    filter->dag_id_pattern = params_pattern(request, "dag_id_pattern");
    return true;
}

/* pool and operator stand in the DAG file: rows are matched here, after everything else. */
static bool matches_file(const struct task_view *view, const struct dag *dag, const char *pools,
                         const char *operators)
{
    const struct dag_task *task =
        dag == NULL || view->task.task >= dag->task_count ? NULL : &dag->tasks[view->task.task];
    char quoted[300];

    if (pools != NULL) {
        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", task == NULL ? "" : task->pool);
        if (strstr(pools, quoted) == NULL)
            return false;
    }
    if (operators != NULL) {
        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", task == NULL ? "" : task->kind->name);
        if (strstr(operators, quoted) == NULL)
            return false;
    }
    return true;
}

/* Those of a filter that has what the path says already. */
static void list_tasks(struct web *web, struct request *request, struct task_filter filter)
{
    struct run_view run = {0};
    struct read_page page;
    struct task_view *tasks = NULL;
    const char *pools = NULL;
    const char *operators = NULL;
    size_t count = 0;
    int64_t total = 0;
    struct err err;

    if (!params_page(request, NULL, &page) || !parse_filter(request, &filter) ||
        !params_list(request, "pool", NULL, &pools) ||
        !params_list(request, "operator", NULL, &operators))
        return;
    if (filter.dag_id != NULL && filter.run_id != NULL && !lookup_run(web, request, &run))
        return;
    bool by_file = pools != NULL || operators != NULL;
    struct read_page wide = page;
    if (by_file) {
        wide.limit = PARAMS_LIMIT_MAX;
        wide.offset = 0;
    }
    if (!read_tasks(web->read, &request->arena, &filter, &wide, &tasks, &count, &total, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    int64_t matched = 0;
    jw_begin_object(&w);
    jw_key(&w, "task_instances");
    jw_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        const struct dag *dag = versions_get(web->versions, tasks[i].version_id);
        if (by_file && !matches_file(&tasks[i], dag, pools, operators))
            continue;
        int64_t at = matched++;
        if (!by_file || (at >= page.offset && at - page.offset < page.limit))
            view_task_instance(&w, &tasks[i], dag);
    }
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", by_file ? matched : total);
    jw_end_object(&w);
}

static struct task_filter filter_of_path(const struct request *request)
{
    const char *dag_id = route_arg(request, "dag_id");
    const char *run_id = route_arg(request, "dag_run_id");

    return (struct task_filter){.dag_id = strcmp(dag_id, "~") == 0 ? NULL : dag_id,
                                .run_id = strcmp(run_id, "~") == 0 ? NULL : run_id};
}

void handle_tasks_list(struct web *web, struct request *request)
{
    list_tasks(web, request, filter_of_path(request));
}

void handle_tasks_list_mapped(struct web *web, struct request *request)
{
    struct task_filter filter = filter_of_path(request);

    filter.mapped_task_id = route_arg(request, "task_id");
    list_tasks(web, request, filter);
}

void handle_task_get(struct web *web, struct request *request)
{
    struct task_view task = {0};

    if (!lookup_task(web, request, &task))
        return;
    struct jw w = {.out = respond_json(request, 200)};
    view_task_instance(&w, &task, versions_get(web->versions, task.version_id));
}

void handle_task_tries(struct web *web, struct request *request)
{
    struct task_view task = {0};
    struct attempt_row *attempts = NULL;
    size_t count = 0;
    struct err err;

    if (!lookup_task(web, request, &task))
        return;
    if (!read_attempts(web->read, &request->arena, &task.task, 0, &attempts, &count, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "task_instances");
    jw_begin_array(&w);
    for (size_t i = 0; i < count; i++)
        view_attempt(&w, &task, &attempts[i], versions_get(web->versions, task.version_id));
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", (int64_t)count);
    jw_end_object(&w);
}

void handle_task_try(struct web *web, struct request *request)
{
    struct task_view task = {0};
    struct attempt_row attempt = {0};

    if (!lookup_task(web, request, &task) || !lookup_attempt(web, request, &task, &attempt))
        return;
    struct jw w = {.out = respond_json(request, 200)};
    view_attempt(&w, &task, &attempt, versions_get(web->versions, task.version_id));
}
