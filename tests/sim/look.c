/* Reading the rows, for the invariants. */
#include "tests/sim/sim.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum slot look_slot(const struct dag_task *spec)
{
    if (spec->class == TASK_CLASS_SHARED)
        return SLOT_IN_SHARED;
    return spec->class == TASK_CLASS_LIGHT ? SLOT_IN_LIGHT : SLOT_OF_ITS_OWN;
}

bool look_was_changed(const struct sim *sim, int64_t run)
{
    for (size_t i = 0; i < sim->changed_count; i++)
        if (sim->changed[i] == run)
            return true;
    return false;
}

size_t look_pool(const struct sim *sim, const char *name)
{
    size_t pool = 0;

    while (strcmp(sim->pools[pool].name, name) != 0)
        pool++;
    return pool;
}

bool look_is_over(const struct attempt_row *row)
{
    return row->state != TASK_QUEUED && row->state != TASK_RUNNING;
}

struct task_row *look_task(const struct stored_run *run, uint32_t task, int32_t map_index)
{
    for (size_t i = task; i < run->task_count && run->tasks[i].task <= task; i++)
        if (run->tasks[i].task == task && run->tasks[i].map_index == map_index)
            return &run->tasks[i];
    return NULL;
}

static bool is_upstream(const struct dag_task *spec, uint32_t task)
{
    for (uint32_t i = 0; i < spec->upstream_count; i++)
        if (spec->upstream[i] == task)
            return true;
    return false;
}

enum naive_verdict look_verdict(const struct stored_run *run, uint32_t task)
{
    const struct dag_task *spec = &run->dag->tasks[task];
    enum task_state few[64] = {TASK_NONE};
    enum task_state *states =
        run->task_count <= 64 ? few : mem_alloc_array(run->task_count, sizeof(*states));
    uint32_t count = 0;

    for (size_t i = 0; i < run->task_count; i++)
        if (is_upstream(spec, run->tasks[i].task))
            states[count++] = run->tasks[i].state;
    enum naive_verdict verdict = naive_rule(spec->trigger_rule, states, count);
    if (states != few)
        free(states);
    return verdict;
}

const struct dag_row *look_dag(const struct sim *sim, const char *dag_id)
{
    for (size_t i = 0; i < sim->rows.dag_row_count; i++)
        if (strcmp(sim->rows.dag_rows[i].dag_id, dag_id) == 0)
            return &sim->rows.dag_rows[i];
    return NULL;
}

const struct dag *look_version(const struct sim *sim, const char *dag_id)
{
    const struct dag_row *row = look_dag(sim, dag_id);

    for (size_t i = 0; row != NULL && i < sim->rows.dag_count; i++)
        if (sim->rows.dag_versions[i] == row->version_id)
            return sim->rows.dags[i];
    return NULL;
}

const struct backfill_row *look_backfill(const struct sim *sim, int64_t id)
{
    for (size_t i = 0; i < sim->rows.backfill_count; i++)
        if (sim->rows.backfills[i].id == id)
            return &sim->rows.backfills[i];
    return NULL;
}
