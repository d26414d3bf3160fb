/* Backfills of only some tasks; setups and teardowns come along with them. Those outside are left
 * as they are: in a new run they are `removed` from the start, in one that is processed again they
 * keep state, tries and outputs. The rules of the tasks inside don't ask for upstreams outside, so
 * that nobody waits for what is not made. */
#include "base/json.h"
#include "base/mem.h"
#include "scheduler/core/backfill_judge.h"
#include "scheduler/core/parts.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* Takes the tasks that a name stands for, of a task or a group or a pattern of tasks' ids, out of
 * those that are outside; returns how many there are. */
static uint32_t take_inside(const struct dag *dag, const char *name, bool *outside)
{
    struct dag_span span = dag_find(dag, str_from(name));
    uint32_t count = span.count;

    for (uint32_t i = 0; i < span.count; i++)
        outside[span.first + i] = false;
    for (uint32_t t = 0; count == 0 && t < dag->task_count; t++) {
        if (fnmatch(name, dag->tasks[t].task_id, 0) != 0)
            continue;
        outside[t] = false;
        span.count++;
    }
    return span.count;
}

/* Adds what can be reached from the tasks that are inside, along one direction. */
static void spread(const struct dag *dag, bool *outside, bool up)
{
    uint32_t *open = mem_alloc_array(dag->task_count, sizeof(*open));
    uint32_t count = 0;

    for (uint32_t i = 0; i < dag->task_count; i++)
        if (!outside[i])
            open[count++] = i;
    while (count > 0) {
        const struct dag_task *task = &dag->tasks[open[--count]];
        const uint32_t *next = up ? task->upstream : task->downstream;
        uint32_t next_count = up ? task->upstream_count : task->downstream_count;
        for (uint32_t k = 0; k < next_count; k++) {
            if (!outside[next[k]])
                continue;
            outside[next[k]] = false;
            open[count++] = next[k];
        }
    }
    free(open);
}

static bool any_inside(const bool *outside, const uint32_t *tasks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!outside[tasks[i]])
            return true;
    return false;
}

/* As clearing does: what is inside brings its setups along, and those their teardowns. Returns how
 * many have been added. */
static uint32_t add_setups(const struct dag *dag, bool *outside)
{
    uint32_t added = 0;
    uint32_t before = 0;

    do {
        before = added;
        for (uint32_t t = 0; t < dag->task_count; t++) {
            const struct dag_task *setup = &dag->tasks[t];
            if (!setup->is_setup ||
                (outside[t] && !any_inside(outside, setup->guarded, setup->guarded_count) &&
                 !any_inside(outside, setup->downstream, setup->downstream_count)))
                continue;
            added += outside[t];
            outside[t] = false;
            for (uint32_t k = 0; k < setup->downstream_count; k++) {
                uint32_t down = setup->downstream[k];
                added += outside[down] && dag->tasks[down].is_teardown;
                outside[down] = outside[down] && !dag->tasks[down].is_teardown;
            }
        }
    } while (added > before);
    return added;
}

uint32_t backfill_select(const struct dag *dag, const char *tasks, bool upstream, bool downstream,
                         bool *outside)
{
    struct err ignored = {0};
    json_t *patterns = tasks == NULL ? NULL : json_parse(str_from(tasks), &ignored);
    bool *downwards = mem_alloc_array(dag->task_count, sizeof(*downwards));
    uint32_t inside = 0;
    size_t i = 0;
    const json_t *pattern = NULL;

    for (uint32_t t = 0; t < dag->task_count; t++)
        outside[t] = tasks != NULL;
    json_array_foreach(patterns, i, pattern)
    {
        (void)take_inside(dag, json_string_value(pattern), outside);
    }
    memcpy(downwards, outside, dag->task_count * sizeof(*downwards));
    if (upstream)
        spread(dag, outside, true);
    if (downstream)
        spread(dag, downwards, false);
    for (uint32_t t = 0; t < dag->task_count; t++) {
        outside[t] = outside[t] && downwards[t];
        inside += !outside[t];
    }
    free(downwards);
    json_decref(patterns);
    return inside + add_setups(dag, outside);
}

static bool name_is_good(const struct dag *dag, const json_t *name, bool *outside, struct err *err)
{
    const char *text = json_string_value(name);

    if (text == NULL || text[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "tasks must be an array of ids of tasks or groups, or patterns");
    return take_inside(dag, text, outside) > 0 ||
           err_set(err, ERR_INVALID, "%s has no task or group '%.200s'", dag->dag_id, text);
}

bool backfill_tasks_are_good(const struct dag *dag, const char *tasks, struct err *err)
{
    json_t *patterns = json_parse(str_from(tasks), err);
    size_t i = 0;
    const json_t *pattern = NULL;
    bool ok = json_is_array(patterns) && json_array_size(patterns) > 0;

    if (!ok)
        err_set(err, ERR_INVALID, "tasks must be an array of ids of tasks or groups, or patterns");
    bool *ignored = mem_alloc_array(dag->task_count, sizeof(*ignored));
    json_array_foreach(patterns, i, pattern) ok = ok && name_is_good(dag, pattern, ignored, err);
    free(ignored);
    json_decref(patterns);
    return ok;
}

void backfill_mark_outside(struct run *run, const struct backfill *backfill)
{
    const struct backfill_row *row = &backfill->row;
    uint32_t count = run->dag->task_count;

    if (row->tasks == NULL || count == 0)
        return;
    bool *outside = mem_alloc_array(count, sizeof(*outside));
    (void)backfill_select(run->dag, row->tasks, row->upstream, row->downstream, outside);
    for (uint32_t t = 0; t < count; t++) {
        if (!outside[t])
            continue;
        tally_expect(&run->tasks[t], -1u);
        run->tasks[t].is_outside = true;
    }
    free(outside);
}

/* Counts a task again as if it had never been outside. */
static void unmark(struct task *node)
{
    uint32_t live = 0;

    node->is_outside = false;
    for (uint32_t i = 0; i < task_instance_count(node); i++)
        live += task_instance(node, i)->state != TASK_REMOVED;
    tally_expect(node, live);
    for (uint32_t i = 0; i < task_instance_count(node); i++)
        tally_spread(node, task_instance(node, i)->state, 1);
}

void backfill_unmark_outside(struct run *run)
{
    for (uint32_t t = 0; t < run->dag->task_count; t++)
        if (run->tasks[t].is_outside)
            unmark(&run->tasks[t]);
}

bool backfill_has_moved(const struct backfill *backfill, const struct known_run *known)
{
    const struct dag *dag = backfill->entry->current;
    const struct backfill_row *row = &backfill->row;
    bool moved = false;

    if (row->tasks == NULL || dag->task_count == 0)
        return false;
    bool *outside = mem_alloc_array(dag->task_count, sizeof(*outside));
    (void)backfill_select(dag, row->tasks, row->upstream, row->downstream, outside);
    for (size_t i = 0; i < known->task_count && !moved; i++) {
        uint32_t place =
            dag_find_task_near(dag, known->tasks[i].task, str_from(known->tasks[i].task_id));
        moved = place != UINT32_MAX && outside[place] && place != known->tasks[i].task;
    }
    free(outside);
    return moved;
}

/* A finished run may have tasks that never came to anything: they are not kept. */
static void find_kept(const struct run *run, const struct known_run *known, bool *keeps)
{
    for (size_t i = 0; i < known->task_count; i++) {
        const struct task_row *old = &known->tasks[i];
        if (old->task < run->dag->task_count && run->tasks[old->task].is_outside)
            keeps[old->task] =
                dag_find_task_near(run->dag, old->task, str_from(old->task_id)) == old->task;
    }
    for (size_t i = 0; i < known->task_count; i++)
        if (known->tasks[i].task < run->dag->task_count &&
            !task_state_is_final(known->tasks[i].state))
            keeps[known->tasks[i].task] = false;
}

const bool *backfill_keep_tasks(struct core *core, struct run *run, const struct known_run *known)
{
    if (run->backfill->row.tasks == NULL || run->dag->task_count == 0)
        return NULL;
    bool *keeps = arena_alloc_array(&core->out->arena, run->dag->task_count, sizeof(*keeps));
    find_kept(run, known, keeps);
    run_keep_tasks(run, known->tasks, known->task_count, keeps);
    run_restore_outputs(run, known->attempts, known->attempt_count);
    return keeps;
}
