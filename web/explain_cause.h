/* What reasons mean: for each word of the scheduler what kind of thing is waited for, and what
 * would end the waiting. */
#ifndef MILLRACE_WEB_EXPLAIN_CAUSE_H
#define MILLRACE_WEB_EXPLAIN_CAUSE_H

#include "base/buf.h"
#include "millrace/dag.h"
#include "millrace/rows.h"

struct explain_wait {
    const char *kind; /* upstream, task, pool, limit, worker, time, condition, pause, … */
    const char *what;
    int64_t since_us;
    int64_t until_us; /* 0 = not known */
    const char *unblocked_by;
};

/* By the reason's first words; NULL or an unknown one: the scheduler's next look. */
struct explain_wait explain_cause(const char *reason);

/* The state of a task instance as the begin of a sentence. `spec` may be NULL. */
void explain_state(const struct task_row *row, const struct dag_task *spec, struct buf *out);

#endif
