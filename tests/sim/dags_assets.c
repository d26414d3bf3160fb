/* Assets: those that tasks update, and those that a DAG waits for. A DAG updates its own ones, and
 * waits for those of the DAGs before it and for outside ones, so that no update goes round. */
#include "tests/sim/sim.h"

#include <string.h>

#define NAMES_MAX 3

static unsigned number_of(const struct dag *dag)
{
    return (unsigned)(dag->dag_id[1] - '0');
}

const char *dags_asset(struct sim *sim, struct arena *arena, uint32_t before)
{
    uint32_t number = draw(sim->draws, 2 + before * 2);

    if (number < 2)
        return number == 0 ? "x0" : "x1";
    return arena_printf(arena, "%c%u", number % 2 == 0 ? 'a' : 'b', number / 2 - 1);
}

static bool is_named(const char *const *names, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* One of them, all or any of them; of three sometimes one and a pair. */
static void draw_condition(struct draws *draws, struct arena *arena, struct schedule *schedule)
{
    enum asset_node_kind kinds[] = {ASSET_ALL, ASSET_ANY};
    struct asset_node *nodes = arena_alloc_array(arena, NAMES_MAX + 2, sizeof(*nodes));
    uint32_t count = schedule->asset_count;
    uint32_t at = 0;

    schedule->condition = nodes;
    bool has_pair = count == 3 && draw(draws, 2) == 1;
    if (count > 1)
        nodes[at++] = (struct asset_node){kinds[draw(draws, 2)], 0, count + 1 + has_pair};
    for (uint32_t i = 0; i < count; i++) {
        if (has_pair && i == 1)
            nodes[at++] = (struct asset_node){kinds[draw(draws, 2)], 0, 3};
        nodes[at++] = (struct asset_node){ASSET_IS_NEW, i, 1};
    }
}

static const char *condition_name(struct arena *arena, const struct schedule *schedule,
                                  uint32_t nodes)
{
    struct buf text = {0};

    buf_add_text(&text, "assets:");
    for (uint32_t i = 0; i < nodes; i++) {
        const struct asset_node *node = &schedule->condition[i];
        if (node->kind == ASSET_IS_NEW)
            buf_printf(&text, " %s", schedule->assets[node->asset]);
        else
            buf_printf(&text, " %s-of-%u", node->kind == ASSET_ALL ? "all" : "any", node->size);
    }
    if (schedule->per_partition)
        buf_add_text(&text, ", per partition");
    const char *copy = arena_strdup(arena, buf_text(&text));
    buf_release(&text);
    return copy;
}

void dags_fill_asset_schedule(struct sim *sim, struct dag *dag)
{
    struct draws *draws = sim->draws;
    struct schedule *schedule = &dag->schedule;
    const char **names = arena_alloc_array(&dag->arena, NAMES_MAX, sizeof(*names));

    if (sim->knobs.assets == 0 || draw(draws, 2) == 0)
        return;
    for (uint32_t left = draw_between(draws, 1, NAMES_MAX); left > 0; left--) {
        const char *name = dags_asset(sim, &dag->arena, number_of(dag));
        if (!is_named(names, schedule->asset_count, name))
            names[schedule->asset_count++] = name;
    }
    schedule->kind = SCHEDULE_ASSETS;
    schedule->assets = names;
    schedule->per_partition = draw(draws, 3) == 1;
    draw_condition(draws, &dag->arena, schedule);
    schedule->text = condition_name(&dag->arena, schedule, schedule->condition[0].size);
}

void dags_fill_outlets(struct sim *sim, const struct dag *dag, struct dag_task *task)
{
    static const char *const names[][2] = {
        {"a0", "b0"},
        {"a1", "b1"},
        {"a2", "b2"},
        {"a3", "b3"}
    };
    const char *const *own = names[number_of(dag)];

    if (!draw_chance(sim->draws, sim->knobs.assets))
        return;
    uint32_t form = draw(sim->draws, 4);
    task->updates_target = form == 3;
    task->outlets = form == 1 ? &own[1] : own;
    task->outlet_count = form == 3 ? 0 : form == 2 ? 2 : 1;
}

const char *dags_partition(struct sim *sim)
{
    static const char *const names[] = {NULL, "dt=2026-01-01", "dt=2026-01-02", "eu"};

    return names[draw(sim->draws, 4)];
}

/* What a task says of the dataset that it has published. */
void dags_add_dataset(struct sim *sim, const struct dag *dag, const struct dag_task *task,
                      struct buf *text)
{
    if (task->outlet_count == 0 && !task->updates_target)
        return;
    const char *partition = dags_partition(sim);
    if (partition != NULL)
        buf_printf(text, ",\"partition\":\"%s\"", partition);
    if (task->updates_target && draw(sim->draws, 8) != 1)
        buf_printf(text, ",\"dataset\":\"a%u\"", number_of(dag));
    if (draw(sim->draws, 6) == 1)
        buf_add_text(text, ",\"unchanged\":true");
}
