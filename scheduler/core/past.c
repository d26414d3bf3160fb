/* depends_on_past and wait_for_downstream: a task waits for what became of itself, or of those
 * behind it, in the run before by logical date.
 *
 * Which run that is, and how its tasks ended if it is over, the store is asked once per run, when
 * the first of its tasks gets that far. While the run before is live it tells its dependents of
 * every task that ends; when it leaves, they keep its last word. */
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <stdlib.h>
#include <utlist.h>

/* What is `removed` was no part of that run. */
static bool is_past_state(enum task_state state)
{
    return state == TASK_SUCCESS || state == TASK_SKIPPED || state == TASK_REMOVED;
}

/* Airflow: the first interval of a backfill does not look back. */
static bool is_first_of_backfill(const struct run *run)
{
    struct interval first = {0};

    return run->backfill != NULL && run->entry->current != NULL &&
           timetable_interval_from(run->entry->current, run->backfill->row.from_us, &first) &&
           run->row.logical_date_us <= first.start_us;
}

static bool looks_back(const struct run *run)
{
    return run->row.logical_date_us != 0 && !is_first_of_backfill(run);
}

/* With catchup, runs by hand are not part of the chain. */
static bool may_precede(const struct run *run, const struct run *later)
{
    return run->row.logical_date_us != 0 && run->row.logical_date_us < later->row.logical_date_us &&
           !(later->dag->catchup && run->row.run_type == RUN_TYPE_MANUAL);
}

/* The index in `dag` of a task of another version, or UINT32_MAX. */
static uint32_t same_task(const struct dag *dag, const struct dag *other, uint32_t index)
{
    if (dag == other)
        return index;
    return dag_find_task_near(dag, index, str_from(other->tasks[index].task_id));
}

static bool ended_well(struct task *node)
{
    for (uint32_t i = 0; i < task_instance_count(node); i++)
        if (!is_past_state(task_instance(node, i)->state))
            return false;
    return true;
}

/* Whether the task `index` of the run went well in the one before; one that was not there did. */
static bool went_well(const struct run *run, uint32_t index)
{
    const struct past *past = run->past;

    if (past->previous == NULL)
        return past->well == NULL || past->well[index];
    uint32_t same = same_task(past->previous->dag, run->dag, index);
    return same == UINT32_MAX || ended_well(&past->previous->tasks[same]);
}

/* Which of the run's tasks holds up `index`, as it was in the run before; UINT32_MAX = none. */
static uint32_t blocker(const struct run *run, uint32_t index)
{
    const struct dag_task *spec = &run->dag->tasks[index];

    if (!went_well(run, index))
        return index;
    for (uint32_t i = 0; spec->wait_for_downstream && i < spec->downstream_count; i++)
        if (!went_well(run, spec->downstream[i]))
            return spec->downstream[i];
    return UINT32_MAX;
}

/* Whether the task is over there, and not well. */
static bool is_lost(const struct run *run, uint32_t index)
{
    struct run *previous = run->past->previous;

    if (previous == NULL)
        return true;
    struct task *node = &previous->tasks[same_task(previous->dag, run->dag, index)];
    for (uint32_t i = 0; i < task_instance_count(node); i++)
        if (!task_state_is_final(task_instance(node, i)->state))
            return false;
    return true;
}

static const char *reason(struct core *core, const struct run *run, uint32_t index)
{
    const char *task_id = run->dag->tasks[index].task_id;

    if (is_lost(run, index))
        return reason_format(core, "depends_on_past: %s did not succeed in %s", task_id,
                             run->past->run_id);
    return reason_format(core, "waiting_for: %s in %s", task_id, run->past->run_id);
}

static void unlink_previous(struct past *past)
{
    if (past->previous != NULL)
        DL_DELETE2(past->previous->dependents, past, dependent_previous, dependent_next);
    past->previous = NULL;
}

static void link_previous(struct past *past, struct run *previous)
{
    unlink_previous(past);
    free(past->well);
    past->well = NULL;
    past->previous = previous;
    past->date_us = previous->row.logical_date_us;
    past->run_id = arena_strdup(&past->run->arena, previous->row.run_id);
    DL_APPEND2(previous->dependents, past, dependent_previous, dependent_next);
}

static void ask(struct core *core, struct run *run)
{
    struct past *past = mem_alloc(sizeof(*past));

    past->run = run;
    past->is_asking = true;
    run->past = past;
    DL_APPEND2(core->past_asking, past, ask_previous, ask_next);
}

bool past_allows(struct core *core, struct task *node)
{
    struct run *run = node->run;

    if (!task_spec(node)->depends_on_past || !looks_back(run))
        return true;
    if (run->past == NULL)
        ask(core, run);
    uint32_t index = run->past->is_asking ? node->index : blocker(run, node->index);
    if (index == UINT32_MAX) {
        past_forget_wait(node);
        return true;
    }
    if (!node->waits_for_past && run->past_waiting++ == 0)
        DL_APPEND2(run->entry->past_waiting, run, past_previous, past_next);
    node->waits_for_past = true;
    if (!run->past->is_asking)
        task_tell_waiting(core, node, reason(core, run, index));
    return false;
}

static void unlist(struct run *run)
{
    DL_DELETE2(run->entry->past_waiting, run, past_previous, past_next);
}

void past_forget_wait(struct task *node)
{
    struct run *run = node->run;

    if (node->waits_for_past && run->past_waiting > 0 && --run->past_waiting == 0)
        unlist(run);
    node->waits_for_past = false;
}

const char *past_why(struct core *core, const struct task *node)
{
    const struct run *run = node->run;

    if (!node->waits_for_past || run->row.state != RUN_RUNNING || run->past->is_asking)
        return NULL;
    uint32_t index = blocker(run, node->index);
    return index == UINT32_MAX ? NULL : reason(core, run, index);
}

static void look_again(struct core *core, struct run *run, uint32_t index)
{
    struct task *node = &run->tasks[index];

    if (run->row.state == RUN_RUNNING && node->waits_for_past && task_is_waiting(node))
        task_evaluate(core, node, NULL);
}

static void look_again_at_all(struct core *core, struct run *run)
{
    for (uint32_t i = 0; run->past_waiting > 0 && i < run->dag->task_count; i++)
        look_again(core, run, i);
}

void past_task_ended(struct core *core, const struct task *task)
{
    const struct dag *dag = task->run->dag;
    struct past *past = NULL;
    struct past *next = NULL;

    DL_FOREACH_SAFE2(task->run->dependents, past, next, dependent_next)
    {
        struct run *run = past->run;
        uint32_t same = same_task(run->dag, dag, task->index);
        if (run->past_waiting == 0 || PLANTED(PAST_NOT_TOLD))
            continue;
        if (same == UINT32_MAX)
            continue;
        look_again(core, run, same);
        /* What is behind what, the later run's version says. */
        const struct dag_task *spec = &run->dag->tasks[same];
        for (uint32_t i = 0; run->dag->waits_for_downstream && i < spec->upstream_count; i++)
            if (run->dag->tasks[spec->upstream[i]].wait_for_downstream)
                look_again(core, run, spec->upstream[i]);
    }
}

/* Only those that nothing holds up any more: of the others what was told is still right. */
static void look_again_at_free(struct core *core, struct run *run)
{
    for (uint32_t i = 0; run->past_waiting > 0 && i < run->dag->task_count; i++)
        if (run->tasks[i].waits_for_past && blocker(run, i) == UINT32_MAX)
            look_again(core, run, i);
}

void past_run_new(struct core *core, struct run *run)
{
    struct run *other = NULL;

    if (run->row.logical_date_us == 0)
        return;
    DL_FOREACH2(run->entry->dated, other, dated_next)
    {
        struct past *past = other->past;
        if (past == NULL || past->is_asking || !may_precede(run, other) ||
            run->row.logical_date_us < past->date_us)
            continue;
        link_previous(past, run);
        look_again_at_free(core, other); /* its version may not have what was waited for */
    }
    if (!run->dag->looks_back)
        return;
    DL_APPEND2(run->entry->dated, run, dated_previous, dated_next);
    run->is_dated = true;
}

/* What the dependents keep of a run that leaves. */
static void keep_last_word(struct past *past)
{
    struct run *run = past->run;
    bool *well = mem_alloc_array(run->dag->task_count, sizeof(*well));

    for (uint32_t i = 0; i < run->dag->task_count; i++)
        well[i] = went_well(run, i);
    unlink_previous(past);
    past->well = well;
}

void past_free(struct core *core, struct run *run)
{
    struct past *past = run->past;

    if (run->past_waiting > 0)
        unlist(run);
    run->past_waiting = 0;
    while (run->dependents != NULL)
        unlink_previous(run->dependents);
    if (run->is_dated)
        DL_DELETE2(run->entry->dated, run, dated_previous, dated_next);
    run->is_dated = false;
    run->past = NULL;
    if (past == NULL)
        return;
    if (past->is_asking)
        DL_DELETE2(core->past_asking, past, ask_previous, ask_next);
    unlink_previous(past);
    free(past->well);
    free(past);
}

void past_run_gone(struct core *core, struct run *run)
{
    struct run *other = NULL;

    while (run->dependents != NULL) {
        struct run *later = run->dependents->run;
        keep_last_word(later->past);
        /* Marked tasks of a run that is over were told of no earlier. */
        look_again_at_free(core, later);
    }
    /* What the store says before this turn is committed is of before. */
    DL_FOREACH2(run->entry->dated, other, dated_next)
    {
        if (other->past != NULL && other->past->is_asking)
            other->past->is_outdated = true;
    }
    past_free(core, run);
}

size_t past_want(const struct core *core, struct core_want *out, size_t max)
{
    size_t count = 0;

    for (struct past *past = core->past_asking; past != NULL && count < max;
         past = past->ask_next) {
        past->is_outdated = false;
        out[count++] = (struct core_want){.dag_id = past->run->row.dag_id,
                                          .logical_date_us = past->run->row.logical_date_us,
                                          .run = past->run->row.id,
                                          .is_previous = true,
                                          .skip_manual = past->run->dag->catchup};
    }
    return count;
}

/* The rows of a run that is over, told per task of the one that asks. */
static void keep_rows(struct past *past, const struct known_run *known)
{
    const struct dag *dag = past->run->dag;
    bool *well = mem_alloc_array(dag->task_count, sizeof(*well));

    for (uint32_t i = 0; i < dag->task_count; i++)
        well[i] = true;
    for (size_t i = 0; i < known->task_count; i++) {
        const struct task_row *row = &known->tasks[i];
        uint32_t same = dag_find_task_near(dag, row->task, str_from(row->task_id));
        if (same != UINT32_MAX && !is_past_state(row->state))
            well[same] = false;
    }
    past->well = well;
    past->date_us = known->row.logical_date_us;
    past->run_id = arena_strdup(&past->run->arena, known->row.run_id);
}

/* The live run before that the store may not know yet; NULL if there is none later than `than`. */
static struct run *live_previous(const struct run *run, int64_t than_us)
{
    struct run *found = NULL;
    struct run *other = NULL;

    DL_FOREACH2(run->entry->dated, other, dated_next)
    {
        if (!may_precede(other, run) || other->row.logical_date_us < than_us)
            continue;
        found = other;
        than_us = other->row.logical_date_us;
    }
    return found;
}

void past_answer(struct core *core, const struct core_want *want, const struct known_run *known)
{
    struct run *run = runs_find(core, want->run);

    if (run == NULL || run->past == NULL || !run->past->is_asking || run->past->is_outdated)
        return;
    struct past *past = run->past;
    past->is_asking = false;
    DL_DELETE2(core->past_asking, past, ask_previous, ask_next);
    bool is_known = known->exists && known->row.logical_date_us < run->row.logical_date_us;
    struct run *live = live_previous(run, is_known ? known->row.logical_date_us : INT64_MIN);
    if (live == NULL && is_known)
        live = runs_find(core, known->row.id);
    if (live != NULL)
        link_previous(past, live);
    else if (is_known)
        keep_rows(past, known);
    look_again_at_all(core, run);
    run_check_end(core, run);
}
