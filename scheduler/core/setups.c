/* Setups and teardowns: which tasks must not run unless a setup further up has succeeded. Worked
 * out once per DAG version, from the flags and edges. */
#include "base/mem.h"
#include "millrace/dag.h"

#include <stdlib.h>

/* Marks all that can be reached from `start` downstream, or upstream. */
static void reach(const struct dag *dag, uint32_t start, bool down, bool *marks, uint32_t *stack)
{
    uint32_t depth = 0;

    stack[depth++] = start;
    while (depth > 0) {
        const struct dag_task *task = &dag->tasks[stack[--depth]];
        const uint32_t *next = down ? task->downstream : task->upstream;
        uint32_t count = down ? task->downstream_count : task->upstream_count;
        for (uint32_t i = 0; i < count; i++) {
            if (marks[next[i]])
                continue;
            marks[next[i]] = true;
            stack[depth++] = next[i];
        }
    }
}

/* A setup's scope: what is behind it and, where it has teardowns, before one of those. Its direct
 * downstreams are left out: they look at it by their trigger rule anyway. */
static void find_scope(struct dag *dag, uint32_t setup, bool *below, bool *above, uint32_t *stack)
{
    struct dag_task *task = &dag->tasks[setup];
    bool has_teardown = false;
    uint32_t count = 0;

    for (uint32_t i = 0; i < dag->task_count; i++)
        below[i] = above[i] = false;
    reach(dag, setup, true, below, stack);
    for (uint32_t i = 0; i < task->downstream_count; i++) {
        if (!dag->tasks[task->downstream[i]].is_teardown)
            continue;
        has_teardown = true;
        reach(dag, task->downstream[i], false, above, stack);
    }
    for (uint32_t i = 0; i < task->downstream_count; i++)
        below[task->downstream[i]] = false;
    for (uint32_t i = 0; i < dag->task_count; i++)
        if (below[i] && (above[i] || !has_teardown) && !dag->tasks[i].is_teardown)
            stack[count++] = i;
    uint32_t *guarded = arena_alloc_array(&dag->arena, count, sizeof(*guarded));
    for (uint32_t i = 0; i < count; i++) {
        guarded[i] = stack[i];
        dag->tasks[stack[i]].guard_count++;
    }
    task->guarded = guarded;
    task->guarded_count = count;
}

static void derive_past(struct dag *dag)
{
    for (uint32_t i = 0; i < dag->task_count; i++) {
        dag->looks_back = dag->looks_back || dag->tasks[i].depends_on_past;
        dag->waits_for_downstream = dag->waits_for_downstream || dag->tasks[i].wait_for_downstream;
    }
}

void dag_derive(struct dag *dag)
{
    bool has_setups = false;

    derive_past(dag);
    dag->only_teardowns = dag->task_count > 0;
    for (uint32_t i = 0; i < dag->task_count; i++) {
        struct dag_task *task = &dag->tasks[i];
        has_setups = has_setups || task->is_setup;
        if (!task->is_teardown || task->on_failure_fail_dagrun)
            dag->only_teardowns = false;
        for (uint32_t k = 0; k < task->upstream_count; k++)
            task->upstream_setups += dag->tasks[task->upstream[k]].is_setup;
    }
    if (!has_setups)
        return;
    bool *below = mem_alloc_array(dag->task_count, sizeof(*below));
    bool *above = mem_alloc_array(dag->task_count, sizeof(*above));
    uint32_t *stack = mem_alloc_array(dag->task_count, sizeof(*stack));
    for (uint32_t i = 0; i < dag->task_count; i++)
        if (dag->tasks[i].is_setup)
            find_scope(dag, i, below, above, stack);
    free(below);
    free(above);
    free(stack);
}
