#include "web/lookup.h"

#include "web/params.h"
#include "web/problem.h"
#include "web/route.h"

#include <string.h>

void respond_err(struct request *request, const struct err *err)
{
    respond_detail(request, err_http_status(err->code), "%s", err->message);
}

bool lookup_dag(struct web *web, struct request *request, struct dag_row *ret)
{
    const char *dag_id = route_arg(request, "dag_id");
    struct err err;

    if (read_dag(web->read, &request->arena, dag_id, ret, &err))
        return true;
    if (err.code == ERR_NOT_FOUND)
        respond_detail(request, 404, "The DAG with ID: `%s` was not found", dag_id);
    else
        respond_err(request, &err);
    return false;
}

bool lookup_run(struct web *web, struct request *request, struct run_view *ret)
{
    const char *dag_id = route_arg(request, "dag_id");
    const char *run_id = route_arg(request, "dag_run_id");
    struct err err;

    if (read_run(web->read, &request->arena, dag_id, run_id, ret, &err))
        return true;
    if (err.code == ERR_NOT_FOUND)
        respond_detail(request, 404, "The DagRun with dag_id: `%s` and run_id: `%s` was not found",
                       dag_id, run_id);
    else
        respond_err(request, &err);
    return false;
}

/* Whether the task has an instance with an index, in place of the one without. */
static bool is_mapped(struct web *web, struct request *request, struct task_key key)
{
    struct task_view first = {0};
    struct err ignored = {0};

    key.map_index = 0;
    return read_task(web->read, &request->arena, &key, &first, &ignored);
}

bool lookup_task(struct web *web, struct request *request, struct task_view *ret)
{
    struct task_key key = {route_arg(request, "dag_id"), route_arg(request, "dag_run_id"),
                           route_arg(request, "task_id"), -1};
    int64_t map_index = -1;
    struct err err;

    if (route_arg(request, "map_index") != NULL) {
        if (!lookup_int(request, "map_index", &map_index))
            return false;
        if (map_index < -1 || map_index > INT32_MAX)
            map_index = INT32_MAX; /* that no instance has */
    } else if (!params_int(request, "map_index", -1, INT32_MAX, &map_index)) {
        return false;
    }
    key.map_index = (int32_t)map_index;
    if (read_task(web->read, &request->arena, &key, ret, &err))
        return true;
    if (err.code == ERR_NOT_FOUND && key.map_index < 0 && is_mapped(web, request, key))
        respond_detail(request, 404, "Task instance is mapped, add the map_index value to the URL");
    else if (err.code == ERR_NOT_FOUND)
        respond_detail(request, 404,
                       "The Task Instance with dag_id: `%s`, run_id: `%s`, task_id: `%s` and "
                       "map_index: `%d` was not found",
                       key.dag_id, key.run_id, key.task_id, key.map_index);
    else
        respond_err(request, &err);
    return false;
}

bool lookup_int(struct request *request, const char *name, int64_t *ret)
{
    if (str_to_int(str_from(route_arg(request, name)), ret))
        return true;
    problem_path(request, name, "int_parsing",
                 "Input should be a valid integer, unable to parse string as an integer");
    return false;
}

bool lookup_attempt(struct web *web, struct request *request, const struct task_view *task,
                    struct attempt_row *ret)
{
    struct attempt_row *attempts = NULL;
    int64_t try_number = 0;
    size_t count = 0;
    struct err err;

    if (!lookup_int(request, "try_number", &try_number))
        return false;
    if (try_number > 0 && !read_attempts(web->read, &request->arena, &task->task, try_number,
                                         &attempts, &count, &err)) {
        respond_err(request, &err);
        return false;
    }
    if (count == 0) {
        respond_detail(request, 404, "TaskInstance not found: there is no try %lld of it",
                       (long long)try_number);
        return false;
    }
    *ret = attempts[0];
    return true;
}

bool lookup_backfill(struct web *web, struct request *request, struct backfill_row *ret)
{
    int64_t id = 0;
    struct err err;

    if (!lookup_int(request, "backfill_id", &id))
        return false;
    if (read_backfill(web->read, &request->arena, id, ret, &err))
        return true;
    if (err.code == ERR_NOT_FOUND)
        respond_detail(request, 404, "Could not find backfill with id %lld", (long long)id);
    else
        respond_err(request, &err);
    return false;
}

bool file_errors_load(struct web *web, struct request *request, struct file_errors *ret,
                      struct err *err)
{
    struct read_page page = {.limit = PARAMS_LIMIT_MAX};
    struct import_error_row *rows = NULL;
    size_t count = 0;
    int64_t total = 0;

    if (!read_import_errors(web->read, &request->arena, NULL, &page, &rows, &count, &total, err))
        return false;
    *ret = (struct file_errors){rows, count};
    return true;
}

bool file_errors_has(const struct file_errors *errors, const char *file)
{
    for (size_t i = 0; i < errors->count; i++)
        if (strcmp(errors->rows[i].file, file) == 0)
            return true;
    return false;
}
