/* The batches of updates that a DAG has had no run for, and the runs that take them. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "scheduler/core/parts.h"
#include "scheduler/core/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

const struct schedule *assets_schedule(const struct dag_entry *entry)
{
    static const struct schedule none = {0};

    return entry->current == NULL ? &none : &entry->current->schedule;
}

static bool holds(const struct asset_node *node, const uint32_t *counts)
{
    if (node->kind == ASSET_IS_NEW)
        return counts[node->asset] > 0;
    for (uint32_t at = 1; at < node->size; at += node[at].size)
        if (holds(&node[at], counts) == (node->kind == ASSET_ANY || PLANTED(ALL_IS_ANY)))
            return node->kind == ASSET_ANY || PLANTED(ALL_IS_ANY);
    return node->kind == ASSET_ALL;
}

static struct asset_batch *get_batch(struct dag_entry *entry, const char *partition)
{
    struct asset_batch *batch = NULL;

    HASH_FIND_STR(entry->batches, partition, batch);
    if (batch != NULL)
        return batch;
    batch = mem_alloc(sizeof(*batch));
    batch->partition = mem_strdup(partition);
    batch->counts = mem_alloc_array(entry->read_count, sizeof(*batch->counts));
    batch->latest = json_object();
    HASH_ADD_KEYPTR(hh, entry->batches, batch->partition, strlen(batch->partition), batch);
    return batch;
}

static void drop_batch(struct dag_entry *entry, struct asset_batch *batch)
{
    HASH_DEL(entry->batches, batch);
    if (batch->is_complete)
        DL_DELETE2(entry->complete, batch, previous, next);
    json_decref(batch->latest);
    free(batch->partition);
    free(batch->counts);
    free(batch);
}

/* What a run is told of the latest update of each asset. */
static json_t *describe(const char *partition, const char *extra)
{
    json_t *said = json_loads(extra == NULL ? "{}" : extra, 0, NULL);

    if (!json_is_object(said)) {
        json_decref(said);
        said = json_object();
    }
    if (partition[0] != '\0')
        (void)json_object_set_new(said, "partition", json_string(partition));
    return said;
}

void asset_batches_gather(struct dag_entry *entry, uint32_t index, const struct asset_wait_row *row)
{
    struct asset_batch *batch = get_batch(entry, row->partition);

    batch->counts[index]++;
    (void)json_object_set_new(batch->latest, row->asset,
                              describe(row->event_partition, row->extra));
    if (batch->is_complete || !holds(assets_schedule(entry)->condition, batch->counts))
        return;
    batch->is_complete = true;
    DL_APPEND2(entry->complete, batch, previous, next);
}

static bool may_make_run(const struct core *core, const struct dag_entry *entry)
{
    return core->schedules && entry->complete != NULL && entry->current != NULL &&
           !entry->row.is_paused && !entry->row.is_stale &&
           entry->live_runs < entry->current->max_active_runs;
}

/* A partition whose first key is a date or an hour ("2026-01-01", "2026-01-01T05") gives the run
 * that day, or hour, as its data interval; so `ds` means the same as in a run by schedule. */
static struct interval partition_interval(const struct dag *dag, const char *partition)
{
    const struct zone *zone = dag->zone == NULL ? zone_utc() : dag->zone;
    const char *equals = strchr(partition, '=');
    struct interval none = {0};
    bool has_offset = false;
    int64_t local_us = 0;
    char text[TIMEFMT_SIZE];

    if (equals == NULL)
        return none;
    struct str value = str_from(equals + 1);
    size_t slash = str_find(value, '/', 0);
    value = str_sub(value, 0, slash);
    bool is_hour = value.len == 13;
    if (value.len != 10 && !is_hour)
        return none;
    (void)snprintf(text, sizeof(text), "%.*s%s", STR_ARG(value), is_hour ? ":00" : "");
    if (!timefmt_parse(str_from(text), &local_us, &has_offset))
        return none;
    int64_t length_us = is_hour ? US_PER_HOUR : US_PER_DAY;
    return (struct interval){zone_to_utc_us(zone, local_us),
                             zone_to_utc_us(zone, local_us + length_us)};
}

static char *make_conf(const struct asset_batch *batch)
{
    json_t *conf = json_pack("{s:O}", "asset_events", batch->latest);

    if (batch->partition[0] != '\0' && !PLANTED(PARTITIONS_MIXED))
        (void)json_object_set_new(conf, "partition", json_string(batch->partition));
    struct buf text = {0};
    json_dump_canonical(conf, &text);
    json_decref(conf);
    return buf_take(&text);
}

/* Several runs of one instant differ by the number of their row. */
static const char *make_run_id(struct core *core)
{
    char date[TIMEFMT_SIZE];

    return reason_format(core, "asset_triggered__%s_%lld", timefmt_iso_offset(core->now_us, date),
                         (long long)core->last_run_id);
}

static void make_run(struct core *core, struct dag_entry *entry, struct asset_batch *batch)
{
    struct interval interval = partition_interval(entry->current, batch->partition);
    char *conf = make_conf(batch);
    struct run_row row = {
        .id = ++core->last_run_id,
        .dag_id = entry->row.dag_id,
        .version_id = entry->row.version_id,
        .run_type = RUN_TYPE_ASSET_TRIGGERED,
        .state = RUN_QUEUED,
        .triggered_by = TRIGGERED_BY_ASSET,
        .interval_start_us = interval.start_us,
        .interval_end_us = interval.end_us,
        .run_after_us = core->now_us,
        .queued_at_us = core->now_us,
        .conf = conf,
    };

    row.run_id = make_run_id(core);
    struct run *run = run_new(core, entry, entry->current, &row);
    const char *partition = arena_strdup(&core->out->arena, batch->partition);
    drop_batch(entry, batch);
    free(conf);
    run_insert(core, run, DECIDE_RUN_NEW, RUN_QUEUED);
    struct decision *taken = decisions_add(core->out, DECIDE_ASSET_TAKEN);
    taken->as.asset_taken.dag_id = entry->row.dag_id;
    taken->as.asset_taken.partition = partition;
    taken->as.asset_taken.run = row.id;
}

void assets_touch(struct core *core, struct dag_entry *entry)
{
    if (entry->complete == NULL || entry->is_updated)
        return;
    entry->is_updated = true;
    DL_APPEND2(core->updated, entry, updated_previous, updated_next);
}

void assets_make_runs(struct core *core)
{
    while (core->updated != NULL) {
        struct dag_entry *entry = core->updated;
        DL_DELETE2(core->updated, entry, updated_previous, updated_next);
        entry->is_updated = false;
        while (may_make_run(core, entry))
            make_run(core, entry, entry->complete);
    }
}

void asset_batches_drop(struct dag_entry *entry)
{
    while (entry->batches != NULL)
        drop_batch(entry, entry->batches);
}

static uint32_t index_of(const struct schedule *schedule, const char *name)
{
    for (uint32_t i = 0; i < schedule->asset_count; i++)
        if (strcmp(schedule->assets[i], name) == 0)
            return i;
    return UINT32_MAX;
}

/* The batch as the new schedule counts it. */
static void convert_batch(struct dag_entry *entry, struct asset_batch *batch,
                          const struct schedule *schedule)
{
    uint32_t *counts = mem_alloc_array(schedule->asset_count, sizeof(*counts));
    bool is_empty = true;

    for (uint32_t i = 0; i < entry->read_count; i++) {
        const char *name = entry->reads[i].asset->name;
        uint32_t at = index_of(schedule, name);
        if (at == UINT32_MAX)
            (void)json_object_del(batch->latest, name);
        else
            counts[at] = batch->counts[i];
        is_empty = is_empty && (at == UINT32_MAX || batch->counts[i] == 0);
    }
    free(batch->counts);
    batch->counts = counts;
    if (batch->is_complete)
        DL_DELETE2(entry->complete, batch, previous, next);
    batch->is_complete = false;
    if (is_empty) {
        drop_batch(entry, batch);
    } else if (holds(schedule->condition, counts)) {
        batch->is_complete = true;
        DL_APPEND2(entry->complete, batch, previous, next);
    }
}

static void tell_dropped(struct core *core, const struct dag_entry *entry, const char *asset)
{
    struct decision *decision = decisions_add(core->out, DECIDE_ASSET_DROPPED);

    decision->as.asset_wait.dag_id = entry->row.dag_id;
    decision->as.asset_wait.asset = arena_strdup(&core->out->arena, asset);
}

/* What was gathered stays, as far as the new schedule waits for it. */
void asset_batches_convert(struct core *core, struct dag_entry *entry,
                           const struct schedule *schedule)
{
    struct asset_batch *batch = NULL;
    struct asset_batch *next = NULL;

    if (entry->batches == NULL)
        return;
    if (entry->per_partition != schedule->per_partition || schedule->asset_count == 0) {
        asset_batches_drop(entry);
        tell_dropped(core, entry, NULL);
        return;
    }
    for (uint32_t i = 0; i < entry->read_count; i++)
        if (index_of(schedule, entry->reads[i].asset->name) == UINT32_MAX)
            tell_dropped(core, entry, entry->reads[i].asset->name);
    HASH_ITER(hh, entry->batches, batch, next)
    {
        convert_batch(entry, batch, schedule);
    }
}
