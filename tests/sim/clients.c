/* Clients: commands with answers that may get lost, and edits of DAG files. */
#include "tests/sim/sim.h"

#include "base/clock.h"
#include "base/mem.h"

#define START_US INT64_C(1767225600000000) /* where schedules begin; see dags.c */

struct event *clients_ask(struct sim *sim, enum event_kind kind, enum promise_kind promise)
{
    struct event *event = loop_inbox(sim, kind);

    event->request = ++sim->last_request;
    if (sim->promise_count == sim->promise_capacity) {
        sim->promise_capacity = mem_grow(sim->promise_capacity, sim->promise_count + 1);
        sim->promises =
            mem_resize_array(sim->promises, sim->promise_capacity, sizeof(*sim->promises));
    }
    sim->promises[sim->promise_count++] =
        (struct promise){.request = event->request, .kind = promise};
    return event;
}

void clients_load(struct sim *sim, struct sim_dag *file)
{
    if (file->file == NULL) {
        loop_inbox(sim, EVENT_DAG_GONE)->as.dag_gone.dag_id = file->dag_id;
        return;
    }
    loop_inbox(sim, EVENT_DAG_LOADED)->as.dag_loaded.dag = file->file;
}

static struct sim_dag *pick(struct sim *sim)
{
    return &sim->dags[draw(sim->draws, (uint32_t)sim->dag_count)];
}

/* A retry of a trigger that was not answered names the same run id again. */
static void trigger(struct sim *sim)
{
    struct draws *draws = sim->draws;
    struct event *event = clients_ask(sim, EVENT_TRIGGER, PROMISE_RUN);
    struct event_trigger *trigger = &event->as.trigger;
    struct promise *promise = &sim->promises[sim->promise_count - 1];

    sim->triggers_left--;
    trigger->dag_id = pick(sim)->dag_id;
    trigger->triggered_by = TRIGGERED_BY_TEST;
    if (draw(draws, 2) == 1)
        trigger->run_id = arena_printf(&sim->arena, "m%u", draw(draws, 4));
    if (draw(draws, 3) == 1)
        trigger->logical_date_us = START_US + draw(draws, 30) * US_PER_MINUTE;
    if (draw(draws, 3) == 1)
        trigger->run_after_us = sim->now_us + draw(draws, 90) * US_PER_SECOND;
    if (draw(draws, 3) == 1)
        trigger->conf = arena_printf(&sim->arena, "{\"p\":%u}", draw(draws, 5));
    promise->dag_id = trigger->dag_id;
    promise->run_id = trigger->run_id;
}

static void backfill(struct sim *sim)
{
    struct draws *draws = sim->draws;
    struct event *event = clients_ask(sim, EVENT_BACKFILL_CREATE, PROMISE_BACKFILL);
    int64_t from = START_US + ((int64_t)draw(draws, 40) - 20) * US_PER_MINUTE;

    sim->backfills_left--;
    event->as.backfill_create = (struct event_backfill_create){
        .dag_id = pick(sim)->dag_id,
        .from_us = from,
        .to_us = from + draw(draws, 30) * US_PER_MINUTE,
        .max_active_runs = draw_between(draws, 1, 3),
        .reprocess = (enum reprocess)draw(draws, REPROCESS_COUNT),
        .run_backwards = draw(draws, 2) == 1,
        .on_failure = (enum on_failure)draw(draws, ON_FAILURE_COUNT),
    };
}

static void control(struct sim *sim)
{
    struct event *event = clients_ask(sim, EVENT_BACKFILL_CONTROL, PROMISE_NOTHING);
    static const enum backfill_action actions[] = {
        BACKFILL_UNPAUSE, BACKFILL_UNPAUSE, BACKFILL_PAUSE, BACKFILL_SET,
        BACKFILL_RETRY,   BACKFILL_PAUSE,   BACKFILL_SET,   BACKFILL_CANCEL};

    event->as.backfill_control.id = draw_between(sim->draws, 1, 2);
    event->as.backfill_control.action = actions[draw(sim->draws, 8)];
    event->as.backfill_control.max_active_runs = draw(sim->draws, 4);
    event->as.backfill_control.on_failure = (enum on_failure)draw(sim->draws, ON_FAILURE_COUNT + 1);
}

/* --- changes: clear, mark, cancel ------------------------------------------------------------ */

/* Of one run that there is, or was; sometimes with those before or after it. */
static bool choose_run(struct sim *sim, struct event_change *change)
{
    struct draws *draws = sim->draws;

    if (sim->rows.run_count == 0)
        return false;
    const struct run_row *row = &sim->rows.runs[draw(draws, (uint32_t)sim->rows.run_count)].row;
    change->dag_id = row->dag_id;
    change->which.run_id = row->run_id;
    if (row->logical_date_us == 0)
        return true;
    change->which.include_past = draw(draws, 8) == 1;
    change->which.include_future = draw(draws, 8) == 1;
    return true;
}

static void choose_tasks(struct sim *sim, struct task_choice *choice)
{
    struct draws *draws = sim->draws;
    struct task_name *names = NULL;

    choice->only_failed = draw(draws, 5) == 1;
    choice->only_running = draw(draws, 8) == 1;
    if (draw(draws, 4) == 1)
        return;
    choice->count = draw_between(draws, 1, 3);
    names = arena_alloc_array(&sim->arena, choice->count, sizeof(*names));
    for (size_t i = 0; i < choice->count; i++)
        names[i] = (struct task_name){arena_printf(&sim->arena, "t%u", draw(draws, 12)),
                                      CHOICE_EVERY_INDEX};
    choice->names = names;
    choice->upstream = draw(draws, 4) == 1;
    choice->downstream = draw(draws, 2) == 1;
}

static void change(struct sim *sim)
{
    static const enum task_state states[] = {TASK_SUCCESS, TASK_FAILED, TASK_SKIPPED};
    static const enum run_state run_states[] = {RUN_QUEUED, RUN_SUCCESS, RUN_FAILED};
    static const enum event_kind kinds[] = {EVENT_CLEAR, EVENT_CLEAR, EVENT_MARK_TASKS,
                                            EVENT_MARK_RUN};
    struct draws *draws = sim->draws;
    struct event_change change = {.by = "sim"};
    enum event_kind kind = kinds[draw(draws, 4)];

    if (!choose_run(sim, &change))
        return;
    sim->changes_left--;
    if (kind == EVENT_MARK_RUN) {
        change.has_run_state = true;
        change.is_cancel = draw(draws, 3) == 1;
        change.run_state = change.is_cancel ? RUN_FAILED : run_states[draw(draws, 3)];
    } else {
        choose_tasks(sim, &change.tasks);
        change.is_cancel = kind == EVENT_MARK_TASKS && draw(draws, 3) == 1;
        change.task_state = change.is_cancel ? TASK_FAILED : states[draw(draws, 3)];
        change.refuse_running = draw(draws, 4) == 1;
        change.on_latest_version = kind == EVENT_CLEAR && draw(draws, 4) == 1;
    }
    clients_ask(sim, kind, PROMISE_NOTHING)->as.change = change;
}

/* --- DAGs and pools -------------------------------------------------------------------------- */

static void set_paused(struct sim *sim, const char *dag_id, bool is_paused)
{
    struct event *event = clients_ask(sim, EVENT_DAG_SET_PAUSED, PROMISE_NOTHING);

    event->as.set_paused.dag_id = dag_id;
    event->as.set_paused.is_paused = is_paused;
}

static void set_pool(struct sim *sim, size_t pool, int64_t slots)
{
    struct event *event = clients_ask(sim, EVENT_POOL_SET, PROMISE_NOTHING);

    event->as.pool_set.name = sim->pools[pool].name;
    event->as.pool_set.slots = slots;
}

static void put_file(struct sim *sim, struct sim_dag *file, struct dag *dag)
{
    dag_unref(file->file); /* the rows keep every version that was ever loaded */
    file->file = dag;
    if (dag != NULL)
        rows_add_dag(&sim->rows, dag);
    if (sim->core != NULL)
        clients_load(sim, file);
}

static void edit(struct sim *sim)
{
    struct sim_dag *file = pick(sim);

    put_file(sim, file, draw(sim->draws, 4) == 1 ? NULL : sim_dag_make(sim, file->dag_id));
}

/* Sometimes what it says of the update is refused. */
static void update_asset(struct sim *sim)
{
    static const char *const extras[] = {NULL, "{\"n\":1}", "{}", "[]"};
    const char *asset = dags_asset(sim, &sim->arena, (uint32_t)sim->dag_count);
    const char *partition = dags_partition(sim);

    sim->updates_left--;
    if (sim->core == NULL) {
        loop_update_unseen(sim, asset, partition);
        return;
    }
    struct event_asset *update = &clients_ask(sim, EVENT_ASSET, PROMISE_ASSET)->as.asset;
    *update = (struct event_asset){asset, partition, extras[draw(sim->draws, 4)]};
}

void clients_tick(struct sim *sim)
{
    const struct knobs *knobs = &sim->knobs;
    struct draws *draws = sim->draws;

    if (draw_chance(draws, knobs->dag_edit))
        edit(sim);
    if (sim->updates_left > 0 && draw_chance(draws, knobs->assets))
        update_asset(sim);
    if (sim->core == NULL)
        return;
    if (sim->triggers_left > 0 && draw_chance(draws, knobs->trigger))
        trigger(sim);
    if (sim->backfills_left > 0 && draw_chance(draws, knobs->backfill))
        backfill(sim);
    if (draw_chance(draws, knobs->control))
        control(sim);
    if (sim->changes_left > 0 && draw_chance(draws, knobs->change))
        change(sim);
    if (draw_chance(draws, knobs->dag_pause))
        set_paused(sim, pick(sim)->dag_id, draw(draws, 2) == 1);
    if (draw_chance(draws, knobs->pool_resize))
        set_pool(sim, draw(draws, (uint32_t)sim->pool_count), draw(draws, 7));
}

/* Everything is allowed to go on; only DAGs with a backfill are kept from making further runs of
 * their own, which could keep it waiting for ever. */
void clients_calm(struct sim *sim)
{
    for (size_t i = 0; i < sim->pool_count; i++)
        set_pool(sim, i, 8);
    for (size_t i = 0; i < sim->dag_count; i++) {
        if (sim->dags[i].file == NULL)
            put_file(sim, &sim->dags[i], sim_dag_make(sim, sim->dags[i].dag_id));
        set_paused(sim, sim->dags[i].dag_id, true);
    }
}

/* Failed runs may pause a backfill again. */
static bool backfills_are_over(struct sim *sim)
{
    bool are_over = true;

    for (size_t i = 0; i < sim->rows.backfill_count; i++) {
        const struct backfill_row *row = &sim->rows.backfills[i];
        if (row->completed_at_us != 0)
            continue;
        are_over = false;
        if (!row->is_paused)
            continue;
        struct event *event = clients_ask(sim, EVENT_BACKFILL_CONTROL, PROMISE_NOTHING);
        event->as.backfill_control.id = row->id;
        event->as.backfill_control.action = BACKFILL_UNPAUSE;
    }
    return are_over;
}

/* A DAG whose file is gone makes no more runs; those it has go on. */
bool clients_end(struct sim *sim)
{
    if (!backfills_are_over(sim))
        return false;
    for (size_t i = 0; i < sim->dag_count; i++) {
        /* Failed runs in a row may pause it again. */
        const struct dag_row *row = look_dag(sim, sim->dags[i].dag_id);
        if (row != NULL && row->is_paused)
            set_paused(sim, sim->dags[i].dag_id, false);
        if (sim->dags[i].file != NULL)
            put_file(sim, &sim->dags[i], NULL);
    }
    return true;
}
