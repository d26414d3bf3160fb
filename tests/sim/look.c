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

static bool is_told(const struct sim *sim, const struct task_row *row, size_t told)
{
    for (size_t i = told; i < sim->ended_count; i++)
        if (sim->ended[i].run == row->run && sim->ended[i].task == row->task &&
            sim->ended[i].map_index == row->map_index)
            return false;
    return true;
}

void look_note_end(struct sim *sim, const struct task_row *row)
{
    if (sim->ended_count == sim->ended_capacity) {
        sim->ended_capacity = mem_grow(sim->ended_capacity, sim->ended_count + 1);
        sim->ended = mem_resize_array(sim->ended, sim->ended_capacity, sizeof(*sim->ended));
    }
    sim->ended[sim->ended_count++] = (struct ended){row->run, row->task, row->map_index};
}

static enum naive_verdict verdict_of_rule(const struct sim *sim, const struct stored_run *run,
                                          uint32_t task, size_t told)
{
    const struct dag_task *spec = &run->dag->tasks[task];
    enum task_state few[64] = {TASK_NONE};
    enum task_state *states =
        run->task_count <= 64 ? few : mem_alloc_array(run->task_count, sizeof(*states));
    uint32_t count = 0;

    for (size_t i = 0; i < run->task_count; i++)
        if (is_upstream(spec, run->tasks[i].task))
            states[count++] = is_told(sim, &run->tasks[i], told) ? run->tasks[i].state : TASK_NONE;
    enum naive_verdict verdict = naive_rule(spec->trigger_rule, states, count);
    if (states != few)
        free(states);
    return verdict;
}

/* --- outputs --------------------------------------------------------------------------------- */

struct tries *look_tries(struct sim *sim, int64_t run, uint32_t task, int32_t map_index)
{
    struct tries *tries = NULL;
    struct tries probe = {
        .key = {run, task, map_index}
    };

    HASH_FIND(hh, sim->tries, &probe.key, sizeof(probe.key), tries);
    if (tries != NULL)
        return tries;
    tries = arena_alloc(&sim->arena, sizeof(*tries));
    tries->key = probe.key;
    HASH_ADD(hh, sim->tries, key, sizeof(tries->key), tries);
    return tries;
}

/* A run, for naive.h. */
struct view {
    struct sim *sim;
    const struct stored_run *run;
    uint32_t task; /* whose outputs are these, whatever the rows say; UINT32_MAX = none */
    const char *outputs;
};

/* Those of the try that it has succeeded with, if that was made since it was last cleared. */
static const char *outputs_of(const struct view *view, const struct task_row *row)
{
    const struct tries *tries = look_tries(view->sim, row->run, row->task, row->map_index);

    return row->state == TASK_SUCCESS && row->queued_at_us != 0 &&
                   tries->outputs_try == row->try_number
               ? tries->outputs
               : NULL;
}

static struct naive_output view_output(void *context, uint32_t task)
{
    const struct view *view = context;
    struct naive_output output = {NAIVE_MISSING, NULL, 0};

    if (task == view->task)
        return (struct naive_output){view->outputs == NULL ? NAIVE_MISSING : NAIVE_ONE,
                                     view->outputs, 0};
    for (size_t i = task; i < view->run->task_count && view->run->tasks[i].task <= task; i++) {
        const struct task_row *row = &view->run->tasks[i];
        if (row->task != task)
            continue;
        const char *text = outputs_of(view, row);
        if (row->map_index < 0)
            return (struct naive_output){text == NULL ? NAIVE_MISSING : NAIVE_ONE, text, 0};
        output.kind = NAIVE_MANY;
        output.count += text != NULL;
    }
    return output;
}

static bool view_has_succeeded(void *context, uint32_t task)
{
    const struct view *view = context;
    const struct task_row *row = look_task(view->run, task, -1);

    return row != NULL && row->state == TASK_SUCCESS;
}

static struct naive_run naive_run_of(struct view *view)
{
    return (struct naive_run){view->run->dag, view->run->row.conf, view, view_output,
                              view_has_succeeded};
}

struct look_fate look_fate(struct sim *sim, const struct stored_run *run, uint32_t task)
{
    return look_fate_then(sim, run, task, SIZE_MAX);
}

struct look_fate look_fate_then(struct sim *sim, const struct stored_run *run, uint32_t task,
                                size_t told)
{
    struct view view = {sim, run, UINT32_MAX, NULL};
    struct look_fate fate = {.by_rule = verdict_of_rule(sim, run, task, told)};
    struct naive_run naive = naive_run_of(&view);

    if (run->dag->tasks[task].is_after_branch && naive_is_branched_off(&naive, task))
        fate.by_rule = NAIVE_SKIP;
    fate.verdict = fate.by_rule;
    if (fate.by_rule == NAIVE_RUN)
        fate.verdict = naive_start(&naive, task, &fate.count);
    return fate;
}

bool look_can_choose(struct sim *sim, const struct stored_run *run, uint32_t task,
                     const char *outputs)
{
    struct view view = {sim, run, task, outputs};
    const struct naive_run naive = naive_run_of(&view);
    uint64_t ignored = 0;

    return naive_choice(&naive, task, &ignored);
}

/* --- DAGs and backfills ---------------------------------------------------------------------- */

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
