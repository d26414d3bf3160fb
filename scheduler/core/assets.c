/* Assets: datasets, or anything with a name, that tasks update and DAGs wait for.
 *
 * An update is an event, kept for ever. Each DAG that waits for its asset gathers it in a batch:
 * one for all, or one per partition. Once a batch fulfils the schedule's condition and the DAG may
 * have one more run, the run takes the whole batch; so a DAG that is paused or busy catches up with
 * one run for all that has happened meanwhile. */
#include "base/json.h"
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static struct asset *find(const struct core *core, const char *name)
{
    struct asset *asset = NULL;

    HASH_FIND_STR(core->assets, name, asset);
    return asset;
}

static struct asset *get(struct core *core, const char *name)
{
    struct asset *asset = find(core, name);

    if (asset != NULL)
        return asset;
    asset = mem_alloc(sizeof(*asset));
    asset->name = mem_strdup(name);
    HASH_ADD_KEYPTR(hh, core->assets, asset->name, strlen(asset->name), asset);
    return asset;
}

static void forget_if_unread(struct core *core, struct asset *asset)
{
    if (asset->readers != NULL)
        return;
    HASH_DEL(core->assets, asset);
    free(asset->name);
    free(asset);
}

/* Whose run comes first must not depend on whose file was read first. */
static int by_dag_id(const struct asset_reader *a, const struct asset_reader *b)
{
    return strcmp(a->entry->row.dag_id, b->entry->row.dag_id);
}

/* Adds an event to what its readers wait with. */
static void deliver(struct core *core, const struct asset_event_row *row)
{
    const struct asset *asset = find(core, row->asset);

    for (struct asset_reader *reader = asset == NULL ? NULL : asset->readers; reader != NULL;
         reader = reader->next) {
        struct dag_entry *entry = reader->entry;
        bool per_partition = entry->per_partition;
        if (per_partition && row->partition[0] == '\0')
            continue; /* nothing tells which run it is for */
        struct decision *decision = decisions_add(core->out, DECIDE_ASSET_WAIT);
        decision->as.asset_wait = (struct asset_wait_row){
            .dag_id = entry->row.dag_id,
            .asset = row->asset,
            .partition = per_partition ? row->partition : "",
            .event = row->id,
            .extra = row->extra,
            .event_partition = row->partition,
        };
        struct asset_wait_row wait = decision->as.asset_wait;
        asset_batches_gather(entry, reader->index, &wait);
        assets_touch(core, entry);
    }
}

/* Strings of `row` are copied into the turn's arena. */
static void emit(struct core *core, struct asset_event_row row)
{
    struct arena *arena = &core->out->arena;

    row.id = ++core->last_asset_event_id;
    row.at_us = core->now_us;
    row.is_unseen = !core->schedules;
    row.asset = arena_strdup(arena, row.asset);
    row.partition = arena_strdup(arena, row.partition == NULL ? "" : row.partition);
    row.extra = arena_strdup(arena, row.extra == NULL ? "{}" : row.extra);
    decisions_add(core->out, DECIDE_ASSET_EVENT)->as.asset_event = row;
    deliver(core, &row);
}

/* An attempt that found its output unchanged has updated nothing. */
void assets_task_succeeded(struct core *core, const struct task *task, const char *text)
{
    const struct dag_task *spec = task_spec(task);

    if (spec->outlet_count == 0 && !spec->updates_target)
        return;
    json_t *outputs = text == NULL ? NULL : json_loads(text, 0, NULL);
    struct asset_event_row row = {
        .run = task->run->row.id,
        .task = task->index,
        .map_index = task->map_index,
        .dag_id = task->run->row.dag_id,
        .run_id = task->run->row.run_id,
        .task_id = spec->task_id,
        .partition = json_get_string(outputs, "partition", ""),
        .extra = text,
    };
    bool is_unchanged = json_get_bool(outputs, "unchanged", false) && !PLANTED(UNCHANGED_UPDATES);
    for (uint32_t i = 0; i < spec->outlet_count && !is_unchanged; i++) {
        row.asset = spec->outlets[i];
        emit(core, row);
    }
    row.asset = json_get_string(outputs, "dataset", NULL);
    if (spec->updates_target && row.asset != NULL && !is_unchanged)
        emit(core, row);
    json_decref(outputs);
}

void assets_updated(struct core *core, const struct event *event)
{
    const struct event_asset *asset = &event->as.asset;
    struct err err = {0};
    json_t *extra = asset->extra == NULL ? json_object() : json_parse(str_from(asset->extra), &err);

    if (asset->asset[0] == '\0')
        reply_error(core, event, ERR_INVALID, "an asset has a name");
    else if (!json_is_object(extra))
        reply_error(core, event, ERR_INVALID, "extra must be a JSON object%s%.500s",
                    err.code == ERR_NONE ? "" : ": ", err.code == ERR_NONE ? "" : err.message);
    else {
        emit(core, (struct asset_event_row){.asset = asset->asset,
                                            .map_index = -1,
                                            .partition = asset->partition,
                                            .extra = asset->extra});
        reply_done(core, event, core->last_asset_event_id);
    }
    json_decref(extra);
}

static void unsubscribe(struct core *core, struct dag_entry *entry)
{
    for (uint32_t i = 0; i < entry->read_count; i++) {
        struct asset_reader *reader = &entry->reads[i];
        DL_DELETE2(reader->asset->readers, reader, previous, next);
        forget_if_unread(core, reader->asset);
    }
    free(entry->reads);
    entry->reads = NULL;
    entry->read_count = 0;
    free(entry->condition);
    entry->condition = NULL;
}

static void subscribe(struct core *core, struct dag_entry *entry, const struct schedule *schedule)
{
    entry->reads = mem_alloc_array(schedule->asset_count, sizeof(*entry->reads));
    entry->read_count = schedule->asset_count;
    entry->condition = schedule->asset_count == 0 ? NULL : mem_strdup(schedule->text);
    entry->per_partition = schedule->per_partition;
    for (uint32_t i = 0; i < schedule->asset_count; i++) {
        struct asset_reader *reader = &entry->reads[i];
        reader->asset = get(core, schedule->assets[i]);
        reader->entry = entry;
        reader->index = i;
        DL_INSERT_INORDER2(reader->asset->readers, reader, by_dag_id, previous, next);
    }
}

void assets_subscribe(struct core *core, struct dag_entry *entry)
{
    const struct schedule *schedule = assets_schedule(entry);
    const char *condition = schedule->asset_count == 0 ? "" : schedule->text;

    if (strcmp(entry->condition == NULL ? "" : entry->condition, condition) == 0)
        return;
    asset_batches_convert(core, entry, schedule);
    unsubscribe(core, entry);
    subscribe(core, entry, schedule);
}

void assets_release(struct core *core, struct dag_entry *entry)
{
    asset_batches_drop(entry);
    unsubscribe(core, entry);
}

void assets_free(struct core *core)
{
    free(core->unseen);
    arena_release(&core->unseen_arena);
}

void core_restore_asset_wait(struct core *core, const struct asset_wait_row *row)
{
    struct dag_entry *entry = PLANTED(UPDATES_NOT_RESTORED) ? NULL : dags_find(core, row->dag_id);

    for (uint32_t i = 0; entry != NULL && i < entry->read_count; i++)
        if (strcmp(entry->reads[i].asset->name, row->asset) == 0)
            asset_batches_gather(entry, i, row);
}

void core_restore_asset_event(struct core *core, const struct asset_event_row *row)
{
    struct arena *arena = &core->unseen_arena;
    struct asset_event_row copy = *row;

    copy.asset = arena_strdup(arena, row->asset);
    copy.partition = arena_strdup(arena, row->partition);
    copy.extra = arena_strdup(arena, row->extra);
    core->unseen = mem_resize_array(core->unseen, core->unseen_count + 1, sizeof(*core->unseen));
    core->unseen[core->unseen_count++] = copy;
}

void assets_recovered(struct core *core)
{
    for (size_t i = 0; i < core->unseen_count; i++) {
        struct asset_event_row row = core->unseen[i];
        row.asset = arena_strdup(&core->out->arena, row.asset);
        row.partition = arena_strdup(&core->out->arena, row.partition);
        row.extra = arena_strdup(&core->out->arena, row.extra);
        if (!PLANTED(UNSEEN_FORGOTTEN))
            deliver(core, &row);
    }
    if (core->unseen_count > 0)
        (void)decisions_add(core->out, DECIDE_ASSET_SEEN);
    free(core->unseen);
    core->unseen = NULL;
    core->unseen_count = 0;
    arena_release(&core->unseen_arena);
}
