/* Runs that wait for a place: of max_active_runs of their DAG, or of their backfill.
 *
 * A run with a place whose tasks wait for the run before (depends_on_past) may wait for one that
 * waits for its place, if that was cleared or made later. So a run of which nothing else is left to
 * do makes way for a queued one with an earlier logical date, and is queued again: then the
 * earliest of all waits for none that is queued, and something always goes on. */
#include "scheduler/core/parts.h"

#include <utlist.h>

/* Runs of a DAG start in the order of their due times; those of a backfill in the order in which
 * they were made, which is the backfill's own. */
static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct run *x = HEAP_ENTRY_CONST(a, struct run, queued);
    const struct run *y = HEAP_ENTRY_CONST(b, struct run, queued);

    if (x->backfill == NULL && x->row.run_after_us != y->row.run_after_us)
        return x->row.run_after_us < y->row.run_after_us;
    return x->row.id < y->row.id;
}

static bool is_earlier(const struct heap_node *a, const struct heap_node *b)
{
    const struct run *x = HEAP_ENTRY_CONST(a, struct run, by_date);
    const struct run *y = HEAP_ENTRY_CONST(b, struct run, by_date);

    if (x->row.logical_date_us != y->row.logical_date_us)
        return x->row.logical_date_us < y->row.logical_date_us;
    return x->row.id < y->row.id;
}

void run_queue_init(struct run_queue *queue)
{
    queue->turns.before = is_before;
    queue->dates.before = is_earlier;
}

void run_queue_release(struct run_queue *queue)
{
    heap_release(&queue->turns);
    heap_release(&queue->dates);
}

static struct run_queue *queue_of(const struct run *run)
{
    return run->backfill != NULL ? &run->backfill->queue : &run->entry->queue;
}

void run_queue_add(struct run *run)
{
    heap_push(&queue_of(run)->turns, &run->queued);
    if (run->row.logical_date_us != 0)
        heap_push(&queue_of(run)->dates, &run->by_date);
}

void run_queue_remove(struct run *run)
{
    if (run->queued.place != 0)
        heap_remove(&queue_of(run)->turns, &run->queued);
    if (run->by_date.place != 0)
        heap_remove(&queue_of(run)->dates, &run->by_date);
}

/* Whether all that is left of a run waits for the run before, or is behind what does. */
static bool only_waits(const struct run *run)
{
    return run->row.state == RUN_RUNNING && run->settling == 0 && run->waiting == run->unfinished &&
           !run->past->is_asking && !PLANTED(NO_WAY_MADE);
}

/* The latest of the runs with a place that does nothing but wait, if it is later than `than`. */
static struct run *find_idle(const struct dag_entry *entry, const struct backfill *backfill,
                             const struct run *than)
{
    struct run *found = NULL;
    struct run *run = NULL;

    DL_FOREACH2(entry->past_waiting, run, past_next)
    {
        if (run->backfill == backfill && only_waits(run) &&
            run->row.logical_date_us > (found == NULL ? than : found)->row.logical_date_us)
            found = run;
    }
    return found;
}

bool run_queue_has_idle(const struct dag_entry *entry, const struct backfill *backfill)
{
    struct run *run = NULL;

    DL_FOREACH2(entry->past_waiting, run, past_next)
    {
        if (run->backfill == backfill && only_waits(run))
            return true;
    }
    return false;
}

struct run *run_queue_next(struct core *core, struct dag_entry *entry, struct backfill *backfill,
                           int64_t room)
{
    const struct run_queue *queue = backfill != NULL ? &backfill->queue : &entry->queue;

    if (queue->turns.count == 0)
        return NULL;
    if (room > 0)
        return HEAP_ENTRY(heap_top(&queue->turns), struct run, queued);
    if (queue->dates.count == 0)
        return NULL;
    struct run *earliest = HEAP_ENTRY(heap_top(&queue->dates), struct run, by_date);
    struct run *idle = NULL;
    /* More than one is to go where max_active_runs has been lowered. */
    while (room <= 0 && (idle = find_idle(entry, backfill, earliest)) != NULL) {
        run_make_way(core, idle, earliest);
        room++;
    }
    return room > 0 ? earliest : NULL;
}
