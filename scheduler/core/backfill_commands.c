/* What people ask of backfills: create one, pause, resume, cancel, retry what failed, adjust. */
#include "base/json.h"
#include "scheduler/core/backfill_judge.h"
#include "scheduler/core/parts.h"

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

static bool tasks_are_good(struct core *core, const struct event *event, const struct dag *dag)
{
    const char *tasks = event->as.backfill_create.tasks;
    struct err err = {0};

    if (tasks == NULL || backfill_tasks_are_good(dag, tasks, &err))
        return true;
    reply_error(core, event, ERR_INVALID, "%s", err.message);
    return false;
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
    const char *past =
        backfill_past_error(entry->current, create->reprocess, create->run_backwards);
    if (past != NULL) {
        reply_error(core, event, ERR_INVALID, "%s", past);
        return false;
    }
    if (!conf_is_good(core, event, entry->current) || !tasks_are_good(core, event, entry->current))
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
        .tasks = create->tasks,
        .upstream = create->upstream,
        .downstream = create->downstream,
        .on_failure = create->on_failure,
        .is_forced = create->is_forced,
        .created_at_us = core->now_us,
        .total = total,
        .paced_at_us = core->now_us,
    };
    if (backfill_interval_at(entry->current, &row, row.run_backwards ? row.to_us : row.from_us,
                             &first))
        row.cursor_us = first.start_us;
    struct backfill *backfill = backfill_add(core, entry, &row);
    backfill_check_complete(core, backfill);
    backfill_tell(core, backfill, DECIDE_BACKFILL_NEW);
    backfill_retire_if_over(core, backfill);
    reply_done(core, event, row.id);
}

/* Runs that have not begun fail; those that have go on to their end. */
static void cancel(struct core *core, struct backfill *backfill)
{
    backfill->row.cancelled = true;
    backfill->row.is_paused = true;
    backfill->row.cursor_us = backfill->row.retry_before_us = 0;
    backfill->row.completed_at_us = core->now_us;
    backfill_check_complete(core, backfill);
    if (backfill->queue.turns.count == 0) {
        backfill_tell(core, backfill, DECIDE_BACKFILL);
        backfill_retire_if_over(core, backfill);
        return;
    }
    while (backfill->queue.turns.count > 0) {
        struct run *run = HEAP_ENTRY(heap_top(&backfill->queue.turns), struct run, queued);
        run_queue_remove(run);
        run_end(core, run, RUN_FAILED, "backfill_cancelled");
    }
}

static void set_paused(struct core *core, struct backfill *backfill, bool is_paused)
{
    struct backfill_row *row = &backfill->row;

    if (!is_paused)
        row->paced_at_us = core->now_us; /* the time in between tells nothing of the rate */
    row->pause_reason = NULL;
    row->is_paused = is_paused;
    backfill_tell(core, backfill, DECIDE_BACKFILL);
    backfill_start_runs(core, backfill);
    backfill_touch(core, backfill);
}

static bool set(struct core *core, const struct event *event, struct backfill *backfill)
{
    const struct event_backfill_control *control = &event->as.backfill_control;

    if (control->max_active_runs < 0) {
        reply_error(core, event, ERR_INVALID, "max_active_runs must be at least 1");
        return false;
    }
    if (control->max_active_runs > 0)
        backfill->row.max_active_runs = control->max_active_runs;
    if (control->on_failure != ON_FAILURE_COUNT)
        backfill->row.on_failure = control->on_failure;
    backfill_tell(core, backfill, DECIDE_BACKFILL);
    backfill_start_runs(core, backfill);
    backfill_touch(core, backfill);
    return true;
}

/* A completed backfill that can be taken up again: as it is in memory, else from its row. */
static struct backfill *reopen(struct core *core, const struct event *event,
                               struct backfill *backfill)
{
    const struct backfill_row *row =
        backfill != NULL ? &backfill->row : event->as.backfill_control.stored;
    struct dag_entry *entry = row == NULL ? NULL : dags_find(core, row->dag_id);

    if (row == NULL)
        return NULL;
    if (entry == NULL || entry->current == NULL || entry->row.is_stale) {
        reply_error(core, event, ERR_CONFLICT, "the file of DAG %s is gone", row->dag_id);
        return NULL;
    }
    if (entry->backfill != NULL) {
        reply_error(core, event, ERR_CONFLICT,
                    "There is already a running backfill for dag %s: %lld", row->dag_id,
                    (long long)entry->backfill->row.id);
        return NULL;
    }
    if (backfill == NULL)
        return backfill_add(core, entry, row);
    unretire_backfill(core, backfill);
    return backfill;
}

/* Its failed runs that have ended by now are made again, before what is left of its range. A pause
 * that a failure made ends with it; one that a person made does not. */
static void retry(struct core *core, const struct event *event, struct backfill *backfill)
{
    const struct backfill_row *known =
        backfill != NULL ? &backfill->row : event->as.backfill_control.stored;

    if (known != NULL && known->cancelled) {
        reply_error(core, event, ERR_CONFLICT,
                    "Backfill %lld was cancelled: create one that reprocesses what failed",
                    (long long)known->id);
        return;
    }
    if (known != NULL && known->failed == 0) {
        reply_error(core, event, ERR_CONFLICT, "Backfill %lld has no failed run",
                    (long long)known->id);
        return;
    }
    if (backfill == NULL || backfill->row.completed_at_us != 0) {
        backfill = reopen(core, event, backfill);
        if (backfill == NULL)
            return;
        backfill->row.completed_at_us = 0;
        backfill->row.is_paused = false;
        backfill->entry->backfill = backfill;
    }
    struct backfill_row *row = &backfill->row;
    row->retry_before_us = core->now_us;
    row->retry_cursor_us = row->run_backwards ? row->to_us : row->from_us;
    set_paused(core, backfill, row->is_paused && row->pause_reason == NULL);
    reply_done(core, event, row->id);
}

static struct backfill *find(struct core *core, const struct event *event)
{
    struct backfill *backfill = NULL;

    HASH_FIND(hh, core->backfills, &event->as.backfill_control.id,
              sizeof(event->as.backfill_control.id), backfill);
    return backfill;
}

void backfill_control(struct core *core, const struct event *event)
{
    int64_t id = event->as.backfill_control.id;
    struct backfill *backfill = find(core, event);

    if (backfill == NULL && (id < 1 || id > core->last_backfill_id)) {
        reply_error(core, event, ERR_NOT_FOUND, "Could not find backfill with id %lld",
                    (long long)id);
        return;
    }
    if (event->as.backfill_control.action == BACKFILL_RETRY) {
        retry(core, event, backfill);
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
        set_paused(core, backfill, event->as.backfill_control.action == BACKFILL_PAUSE);
        break;
    case BACKFILL_SET:
        if (!set(core, event, backfill))
            return;
        break;
    case BACKFILL_RETRY:
        break; /* above */
    }
    reply_done(core, event, id);
}
