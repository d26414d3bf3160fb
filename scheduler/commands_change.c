/* The commands that change runs and task instances from outside. */
#include "base/json.h"
#include "scheduler/command_reader.h"

static bool read_runs(struct reader *reader, struct event_change *change)
{
    struct run_choice *which = &change->which;

    change->by = triggered_by_name(TRIGGERED_BY_REST_API);
    return read_id(reader, "dag_id", true, &change->dag_id) &&
           read_id(reader, "run_id", false, &which->run_id) &&
           read_time(reader, "from", &which->from_us) && read_time(reader, "to", &which->to_us) &&
           read_bool(reader, "include_past", &which->include_past) &&
           read_bool(reader, "include_future", &which->include_future) &&
           read_id(reader, "by", false, &change->by) && read_string(reader, "note", &change->note);
}

/* "task" or ["task", index]. */
static bool read_task_name(const json_t *value, struct task_name *ret)
{
    const json_t *name = json_is_array(value) ? json_array_get(value, 0) : value;
    const json_t *index = json_array_get(value, 1);

    ret->task_id = json_string_value(name);
    ret->map_index = CHOICE_EVERY_INDEX;
    if (ret->task_id == NULL || !str_is_id(str_from(ret->task_id)))
        return false;
    if (!json_is_array(value))
        return true;
    if (json_array_size(value) != 2 || !json_is_integer(index) || json_integer_value(index) < -1 ||
        json_integer_value(index) > INT32_MAX)
        return false;
    ret->map_index = (int32_t)json_integer_value(index);
    return true;
}

static bool read_tasks(struct reader *reader, struct event_change *change)
{
    const json_t *list = json_object_get(reader->document, "tasks");
    struct task_choice *choice = &change->tasks;

    if (list != NULL && !json_is_null(list)) {
        if (!json_is_array(list) || json_array_size(list) == 0)
            return bad(reader, "tasks", "a list of at least one task");
        choice->count = json_array_size(list);
        struct task_name *names =
            arena_alloc_array(&reader->scheduler->turn_arena, choice->count, sizeof(*names));
        for (size_t i = 0; i < choice->count; i++)
            if (!read_task_name(json_array_get(list, i), &names[i]))
                return bad(reader, "tasks", "a list of task ids or [task id, map index]");
        choice->names = names;
    }
    return read_bool(reader, "upstream", &choice->upstream) &&
           read_bool(reader, "downstream", &choice->downstream) &&
           read_bool(reader, "only_failed", &choice->only_failed) &&
           read_bool(reader, "only_running", &choice->only_running);
}

bool read_clear(struct reader *reader, struct event *event)
{
    struct event_change *change = &event->as.change;

    event->kind = EVENT_CLEAR;
    return read_runs(reader, change) && read_tasks(reader, change) &&
           read_bool(reader, "keep_runs", &change->keep_runs) &&
           read_bool(reader, "on_latest_version", &change->on_latest_version) &&
           read_bool(reader, "force", &change->is_forced) &&
           read_bool(reader, "refuse_running", &change->refuse_running);
}

bool read_mark_tasks(struct reader *reader, struct event *event)
{
    struct event_change *change = &event->as.change;
    const char *state = NULL;

    event->kind = EVENT_MARK_TASKS;
    if (!read_runs(reader, change) || !read_tasks(reader, change) ||
        !read_bool(reader, "cancel", &change->is_cancel) || !read_string(reader, "state", &state))
        return false;
    if (change->which.run_id == NULL)
        return bad(reader, "run_id", "given");
    if (change->is_cancel)
        state = task_state_name(TASK_FAILED);
    if (state == NULL || !task_state_parse(str_from(state), &change->task_state) ||
        (change->task_state != TASK_SUCCESS && change->task_state != TASK_FAILED &&
         change->task_state != TASK_SKIPPED))
        return bad(reader, "state", "success, failed or skipped");
    return true;
}

bool read_mark_run(struct reader *reader, struct event *event)
{
    struct event_change *change = &event->as.change;
    const char *state = NULL;

    event->kind = EVENT_MARK_RUN;
    if (!read_runs(reader, change) || !read_bool(reader, "cancel", &change->is_cancel) ||
        !read_string(reader, "state", &state))
        return false;
    if (change->which.run_id == NULL)
        return bad(reader, "run_id", "given");
    if (change->is_cancel)
        state = run_state_name(RUN_FAILED);
    change->has_run_state = state != NULL;
    if (state != NULL &&
        (!run_state_parse(str_from(state), &change->run_state) || change->run_state == RUN_RUNNING))
        return bad(reader, "state", "queued, success or failed");
    return true;
}

bool read_why(struct reader *reader, struct event *event)
{
    event->kind = EVENT_WHY;
    return read_int(reader, "run", &event->as.why.run);
}
