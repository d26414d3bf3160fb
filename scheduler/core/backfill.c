/* Backfills: runs over a range of past intervals, made one after the other as slots free up. The
 * cursor is the logical date to look at next, so that a restart goes on where it was. Here is a
 * backfill's life; backfill_commands.c has what people ask of it, backfill_runs.c the runs it
 * makes, backfill_tasks.c those of only some tasks. */
#include "base/mem.h"
#include "scheduler/core/backfill_judge.h"
#include "scheduler/core/parts.h"

#include <stdlib.h>
#include <utlist.h>

#define PACE_RUNS 32

void backfill_tell(struct core *core, struct backfill *backfill, enum decision_kind kind)
{
    struct backfill_row *row = &decisions_add(core->out, kind)->as.backfill;

    backfill->is_changed = false;
    backfill->row.updated_at_us = core->now_us;
    *row = backfill->row;
}

struct backfill *backfill_add(struct core *core, struct dag_entry *entry,
                              const struct backfill_row *row)
{
    struct backfill *backfill = mem_alloc(sizeof(*backfill));

    backfill->row = *row;
    backfill->row.dag_id = entry->row.dag_id;
    backfill->row.conf = arena_strdup(&backfill->arena, row->conf == NULL ? "{}" : row->conf);
    backfill->row.tasks = arena_strdup(&backfill->arena, row->tasks);
    backfill->row.pause_reason = arena_strdup(&backfill->arena, row->pause_reason);
    backfill->entry = entry;
    run_queue_init(&backfill->queue);
    backfill->lookahead = 1;
    if (row->completed_at_us == 0)
        entry->backfill = backfill;
    HASH_ADD(hh, core->backfills, row.id, sizeof(backfill->row.id), backfill);
    return backfill;
}

void backfill_free(struct core *core, struct backfill *backfill)
{
    HASH_DEL(core->backfills, backfill);
    run_queue_release(&backfill->queue);
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

static bool has_work(const struct backfill *backfill)
{
    return backfill->row.cursor_us != 0 || backfill->row.retry_before_us != 0;
}

int64_t backfill_room(const struct backfill *backfill)
{
    int64_t room = backfill->row.max_active_runs - backfill->live_runs;
    bool may_make_way = room <= 0 && backfill->row.retry_before_us != 0 &&
                        run_queue_has_idle(backfill->entry, backfill);

    return may_make_way && backfill->queue.turns.count == 0 ? 1 : room;
}

bool backfill_has_room(const struct backfill *backfill)
{
    return backfill->row.completed_at_us == 0 &&
           (!backfill->row.is_paused || PLANTED(BACKFILL_PAUSE_IGNORED)) && !backfill->is_blocked &&
           has_work(backfill) && backfill->entry->current != NULL &&
           !backfill->entry->row.is_stale && backfill_room(backfill) > 0;
}

/* Sets the completion date once nothing is left to do. */
void backfill_check_complete(struct core *core, struct backfill *backfill)
{
    if (backfill->row.completed_at_us == 0 && !has_work(backfill) && backfill->live_runs == 0)
        backfill->row.completed_at_us = core->now_us;
    if (backfill->row.completed_at_us != 0 && backfill->entry->backfill == backfill)
        backfill->entry->backfill = NULL;
}

/* After the decision that tells of its last change. */
void backfill_retire_if_over(struct core *core, struct backfill *backfill)
{
    set_wanting(core, backfill, backfill_has_room(backfill));
    if (backfill->row.completed_at_us == 0 || backfill->live_runs > 0 || backfill->is_retired)
        return;
    backfill->is_retired = true;
    retire_backfill(core, backfill);
}

void backfill_run_forgotten(struct core *core, struct backfill *backfill)
{
    if (!backfill->is_blocked)
        return;
    backfill->is_blocked = false;
    backfill_touch(core, backfill);
}

void backfill_serve_last(struct core *core, struct backfill *backfill)
{
    if (!backfill->is_wanting)
        return;
    set_wanting(core, backfill, false);
    set_wanting(core, backfill, true);
}

void backfill_touch(struct core *core, struct backfill *backfill)
{
    set_wanting(core, backfill, backfill_has_room(backfill));
}

void backfill_schedule_changed(struct core *core, struct backfill *backfill)
{
    const struct dag *dag = backfill->entry->current;
    struct backfill_row *row = &backfill->row;
    struct interval interval = {0};
    int64_t cursor_us = row->cursor_us;
    int64_t left = 0;

    if (row->cursor_us != 0 && backfill_interval_at(dag, row, row->cursor_us, &interval)) {
        row->cursor_us = interval.start_us;
        left =
            timetable_count(dag, row->run_backwards ? row->from_us : row->cursor_us,
                            row->run_backwards ? row->cursor_us : row->to_us, row->created_at_us);
    } else {
        row->cursor_us = 0; /* the new schedule has no interval left in the range */
    }
    /* A cursor that moves is told of: the next schedule is looked at from there. */
    if (row->cursor_us == cursor_us && row->total == row->made + row->skipped + left) {
        backfill_touch(core, backfill);
        return;
    }
    row->total = row->made + row->skipped + left;
    backfill_check_complete(core, backfill);
    backfill_tell(core, backfill, DECIDE_BACKFILL);
    backfill_retire_if_over(core, backfill);
}

static struct run *next_to_start(struct core *core, struct backfill *backfill)
{
    if (backfill->row.is_paused)
        return NULL;
    return run_queue_next(core, backfill->entry, backfill,
                          backfill->row.max_active_runs - backfill->running_runs);
}

void backfill_start_runs(struct core *core, struct backfill *backfill)
{
    if (backfill->is_starting)
        return;
    backfill->is_starting = true;
    for (struct run *run = NULL; (run = next_to_start(core, backfill)) != NULL;) {
        run_queue_remove(run);
        run_start(core, run);
    }
    backfill->is_starting = false;
}

/* How long a run takes to follow the one before: the mean of the first, then smoothed. */
static void pace(struct core *core, struct backfill_row *row)
{
    int64_t count = row->succeeded + row->failed;
    int64_t took = core->now_us - row->paced_at_us;

    row->paced_at_us = core->now_us;
    if (took >= 0 && count > 0)
        row->pace_us += (took - row->pace_us) / (count < PACE_RUNS ? count : PACE_RUNS);
}

void backfill_run_ended(struct core *core, struct backfill *backfill, const struct run *run)
{
    struct backfill_row *row = &backfill->row;
    enum run_state state = run->row.state;

    if (state == RUN_SUCCESS || PLANTED(FAILED_RUNS_COUNTED_AS_DONE))
        row->succeeded++;
    else
        row->failed++;
    pace(core, row);
    if (state == RUN_FAILED && row->on_failure == ON_FAILURE_STOP && !row->is_paused &&
        row->completed_at_us == 0 && (has_work(backfill) || backfill->queue.turns.count > 0)) {
        row->is_paused = true;
        row->pause_reason =
            arena_printf(&backfill->arena, "on_failure: stop after run %s", run->row.run_id);
    }
    backfill_check_complete(core, backfill);
    backfill_tell(core, backfill, DECIDE_BACKFILL);
    backfill_start_runs(core, backfill);
    backfill_retire_if_over(core, backfill);
}

/* A run that was over with `from` is in state `to` now. */
static void count(int64_t *succeeded, int64_t *failed, enum run_state from, enum run_state to)
{
    *succeeded += (to == RUN_SUCCESS) - (from == RUN_SUCCESS);
    *failed += (to == RUN_FAILED) - (from == RUN_FAILED);
}

void backfill_run_changed(struct core *core, struct backfill *backfill, enum run_state from,
                          enum run_state to)
{
    count(&backfill->row.succeeded, &backfill->row.failed, from, to);
    backfill->live_runs += to == RUN_QUEUED;
    backfill_tell(core, backfill, DECIDE_BACKFILL);
    set_wanting(core, backfill, backfill_has_room(backfill));
}

void backfill_recount(struct core *core, int64_t id, enum run_state from, enum run_state to)
{
    struct backfill *backfill = NULL;

    HASH_FIND(hh, core->backfills, &id, sizeof(id), backfill);
    if (backfill != NULL) {
        backfill_run_changed(core, backfill, from, to);
        return;
    }
    struct decision *decision = decisions_add(core->out, DECIDE_RECOUNT);
    decision->as.recount.backfill = id;
    count(&decision->as.recount.succeeded, &decision->as.recount.failed, from, to);
}
