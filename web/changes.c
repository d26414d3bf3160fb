#include "web/changes.h"

#include "base/mem.h"
#include "web/lookup.h"
#include "web/route.h"
#include "web/versions.h"
#include "web/view.h"

#include <stdlib.h>
#include <string.h>

static bool too_many(struct request *request, const char *what, int64_t max)
{
    respond_detail(request, 413, "more than %lld %s at once: give them in parts", (long long)max,
                   what);
    return false;
}

/* The runs of a choice by a range of logical dates. */
static bool read_range(struct web *web, struct request *request, const struct change_plan *plan,
                       const struct run_choice *range, struct run_view **ret, size_t *ret_count)
{
    struct run_filter filter = {.dag_id = plan->dag_id};
    struct read_page page = {.limit = CHOICE_RUNS_MAX + 1};
    int64_t total = 0;
    struct err err;

    page.order[page.order_count++] = (struct read_order){.name = "logical_date"};
    if (range->from_us != 0)
        filter.ranges.items[filter.ranges.count++] =
            (struct read_range){READ_LOGICAL_DATE, READ_GTE, range->from_us};
    if (range->to_us != 0)
        filter.ranges.items[filter.ranges.count++] =
            (struct read_range){READ_LOGICAL_DATE, READ_LTE, range->to_us};
    if (!read_runs(web->read, &request->arena, &filter, &page, ret, ret_count, &total, &err)) {
        respond_err(request, &err);
        return false;
    }
    return *ret_count <= CHOICE_RUNS_MAX || too_many(request, "runs", CHOICE_RUNS_MAX);
}

static bool read_named(struct web *web, struct request *request, const struct change_plan *plan,
                       struct run_view **ret, size_t *ret_count)
{
    struct run_view *run = arena_alloc(&request->arena, sizeof(*run));
    struct err err;

    *ret = run;
    *ret_count = 1;
    if (read_run(web->read, &request->arena, plan->dag_id, plan->which.run_id, run, &err))
        return true;
    if (err.code == ERR_NOT_FOUND)
        respond_detail(request, 404, "The DagRun with dag_id: `%s` and run_id: `%s` was not found",
                       plan->dag_id, plan->which.run_id);
    else
        respond_err(request, &err);
    return false;
}

static bool choose_runs(struct web *web, struct request *request, const struct change_plan *plan,
                        struct run_view **ret, size_t *ret_count)
{
    const struct run_choice *which = &plan->which;
    struct run_choice range = *which;

    if (which->run_id == NULL)
        return read_range(web, request, plan, &range, ret, ret_count);
    if (!read_named(web, request, plan, ret, ret_count))
        return false;
    if (!which->include_past && !which->include_future)
        return true;
    int64_t date = (*ret)[0].run.logical_date_us;
    if (date == 0) {
        respond_detail(request, 400,
                       "run %s has no logical date: there are no runs before and after it",
                       which->run_id);
        return false;
    }
    range.from_us = which->include_past ? 0 : date;
    range.to_us = which->include_future ? 0 : date;
    if (range.from_us == 0 && range.to_us == 0)
        range.from_us = -INT64_C(62135596800000000); /* all that have one */
    return read_range(web, request, plan, &range, ret, ret_count);
}

static bool is_concerned(const struct change_plan *plan, const struct task_row *row)
{
    return plan->kind == CHANGE_CLEAR ? choice_can_clear(row->state)
                                      : row->state != plan->task_state;
}

static bool read_run_views(struct web *web, struct request *request, const struct run_view *run,
                           struct task_view **ret, size_t *ret_count)
{
    const struct task_filter filter = {.dag_id = run->run.dag_id, .run_id = run->run.run_id};
    const struct read_page page = {.limit = CHOICE_TASKS_MAX + 1};
    int64_t total = 0;
    struct err err;

    if (read_tasks(web->read, &request->arena, &filter, &page, ret, ret_count, &total, &err))
        return true;
    respond_err(request, &err);
    return false;
}

static bool add_run(struct web *web, struct request *request, struct change_plan *plan,
                    const struct run_view *run, const struct dag *dag)
{
    struct task_view *tasks = NULL;
    size_t count = 0;

    if (!read_run_views(web, request, run, &tasks, &count))
        return false;
    const bool *chosen = choice_tasks(dag, &plan->tasks, &request->arena);
    struct task_view *items =
        arena_alloc_array(&request->arena, plan->count + count, sizeof(*items));
    if (plan->count > 0)
        memcpy(items, plan->items, plan->count * sizeof(*items));
    plan->items = items;
    for (size_t i = 0; i < count; i++) {
        if (!choice_takes(&plan->tasks, dag, chosen, &tasks[i].task) ||
            !is_concerned(plan, &tasks[i].task))
            continue;
        if (plan->refuse_running &&
            (tasks[i].task.state == TASK_QUEUED || tasks[i].task.state == TASK_RUNNING)) {
            respond_detail(request, 409, "task %s of run %s is %s: prevent_running_task is set",
                           tasks[i].task.task_id, tasks[i].run_id,
                           task_state_name(tasks[i].task.state));
            return false;
        }
        items[plan->count++] = tasks[i];
    }
    return plan->count <= CHOICE_TASKS_MAX || too_many(request, "task instances", CHOICE_TASKS_MAX);
}

/* Of a run that is named each instance that is named must be there: an index that no instance has
 * is a mistake, not a change of nothing. */
static bool instances_exist(struct web *web, struct request *request,
                            const struct change_plan *plan)
{
    for (size_t i = 0; plan->which.run_id != NULL && i < plan->tasks.count; i++) {
        const struct task_name *name = &plan->tasks.names[i];
        const struct task_key key = {plan->dag_id, plan->which.run_id, name->task_id,
                                     name->map_index};
        struct task_view ignored = {0};
        struct err err;

        if (name->map_index < 0 || read_task(web->read, &request->arena, &key, &ignored, &err))
            continue;
        if (err.code != ERR_NOT_FOUND)
            respond_err(request, &err);
        else
            respond_detail(request, 404, "Task %s has no instance %d in run %s of %s",
                           name->task_id, name->map_index, key.run_id, plan->dag_id);
        return false;
    }
    return true;
}

bool changes_plan(struct web *web, struct request *request, struct change_plan *plan)
{
    struct run_view *runs = NULL;
    size_t count = 0;
    bool fits = false;

    if (!choose_runs(web, request, plan, &runs, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct dag *dag = versions_get(web->versions, runs[i].run.version_id);
        if (dag == NULL) {
            respond_detail(request, 409,
                           "version %lld of %s, which run %s began with, can't be read by this "
                           "program: trigger a new run",
                           (long long)runs[i].version_number, plan->dag_id, runs[i].run.run_id);
            return false;
        }
        fits = fits || choice_fits(dag, &plan->tasks);
        if (!add_run(web, request, plan, &runs[i], dag))
            return false;
    }
    if (fits || count == 0)
        return instances_exist(web, request, plan);
    respond_detail(request, 404, "Task with ID %s was not found in %s",
                   plan->tasks.names[0].task_id, plan->dag_id);
    return false;
}

void changes_answer(struct web *web, struct request *request, const struct change_plan *plan)
{
    struct jw w = {.out = respond_json(request, 200)};

    jw_begin_object(&w);
    jw_key(&w, "task_instances");
    jw_begin_array(&w);
    for (size_t i = 0; i < plan->count; i++)
        view_task_instance(&w, &plan->items[i],
                           versions_get(web->versions, plan->items[i].version_id));
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", (int64_t)plan->count);
    jw_end_object(&w);
}

void changes_answer_again(struct web *web, struct request *request, struct change_plan *plan)
{
    struct err err;

    for (size_t i = 0; i < plan->count; i++) {
        const struct task_key key = {plan->items[i].dag_id, plan->items[i].run_id,
                                     plan->items[i].task.task_id, plan->items[i].task.map_index};
        if (!read_task(web->read, &request->arena, &key, &plan->items[i], &err)) {
            respond_err(request, &err);
            return;
        }
    }
    changes_answer(web, request, plan);
}

static void set_time(json_t *command, const char *name, int64_t us)
{
    if (us != 0)
        (void)json_object_set_new(command, name, json_integer(us));
}

json_t *changes_command(const char *name, const struct change_plan *plan)
{
    json_t *command =
        json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:s}", "command", name, "dag_id",
                  plan->dag_id, "include_past", plan->which.include_past, "include_future",
                  plan->which.include_future, "upstream", plan->tasks.upstream, "downstream",
                  plan->tasks.downstream, "only_failed", plan->tasks.only_failed, "only_running",
                  plan->tasks.only_running, "by", triggered_by_name(TRIGGERED_BY_REST_API));

    if (plan->which.run_id != NULL)
        (void)json_object_set_new(command, "run_id", json_string(plan->which.run_id));
    set_time(command, "from", plan->which.from_us);
    set_time(command, "to", plan->which.to_us);
    if (plan->tasks.names == NULL)
        return command;
    json_t *names = json_array();
    for (size_t i = 0; i < plan->tasks.count; i++) {
        const struct task_name *task = &plan->tasks.names[i];
        (void)json_array_append_new(names,
                                    task->map_index == CHOICE_EVERY_INDEX
                                        ? json_string(task->task_id)
                                        : json_pack("[s, i]", task->task_id, (int)task->map_index));
    }
    (void)json_object_set_new(command, "tasks", names);
    return command;
}
