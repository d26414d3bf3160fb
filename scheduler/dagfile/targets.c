/* What the tasks of one DAG publish: each its own dataset, or partition of one. */
#include "base/mem.h"
#include "scheduler/dagfile/builder.h"

#include <stdlib.h>

/* The first task that publishes a target. */
struct publisher {
    uint32_t task;
    UT_hash_handle hh;
};

static struct str without_slashes(struct str target)
{
    while (target.len > 1 && target.ptr[target.len - 1] == '/')
        target.len--;
    return target;
}

/* Whether one of the two is made for the other's failure: it comes after it, whatever became of it,
 * and may publish the same in its stead. */
static bool is_fallback(struct dag_builder *b, uint32_t task, uint32_t other)
{
    return b->dag->tasks[task].trigger_rule != TRIGGER_RULE_ALL_SUCCESS &&
           graph_is_ancestor(b, task, other);
}

static void check_target(struct dag_builder *b, uint32_t task, const struct node *target,
                         struct publisher *own, struct publisher **by_target)
{
    struct str key = without_slashes(target->text);
    struct publisher *first = NULL;

    if (key.len == 0) {
        diag_add(b->diags, MR(TARGET), target->at, "write the dataset's path, such as lake/events",
                 "`target` is empty");
        return;
    }
    HASH_FIND(hh, *by_target, key.ptr, key.len, first);
    if (first == NULL) {
        own->task = task;
        HASH_ADD_KEYPTR(hh, *by_target, key.ptr, key.len, own);
        return;
    }
    if (is_fallback(b, task, first->task) || is_fallback(b, first->task, task))
        return;
    diag_add(b->diags, MR(TARGET), target->at, "give each its own dataset, or its own partition",
             "task `%s` publishes what task `%s` (line %u) publishes, too: one would replace the "
             "other's data",
             b->dag->tasks[task].task_id, b->dag->tasks[first->task].task_id,
             b->dag->tasks[first->task].line);
}

void targets_check(struct dag_builder *b)
{
    struct publisher *publishers = mem_alloc_array(b->dag->task_count, sizeof(*publishers));
    struct publisher *by_target = NULL;

    for (uint32_t i = 0; i < b->dag->task_count && b->diags->error_count < DIAGS_MAX; i++) {
        const struct dag_task *task = &b->dag->tasks[i];
        const struct node *target = node_get(node_get(b->sources[i].node, "with"), "target");
        if (task->kind != NULL && option_find(task->kind->options, STR("target")) != NULL &&
            target != NULL && target->kind == NODE_STRING)
            check_target(b, i, target, &publishers[i], &by_target);
    }
    HASH_CLEAR(hh, by_target);
    free(publishers);
}
