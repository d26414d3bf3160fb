/* The report of a validation in Great Expectations' JSON shape, the table in the log, and the
 * sentence that becomes the task's reason. What is ours (on_fail, pass, sql, warning, sla) stands
 * in the places GX leaves free: each result's `meta` and the document's. */
#ifndef MILLRACE_TASKS_VALIDATE_REPORT_H
#define MILLRACE_TASKS_VALIDATE_REPORT_H

#include "base/buf.h"
#include "tasks/validate/validation.h"

struct report {
    const struct validation *validation;
    const char *dataset;
    const char *version;
    const char *dag_id;
    const char *task_id;
    const char *run_id;
    const char *id;  /* a UUID; NULL = left out */
    int64_t time_us; /* 0 = left out: a published report depends on its inputs alone */
};

/* Whether the task succeeds: no critical expectation failed, and the sla is kept. */
bool report_success(const struct validation *v);

void report_write(const struct report *report, struct buf *out);
void report_log(const struct report *report, struct buf *out);

/* "3 of 12 expectations failed: expect_…(user_id): 17 of 20000 rows; …", critical ones first. */
void report_reason(const struct validation *v, struct buf *out);

#endif
