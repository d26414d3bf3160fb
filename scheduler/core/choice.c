#include "millrace/choice.h"

#include <string.h>

static void spread(const struct dag *dag, bool *chosen, bool up)
{
    struct arena arena = {0};
    uint32_t *stack = arena_alloc_array(&arena, dag->task_count, sizeof(*stack));
    bool *reached = arena_alloc_array(&arena, dag->task_count, sizeof(*reached));
    uint32_t count = 0;

    for (uint32_t i = 0; i < dag->task_count; i++) {
        if (chosen[i])
            stack[count++] = i;
        reached[i] = chosen[i];
    }
    while (count > 0) {
        const struct dag_task *task = &dag->tasks[stack[--count]];
        const uint32_t *next = up ? task->upstream : task->downstream;
        uint32_t next_count = up ? task->upstream_count : task->downstream_count;
        for (uint32_t i = 0; i < next_count; i++) {
            if (reached[next[i]])
                continue;
            reached[next[i]] = true;
            stack[count++] = next[i];
        }
    }
    memcpy(chosen, reached, dag->task_count * sizeof(*chosen));
    arena_release(&arena);
}

/* A group has no instances of its own: by an index only a task can be named. */
static struct dag_span find(const struct dag *dag, const struct task_name *name)
{
    if (name->map_index == CHOICE_EVERY_INDEX)
        return dag_find(dag, str_from(name->task_id));
    uint32_t task = dag_find_task(dag, str_from(name->task_id));
    return task == UINT32_MAX ? (struct dag_span){0} : (struct dag_span){task, 1};
}

const bool *choice_tasks(const struct dag *dag, const struct task_choice *choice,
                         struct arena *arena)
{
    bool *named = arena_alloc_array(arena, dag->task_count, sizeof(*named));
    bool *below = arena_alloc_array(arena, dag->task_count, sizeof(*below));

    for (uint32_t i = 0; choice->names == NULL && i < dag->task_count; i++)
        named[i] = true;
    for (size_t i = 0; i < choice->count; i++) {
        struct dag_span span = find(dag, &choice->names[i]);
        for (uint32_t k = 0; k < span.count; k++)
            named[span.first + k] = true;
    }
    if (choice->names == NULL || dag->task_count == 0)
        return named;
    /* Up and down from the named ones only: not down again from what is upstream. */
    memcpy(below, named, dag->task_count * sizeof(*below));
    if (choice->upstream)
        spread(dag, named, true);
    if (choice->downstream)
        spread(dag, below, false);
    for (uint32_t i = 0; i < dag->task_count; i++)
        named[i] = named[i] || below[i];
    return named;
}

bool choice_fits(const struct dag *dag, const struct task_choice *choice)
{
    for (size_t i = 0; i < choice->count; i++)
        if (find(dag, &choice->names[i]).count > 0)
            return true;
    return choice->names == NULL;
}

/* A named task is chosen with the indices it is named with; one that is reached from another or
 * named by its group, with all. */
static bool takes_index(const struct task_choice *choice, const struct task_row *row,
                        const char *task_id)
{
    bool is_named = false;

    for (size_t i = 0; i < choice->count; i++) {
        const struct task_name *name = &choice->names[i];
        if (strcmp(name->task_id, task_id) != 0)
            continue;
        if (name->map_index == CHOICE_EVERY_INDEX || name->map_index == row->map_index)
            return true;
        is_named = true;
    }
    return !is_named;
}

bool choice_takes(const struct task_choice *choice, const struct dag *dag, const bool *chosen,
                  const struct task_row *row)
{
    enum task_state state = row->state;

    if (row->task >= dag->task_count || !chosen[row->task] || state == TASK_REMOVED ||
        !takes_index(choice, row, dag->tasks[row->task].task_id))
        return false;
    if (!choice->only_failed && !choice->only_running)
        return true;
    return (choice->only_failed && task_state_is_failed(state)) ||
           (choice->only_running && (state == TASK_QUEUED || state == TASK_RUNNING));
}

bool choice_can_clear(enum task_state state)
{
    return state != TASK_NONE && state != TASK_REMOVED && state != TASK_RESTARTING;
}
