/* How many instances of one task may be active at once, in its run and in all runs of its DAG.
 *
 * The ready instances of a task with such a limit wait in a lot, one per run. While there is room
 * the best of a lot, and no other, stands among the run's ready tasks; so a task at its limit hides
 * nobody, and what an end costs follows the number of runs whose instances of that task wait. */
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

bool limits_apply(const struct task *task)
{
    return task_spec(task)->max_active_tis_per_dag > 0 ||
           task_spec(task)->max_active_tis_per_dagrun > 0;
}

static bool waits_before(const struct heap_node *a, const struct heap_node *b)
{
    return ready_is_before(HEAP_ENTRY_CONST(a, struct task, waiting),
                           HEAP_ENTRY_CONST(b, struct task, waiting));
}

static int64_t max_now(const struct dag_entry *entry, const char *task_id)
{
    uint32_t task =
        entry->current == NULL ? UINT32_MAX : dag_find_task(entry->current, str_from(task_id));

    return task == UINT32_MAX ? 0 : entry->current->tasks[task].max_active_tis_per_dag;
}

static struct task_limit *find_limit(const struct run *run, const struct dag_task *spec)
{
    struct dag_entry *entry = run->entry;
    struct task_limit *limit = NULL;

    if (spec->max_active_tis_per_dag == 0)
        return NULL;
    HASH_FIND_STR(entry->limits, spec->task_id, limit);
    if (limit == NULL) {
        limit = mem_alloc(sizeof(*limit));
        limit->task_id = mem_strdup(spec->task_id);
        limit->max = max_now(entry, limit->task_id);
        HASH_ADD_KEYPTR(hh, entry->limits, limit->task_id, strlen(limit->task_id), limit);
    }
    return limit;
}

/* How many there may be the DAG's current version says, or else the run's own. */
static int64_t most(const struct task_lot *lot)
{
    return lot->limit->max > 0 ? lot->limit->max : lot->max_of_dag;
}

static bool has_room(const struct task_lot *lot)
{
    return (lot->limit == NULL || lot->limit->active < most(lot)) &&
           (lot->max == 0 || lot->active < lot->max);
}

/* Puts the lot's best task among the run's ready ones, or takes it out, as it should be now. */
static void place(struct core *core, struct task_lot *lot)
{
    struct heap_node *top = heap_top(&lot->tasks);
    struct task *best =
        top == NULL || !has_room(lot) ? NULL : HEAP_ENTRY(top, struct task, waiting);

    if (lot->scout == best)
        return;
    if (lot->scout != NULL)
        ready_dequeue(lot->scout);
    lot->scout = best;
    if (best != NULL)
        ready_enqueue(core, best);
}

/* All that wait for the limit, as there is room now or no longer. */
static void place_all(struct core *core, struct task_limit *limit)
{
    struct task_lot *next = NULL;

    for (struct task_lot *lot = limit->lots; lot != NULL; lot = next) {
        next = lot->next;
        place(core, lot);
    }
}

static struct task_lot *find_lot(struct task *task)
{
    struct run *run = task->run;

    if (run->lots == NULL)
        run->lots = mem_alloc_array(run->dag->task_count, sizeof(struct task_lot *));
    struct task_lot *lot = run->lots[task->index];
    if (lot != NULL)
        return lot;
    lot = mem_alloc(sizeof(*lot));
    lot->tasks.before = waits_before;
    lot->max = task_spec(task)->max_active_tis_per_dagrun;
    lot->max_of_dag = task_spec(task)->max_active_tis_per_dag;
    lot->limit = find_limit(run, task_spec(task));
    run->lots[task->index] = lot;
    return lot;
}

static void list(struct task_lot *lot)
{
    bool belongs = lot->limit != NULL && lot->tasks.count > 0;

    if (belongs && !lot->is_listed)
        DL_APPEND(lot->limit->lots, lot);
    else if (!belongs && lot->is_listed)
        DL_DELETE(lot->limit->lots, lot);
    lot->is_listed = belongs;
}

void limits_version_changed(struct core *core, struct dag_entry *entry)
{
    for (struct task_limit *limit = entry->limits; limit != NULL; limit = limit->hh.next) {
        limit->max = max_now(entry, limit->task_id);
        place_all(core, limit);
    }
}

void limits_push(struct core *core, struct task *task)
{
    struct task_lot *lot = find_lot(task);

    heap_push(&lot->tasks, &task->waiting);
    list(lot);
    place(core, lot);
}

void limits_remove(struct core *core, struct task *task)
{
    struct task_lot *lot = find_lot(task);

    heap_remove(&lot->tasks, &task->waiting);
    list(lot);
    place(core, lot);
}

void limits_taken(struct task *task)
{
    struct task_lot *lot = find_lot(task);

    heap_remove(&lot->tasks, &task->waiting);
    lot->scout = NULL;
    list(lot);
}

void limits_count(struct core *core, struct task *task, int64_t by)
{
    if (by == 0 || !limits_apply(task))
        return;
    struct task_lot *lot = find_lot(task);
    struct task_limit *limit = lot->limit;
    bool had_room = limit == NULL || limit->active < limit->max;
    lot->active += by;
    if (limit != NULL)
        limit->active += by;
    place(core, lot);
    /* Without a number of the current version each run may have another one. */
    if (limit != NULL && (limit->max == 0 || had_room != (limit->active < limit->max)))
        place_all(core, limit);
}

const char *limits_why(struct core *core, const struct task *task)
{
    const struct task_lot *lot = task->run->lots == NULL ? NULL : task->run->lots[task->index];

    if (lot == NULL || has_room(lot))
        return NULL;
    if (lot->limit != NULL && lot->limit->active >= most(lot))
        return reason_format(core, "max_active_tis_per_dag: %lld/%lld",
                             (long long)lot->limit->active, (long long)most(lot));
    return reason_format(core, "max_active_tis_per_dagrun: %lld/%lld", (long long)lot->active,
                         (long long)lot->max);
}

void limits_release(struct run *run)
{
    for (uint32_t i = 0; run->lots != NULL && i < run->dag->task_count; i++) {
        struct task_lot *lot = run->lots[i];
        if (lot == NULL)
            continue;
        if (lot->is_listed)
            DL_DELETE(lot->limit->lots, lot);
        heap_release(&lot->tasks);
        free(lot);
    }
    free(run->lots);
    run->lots = NULL;
}

void limits_free(struct dag_entry *entry)
{
    while (entry->limits != NULL) {
        struct task_limit *limit = entry->limits;
        HASH_DEL(entry->limits, limit);
        free(limit->task_id);
        free(limit);
    }
}
