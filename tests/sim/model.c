/* Worlds without faults: the core and the reference model are given the same events, and have to
 * start the same tasks in the same order and leave the same states. */
#include "tests/sim/reference.h"
#include "tests/sim/sim.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS 400
#define MODEL_BEGIN_US INT64_C(1767225600000000)

struct model {
    struct sim *sim;
    struct reference *reference;
    int triggers_left;
};

static const char *tokens_of(const struct sim *sim, const struct task_row *row)
{
    for (size_t i = sim->rows.attempt_count; i-- > 0;) {
        const struct attempt_row *attempt = &sim->rows.attempts[i];
        if (attempt->run == row->run && attempt->task == row->task &&
            attempt->map_index == row->map_index)
            return attempt->token;
    }
    return "";
}

/* The same order of starts. */
static void compare_starts(struct model *m)
{
    const struct sim *sim = m->sim;
    const struct reference *r = m->reference;
    size_t at = 0;

    for (size_t i = 0; i < sim->out.count; i++) {
        const struct attempt_row *row = &sim->out.items[i].as.start.attempt;
        if (sim->out.items[i].kind != DECIDE_START)
            continue;
        if (at == r->start_count)
            sim_fail(m->sim, "model: the core starts r%lld t%u.%d, and nothing should start",
                     (long long)row->run, row->task, row->map_index);
        const struct reference_start *start = &r->starts[at++];
        if (row->run != (int64_t)start->run + 1 || row->task != start->task ||
            row->map_index != start->map_index || row->try_number != start->try_number)
            sim_fail(m->sim,
                     "model: the core starts r%lld t%u.%d#%lld, r%zu t%u.%d#%lld should start",
                     (long long)row->run, row->task, row->map_index, (long long)row->try_number,
                     start->run + 1, start->task, start->map_index, (long long)start->try_number);
    }
    if (at < r->start_count)
        sim_fail(m->sim, "model: r%zu t%u should start, and does not", r->starts[at].run + 1,
                 r->starts[at].task);
}

/* The same instances, in the same states. */
static void compare_tasks(struct model *m, size_t index)
{
    const struct stored_run *stored = &m->sim->rows.runs[index];
    const struct reference_run *run = m->reference->runs[index];
    size_t at = 0;

    for (uint32_t i = 0; i < run->dates.dag->task_count; i++)
        for (uint32_t k = 0; k < run->nodes[i].count; k++) {
            const struct task_row *row = &stored->tasks[at++];
            int32_t map_index = run->nodes[i].is_mapped ? (int32_t)k : -1;
            if (at > stored->task_count || row->task != i || row->map_index != map_index)
                sim_fail(m->sim, "model: r%zu t%u.%d is not there", index + 1, i, map_index);
            if (row->state != run->nodes[i].items[k].state)
                sim_fail(m->sim, "model: r%zu t%u.%d is %s, and should be %s", index + 1, i,
                         map_index, task_state_name(row->state),
                         task_state_name(run->nodes[i].items[k].state));
        }
}

static void compare_states(struct model *m)
{
    const struct rows *rows = &m->sim->rows;

    if (rows->run_count != m->reference->run_count)
        sim_fail(m->sim, "model: there are %zu runs, and should be %zu", rows->run_count,
                 m->reference->run_count);
    for (size_t i = 0; i < m->reference->run_count; i++) {
        const struct reference_run *run = m->reference->runs[i];
        if (rows->runs[i].row.state != run->state)
            sim_fail(m->sim, "model: run %zu is %s, and should be %s", i + 1,
                     run_state_name(rows->runs[i].row.state), run_state_name(run->state));
        compare_tasks(m, i);
    }
}

static void step(struct model *m, struct event *event)
{
    struct sim *sim = m->sim;

    event->now_us = sim->now_us;
    core_step(sim->core, event, &sim->out);
    for (size_t i = 0; i < sim->out.count; i++) {
        sim_tell(sim, &sim->out.items[i]);
        rows_apply(&sim->rows, &sim->out.items[i]);
        sim->hash = (sim->hash ^ sim->out.items[i].kind) * UINT64_C(0x100000001B3);
    }
}

static void compare(struct model *m)
{
    compare_starts(m);
    compare_states(m);
    if (core_next_wakeup(m->sim->core) != reference_next_wakeup(m->reference))
        sim_fail(m->sim, "model: the core wants to be woken at %lld, and should at %lld",
                 (long long)core_next_wakeup(m->sim->core),
                 (long long)reference_next_wakeup(m->reference));
    decisions_clear(&m->sim->out);
}

static bool has_run_at(const struct sim *sim, const char *dag_id, int64_t logical_date_us)
{
    for (size_t i = 0; i < sim->rows.run_count; i++)
        if (sim->rows.runs[i].row.logical_date_us == logical_date_us &&
            strcmp(sim->rows.runs[i].row.dag_id, dag_id) == 0)
            return true;
    return false;
}

static void trigger(struct model *m)
{
    struct sim *sim = m->sim;
    const struct dag *dag = sim->dags[draw(sim->draws, (uint32_t)sim->dag_count)].file;
    struct event event = {.kind = EVENT_TRIGGER, .request = 1};
    int64_t delay_us = draw(sim->draws, 3) == 1 ? draw(sim->draws, 60) * US_PER_SECOND : 0;
    int64_t date_us = MODEL_BEGIN_US + draw(sim->draws, 16) * US_PER_MINUTE;

    m->triggers_left--;
    event.as.trigger.dag_id = dag->dag_id;
    event.as.trigger.run_after_us = sim->now_us + delay_us;
    if (draw(sim->draws, 2) == 1 && !has_run_at(sim, dag->dag_id, date_us))
        event.as.trigger.logical_date_us = date_us;
    if (draw(sim->draws, 3) == 1)
        event.as.trigger.conf = arena_printf(&sim->arena, "{\"p\":%u}", draw(sim->draws, 5));
    step(m, &event);
    const struct run_row *row = NULL;
    for (size_t i = 0; i < sim->rows.run_count && row == NULL; i++)
        if (i == m->reference->run_count)
            row = &sim->rows.runs[i].row;
    if (row == NULL)
        sim_fail(sim, "model: no run was made");
    const struct naive_dates dates = {dag, row->logical_date_us, row->interval_start_us,
                                      row->interval_end_us, row->run_after_us};
    reference_trigger(m->reference, &dates, event.as.trigger.conf);
    compare(m);
}

static void update_asset(struct model *m)
{
    struct sim *sim = m->sim;
    struct event event = {.kind = EVENT_ASSET, .request = 1};

    event.as.asset.asset = dags_asset(sim, &sim->arena, 0);
    event.as.asset.partition = dags_partition(sim);
    step(m, &event);
    reference_updated(m->reference, event.as.asset.asset, event.as.asset.partition);
    compare(m);
}

/* One of the active tasks, or NULL. */
static struct task_row *pick_active(struct model *m)
{
    struct rows *rows = &m->sim->rows;
    uint32_t count = 0;

    for (int round = 0; round < 2; round++) {
        uint32_t at = round == 0 ? UINT32_MAX : draw(m->sim->draws, count);
        for (size_t i = 0; i < rows->run_count; i++)
            for (size_t k = 0; k < rows->runs[i].task_count; k++) {
                enum task_state state = rows->runs[i].tasks[k].state;
                if (state != TASK_QUEUED && state != TASK_RUNNING)
                    continue;
                if (round == 0)
                    count++;
                else if (at-- == 0)
                    return &rows->runs[i].tasks[k];
            }
        if (count == 0)
            return NULL;
    }
    return NULL;
}

static void attempt_goes_on(struct model *m, const struct task_row *row)
{
    struct sim *sim = m->sim;
    struct event event = {.kind = EVENT_ATTEMPT_STARTED};
    const struct dag *dag = rows_run(&sim->rows, row->run)->dag;
    const char *token = arena_strdup(&sim->arena, tokens_of(sim, row));
    const struct reference_start of = {(size_t)row->run - 1, row->task, row->map_index, 0};

    if (row->state == TASK_QUEUED && draw(sim->draws, 2) == 1) {
        event.as.attempt_started.token = token;
        event.as.attempt_started.started_at_us = sim->now_us;
        step(m, &event);
        reference_started(m->reference, &of);
        compare(m);
        return;
    }
    static const enum outcome outcomes[] = {OUTCOME_SUCCESS, OUTCOME_SUCCESS, OUTCOME_SUCCESS,
                                            OUTCOME_SUCCESS, OUTCOME_FAILED,  OUTCOME_FAILED,
                                            OUTCOME_SKIPPED, OUTCOME_FATAL};
    enum outcome outcome = outcomes[draw(sim->draws, 8)];
    event.kind = EVENT_ATTEMPT_ENDED;
    event.as.attempt_ended.token = token;
    event.as.attempt_ended.outcome = outcome;
    event.as.attempt_ended.started_at_us = event.as.attempt_ended.ended_at_us = sim->now_us;
    if (outcome == OUTCOME_SUCCESS)
        event.as.attempt_ended.outputs = outputs_draw(sim, dag, row->task);
    step(m, &event);
    reference_ended(m->reference, &of, outcome, event.as.attempt_ended.outputs);
    compare(m);
}

static void tick(struct model *m)
{
    struct sim *sim = m->sim;
    struct event event = {.kind = EVENT_TICK};

    event.as.tick.count = core_wants(sim->core, sim->now_us, sim->wants, SIM_WANTS_MAX);
    for (size_t i = 0; i < event.as.tick.count; i++)
        rows_known(&sim->rows, &sim->wants[i], &sim->known[i]);
    event.as.tick.wants = sim->wants;
    event.as.tick.known = sim->known;
    step(m, &event);
    reference_tick(m->reference);
    compare(m);
}

static void set_up(struct model *m)
{
    struct sim *sim = m->sim;
    struct event up = {.kind = EVENT_WORKER_UP};

    for (size_t i = 0; i < sim->pool_count; i++) {
        m->reference->pools[i].name = sim->pools[i].name;
        m->reference->pools[i].slots = sim->pools[i].slots;
    }
    m->reference->pool_count = sim->pool_count;
    m->reference->arena = &sim->arena;
    m->reference->dag_count = sim->dag_count;
    for (size_t i = 0; i < sim->dag_count; i++)
        m->reference->dags[i].dag = sim->dags[i].file;
    sim->core = loop_restore(sim, 1);
    core_restored(sim->core, sim->now_us, &sim->out);
    for (size_t i = 0; i < sim->dag_count; i++) {
        struct event load = {.kind = EVENT_DAG_LOADED, .as.dag_loaded.dag = sim->dags[i].file};
        step(m, &load);
        decisions_clear(&sim->out);
    }
    uint32_t workers = draw_between(sim->draws, 1, 3);
    for (uint32_t i = 0; i < workers; i++) {
        up.as.worker_up.instance = arena_printf(&sim->arena, "w%u", i);
        up.as.worker_up.slots = draw_between(sim->draws, 1, 4);
        up.as.worker_up.shared_slots = draw_between(sim->draws, 1, 3);
        m->reference->slots[0] += up.as.worker_up.slots;
        m->reference->slots[1] += up.as.worker_up.shared_slots;
        step(m, &up);
        decisions_clear(&sim->out);
    }
}

void model_run(struct sim *sim)
{
    struct model m = {.sim = sim, .triggers_left = 8};

    m.reference = arena_alloc(&sim->arena, sizeof(*m.reference));
    set_up(&m);
    for (int i = 0; i < EVENTS && draws_next(sim->draws); i++) {
        sim->tick++;
        sim->now_us += draw(sim->draws, 4) * US_PER_SECOND;
        m.reference->now_us = sim->now_us;
        if (core_next_wakeup(sim->core) <= sim->now_us)
            tick(&m);
        if (sim->updates_left > 0 && draw_chance(sim->draws, sim->knobs.assets)) {
            sim->updates_left--;
            update_asset(&m);
        }
        const struct task_row *row = pick_active(&m);
        if (m.triggers_left > 0 && (row == NULL || draw(sim->draws, 12) == 1))
            trigger(&m);
        else if (row != NULL)
            attempt_goes_on(&m, row);
    }
    reference_release(m.reference);
}
