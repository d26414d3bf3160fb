/* Retention's side of the store: finished runs, their history and old idempotency keys go, a few
 * rows at a time. So do updates of assets, completed backfills and versions of DAGs that are as old
 * and that no run that is kept, and nothing to come, needs.
 *
 * A run's own row goes first, in one transaction with a note of its id; nothing of it can be shown
 * from then on. The rows that hang on it follow in steps, then the note. A crash anywhere leaves
 * notes that the next pass goes on from. The newest run of a DAG, the one of its latest logical
 * date (depends_on_past looks there), those of unfinished backfills and the newest row ids of all
 * (ids are never given twice) always stay. */
#ifndef MILLRACE_STORE_PRUNE_H
#define MILLRACE_STORE_PRUNE_H

#include "scheduler/store/store.h"

struct prune {
    int64_t ended_before_us; /* runs that ended before it go; 0 = none */
    int64_t keys_before_us;  /* idempotency keys made before it go; 0 = none */
    size_t table;            /* the one that is gone through; 0 = a pass begins */
    int64_t cursor;          /* the row of it looked at last */
    int64_t runs;            /* removed in this pass; for the log */
    int64_t rows;            /* all other rows that were */
};

/* One step, of at most some hundred rows, in a transaction of its own. *ret_more: the pass goes on.
 * False: end the process, as after a failed commit. */
bool store_prune(struct store *store, struct prune *prune, bool *ret_more, struct err *err);

/* Whether files of a run are of no more use: it is gone, or ended before `ended_before_us` (0 =
 * never). Ids that the database has not come to yet are of a former life of the state folder. */
bool store_is_run_over(struct store *store, int64_t run, int64_t ended_before_us, bool *ret_gone,
                       bool *ret_over, struct err *err);

#endif
