/* Changes of runs and task instances from outside: clear, mark, cancel. */
#include "web/handlers.h"

#include "base/json.h"
#include "web/body.h"
#include "web/changes.h"
#include "web/link.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/problem.h"
#include "web/route.h"
#include "web/view.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const run_states[] = {"queued", "success", "failed", NULL};
static const char *const task_states[] = {"success", "failed", "skipped", NULL};

/* ---- answers ---- */

static void tasks_done(struct web *web, struct request *request, const struct link_answer *answer)
{
    if (answer->err.code != ERR_NONE)
        respond_err(request, &answer->err);
    else
        changes_answer_again(web, request, request->context);
}

static void run_done(struct web *web, struct request *request, const struct link_answer *answer)
{
    struct run_view run = {0};

    if (answer->err.code != ERR_NONE) {
        respond_err(request, &answer->err);
        return;
    }
    if (!lookup_run(web, request, &run))
        return;
    struct jw w = {.out = respond_json(request, 200)};
    view_run(&w, &run);
}

/* Lists what is concerned, and sends the command unless this is a dry run; takes the command. */
static void carry_out(struct web *web, struct request *request, struct change_plan *plan,
                      json_t *command, bool dry_run)
{
    struct dag_row dag = {0};

    if (!lookup_dag(web, request, &dag) || !changes_plan(web, request, plan)) {
        json_decref(command);
        return;
    }
    if (dry_run) {
        json_decref(command);
        changes_answer(web, request, plan);
        return;
    }
    request->context = plan;
    link_command(web->link, request, command, tasks_done);
}

static struct change_plan *new_plan(struct request *request, enum change_kind kind)
{
    struct change_plan *plan = arena_alloc(&request->arena, sizeof(*plan));

    plan->kind = kind;
    plan->dag_id = route_arg(request, "dag_id");
    return plan;
}

static const char *keep(struct request *request, const json_t *body, const char *name)
{
    return arena_strdup(&request->arena, json_get_string(body, name, NULL));
}

/* ---- clear ---- */

/* "task" or ["task", map index]; false after telling what is wrong. */
static bool read_names(struct request *request, const json_t *body, struct task_choice *choice)
{
    const json_t *list = json_object_get(body, "task_ids");
    struct problems problems = {.request = request};

    if (list == NULL || json_is_null(list))
        return true;
    struct task_name *names =
        arena_alloc_array(&request->arena, json_array_size(list), sizeof(*names));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *name = json_is_array(item) ? json_array_get(item, 0) : item;
        const json_t *index = json_array_get(item, 1);
        bool ok = json_is_string(name) && str_is_id(str_from(json_string_value(name))) &&
                  (!json_is_array(item) ||
                   (json_array_size(item) == 2 && json_is_integer(index) &&
                    json_integer_value(index) >= -1 && json_integer_value(index) <= INT32_MAX));
        if (!ok) {
            problem_body(&problems, "task_ids", "value_error",
                         "Input should be task ids, or [task id, map index]", item);
            problem_end(&problems);
            return false;
        }
        names[i].task_id = arena_strdup(&request->arena, json_string_value(name));
        names[i].map_index =
            json_is_array(item) ? (int32_t)json_integer_value(index) : CHOICE_EVERY_INDEX;
    }
    if (json_array_size(list) == 0) {
        problem_body(&problems, "task_ids", "too_short",
                     "List should have at least 1 item after validation, not 0", list);
        problem_end(&problems);
        return false;
    }
    choice->names = names;
    choice->count = json_array_size(list);
    return true;
}

/* The rules that concern more than one field. */
static bool check_clear(struct request *request, const json_t *body)
{
    struct problems problems = {.request = request};
    bool has_run = json_get_string(body, "dag_run_id", NULL) != NULL;
    bool has_range = body_time(body, "start_date") != 0 || body_time(body, "end_date") != 0;
    bool widens =
        json_get_bool(body, "include_past", false) || json_get_bool(body, "include_future", false);

    if (has_run && has_range)
        problem_body(&problems, NULL, "value_error",
                     "Value error, Exactly one of dag_run_id or (start_date or end_date) must be "
                     "provided",
                     NULL);
    else if (!has_run && widens)
        problem_body(&problems, NULL, "value_error",
                     "Value error, dag_run_id is required when include_past or include_future is "
                     "set to true",
                     NULL);
    else if (body_time(body, "start_date") != 0 && body_time(body, "end_date") != 0 &&
             body_time(body, "start_date") > body_time(body, "end_date"))
        problem_body(&problems, "end_date", "value_error",
                     "Value error, end_date must not be before start_date", NULL);
    if (problems.count > 0)
        problem_end(&problems);
    return problems.count == 0;
}

static json_t *clear_command(const struct change_plan *plan, const json_t *body)
{
    json_t *command = changes_command("clear", plan);

    (void)json_object_set_new(command, "keep_runs",
                              json_boolean(!json_get_bool(body, "reset_dag_runs", true)));
    (void)json_object_set_new(command, "on_latest_version",
                              json_boolean(json_get_bool(body, "run_on_latest_version", false)));
    (void)json_object_set_new(command, "refuse_running", json_boolean(plan->refuse_running));
    (void)json_object_set_new(command, "force", json_boolean(json_get_bool(body, "force", false)));
    return command;
}

void handle_tasks_clear(struct web *web, struct request *request)
{
    static const struct field fields[] = {
        {.name = "dry_run",        .type = FIELD_BOOL     },
        {.name = "start_date",     .type = FIELD_TIME,      .flags = FIELD_NULLABLE},
        {.name = "end_date",                        .type = FIELD_TIME,                              .flags = FIELD_NULLABLE},
        {.name = "only_failed", .type = FIELD_BOOL},
        {.name = "only_running",      .type = FIELD_BOOL                                  },
        {.name = "reset_dag_runs", .type = FIELD_BOOL},
        {.name = "task_ids",      .type = FIELD_LIST,                                        .flags = FIELD_NULLABLE},
        {.name = "dag_run_id", .type = FIELD_STRING,.flags = FIELD_NULLABLE | FIELD_ID},
        {.name = "include_upstream",     .type = FIELD_BOOL       },
        {.name = "include_downstream",                        .type = FIELD_BOOL                     },
        {.name = "include_future",                        .type = FIELD_BOOL            },
        {.name = "include_past",                        .type = FIELD_BOOL  },
        {.name = "run_on_latest_version",                        .type = FIELD_BOOL             },
        {.name = "prevent_running_task",                        .type = FIELD_BOOL              },
        {.name = "force",                        .type = FIELD_BOOL    },
    };
    struct change_plan *plan = new_plan(request, CHANGE_CLEAR);

    json_t *body = body_check(request, fields, COUNT(fields));
    if (body == NULL)
        return;
    plan->which.run_id = keep(request, body, "dag_run_id");
    plan->which.from_us = body_time(body, "start_date");
    plan->which.to_us = body_time(body, "end_date");
    plan->which.include_past = json_get_bool(body, "include_past", false);
    plan->which.include_future = json_get_bool(body, "include_future", false);
    plan->tasks.upstream = json_get_bool(body, "include_upstream", false);
    plan->tasks.downstream = json_get_bool(body, "include_downstream", false);
    plan->tasks.only_failed = json_get_bool(body, "only_failed", true);
    plan->tasks.only_running = json_get_bool(body, "only_running", false);
    plan->refuse_running = json_get_bool(body, "prevent_running_task", false);
    if (check_clear(request, body) && read_names(request, body, &plan->tasks))
        carry_out(web, request, plan, clear_command(plan, body),
                  json_get_bool(body, "dry_run", true));
    json_decref(body);
}

void handle_run_clear(struct web *web, struct request *request)
{
    static const struct field fields[] = {
        {.name = "dry_run",               .type = FIELD_BOOL},
        {.name = "only_failed",           .type = FIELD_BOOL},
        {.name = "run_on_latest_version", .type = FIELD_BOOL},
        {.name = "force",                 .type = FIELD_BOOL},
    };
    struct change_plan *plan = new_plan(request, CHANGE_CLEAR);

    json_t *body = body_check(request, fields, COUNT(fields));
    if (body == NULL)
        return;
    plan->which.run_id = route_arg(request, "dag_run_id");
    plan->tasks.only_failed = json_get_bool(body, "only_failed", false);
    json_t *command = clear_command(plan, body);
    bool dry_run = json_get_bool(body, "dry_run", true);
    json_decref(body);
    if (dry_run)
        carry_out(web, request, plan, command, true);
    else if (changes_plan(web, request, plan))
        link_command(web->link, request, command, run_done);
    else
        json_decref(command);
}

/* ---- mark ---- */

/* update_mask names the members of the body that are meant. */
static bool mask_has(const struct request *request, const char *name)
{
    bool any = false;

    for (size_t i = 0; i < request->target.param_count; i++) {
        if (strcmp(request->target.params[i].name, "update_mask") != 0)
            continue;
        any = true;
        if (strcmp(request->target.params[i].value, name) == 0)
            return true;
    }
    return !any;
}

static bool check_mask(struct request *request, const char *const *names)
{
    for (size_t i = 0; i < request->target.param_count; i++) {
        const struct http_param *param = &request->target.params[i];
        bool known = strcmp(param->name, "update_mask") != 0;
        for (size_t k = 0; !known && names[k] != NULL; k++)
            known = strcmp(param->value, names[k]) == 0;
        if (!known) {
            respond_detail(request, 400, "'%.100s' is not a field that can be updated",
                           param->value);
            return false;
        }
    }
    return true;
}

void handle_run_patch(struct web *web, struct request *request)
{
    static const struct field fields[] = {
        {.name = "state", .type = FIELD_CHOICE, .flags = FIELD_NULLABLE, .choices = run_states},
        {.name = "note",  .type = FIELD_STRING, .flags = FIELD_NULLABLE, .max = 1000          },
    };
    static const char *const names[] = {"state", "note", NULL};
    struct run_view run = {0};

    if (!check_mask(request, names))
        return;
    json_t *body = body_check(request, fields, COUNT(fields));
    if (body == NULL)
        return;
    const char *state = mask_has(request, "state") ? json_get_string(body, "state", NULL) : NULL;
    const char *note = mask_has(request, "note") ? json_get_string(body, "note", NULL) : NULL;
    if (!lookup_run(web, request, &run)) {
        json_decref(body);
        return;
    }
    struct change_plan plan = {.dag_id = route_arg(request, "dag_id"),
                               .which.run_id = route_arg(request, "dag_run_id")};
    json_t *command = changes_command("mark_run", &plan);
    if (state != NULL)
        (void)json_object_set_new(command, "state", json_string(state));
    if (note != NULL)
        (void)json_object_set_new(command, "note", json_string(note));
    json_decref(body);
    link_command(web->link, request, command, run_done);
}

/* The index of the path or of ?map_index, else all. */
static bool read_map_index(struct request *request, const char *in_path, int32_t *ret)
{
    int64_t map_index = CHOICE_EVERY_INDEX;

    if (in_path == NULL && request_param(request, "map_index") == NULL) {
        *ret = CHOICE_EVERY_INDEX;
        return true;
    }
    if (in_path != NULL ? !lookup_int(request, "map_index", &map_index)
                        : !params_int(request, "map_index", -1, INT32_MAX, &map_index))
        return false;
    *ret = (int32_t)map_index;
    return true;
}

static bool plan_task(struct request *request, struct change_plan *plan)
{
    struct task_name *name = arena_alloc(&request->arena, sizeof(*name));

    name->task_id = route_arg(request, "task_id");
    if (!read_map_index(request, route_arg(request, "map_index"), &name->map_index))
        return false;
    plan->which.run_id = route_arg(request, "dag_run_id");
    plan->tasks.names = name;
    plan->tasks.count = 1;
    return true;
}

static void mark_task(struct web *web, struct request *request, bool dry_run)
{
    static const struct field fields[] = {
        {.name = "new_state",
         .type = FIELD_CHOICE,
         .flags = FIELD_NULLABLE,
         .choices = task_states},
        {.name = "note", .type = FIELD_STRING,                       .flags = FIELD_NULLABLE, .max = 1000},
        {.name = "include_upstream",  .type = FIELD_BOOL},
        {.name = "include_downstream",                      .type = FIELD_BOOL                  },
        {.name = "include_future",                      .type = FIELD_BOOL                                      },
        {.name = "include_past",                      .type = FIELD_BOOL  },
    };
    static const char *const names[] = {"new_state", "note", NULL};
    struct change_plan *plan = new_plan(request, CHANGE_MARK);

    if (!check_mask(request, names))
        return;
    json_t *body = body_check(request, fields, COUNT(fields));
    if (body == NULL)
        return;
    const char *state = json_get_string(body, "new_state", NULL);
    if (state == NULL || !mask_has(request, "new_state")) {
        respond_detail(request, 400, "new_state is needed: notes of task instances are not kept");
    } else if (plan_task(request, plan)) {
        plan->which.include_past = json_get_bool(body, "include_past", false);
        plan->which.include_future = json_get_bool(body, "include_future", false);
        plan->tasks.upstream = json_get_bool(body, "include_upstream", false);
        plan->tasks.downstream = json_get_bool(body, "include_downstream", false);
        (void)task_state_parse(str_from(state), &plan->task_state);
        json_t *command = changes_command("mark_tasks", plan);
        (void)json_object_set_new(command, "state", json_string(state));
        carry_out(web, request, plan, command, dry_run);
    }
    json_decref(body);
}

void handle_task_patch(struct web *web, struct request *request)
{
    mark_task(web, request, false);
}

void handle_task_patch_dry_run(struct web *web, struct request *request)
{
    mark_task(web, request, true);
}

/* ---- cancel ---- */

void handle_run_cancel(struct web *web, struct request *request)
{
    struct run_view run = {0};

    if (!lookup_run(web, request, &run))
        return;
    struct change_plan plan = {.dag_id = route_arg(request, "dag_id"),
                               .which.run_id = route_arg(request, "dag_run_id")};
    json_t *command = changes_command("mark_run", &plan);
    (void)json_object_set_new(command, "cancel", json_true());
    link_command(web->link, request, command, run_done);
}

void handle_task_cancel(struct web *web, struct request *request)
{
    struct change_plan *plan = new_plan(request, CHANGE_MARK);

    plan->task_state = TASK_FAILED;
    if (!plan_task(request, plan))
        return;
    json_t *command = changes_command("mark_tasks", plan);
    (void)json_object_set_new(command, "cancel", json_true());
    carry_out(web, request, plan, command, false);
}
