/* What decides on the way of a run: conditions, branches, and lists out of upstreams' outputs; and
 * the outputs that attempts report. naive_flow.c reads these texts again. */
#include "tests/sim/sim.h"

#include <assert.h>

#define MAP_LENGTH_MAX 6

static const char *any_name(void *context, struct str name, enum condition_type *ret_type)
{
    (void)context;
    (void)name;
    *ret_type = CONDITION_ANY;
    return NULL;
}

static const struct condition *parse(struct dag *dag, const char *text)
{
    struct err err = {0};
    const struct condition *condition =
        condition_parse(&dag->arena, str_from(text), any_name, NULL, &err);

    assert(condition != NULL);
    return condition;
}

/* A branch chooses anew whenever a task after it is looked at: by outputs of others, only where
 * those can't change any more. */
static bool may_ask_others(const struct sim *sim, const struct dag_task *spec, bool in_branch)
{
    return spec->upstream_count > 0 &&
           (!in_branch || (sim->knobs.change == 0 && !naive_is_early(spec->trigger_rule)));
}

/* The task whose outputs are asked for: an upstream or, in a branch, the task itself. */
static uint32_t draw_source(struct sim *sim, struct dag *dag, uint32_t task, bool in_branch)
{
    const struct dag_task *spec = &dag->tasks[task];
    struct draws *draws = sim->draws;
    uint32_t source = UINT32_MAX;

    if (in_branch && draw(draws, 2) == 1)
        source = task;
    else if (may_ask_others(sim, spec, in_branch))
        source = spec->upstream[draw(draws, spec->upstream_count)];
    if (source != UINT32_MAX)
        dag->tasks[source].outputs_used = true;
    return source;
}

static const struct condition *draw_condition(struct sim *sim, struct dag *dag, uint32_t task,
                                              bool in_branch)
{
    struct draws *draws = sim->draws;
    uint32_t form = draw(draws, 4);
    uint32_t least = draw(draws, 4);
    uint32_t source = form == 0 ? UINT32_MAX : draw_source(sim, dag, task, in_branch);

    if (source == UINT32_MAX)
        return parse(dag, arena_printf(&dag->arena, "params.p > %u", least));
    if (form == 1)
        return parse(dag, arena_printf(&dag->arena, "tasks.t%u.outputs.n > %u", source, least));
    return parse(dag, arena_printf(&dag->arena,
                                   "exists(tasks.t%u.outputs.n) and tasks.t%u.outputs.n > %u",
                                   source, source, least));
}

/* Over an upstream's list, sometimes combined with another one; seldom over what is none. */
static void draw_expand(struct sim *sim, struct dag *dag, uint32_t task)
{
    struct draws *draws = sim->draws;
    struct dag_task *spec = &dag->tasks[task];
    uint32_t source = draw_source(sim, dag, task, false);
    char text[64];

    if (source == UINT32_MAX)
        return;
    json_decref((json_t *)(uintptr_t)spec->expand);
    (void)snprintf(text, sizeof(text), "{{ tasks.t%u.outputs.%s }}", source,
                   draw(draws, 16) == 1 ? "n" : "list");
    json_t *lists = json_pack("{s:s}", "item", text);
    if (draw(draws, 4) == 1)
        (void)json_object_set_new(lists, "more", json_pack("[i,i]", 1, 2));
    spec->expand = lists;
    spec->max_map_length = MAP_LENGTH_MAX;
}

static void draw_targets(struct draws *draws, struct dag *dag, const struct dag_task *spec,
                         struct branch_choice *choice)
{
    uint32_t *targets = arena_alloc_array(&dag->arena, 2, sizeof(*targets));

    choice->targets = targets;
    choice->target_count = draw_between(draws, 1, 2);
    for (uint32_t i = 0; i < choice->target_count; i++)
        targets[i] = spec->downstream[draw(draws, spec->downstream_count)];
}

static bool leads_to(const struct dag *dag, uint32_t from, uint32_t to)
{
    bool reached[64] = {false};

    reached[from] = true;
    for (uint32_t i = from + 1; i <= to; i++)
        for (uint32_t k = 0; k < dag->tasks[i].upstream_count; k++)
            reached[i] = reached[i] || reached[dag->tasks[i].upstream[k]];
    return reached[to];
}

static struct branch_detour *find_detours(struct dag *dag, const struct dag_task *spec)
{
    uint32_t count = spec->downstream_count;
    struct branch_detour *detours = arena_alloc_array(&dag->arena, count, sizeof(*detours));

    for (uint32_t i = 0; i < count; i++) {
        uint32_t *through = arena_alloc_array(&dag->arena, count, sizeof(*through));
        for (uint32_t k = 0; k < i; k++)
            if (leads_to(dag, spec->downstream[k], spec->downstream[i]))
                through[detours[i].count++] = spec->downstream[k];
        detours[i].through = through;
    }
    return detours;
}

static void draw_branch(struct sim *sim, struct dag *dag, uint32_t task)
{
    struct draws *draws = sim->draws;
    struct dag_task *spec = &dag->tasks[task];
    struct branch *branch = arena_alloc(&dag->arena, sizeof(*branch));
    struct branch_choice *choices = NULL;

    if (draw(draws, 3) == 1) {
        branch->output = "next";
        spec->outputs_used = true;
    } else {
        branch->choice_count = draw_between(draws, 1, 3);
        choices = arena_alloc_array(&dag->arena, branch->choice_count, sizeof(*choices));
        for (uint32_t i = 0; i < branch->choice_count; i++) {
            bool is_else = i + 1 == branch->choice_count && draw(draws, 2) == 1;
            choices[i].when = is_else ? NULL : draw_condition(sim, dag, task, true);
            draw_targets(draws, dag, spec, &choices[i]);
        }
        branch->choices = choices;
    }
    branch->detours = find_detours(dag, spec);
    spec->branch = branch;
    for (uint32_t i = 0; i < spec->downstream_count; i++)
        dag->tasks[spec->downstream[i]].is_after_branch = true;
}

void dags_fill_flow(struct sim *sim, struct dag *dag)
{
    struct draws *draws = sim->draws;

    dag->params = json_pack("{s:i}", "p", (int)draw(draws, 5));
    for (uint32_t i = 0; sim->knobs.flow > 0 && i < dag->task_count; i++) {
        struct dag_task *task = &dag->tasks[i];
        if (draw_chance(draws, sim->knobs.flow))
            task->when = draw_condition(sim, dag, i, false);
        if (task->wait.kind == WAIT_NONE && draw_chance(draws, sim->knobs.flow))
            draw_expand(sim, dag, i);
        bool defers = task->wait.kind == WAIT_TIME || task->wait.kind == WAIT_EXTERNAL;
        if (task->expand == NULL && task->downstream_count > 0 && !defers &&
            draw_chance(draws, sim->knobs.flow))
            draw_branch(sim, dag, i);
    }
}

/* Which tasks are to go on: mostly as a branch wants it said. */
static void draw_next(struct draws *draws, const struct dag_task *spec, struct buf *text)
{
    uint32_t form = draw(draws, 16);
    const char *between = "[";

    if (form == 1)
        return; /* not said */
    buf_add_text(text, ",\"next\":");
    if (form == 2) {
        buf_add_text(text, "7");
    } else if (form == 3) {
        buf_add_text(text, "\"t99\"");
    } else if (form < 8) {
        buf_printf(text, "\"t%u\"", spec->downstream[draw(draws, spec->downstream_count)]);
    } else {
        for (uint32_t i = 0; i < spec->downstream_count; i++) {
            if (draw(draws, 2) == 0)
                continue;
            buf_printf(text, "%s\"t%u\"", between, spec->downstream[i]);
            between = ",";
        }
        buf_add_text(text, *between == '[' ? "[]" : "]");
    }
}

const char *outputs_draw(struct sim *sim, const struct dag *dag, uint32_t task)
{
    const struct dag_task *spec = &dag->tasks[task];
    struct draws *draws = sim->draws;
    struct buf text = {0};

    if (!spec->outputs_used && spec->outlet_count == 0 && !spec->updates_target)
        return NULL;
    uint32_t n = draw(draws, 5);
    buf_printf(&text, "{\"n\":%u,\"list\":[", n);
    for (uint32_t i = 0; i < n; i++)
        buf_printf(&text, "%s%u", i == 0 ? "" : ",", i);
    buf_add_text(&text, "]");
    if (spec->branch != NULL && spec->branch->output != NULL)
        draw_next(draws, spec, &text);
    dags_add_dataset(sim, dag, spec, &text);
    buf_add_text(&text, "}");
    const char *copy = arena_strdup(&sim->arena, buf_text(&text));
    buf_release(&text);
    return copy;
}
