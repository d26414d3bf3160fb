/* Which way a run takes: conditions, and branches that choose among the tasks after them. */
#include "scheduler/core/parts.h"

#include <stdlib.h>
#include <string.h>

/* The tasks that a branch lets go on. */
struct choice {
    const uint32_t *targets; /* of the DAG, or in the turn's arena */
    uint32_t count;
};

static bool holds_task(const uint32_t *tasks, uint32_t count, uint32_t index)
{
    for (uint32_t i = 0; i < count; i++)
        if (tasks[i] == index)
            return true;
    return false;
}

/* Adds the tasks directly downstream that the name stands for; `targets` has room for all. */
static bool choose_one(const struct task *task, const json_t *id, uint32_t *targets,
                       uint32_t *count, struct err *err)
{
    const struct dag_task *spec = task_spec(task);
    struct str text = {json_string_value(id), json_string_length(id)};
    struct dag_span span = dag_find(task->run->dag, text);
    bool found = false;

    if (!json_is_string(id))
        return err_set(err, ERR_TEMPLATE, "output `%s` is neither a task's id nor a list of them",
                       spec->branch->output);
    for (uint32_t i = 0; i < spec->downstream_count; i++) {
        uint32_t index = spec->downstream[i];
        if (index - span.first >= span.count)
            continue;
        found = true;
        if (!holds_task(targets, *count, index))
            targets[(*count)++] = index;
    }
    return found ||
           err_set(err, ERR_TEMPLATE, "`%.*s` is no task or group directly downstream of `%s`",
                   (int)(text.len > 250 ? 250 : text.len), text.ptr, spec->task_id);
}

/* By the task's own output: an id or a list of ids. */
static bool choose_by_output(struct core *core, const struct task *task, struct choice *ret,
                             struct err *err)
{
    const struct dag_task *spec = task_spec(task);
    const json_t *value = json_object_get(task->outputs, spec->branch->output);
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    uint32_t *targets =
        arena_alloc_array(&core->out->arena, spec->downstream_count, sizeof(*targets));

    if (value == NULL)
        return err_set(err, ERR_TEMPLATE, "there is no output `%s`", spec->branch->output);
    if (count > spec->downstream_count)
        return err_set(err, ERR_TEMPLATE, "output `%s` names more tasks than are downstream",
                       spec->branch->output);
    *ret = (struct choice){.targets = targets};
    for (size_t i = 0; i < count; i++)
        if (!choose_one(task, json_is_array(value) ? json_array_get(value, i) : value, targets,
                        &ret->count, err))
            return false;
    return true;
}

/* The first entry that holds; none where no condition is true and there is no else. */
static bool choose(struct core *core, struct task *task, struct choice *ret, struct err *err)
{
    const struct branch *branch = task_spec(task)->branch;

    if (branch->output != NULL)
        return choose_by_output(core, task, ret, err);
    *ret = (struct choice){0};
    for (uint32_t i = 0; i < branch->choice_count; i++) {
        const struct branch_choice *entry = &branch->choices[i];
        struct buf values = {0};
        bool holds = entry->when == NULL;
        bool fine = holds || render_condition(task, entry->when, &holds, &values, err);
        buf_release(&values);
        if (!fine)
            return false;
        if (!holds)
            continue;
        *ret = (struct choice){entry->targets, entry->target_count};
        return true;
    }
    return true;
}

bool flow_branch_is_good(struct core *core, struct task *task, struct err *err)
{
    struct choice ignored;

    return choose(core, task, &ignored, err);
}

/* Chosen, or to be reached through one that is. */
static bool goes_on(const struct task *branch_task, const struct choice *choice, uint32_t index)
{
    const struct dag_task *spec = task_spec(branch_task);

    if (holds_task(choice->targets, choice->count, index))
        return true;
    for (uint32_t i = 0; i < spec->downstream_count; i++) {
        const struct branch_detour *detour = &spec->branch->detours[i];
        if (spec->downstream[i] != index || PLANTED(BRANCH_DETOUR_FORGOTTEN))
            continue;
        for (uint32_t k = 0; k < choice->count; k++)
            if (holds_task(detour->through, detour->count, choice->targets[k]))
                return true;
    }
    return false;
}

static const char *choice_reason(struct core *core, const struct task *branch_task,
                                 const struct choice *choice)
{
    const struct dag *dag = branch_task->run->dag;
    struct buf text = {0};

    buf_printf(&text, "branch: %s chose ", task_spec(branch_task)->task_id);
    for (uint32_t i = 0; i < choice->count; i++)
        buf_printf(&text, "%s%s", i == 0 ? "" : ", ", dag->tasks[choice->targets[i]].task_id);
    if (choice->count == 0)
        buf_add_text(&text, "nothing");
    const char *reason = reason_format(core, "%s", buf_text(&text));
    buf_release(&text);
    return reason;
}

const char *flow_branched_off(struct core *core, const struct task *node)
{
    const struct dag_task *spec = task_spec(node);
    struct run *run = node->run;

    for (uint32_t i = 0; spec->is_after_branch && i < spec->upstream_count; i++) {
        struct task *up = &run->tasks[spec->upstream[i]];
        struct choice choice;
        struct err ignored = {0};
        /* A branch that was marked as successful may not have what it chooses by: then all go on.
         */
        if (task_spec(up)->branch != NULL && up->state == TASK_SUCCESS &&
            choose(core, up, &choice, &ignored) && !goes_on(up, &choice, node->index))
            return choice_reason(core, up, &choice);
    }
    return NULL;
}

/* False: the task does not start, as has been told. */
static bool passes_condition(struct core *core, struct task *node)
{
    const struct condition *when = task_spec(node)->when;
    struct buf values = {0};
    struct err err = {0};
    bool holds = false;

    if (when == NULL || PLANTED(CONDITION_IGNORED))
        return true;
    struct str text = str_trim(condition_text(when));
    if (!render_condition(node, when, &holds, &values, &err))
        task_end_waiting(core, node, TASK_FAILED, reason_format(core, "when: %s", err.message));
    else if (!holds)
        task_end_waiting(core, node, TASK_SKIPPED,
                         values.len == 0 ? reason_format(core, "when: %.*s is false", STR_ARG(text))
                                         : reason_format(core, "when: %.*s is false (%s)",
                                                         STR_ARG(text), buf_text(&values)));
    buf_release(&values);
    return holds;
}

void flow_start(struct core *core, struct task *node)
{
    if (!passes_condition(core, node))
        return;
    if (task_spec(node)->expand != NULL)
        mapping_expand(core, node);
    else
        task_schedule(core, node);
}
