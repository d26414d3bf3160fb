/* DAGs as the core knows them: their current version, their next interval, the runs that wait. */
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/core/parts.h"
#include "scheduler/core/zone.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct dag_entry *dags_find(const struct core *core, const char *dag_id)
{
    struct dag_entry *entry = NULL;

    HASH_FIND_STR(core->dags, dag_id, entry);
    return entry;
}

struct dag_entry *dags_add(struct core *core, const char *dag_id)
{
    struct dag_entry *entry = mem_alloc(sizeof(*entry));

    entry->row.dag_id = arena_strdup(&entry->arena, dag_id);
    run_queue_init(&entry->queue);
    HASH_ADD_KEYPTR(hh, core->dags, entry->row.dag_id, strlen(entry->row.dag_id), entry);
    return entry;
}

void dags_free(struct core *core, struct dag_entry *entry)
{
    HASH_DEL(core->dags, entry);
    assets_release(core, entry);
    run_queue_release(&entry->queue);
    dag_unref(entry->current);
    arena_release(&entry->arena);
    free(entry->pause_reason);
    limits_free(entry);
    free(entry);
}

void dags_set_pause_reason(struct dag_entry *entry, const char *reason)
{
    char *copy = mem_strdup(reason);

    free(entry->pause_reason);
    entry->pause_reason = copy;
    entry->row.pause_reason = copy;
}

static void tell(struct core *core, const struct dag_entry *entry)
{
    struct decision *decision = decisions_add(core->out, DECIDE_DAG);

    decision->as.dag = entry->row;
    decision->as.dag.file = arena_strdup(&core->out->arena, entry->row.file);
    decision->as.dag.pause_reason = arena_strdup(&core->out->arena, entry->row.pause_reason);
}

void dags_plan(struct dag_entry *entry, int64_t now_us)
{
    const struct dag *dag = entry->current;
    struct interval next = {0};

    if (dag != NULL && entry->row.next_end_us != 0 && entry->row.last_tick_us == 0 &&
        dag->start_date_us == 0 &&
        (dag->catchup || dag->schedule.kind == SCHEDULE_ONCE ||
         dag->schedule.kind == SCHEDULE_CONTINUOUS))
        return; /* "from now on" was said once: it doesn't move with the clock */
    if (dag != NULL)
        (void)timetable_next_run(dag, entry->row.last_tick_us, now_us, &next);
    entry->row.next_start_us = next.start_us;
    entry->row.next_end_us = next.end_us;
}

static bool makes_runs(const struct core *core, const struct dag_entry *entry)
{
    return core->schedules && entry->current != NULL && !entry->row.is_paused &&
           !entry->row.is_stale && entry->row.next_end_us != 0;
}

static void set_due(struct core *core, struct dag_entry *entry, bool is_due)
{
    if (is_due && !entry->is_due)
        DL_APPEND2(core->due, entry, due_previous, due_next);
    else if (!is_due && entry->is_due)
        DL_DELETE2(core->due, entry, due_previous, due_next);
    entry->is_due = is_due;
}

static bool has_room(const struct dag_entry *entry)
{
    return entry->live_runs < entry->current->max_active_runs;
}

void dags_touch(struct core *core, struct dag_entry *entry)
{
    if (!PLANTED(ROOM_NOT_NOTICED))
        assets_touch(core, entry);
    timer_disarm(&core->dag_timers, &entry->timer);
    if (!makes_runs(core, entry)) {
        set_due(core, entry, false);
        return;
    }
    bool is_due = entry->row.next_end_us <= core->now_us;
    set_due(core, entry, is_due && has_room(entry));
    if (!is_due)
        timer_arm(core, &core->dag_timers, &entry->timer, entry->row.next_end_us);
}

static struct run *next_to_start(struct core *core, struct dag_entry *entry)
{
    int64_t room = INT64_MAX;

    /* Without schedules (millrace run) a run is an order given now: a pause does not hold it. */
    if (entry->row.is_paused && core->schedules && !PLANTED(DAG_PAUSE_IGNORED))
        return NULL;
    if (entry->current != NULL && !PLANTED(MAX_ACTIVE_RUNS_IGNORED))
        room = entry->current->max_active_runs - entry->running_runs;
    return run_queue_next(core, entry, NULL, room);
}

void dags_start_runs(struct core *core, struct dag_entry *entry)
{
    if (entry->is_starting)
        return; /* a run without tasks ended at once: the loop below goes on */
    entry->is_starting = true;
    for (struct run *run = NULL; (run = next_to_start(core, entry)) != NULL;) {
        run_queue_remove(run);
        run_start(core, run);
    }
    entry->is_starting = false;
}

static bool same_schedule(const struct dag *a, const struct dag *b)
{
    const char *text_a = a->schedule.text == NULL ? "" : a->schedule.text;
    const char *text_b = b->schedule.text == NULL ? "" : b->schedule.text;

    return a->schedule.kind == b->schedule.kind && a->schedule.every_us == b->schedule.every_us &&
           a->start_date_us == b->start_date_us && strcmp(text_a, text_b) == 0 &&
           strcmp(a->timezone, b->timezone) == 0;
}

static void set_version(struct core *core, struct dag_entry *entry, struct dag *dag)
{
    struct decision *decision = NULL;

    if (entry->current == NULL || !same_schedule(entry->current, dag))
        entry->row.next_start_us = entry->row.next_end_us = 0;
    if (entry->current != NULL)
        retire_dag(core, entry->current);
    entry->current = dag_ref(dag);
    assets_subscribe(core, entry);
    limits_version_changed(core, entry);
    entry->row.version_id = ++core->last_version_id;
    entry->row.version_number++;
    decision = decisions_add(core->out, DECIDE_VERSION);
    decision->as.version = (struct version_row){
        .id = entry->row.version_id,
        .dag_id = entry->row.dag_id,
        .number = entry->row.version_number,
        .hash = dag->hash,
        .file = dag->file,
        .source = dag->source,
        .created_at_us = core->now_us,
    };
}

/* The same file read with an updated tzdata: no new version, but other ticks from now on. */
static void set_zone(struct core *core, struct dag_entry *entry, struct dag *dag)
{
    retire_dag(core, entry->current);
    entry->current = dag_ref(dag);
    entry->row.next_start_us = entry->row.next_end_us = 0;
}

void dags_loaded(struct core *core, struct dag *dag)
{
    struct dag_entry *entry = dags_find(core, dag->dag_id);
    bool is_new = entry == NULL;

    if (is_new) {
        entry = dags_add(core, dag->dag_id);
        entry->row.is_paused = dag->paused_upon_creation;
    }
    bool changed = entry->current == NULL || strcmp(entry->current->hash, dag->hash) != 0;
    bool shifted = !changed && !zone_equal(entry->current->zone, dag->zone);
    bool moved = entry->row.file == NULL || strcmp(entry->row.file, dag->file) != 0;
    if (!changed && !shifted && !moved && !entry->row.is_stale)
        return;
    if (changed)
        set_version(core, entry, dag);
    if (shifted)
        set_zone(core, entry, dag);
    if (moved)
        entry->row.file = arena_strdup(&entry->arena, dag->file);
    entry->row.is_stale = false;
    entry->row.parsed_at_us = core->now_us;
    dags_plan(entry, core->now_us);
    tell(core, entry);
    dags_touch(core, entry);
    dags_start_runs(core, entry);
    if (entry->backfill != NULL)
        backfill_schedule_changed(core, entry->backfill);
}

void dags_gone(struct core *core, const char *dag_id)
{
    struct dag_entry *entry = dags_find(core, dag_id);

    if (entry == NULL || entry->row.is_stale)
        return;
    entry->row.is_stale = true;
    tell(core, entry);
    dags_touch(core, entry);
    if (entry->backfill != NULL)
        backfill_touch(core, entry->backfill);
}

void dags_set_paused(struct core *core, const struct event *event)
{
    const char *dag_id = event->as.set_paused.dag_id;
    struct dag_entry *entry = dags_find(core, dag_id);

    if (entry == NULL) {
        reply_error(core, event, ERR_NOT_FOUND, "DAG with dag_id: '%s' not found", dag_id);
        return;
    }
    if (entry->row.is_paused != event->as.set_paused.is_paused) {
        entry->row.is_paused = event->as.set_paused.is_paused;
        entry->row.failed_in_row = 0;
        dags_set_pause_reason(entry, NULL);
        dags_plan(entry, core->now_us);
        tell(core, entry);
        dags_start_runs(core, entry);
        dags_touch(core, entry);
    }
    reply_done(core, event, 0);
}

void dags_run_ended(struct core *core, const struct run *run)
{
    struct dag_entry *entry = run->entry;
    struct dag_row *row = &entry->row;
    int64_t max = entry->current == NULL ? 0 : entry->current->max_failed_in_row;

    if (max == 0 || (run->row.state == RUN_SUCCESS && row->failed_in_row == 0))
        return;
    row->failed_in_row = run->row.state == RUN_SUCCESS ? 0 : row->failed_in_row + 1;
    if (row->failed_in_row >= max && !row->is_paused) {
        row->is_paused = true;
        dags_set_pause_reason(
            entry, reason_format(core, "max_consecutive_failed_dag_runs: %lld failed, last: %s",
                                 (long long)row->failed_in_row, run->row.run_id));
    }
    tell(core, entry);
}

size_t dags_want(struct core *core, int64_t now_us, struct core_want *out, size_t max)
{
    struct heap_node *top = NULL;
    size_t count = 0;

    while ((top = heap_top(&core->dag_timers)) != NULL) {
        struct timer *timer = HEAP_ENTRY(top, struct timer, node);
        struct dag_entry *entry = HEAP_ENTRY(timer, struct dag_entry, timer);
        if (timer->at_us > now_us)
            break;
        heap_remove(&core->dag_timers, top);
        set_due(core, entry, has_room(entry));
    }
    struct dag_entry *next = NULL;
    for (struct dag_entry *entry = core->due; entry != NULL && count < max; entry = next) {
        next = entry->due_next;
        /* Without catchup only the newest complete interval counts, and that may be a later one
         * by now, or past the end date. */
        dags_plan(entry, now_us);
        if (entry->row.next_end_us == 0 || entry->row.next_end_us > now_us) {
            set_due(core, entry, false);
            if (entry->row.next_end_us != 0)
                timer_arm(core, &core->dag_timers, &entry->timer, entry->row.next_end_us);
            continue;
        }
        out[count++] = (struct core_want){.dag_id = entry->row.dag_id,
                                          .logical_date_us = entry->row.next_start_us};
    }
    return count;
}

static void insert_scheduled(struct core *core, struct dag_entry *entry)
{
    char date[TIMEFMT_SIZE];
    char run_id[TIMEFMT_SIZE + 16];
    struct run_row row = {
        .id = ++core->last_run_id,
        .dag_id = entry->row.dag_id,
        .run_id = run_id,
        .version_id = entry->row.version_id,
        .run_type = RUN_TYPE_SCHEDULED,
        .state = RUN_QUEUED,
        .triggered_by = TRIGGERED_BY_TIMETABLE,
        .logical_date_us = entry->row.next_start_us,
        .interval_start_us = entry->row.next_start_us,
        .interval_end_us = entry->row.next_end_us,
        .run_after_us = entry->row.next_end_us,
        .queued_at_us = core->now_us,
    };

    (void)snprintf(run_id, sizeof(run_id), "scheduled__%s",
                   timefmt_iso_offset(row.logical_date_us, date));
    run_insert(core, run_new(core, entry, entry->current, &row), DECIDE_RUN_NEW, RUN_QUEUED);
}

void dags_make_run(struct core *core, const struct core_want *want, const struct known_run *known)
{
    struct dag_entry *entry = dags_find(core, want->dag_id);

    if (entry == NULL || !entry->is_due || !makes_runs(core, entry) || !has_room(entry) ||
        entry->row.next_start_us != want->logical_date_us)
        return;
    if (entry->row.next_end_us > core->now_us) {
        dags_touch(core, entry); /* the clock was set back */
        return;
    }
    bool exists =
        known->exists || run_known_by_date(core, entry->row.dag_id, want->logical_date_us);
    if (!exists)
        insert_scheduled(core, entry);
    if (!PLANTED(TICK_NOT_KEPT))
        entry->row.last_tick_us = entry->row.next_end_us;
    dags_plan(entry, core->now_us);
    tell(core, entry);
    dags_touch(core, entry);
}
