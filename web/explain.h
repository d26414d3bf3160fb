/* Why: what a DAG, a run or a task instance waits for, since when and what would unblock it; and
 * why it ended as it did, down to the root cause. Written from rows and transitions, and from what
 * the scheduler says a run waits for now, because the reason in a row is that of the moment when
 * the waiting began. docs/api.md describes the shape. */
#ifndef MILLRACE_WEB_EXPLAIN_H
#define MILLRACE_WEB_EXPLAIN_H

#include "base/jw.h"
#include "millrace/dag.h"
#include "scheduler/store/read.h"

#include <jansson.h>

/* All that is known of a run. */
struct explain {
    struct run_view run;
    struct dag_row dag_row;
    const struct dag *dag; /* of the run's version; NULL = can't be read */
    struct task_row *tasks;
    size_t task_count;
    struct transition_view *transitions; /* the newest, in order */
    size_t transition_count;
    struct callback_row *callbacks; /* of the run and its tasks */
    size_t callback_count;
    const json_t *now;            /* the scheduler's answer to `why`; NULL = none */
    const char *task_id;          /* NULL = the run as a whole */
    int32_t map_index;            /* of the task */
    struct attempt_row *attempts; /* of the task */
    size_t attempt_count;
};

/* Whether the scheduler knows better than the rows. */
bool explain_needs_now(const struct explain *all);

/* The row of the task asked for, or NULL. */
const struct task_row *explain_find(const struct explain *all, const char *task_id,
                                    int32_t map_index);

void explain_run(struct jw *w, const struct explain *all);
void explain_task(struct jw *w, const struct explain *all, const struct task_row *row);

struct explain_dag {
    const struct dag_row *row;
    const struct dag *dag; /* its current version; NULL = can't be read */
    const char *import_error;
    int64_t queued;
    int64_t running;
    int64_t counted; /* of these, those that max_active_runs counts */
    int64_t now_us;
    int64_t backfill_id; /* the one that is not completed; 0 = none */
};
void explain_dag(struct jw *w, const struct explain_dag *of);

#endif
