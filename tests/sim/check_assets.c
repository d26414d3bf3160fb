/* Invariants of assets: each update has its cause and is told of once to whoever waits; a run takes
 * what fulfils its DAG's condition, and all of it. */
#include "tests/sim/sim.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const struct schedule *schedule_of(const struct sim *sim, const char *dag_id)
{
    static const struct schedule none = {0};
    const struct dag *dag = look_version(sim, dag_id);

    return dag == NULL ? &none : &dag->schedule;
}

static bool reads(const struct schedule *schedule, const char *asset)
{
    for (uint32_t i = 0; i < schedule->asset_count; i++)
        if (strcmp(schedule->assets[i], asset) == 0)
            return true;
    return false;
}

/* --- causes ---------------------------------------------------------------------------------- */

/* How many updates a success makes. */
static int updates_of(const struct dag_task *spec, const char *outputs)
{
    if (outputs != NULL && strstr(outputs, "\"unchanged\":true") != NULL)
        return 0;
    return (int)spec->outlet_count +
           (spec->updates_target && outputs != NULL && strstr(outputs, "\"dataset\":") != NULL);
}

void assets_note_success(struct sim *sim, const struct stored_run *run, uint32_t task,
                         const char *outputs)
{
    sim->updates_due += updates_of(&run->dag->tasks[task], outputs);
}

static bool is_refused(const struct event *event)
{
    return event->as.asset.extra != NULL && event->as.asset.extra[0] != '{';
}

/* S1: what an event caused has been told of when the next one begins. */
void assets_next_cause(struct sim *sim, const struct event *event)
{
    if (sim->updates_due != 0)
        sim_fail(sim, "S1: %d updates of assets are lost", sim->updates_due);
    if (event != NULL && event->kind == EVENT_ASSET && !is_refused(event))
        sim->updates_due = 1;
}

static void check_event(struct sim *sim, const struct asset_event_row *row)
{
    if (--sim->updates_due < 0)
        sim_fail(sim, "S1: %s is updated without a cause", row->asset);
    if (row->run == 0)
        return;
    const struct stored_run *run = rows_run(&sim->rows, row->run);
    const struct dag_task *spec = &run->dag->tasks[row->task];
    bool is_outlet = spec->updates_target;
    for (uint32_t i = 0; i < spec->outlet_count; i++)
        is_outlet = is_outlet || strcmp(spec->outlets[i], row->asset) == 0;
    if (!is_outlet || look_task(run, row->task, row->map_index)->state != TASK_SUCCESS)
        sim_fail(sim, "S1: run %lld: %s updates %s", (long long)row->run, spec->task_id,
                 row->asset);
}

/* --- told ------------------------------------------------------------------------------------ */

static bool was_told(const struct sim *sim, int64_t event, const char *dag_id)
{
    for (size_t i = sim->told_count; i-- > 0;)
        if (sim->told[i].event == event && strcmp(sim->told[i].dag_id, dag_id) == 0)
            return true;
    return false;
}

static const struct asset_event_row *event_of(const struct sim *sim, int64_t id)
{
    for (size_t i = sim->rows.asset_event_count; i-- > 0;)
        if (sim->rows.asset_events[i].id == id)
            return &sim->rows.asset_events[i];
    return NULL;
}

/* S2: once for each DAG that waits, in its partition. */
static void check_told(struct sim *sim, const struct asset_wait_row *row)
{
    const struct schedule *schedule = schedule_of(sim, row->dag_id);
    const struct asset_event_row *event = event_of(sim, row->event);

    if (event == NULL || was_told(sim, row->event, row->dag_id))
        sim_fail(sim, "S2: %s is told of update %lld %s", row->dag_id, (long long)row->event,
                 event == NULL ? "that there is not" : "twice");
    if (!reads(schedule, row->asset) ||
        strcmp(row->partition, schedule->per_partition ? event->partition : "") != 0)
        sim_fail(sim, "S2: %s is told of update %lld of %s in \"%s\"", row->dag_id,
                 (long long)row->event, row->asset, row->partition);
    if (sim->told_count == sim->told_capacity) {
        sim->told_capacity = mem_grow(sim->told_capacity, sim->told_count + 1);
        sim->told = mem_resize_array(sim->told, sim->told_capacity, sizeof(*sim->told));
    }
    sim->told[sim->told_count].event = row->event;
    sim->told[sim->told_count++].dag_id = arena_strdup(&sim->arena, row->dag_id);
}

static void check_all_told(struct sim *sim, const struct asset_event_row *event)
{
    for (size_t i = 0; i < sim->rows.dag_row_count; i++) {
        const char *dag_id = sim->rows.dag_rows[i].dag_id;
        const struct schedule *schedule = schedule_of(sim, dag_id);
        if (reads(schedule, event->asset) &&
            !(schedule->per_partition && event->partition[0] == '\0') &&
            !was_told(sim, event->id, dag_id))
            sim_fail(sim, "S2: %s waits for %s and is not told of update %lld", dag_id,
                     event->asset, (long long)event->id);
    }
}

/* Those of before stay unseen until a scheduler of all DAGs has told of them. */
static void assets_check_unseen(struct sim *sim)
{
    for (size_t i = 0; i < sim->rows.asset_event_count; i++)
        if (sim->rows.asset_events[i].is_unseen)
            check_all_told(sim, &sim->rows.asset_events[i]);
}

/* --- taken ----------------------------------------------------------------------------------- */

static bool waits_with(const struct sim *sim, const char *dag_id, const char *partition,
                       const char *asset)
{
    for (size_t i = 0; i < sim->rows.asset_wait_count; i++) {
        const struct asset_wait_row *wait = &sim->rows.asset_waits[i];
        if (strcmp(wait->dag_id, dag_id) == 0 && strcmp(wait->partition, partition) == 0 &&
            strcmp(wait->asset, asset) == 0)
            return true;
    }
    return false;
}

/* The condition, read off what the DAG waits with. */
static bool holds(const struct sim *sim, const char *dag_id, const char *partition,
                  const struct asset_node *node)
{
    uint32_t held = 0;
    uint32_t children = 0;

    if (node->kind == ASSET_IS_NEW)
        return waits_with(sim, dag_id, partition, schedule_of(sim, dag_id)->assets[node->asset]);
    for (uint32_t at = 1; at < node->size; at += node[at].size) {
        children++;
        held += holds(sim, dag_id, partition, &node[at]);
    }
    return node->kind == ASSET_ALL ? held == children : held > 0;
}

/* The run is told of all that it takes. */
static bool tells_all(const struct sim *sim, const struct run_row *run, const char *partition)
{
    json_t *conf = json_loads(run->conf, 0, NULL);
    const json_t *events = json_object_get(conf, "asset_events");
    const char *said = json_string_value(json_object_get(conf, "partition"));
    bool is_right = strcmp(said == NULL ? "" : said, partition) == 0;
    size_t count = 0;

    for (size_t i = 0; i < sim->rows.asset_wait_count; i++) {
        const struct asset_wait_row *wait = &sim->rows.asset_waits[i];
        if (strcmp(wait->dag_id, run->dag_id) != 0 || strcmp(wait->partition, partition) != 0)
            continue;
        is_right = is_right && json_object_get(events, wait->asset) != NULL;
        count++;
    }
    is_right = is_right && json_object_size(events) <= count;
    json_decref(conf);
    return is_right;
}

/* S3: a run takes a batch that fulfils the condition. */
static void check_taken(struct sim *sim, const char *dag_id, const char *partition, int64_t id)
{
    const struct stored_run *run = rows_run(&sim->rows, id);
    const struct schedule *schedule = schedule_of(sim, dag_id);
    bool has_date = strncmp(partition, "dt=2026-01-0", 12) == 0;
    int64_t day_us = INT64_C(1767225600000000) + (has_date ? partition[12] - '1' : 0) * US_PER_DAY;

    if (run == NULL || run->row.run_type != RUN_TYPE_ASSET_TRIGGERED ||
        strcmp(run->row.dag_id, dag_id) != 0 || --sim->asset_runs_open < 0)
        sim_fail(sim, "S3: %s takes updates without a run", dag_id);
    if (schedule->asset_count == 0 || !holds(sim, dag_id, partition, schedule->condition))
        sim_fail(sim, "S3: run %lld of %s is made, and its assets have not been updated",
                 (long long)id, dag_id);
    if (!tells_all(sim, &run->row, partition))
        sim_fail(sim, "S3: run %lld of %s is told of other updates than it takes: %s",
                 (long long)id, dag_id, run->row.conf);
    if (run->row.interval_start_us != (has_date ? day_us : 0))
        sim_fail(sim, "S3: run %lld of %s has another interval than its partition", (long long)id,
                 dag_id);
}

/* S2: what a DAG waits with is dropped only when it does not wait for that any more. */
static void check_dropped(struct sim *sim, const char *dag_id, const char *asset)
{
    if (sim->cause == NULL || sim->cause->kind != EVENT_DAG_LOADED)
        sim_fail(sim, "S2: %s drops updates, and has not been edited", dag_id);
    const struct schedule *schedule = &sim->cause->as.dag_loaded.dag->schedule;
    if (asset != NULL && reads(schedule, asset))
        sim_fail(sim, "S2: %s drops updates of %s, for which it waits", dag_id, asset);
    for (size_t i = 0; asset == NULL && i < sim->rows.asset_wait_count; i++) {
        const struct asset_wait_row *wait = &sim->rows.asset_waits[i];
        if (strcmp(wait->dag_id, dag_id) == 0 && reads(schedule, wait->asset) &&
            schedule->per_partition == (wait->partition[0] != '\0'))
            sim_fail(sim, "S2: %s drops all updates, and waits for %s", dag_id, wait->asset);
    }
}

/* Before the decision is stored. */
void check_asset(struct sim *sim, const struct decision *decision)
{
    if (decision->kind != DECIDE_ASSET_WAIT && sim->updated != 0) {
        check_all_told(sim, event_of(sim, sim->updated));
        sim->updated = 0;
    }
    if (decision->kind == DECIDE_ASSET_EVENT) {
        check_event(sim, &decision->as.asset_event);
        sim->updated = decision->as.asset_event.id;
    } else if (decision->kind == DECIDE_ASSET_SEEN) {
        assets_check_unseen(sim);
    } else if (decision->kind == DECIDE_ASSET_WAIT) {
        check_told(sim, &decision->as.asset_wait);
    } else if (decision->kind == DECIDE_ASSET_TAKEN) {
        check_taken(sim, decision->as.asset_taken.dag_id, decision->as.asset_taken.partition,
                    decision->as.asset_taken.run);
    } else if (decision->kind == DECIDE_ASSET_DROPPED) {
        check_dropped(sim, decision->as.asset_wait.dag_id, decision->as.asset_wait.asset);
    } else if (decision->kind == DECIDE_RUN_NEW &&
               decision->as.run.row.run_type == RUN_TYPE_ASSET_TRIGGERED) {
        sim->asset_runs_open++;
    }
}

/* At the end of a turn. */
void check_asset_turn(struct sim *sim)
{
    if (sim->updated != 0)
        check_all_told(sim, event_of(sim, sim->updated));
    sim->updated = 0;
    assets_next_cause(sim, NULL);
    if (sim->asset_runs_open != 0)
        sim_fail(sim, "S3: a run for assets takes no updates");
}

/* L2: a DAG whose condition is fulfilled has its run, as far as it may have one more. */
void check_waiting_assets(struct sim *sim, const struct dag_row *row, int64_t live_runs)
{
    const struct schedule *schedule = schedule_of(sim, row->dag_id);

    if (schedule->asset_count == 0 || row->is_paused || row->is_stale ||
        live_runs >= look_version(sim, row->dag_id)->max_active_runs)
        return;
    for (size_t i = 0; i < sim->rows.asset_wait_count; i++) {
        const struct asset_wait_row *wait = &sim->rows.asset_waits[i];
        if (strcmp(wait->dag_id, row->dag_id) == 0 &&
            holds(sim, row->dag_id, wait->partition, schedule->condition))
            sim_fail(sim, "L2: %s could have a run for its assets and has none", row->dag_id);
    }
}
