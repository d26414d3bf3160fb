/* Which of a turn's changes of one task instance is the last: only that one's row is written, while
 * each has its transition. Private to scheduler/store. */
#ifndef MILLRACE_STORE_LATEST_H
#define MILLRACE_STORE_LATEST_H

#include "millrace/decision.h"

struct latest {
    const struct decision *first; /* of the turn's */
    bool *is_done;                /* per decision: a later one, or the run's insert, has its row */
    uint32_t *slots;              /* open hash: place of a DECIDE_TASK + 1 */
    size_t mask;
    bool is_whole; /* nothing in the turn but single changes: inserts may look ahead */
};

/* Looks through the decisions, which must stay as they are until latest_release(). */
void latest_find(struct latest *latest, const struct decisions *decisions);
void latest_release(struct latest *latest);

/* Whether the row of this DECIDE_TASK needs no write of its own. */
bool latest_is_done(const struct latest *latest, const struct decision *decision);

/* The row that an unmapped task of a new run has at the end of the turn, which the caller writes;
 * NULL = nothing happens to it, or that can't be told beforehand. */
const struct task_row *latest_take(struct latest *latest, int64_t run, uint32_t task);

#endif
