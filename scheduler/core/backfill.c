/* Backfills: runs over a range of past intervals, made one after the other as slots free up. The
 * cursor is the logical date to look at next, so that a restart goes on where it was. */
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/core/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define LOOKAHEAD_MAX 256

static void tell(struct core *core, struct backfill *backfill, enum decision_kind kind)
{
    backfill->row.updated_at_us = core->now_us;
    decisions_add(core->out, kind)->as.backfill = backfill->row;
}

/* The interval at, or next to, a cursor in the backfill's direction; false past its range. Only
 * intervals that were complete when the backfill was made belong to it. */
static bool interval_at(const struct dag *dag, const struct backfill_row *row, int64_t cursor_us,
                        struct interval *ret)
{
    struct interval interval = {0};

    if (!row->run_backwards) {
        if (!timetable_interval_from(dag, cursor_us, &interval) || interval.start_us > row->to_us ||
            interval.end_us > row->created_at_us)
            return false;
        *ret = interval;
        return true;
    }
    /* Those that begin later end later, too: a far end of the range must not be walked back from.
     */
    if (cursor_us > row->created_at_us)
        cursor_us = row->created_at_us;
    if (!timetable_interval_until(dag, cursor_us, &interval))
        return false;
    while (interval.end_us > row->created_at_us)
        if (!timetable_interval_until(dag, interval.start_us - 1, &interval))
            return false;
    if (interval.start_us < row->from_us)
        return false;
    *ret = interval;
    return true;
}

/* The interval after one, or false. */
static bool interval_after(const struct dag *dag, const struct backfill_row *row,
                           const struct interval *interval, struct interval *ret)
{
    return interval_at(dag, row, interval->start_us + (row->run_backwards ? -1 : 1), ret);
}

struct backfill *backfill_add(struct core *core, struct dag_entry *entry,
                              const struct backfill_row *row)
{
    struct backfill *backfill = mem_alloc(sizeof(*backfill));

    backfill->row = *row;
    backfill->row.dag_id = entry->row.dag_id;
    backfill->row.conf = arena_strdup(&backfill->arena, row->conf == NULL ? "{}" : row->conf);
    backfill->entry = entry;
    backfill->queued.before = run_is_before;
    backfill->lookahead = 1;
    if (row->completed_at_us == 0)
        entry->backfill = backfill;
    HASH_ADD(hh, core->backfills, row.id, sizeof(backfill->row.id), backfill);
    return backfill;
}

void backfill_free(struct core *core, struct backfill *backfill)
{
    HASH_DEL(core->backfills, backfill);
    heap_release(&backfill->queued);
    arena_release(&backfill->arena);
    free(backfill);
}

static void set_wanting(struct core *core, struct backfill *backfill, bool is_wanting)
{
    if (is_wanting && !backfill->is_wanting)
        DL_APPEND2(core->wanting, backfill, want_previous, want_next);
    else if (!is_wanting && backfill->is_wanting)
        DL_DELETE2(core->wanting, backfill, want_previous, want_next);
    backfill->is_wanting = is_wanting;
}

static bool has_room(const struct backfill *backfill)
{
    return backfill->row.completed_at_us == 0 && !backfill->row.is_paused &&
           backfill->row.cursor_us != 0 && backfill->entry->current != NULL &&
           !backfill->entry->row.is_stale && backfill->live_runs < backfill->row.max_active_runs;
}

/* Sets the completion date once nothing is left to do. */
static void check_complete(struct core *core, struct backfill *backfill)
{
    if (backfill->row.completed_at_us == 0 && backfill->row.cursor_us == 0 &&
        backfill->live_runs == 0)
        backfill->row.completed_at_us = core->now_us;
    if (backfill->row.completed_at_us != 0 && backfill->entry->backfill == backfill)
        backfill->entry->backfill = NULL;
}

/* After the decision that tells of its last change. */
static void retire_if_over(struct core *core, struct backfill *backfill)
{
    set_wanting(core, backfill, has_room(backfill));
    if (backfill->row.completed_at_us == 0 || backfill->live_runs > 0 || backfill->is_retired)
        return;
    backfill->is_retired = true;
    retire_backfill(core, backfill);
}

void backfill_touch(struct core *core, struct backfill *backfill)
{
    set_wanting(core, backfill, has_room(backfill));
}

void backfill_schedule_changed(struct core *core, struct backfill *backfill)
{
    const struct dag *dag = backfill->entry->current;
    struct backfill_row *row = &backfill->row;
    struct interval interval = {0};
    int64_t left = 0;

    if (row->cursor_us != 0 && interval_at(dag, row, row->cursor_us, &interval)) {
        row->cursor_us = interval.start_us;
        left =
            timetable_count(dag, row->run_backwards ? row->from_us : row->cursor_us,
                            row->run_backwards ? row->cursor_us : row->to_us, row->created_at_us);
    } else {
        row->cursor_us = 0; /* the new schedule has no interval left in the range */
    }
    if (row->total == row->made + row->skipped + left) {
        backfill_touch(core, backfill);
        return;
    }
    row->total = row->made + row->skipped + left;
    check_complete(core, backfill);
    tell(core, backfill, DECIDE_BACKFILL);
    retire_if_over(core, backfill);
}

void backfill_start_runs(struct core *core, struct backfill *backfill)
{
    if (backfill->is_starting)
        return;
    backfill->is_starting = true;
    while (backfill->queued.count > 0 && !backfill->row.is_paused &&
           backfill->running_runs < backfill->row.max_active_runs) {
        struct run *run = HEAP_ENTRY(heap_top(&backfill->queued), struct run, queued);
        heap_remove(&backfill->queued, &run->queued);
        run_start(core, run);
    }
    backfill->is_starting = false;
}

void backfill_run_ended(struct core *core, struct backfill *backfill, enum run_state state)
{
    if (state == RUN_SUCCESS)
        backfill->row.succeeded++;
    else
        backfill->row.failed++;
    check_complete(core, backfill);
    tell(core, backfill, DECIDE_BACKFILL);
    backfill_start_runs(core, backfill);
    retire_if_over(core, backfill);
}

void backfill_run_changed(struct core *core, struct backfill *backfill, enum run_state from,
                          enum run_state to)
{
    backfill->row.succeeded += (to == RUN_SUCCESS) - (from == RUN_SUCCESS);
    backfill->row.failed += (to == RUN_FAILED) - (from == RUN_FAILED);
    backfill->live_runs += to == RUN_QUEUED;
    tell(core, backfill, DECIDE_BACKFILL);
    set_wanting(core, backfill, has_room(backfill));
}

static bool conf_is_good(struct core *core, const struct event *event, const struct dag *dag)
{
    const char *text = event->as.backfill_create.conf;
    struct err err = {0};
    json_t *conf = json_parse(str_from(text == NULL ? "{}" : text), &err);
    bool is_good = false;

    if (!json_is_object(conf))
        reply_error(core, event, ERR_INVALID, "dag_run_conf must be a JSON object");
    else if (!conf_fits_params(dag, conf, &err))
        reply_error(core, event, ERR_INVALID, "%s", err.message);
    else
        is_good = true;
    json_decref(conf);
    return is_good;
}

/* Why a backfill can't be made, or ERR_NONE. */
static bool create_is_good(struct core *core, const struct event *event)
{
    const struct event_backfill_create *create = &event->as.backfill_create;
    struct dag_entry *entry = dags_find(core, create->dag_id);

    if (entry == NULL || entry->current == NULL || entry->row.is_stale) {
        reply_error(core, event, ERR_NOT_FOUND, "DAG with dag_id: '%s' not found", create->dag_id);
        return false;
    }
    const struct schedule *schedule = &entry->current->schedule;
    if (schedule->kind != SCHEDULE_CRON && schedule->kind != SCHEDULE_EVERY) {
        reply_error(core, event, ERR_INVALID, "%s has no schedule that gives intervals to fill",
                    create->dag_id);
        return false;
    }
    if (create->from_us > create->to_us) {
        reply_error(core, event, ERR_INVALID, "from_date must not be after to_date");
        return false;
    }
    if (create->from_us > core->now_us) {
        reply_error(core, event, ERR_INVALID, "Backfill cannot be executed for future dates.");
        return false;
    }
    if (create->max_active_runs < 1) {
        reply_error(core, event, ERR_INVALID, "max_active_runs must be at least 1");
        return false;
    }
    if (!conf_is_good(core, event, entry->current))
        return false;
    if (entry->backfill != NULL) {
        reply_error(core, event, ERR_CONFLICT, "There is already a running backfill for dag %s",
                    create->dag_id);
        return false;
    }
    return true;
}

void backfill_create(struct core *core, const struct event *event)
{
    const struct event_backfill_create *create = &event->as.backfill_create;
    struct interval first = {0};

    if (!create_is_good(core, event))
        return;
    struct dag_entry *entry = dags_find(core, create->dag_id);
    int64_t total = timetable_count(entry->current, create->from_us, create->to_us, core->now_us);
    if (total >= TIMETABLE_COUNT_MAX) {
        reply_error(core, event, ERR_INVALID,
                    "the range holds %d intervals or more: take a shorter one",
                    TIMETABLE_COUNT_MAX);
        return;
    }
    struct backfill_row row = {
        .id = ++core->last_backfill_id,
        .from_us = create->from_us,
        .to_us = create->to_us,
        .run_backwards = create->run_backwards,
        .reprocess = create->reprocess,
        .max_active_runs = create->max_active_runs,
        .conf = create->conf,
        .created_at_us = core->now_us,
        .total = total,
    };
    if (interval_at(entry->current, &row, row.run_backwards ? row.to_us : row.from_us, &first))
        row.cursor_us = first.start_us;
    struct backfill *backfill = backfill_add(core, entry, &row);
    check_complete(core, backfill);
    tell(core, backfill, DECIDE_BACKFILL_NEW);
    retire_if_over(core, backfill);
    reply_done(core, event, row.id);
}

/* Runs that have not begun fail; those that have go on to their end. */
static void cancel(struct core *core, struct backfill *backfill)
{
    backfill->row.cancelled = true;
    backfill->row.is_paused = true;
    backfill->row.cursor_us = 0;
    backfill->row.completed_at_us = core->now_us;
    check_complete(core, backfill);
    if (backfill->queued.count == 0) {
        tell(core, backfill, DECIDE_BACKFILL);
        retire_if_over(core, backfill);
        return;
    }
    while (backfill->queued.count > 0) {
        struct run *run = HEAP_ENTRY(heap_top(&backfill->queued), struct run, queued);
        heap_remove(&backfill->queued, &run->queued);
        run_end(core, run, RUN_FAILED, "backfill_cancelled");
    }
}

void backfill_control(struct core *core, const struct event *event)
{
    int64_t id = event->as.backfill_control.id;
    struct backfill *backfill = NULL;

    HASH_FIND(hh, core->backfills, &id, sizeof(id), backfill);
    if (backfill == NULL && (id < 1 || id > core->last_backfill_id)) {
        reply_error(core, event, ERR_NOT_FOUND, "Could not find backfill with id %lld",
                    (long long)id);
        return;
    }
    if (backfill == NULL || backfill->row.completed_at_us != 0) {
        reply_error(core, event, ERR_CONFLICT, "Backfill is already completed.");
        return;
    }
    switch (event->as.backfill_control.action) {
    case BACKFILL_CANCEL:
        cancel(core, backfill);
        break;
    case BACKFILL_PAUSE:
    case BACKFILL_UNPAUSE:
        backfill->row.is_paused = event->as.backfill_control.action == BACKFILL_PAUSE;
        tell(core, backfill, DECIDE_BACKFILL);
        backfill_start_runs(core, backfill);
        backfill_touch(core, backfill);
        break;
    }
    reply_done(core, event, id);
}

size_t backfill_want(struct core *core, struct core_want *out, size_t max)
{
    size_t count = 0;

    for (struct backfill *b = core->wanting; b != NULL && count < max; b = b->want_next) {
        const struct dag *dag = b->entry->current;
        struct interval interval = {0};
        size_t room = (size_t)(b->row.max_active_runs - b->live_runs);
        size_t ask = room > b->lookahead ? room : b->lookahead;
        bool found = interval_at(dag, &b->row, b->row.cursor_us, &interval);
        for (size_t i = 0; found && i < ask && i < LOOKAHEAD_MAX && count < max; i++) {
            out[count++] = (struct core_want){.dag_id = b->row.dag_id,
                                              .logical_date_us = interval.start_us,
                                              .backfill_id = b->row.id};
            found = interval_after(dag, &b->row, &interval, &interval);
        }
    }
    return count;
}

static void insert_run(struct core *core, struct backfill *backfill,
                       const struct interval *interval)
{
    struct dag_entry *entry = backfill->entry;
    char date[TIMEFMT_SIZE];
    char run_id[TIMEFMT_SIZE + 16];
    struct run_row row = {
        .id = ++core->last_run_id,
        .dag_id = entry->row.dag_id,
        .run_id = run_id,
        .version_id = entry->row.version_id,
        .run_type = RUN_TYPE_BACKFILL,
        .state = RUN_QUEUED,
        .triggered_by = TRIGGERED_BY_BACKFILL,
        .logical_date_us = interval->start_us,
        .interval_start_us = interval->start_us,
        .interval_end_us = interval->end_us,
        .run_after_us = interval->end_us,
        .queued_at_us = core->now_us,
        .backfill_id = backfill->row.id,
        .conf = backfill->row.conf,
    };

    (void)snprintf(run_id, sizeof(run_id), "backfill__%s",
                   timefmt_iso_offset(interval->start_us, date));
    run_insert(core, run_new(core, entry, entry->current, &row), DECIDE_RUN_NEW, RUN_QUEUED);
}

/* Numbers of former tries stay taken: those of the same task, and those under the same index, whose
 * attempts share the new ones' keys. */
static void continue_tries(struct run *run, const struct known_run *known)
{
    for (size_t i = 0; i < known->task_count; i++) {
        const struct task_row *old = &known->tasks[i];
        uint32_t same = dag_find_task(run->dag, str_from(old->task_id));
        uint32_t places[2] = {old->task, same};
        for (size_t k = 0; k < 2; k++) {
            if (places[k] >= run->dag->task_count)
                continue;
            struct task *task = &run->tasks[places[k]];
            if (task->try_number < old->try_number)
                task->try_number = old->try_number;
            task->max_tries = task->try_number + task_spec(task)->retries;
        }
    }
}

/* The existing run is cleared and becomes the backfill's. */
static void reset_run(struct core *core, struct backfill *backfill, const struct known_run *known)
{
    struct dag_entry *entry = backfill->entry;
    struct run_row row = known->row;

    row.version_id = entry->row.version_id;
    row.run_type = RUN_TYPE_BACKFILL;
    row.state = RUN_QUEUED;
    row.triggered_by = TRIGGERED_BY_BACKFILL;
    row.backfill_id = backfill->row.id;
    row.conf = backfill->row.conf;
    row.queued_at_us = core->now_us;
    row.started_at_us = row.ended_at_us = 0;
    row.doom = NULL;
    row.clear_number++;
    struct run *run = run_new(core, entry, entry->current, &row);
    continue_tries(run, known);
    run_insert(core, run, DECIDE_RUN_RESET, known->row.state);
}

static bool may_reprocess(const struct backfill *backfill, const struct known_run *known)
{
    if (!run_state_is_final(known->row.state))
        return false;
    switch (backfill->row.reprocess) {
    case REPROCESS_FAILED:
        return known->row.state == RUN_FAILED;
    case REPROCESS_COMPLETED:
        return true;
    case REPROCESS_NONE:
    case REPROCESS_COUNT:
        break;
    }
    return false;
}

void backfill_make_run(struct core *core, const struct core_want *want,
                       const struct known_run *known)
{
    struct backfill *backfill = NULL;
    struct interval interval = {0};
    struct interval next = {0};

    HASH_FIND(hh, core->backfills, &want->backfill_id, sizeof(want->backfill_id), backfill);
    if (backfill == NULL || !backfill->is_wanting || !has_room(backfill) ||
        !interval_at(backfill->entry->current, &backfill->row, backfill->row.cursor_us,
                     &interval) ||
        interval.start_us != want->logical_date_us)
        return;
    backfill->row.cursor_us =
        interval_after(backfill->entry->current, &backfill->row, &interval, &next) ? next.start_us
                                                                                   : 0;
    bool is_live = run_known_by_date(core, backfill->row.dag_id, interval.start_us);
    if (is_live || (known->exists && !may_reprocess(backfill, known))) {
        backfill->row.skipped++;
        if (backfill->lookahead < LOOKAHEAD_MAX)
            backfill->lookahead *= 2;
    } else {
        backfill->row.made++;
        backfill->lookahead = 1;
        if (known->exists)
            reset_run(core, backfill, known);
        else
            insert_run(core, backfill, &interval);
    }
    if (backfill->row.completed_at_us != 0)
        return; /* a run without tasks ended at once, and was the last */
    check_complete(core, backfill);
    tell(core, backfill, DECIDE_BACKFILL);
    retire_if_over(core, backfill);
}
