#include "millrace/dag.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

struct dag *dag_ref(struct dag *dag)
{
    dag->references++;
    return dag;
}

/* The arena owns all but the JSON values, which are counted by themselves; json_decref() is not
 * const-correct, hence the casts. */
static void release_json(const json_t *value)
{
    json_decref((json_t *)(uintptr_t)value);
}

static void release_callbacks(const struct dag_callbacks *callbacks)
{
    for (enum callback_event event = 0; event < CALLBACK_EVENT_COUNT; event++)
        release_json(callbacks->of[event]);
}

void dag_unref(struct dag *dag)
{
    if (dag == NULL)
        return;
    assert(dag->references > 0);
    if (--dag->references > 0)
        return;
    for (uint32_t i = 0; i < dag->task_count; i++) {
        release_json(dag->tasks[i].options);
        release_json(dag->tasks[i].env);
        release_callbacks(&dag->tasks[i].callbacks);
        release_json(dag->tasks[i].expand);
    }
    release_callbacks(&dag->callbacks);
    for (uint32_t i = 0; i < dag->deadline_count; i++)
        release_json(dag->deadlines[i].callbacks);
    release_json(dag->params);
    release_json(dag->param_types);
    /* The DAG itself may lie in its arena, so that is moved out first. */
    struct arena arena = dag->arena;
    arena_release(&arena);
}

uint32_t dag_find_task(const struct dag *dag, struct str task_id)
{
    for (uint32_t i = 0; i < dag->task_count; i++)
        if (str_is(task_id, dag->tasks[i].task_id))
            return i;
    return UINT32_MAX;
}

struct dag_span dag_find(const struct dag *dag, struct str name)
{
    uint32_t task = dag_find_task(dag, name);

    if (task != UINT32_MAX)
        return (struct dag_span){task, 1};
    for (uint32_t i = 0; i < dag->group_count; i++)
        if (str_is(name, dag->groups[i].group_id))
            return dag->groups[i].tasks;
    return (struct dag_span){0};
}

uint32_t dag_find_task_near(const struct dag *dag, uint32_t place, struct str task_id)
{
    if (place < dag->task_count && str_is(task_id, dag->tasks[place].task_id))
        return place;
    return dag_find_task(dag, task_id);
}
