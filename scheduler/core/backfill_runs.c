/* The runs of a backfill: which intervals it looks at next, and what becomes of each. */
#include "base/timefmt.h"
#include "scheduler/core/backfill_judge.h"
#include "scheduler/core/parts.h"

#include <stdio.h>

#define LOOKAHEAD_MAX 256

/* The interval at, or next to, a cursor in the backfill's direction; false past its range. Only
 * intervals that were complete when the backfill was made belong to it. */
bool backfill_interval_at(const struct dag *dag, const struct backfill_row *row, int64_t cursor_us,
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
    int64_t at_us = PLANTED(BACKFILL_CURSOR_OFF_BY_ONE) ? interval->end_us : interval->start_us;

    return backfill_interval_at(dag, row, at_us + (row->run_backwards ? -1 : 1), ret);
}

/* A retry asks for the next failed runs, as many as there is room for. */
static size_t want_failed(const struct backfill *b, struct core_want *out, size_t max)
{
    int64_t room = backfill_room(b);
    size_t count = 0;

    while (count < max && (int64_t)count < room) {
        out[count] = (struct core_want){
            .dag_id = b->row.dag_id,
            .logical_date_us = b->row.retry_cursor_us,
            .backfill_id = b->row.id,
            .reprocess = REPROCESS_FAILED,
            .is_retry = true,
            .is_backwards = b->row.run_backwards,
            .before_us = b->row.retry_before_us,
            .offset = (int64_t)count,
        };
        count++;
    }
    return count;
}

size_t backfill_want(struct core *core, struct core_want *out, size_t max)
{
    size_t count = 0;

    for (struct backfill *b = core->wanting; b != NULL && count < max; b = b->want_next) {
        const struct dag *dag = b->entry->current;
        struct interval interval = {0};
        if (b->row.retry_before_us != 0) {
            count += want_failed(b, out + count, max - count);
            continue;
        }
        size_t room = (size_t)backfill_room(b);
        size_t ask = room > b->lookahead ? room : b->lookahead;
        bool found = backfill_interval_at(dag, &b->row, b->row.cursor_us, &interval);
        for (size_t i = 0; found && i < ask && i < LOOKAHEAD_MAX && count < max; i++) {
            out[count++] = (struct core_want){
                .dag_id = b->row.dag_id,
                .logical_date_us = interval.start_us,
                .backfill_id = b->row.id,
                .reprocess = b->row.reprocess,
            };
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
        .is_forced = backfill->row.is_forced,
        .conf = backfill->row.conf,
    };

    (void)snprintf(run_id, sizeof(run_id), "backfill__%s",
                   timefmt_iso_offset(interval->start_us, date));
    run_insert(core, run_new(core, entry, entry->current, &row), DECIDE_RUN_NEW, RUN_QUEUED);
}

/* The existing run is cleared and becomes the backfill's. */
static void reset_run(struct core *core, struct backfill *backfill, const struct known_run *known,
                      const char *why)
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
    row.is_forced = backfill->row.is_forced;
    row.clear_number++;
    struct run *run = run_new(core, entry, entry->current, &row);
    run->row.deadlines_missed = deadlines_kept(run);
    run_continue_tries(run, known->tasks, known->task_count, known->attempts, known->attempt_count);
    const bool *keeps = backfill_keep_tasks(core, run, known);
    run_insert_reset(core, run, known->row.state, keeps,
                     reason_format(core, "backfill %lld: %s", (long long)backfill->row.id, why));
}

static enum backfill_verdict judge(const struct backfill *backfill, const struct known_run *known,
                                   struct buf *reason)
{
    const struct dag_entry *entry = backfill->entry;
    const struct backfill_terms terms = {
        .reprocess = backfill->row.reprocess,
        .version_hash = entry->current->hash,
        .version_number = entry->row.version_number,
        .conf = backfill->row.conf,
    };
    const struct backfill_past past = {
        .exists = known->exists,
        .state = known->row.state,
        .version_hash = known->version_hash,
        .version_number = known->version_number,
        .conf = known->row.conf,
        .changed_input = known->changed_input,
        .has_moved = known->exists && backfill_has_moved(backfill, known),
    };

    return backfill_judge(&terms, &past, reason);
}

/* Whether the run is over and would be made again, but for attempts of it that are to stop. */
static bool has_to_stop(struct core *core, const struct backfill *backfill,
                        const struct known_run *known)
{
    const struct run *here = known->exists ? runs_find(core, known->row.id) : NULL;
    struct buf ignored = {0};

    if (here == NULL || !run_state_is_final(here->row.state))
        return false;
    bool is_wanted = judge(backfill, known, &ignored) == BACKFILL_REPROCESSES;
    buf_release(&ignored);
    return is_wanted;
}

/* What becomes of the interval at the cursor. */
static void fill(struct core *core, struct backfill *backfill, const struct interval *interval,
                 const struct known_run *known)
{
    bool is_live = run_known_by_date(core, backfill->row.dag_id, interval->start_us);
    struct buf reason = {0};
    enum backfill_verdict verdict = is_live ? BACKFILL_IN_FLIGHT : judge(backfill, known, &reason);

    switch (verdict) {
    case BACKFILL_SKIPS:
    case BACKFILL_IN_FLIGHT:
        backfill->row.skipped++;
        if (backfill->lookahead < LOOKAHEAD_MAX)
            backfill->lookahead *= 2;
        break;
    case BACKFILL_CREATES:
        backfill->row.made++;
        backfill->lookahead = 1;
        insert_run(core, backfill, interval);
        break;
    case BACKFILL_REPROCESSES:
        backfill->row.made++;
        backfill->lookahead = 1;
        reset_run(core, backfill, known, buf_text(&reason));
        break;
    }
    buf_release(&reason);
}

/* A failed run of the backfill is made again; after the last one the retry is over. */
static void retry_run(struct core *core, struct backfill *backfill, const struct known_run *known)
{
    struct backfill_row *row = &backfill->row;

    const struct run *here = known->exists ? runs_find(core, known->row.id) : NULL;
    if (here != NULL && run_state_is_final(here->row.state)) {
        backfill->is_blocked = true;
        return;
    }
    backfill->is_changed = true;
    if (!known->exists) {
        row->retry_before_us = row->retry_cursor_us = 0;
        return;
    }
    row->retry_cursor_us = known->row.logical_date_us + (row->run_backwards ? -1 : 1);
    if (here != NULL || backfill_has_moved(backfill, known))
        return;
    if (row->failed > 0)
        row->failed--;
    reset_run(core, backfill, known, "retry");
}

void backfill_make_run(struct core *core, const struct core_want *want,
                       const struct known_run *known)
{
    struct backfill *backfill = NULL;
    struct interval interval = {0};
    struct interval next = {0};

    HASH_FIND(hh, core->backfills, &want->backfill_id, sizeof(want->backfill_id), backfill);
    if (backfill == NULL || !backfill->is_wanting || !backfill_has_room(backfill) ||
        want->is_retry != (backfill->row.retry_before_us != 0))
        return;
    if (want->is_retry) {
        retry_run(core, backfill, known);
        return;
    }
    const struct dag *dag = backfill->entry->current;
    struct backfill_row *row = &backfill->row;
    if (!backfill_interval_at(dag, row, row->cursor_us, &interval) ||
        interval.start_us != want->logical_date_us)
        return;
    if (has_to_stop(core, backfill, known)) {
        backfill->is_blocked = true;
        return;
    }
    row->cursor_us = interval_after(dag, row, &interval, &next) ? next.start_us : 0;
    backfill->is_changed = true;
    fill(core, backfill, &interval, known);
}

void backfill_end_tick(struct core *core, int64_t id)
{
    struct backfill *backfill = NULL;

    HASH_FIND(hh, core->backfills, &id, sizeof(id), backfill);
    if (backfill == NULL)
        return;
    backfill_touch(core, backfill);
    if (!backfill->is_changed)
        return;
    backfill_check_complete(core, backfill);
    backfill_tell(core, backfill, DECIDE_BACKFILL);
    backfill_retire_if_over(core, backfill);
    backfill_serve_last(core, backfill);
}
