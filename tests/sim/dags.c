/* Random DAGs: chains, fans, layers and tangles, with everything a task can say about when it runs.
 */
#include "tests/sim/sim.h"

#include "base/clock.h"
#include "scheduler/core/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS_MIN 10
#define TASKS_MAX 18

static const struct task_kind plain_kind = {.name = "command", .class = TASK_CLASS_COMMAND};
static const struct task_kind light_kind = {.name = "sensor", .class = TASK_CLASS_LIGHT};
static const struct task_kind shared_kind = {.name = "noop", .class = TASK_CLASS_SHARED};

enum shape { SHAPE_TANGLE, SHAPE_CHAINS, SHAPE_LAYERS, SHAPE_FAN, SHAPE_COUNT };

static bool has_edge(struct draws *draws, enum shape shape, uint32_t from, uint32_t to)
{
    switch (shape) {
    case SHAPE_TANGLE:
        return draw(draws, 4) == 1;
    case SHAPE_CHAINS:
        return from + 3 == to;
    case SHAPE_LAYERS:
        return from / 4 + 1 == to / 4 && draw(draws, 3) != 0;
    case SHAPE_FAN:
        return (from == 0) != (to % 5 == 4) && (from == 0 || from + 4 >= to);
    case SHAPE_COUNT:
        break;
    }
    return false;
}

static void link_tasks(struct sim *sim, struct dag *dag)
{
    enum shape shape = (enum shape)draw(sim->draws, SHAPE_COUNT);
    uint32_t count = dag->task_count;
    bool edges[TASKS_MAX][TASKS_MAX] = {0};

    for (uint32_t to = 1; to < count; to++)
        for (uint32_t from = 0; from < to; from++)
            edges[from][to] = has_edge(sim->draws, shape, from, to);
    for (uint32_t i = 0; i < count; i++) {
        struct dag_task *task = &dag->tasks[i];
        uint32_t *upstream = arena_alloc_array(&dag->arena, count, sizeof(*upstream));
        uint32_t *downstream = arena_alloc_array(&dag->arena, count, sizeof(*downstream));
        for (uint32_t k = 0; k < count; k++) {
            if (edges[k][i])
                upstream[task->upstream_count++] = k;
            if (edges[i][k])
                downstream[task->downstream_count++] = k;
        }
        task->upstream = upstream;
        task->downstream = downstream;
    }
}

/* A sensor, or a task that is mapped over a list, if only an empty one. */
static void fill_extras(struct draws *draws, struct dag_task *task)
{
    uint32_t kind = draw(draws, 16);

    if (kind == 1) {
        task->wait =
            (struct dag_wait){.kind = WAIT_POKE,
                              .poke_interval_us = draw_between(draws, 2, 20) * US_PER_SECOND,
                              .backs_off = draw(draws, 4) == 1,
                              .max_wait_us = US_PER_MINUTE};
    } else if (kind == 2) {
        json_t *list = json_array();
        for (uint32_t left = draw(draws, 5); left > 0; left--)
            (void)json_array_append_new(list, json_integer(left));
        task->expand = json_pack("{s:o}", "item", list);
    }
}

static void fill_task(struct sim *sim, struct dag *dag, uint32_t index)
{
    struct draws *draws = sim->draws;
    struct dag_task *task = &dag->tasks[index];
    const struct core_pool *pool = &sim->pools[draw(draws, (uint32_t)sim->pool_count)];

    task->task_id = arena_printf(&dag->arena, "t%u", index);
    task->kind = draw(draws, 3) == 1 ? &shared_kind : &plain_kind;
    task->class = task->kind->class;
    task->owner = "";
    task->trigger_rule = draw_chance(draws, 110)
                             ? (enum trigger_rule)draw(draws, TRIGGER_RULE_COUNT)
                             : TRIGGER_RULE_ALL_SUCCESS;
    task->pool = pool->name;
    task->pool_slots = draw_between(draws, 1, 2);
    task->priority_weight = task->priority_weight_total = draw_between(draws, 1, 4);
    task->retries = draw(draws, 4);
    task->retry_delay_us = draw(draws, 40) * US_PER_SECOND;
    task->retry_backoff = !sim->is_plain && draw_chance(draws, 40) ? 2 : 0;
    task->max_retry_delay_us = US_PER_MINUTE;
    task->max_active_tis_per_dag =
        !sim->is_plain && draw(draws, 16) == 1 ? draw_between(draws, 1, 2) : 0;
    task->max_map_length = 100;
    if (!sim->is_plain)
        fill_extras(draws, task);
    dags_fill_wait(sim, task);
    dags_fill_outlets(sim, dag, task);
    dags_fill_task_callbacks(sim, task);
    if (task->wait.kind != WAIT_NONE) {
        task->kind = &light_kind;
        task->class = TASK_CLASS_LIGHT;
    }
    if (sim->has_past && draw(draws, 5) == 1) {
        task->depends_on_past = true;
        task->wait_for_downstream = draw(draws, 3) == 1;
        dag->looks_back = true;
        dag->waits_for_downstream = dag->waits_for_downstream || task->wait_for_downstream;
    }
    task->execution_timeout_us = draw_chance(draws, 30) ? 30 * US_PER_SECOND : 0;
}

/* What may end runs before their time, and stop further ones. */
static void fill_ends(struct sim *sim, struct dag *dag)
{
    if (sim->is_plain)
        return;
    dag->fail_fast = draw(sim->draws, 8) == 1;
    /* Not at the same instant as anything else: of two either might come first. */
    dag->dagrun_timeout_us =
        draw(sim->draws, 8) == 1
            ? draw_between(sim->draws, 30, 250) * US_PER_SECOND + US_PER_SECOND / 3
            : 0;
    if (draw(sim->draws, 4) == 1) {
        struct dag_task *last = &dag->tasks[dag->task_count - 1];
        last->is_teardown = true;
        last->trigger_rule = TRIGGER_RULE_ALL_DONE;
    }
    dag->max_failed_in_row = draw(sim->draws, 10) == 1 ? draw_between(sim->draws, 1, 3) : 0;
}

static void fill_schedule(struct sim *sim, struct dag *dag)
{
    if (sim->is_plain || dag->schedule.kind != SCHEDULE_NONE || draw_chance(sim->draws, 90))
        return;
    dag->schedule.kind = SCHEDULE_EVERY;
    dag->schedule.every_us = (2 + draw(sim->draws, 12)) * US_PER_MINUTE;
    dag->schedule.text = arena_printf(&dag->arena, "every %llds",
                                      (long long)(dag->schedule.every_us / US_PER_SECOND));
    dag->start_date_us = INT64_C(1767225600000000);
    dag->catchup = draw(sim->draws, 2) == 1;
}

static void tell_json(struct buf *line, const char *name, const json_t *value)
{
    char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text != NULL)
        buf_printf(line, ", %s %s", name, text);
    free(text);
}

static void tell_branch(struct buf *line, const struct dag *dag, const struct branch *branch)
{
    buf_printf(line, ", branch%s%s", branch->output == NULL ? "" : " by output ",
               branch->output == NULL ? "" : branch->output);
    for (uint32_t i = 0; i < branch->choice_count; i++) {
        const struct branch_choice *choice = &branch->choices[i];
        struct str when = choice->when == NULL ? STR("else") : condition_text(choice->when);
        buf_printf(line, " {%.*s:", STR_ARG(when));
        for (uint32_t k = 0; k < choice->target_count; k++)
            buf_printf(line, " %s", dag->tasks[choice->targets[k]].task_id);
        buf_add_text(line, "}");
    }
}

static void tell_task(const struct sim *sim, const struct dag *dag, const struct dag_task *task)
{
    struct buf line = {0};

    buf_printf(&line, "  %s %s", task->task_id, trigger_rule_name(task->trigger_rule));
    for (uint32_t i = 0; i < task->upstream_count; i++)
        buf_printf(&line, "%s%s", i == 0 ? " after " : " ", dag->tasks[task->upstream[i]].task_id);
    if (task->when != NULL)
        buf_printf(&line, ", when %.*s", STR_ARG(condition_text(task->when)));
    if (task->branch != NULL)
        tell_branch(&line, dag, task->branch);
    tell_json(&line, "over", task->expand);
    tell_json(&line, "with", task->options);
    for (uint32_t i = 0; i < task->outlet_count; i++)
        buf_printf(&line, ", updates %s", task->outlets[i]);
    if (task->updates_target)
        buf_add_text(&line, ", updates what it publishes");
    sim_say(sim, "%s", buf_text(&line));
    buf_release(&line);
}

static void tell_dag(const struct sim *sim, const struct dag *dag)
{
    sim_say(sim, "DAG %s of %s: %s", dag->dag_id, dag->hash + 56,
            dag->schedule.text == NULL ? "no schedule" : dag->schedule.text);
    for (uint32_t i = 0; sim->is_traced && i < dag->task_count; i++)
        tell_task(sim, dag, &dag->tasks[i]);
}

struct dag *sim_dag_make(struct sim *sim, const char *dag_id)
{
    struct arena arena = {0};
    struct dag *dag = arena_alloc(&arena, sizeof(*dag));

    dag->arena = arena;
    dag->references = 1;
    dag->dag_id = arena_strdup(&dag->arena, dag_id);
    dag->owner = "";
    dag->file = arena_printf(&dag->arena, "%s.yaml", dag_id);
    (void)snprintf(dag->hash, sizeof(dag->hash), "%064llx",
                   (unsigned long long)++sim->last_version);
    dag->source = str_from(arena_strdup(&dag->arena, dag->hash));
    dag->timezone = "UTC";
    dag->zone = zone_utc();
    dag->max_active_runs = draw_between(sim->draws, 1, 3);
    dag->max_active_tasks = draw_between(sim->draws, 1, 8);
    dag->task_count = draw_between(sim->draws, TASKS_MIN, TASKS_MAX);
    dag->tasks = arena_alloc_array(&dag->arena, dag->task_count, sizeof(*dag->tasks));
    for (uint32_t i = 0; i < dag->task_count; i++)
        fill_task(sim, dag, i);
    link_tasks(sim, dag);
    dags_fill_flow(sim, dag);
    fill_ends(sim, dag);
    dags_fill_callbacks(sim, dag);
    dag_derive(dag);
    dags_fill_asset_schedule(sim, dag);
    fill_schedule(sim, dag);
    tell_dag(sim, dag);
    return dag;
}
