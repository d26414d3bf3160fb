/* What a path names, looked up; each function answers 404 in Airflow's words if it is not there. */
#ifndef MILLRACE_WEB_LOOKUP_H
#define MILLRACE_WEB_LOOKUP_H

#include "web/context.h"

bool lookup_dag(struct web *web, struct request *request, struct dag_row *ret);
bool lookup_run(struct web *web, struct request *request, struct run_view *ret);

/* The task instance of the path, which may name a map_index, or of ?map_index (default -1). */
bool lookup_task(struct web *web, struct request *request, struct task_view *ret);

/* Its attempt of {try_number}. */
bool lookup_attempt(struct web *web, struct request *request, const struct task_view *task,
                    struct attempt_row *ret);

bool lookup_backfill(struct web *web, struct request *request, struct backfill_row *ret);

/* A path segment that is an integer, else 422. */
bool lookup_int(struct request *request, const char *name, int64_t *ret);

/* The DAG files that have errors now. */
struct file_errors {
    const struct import_error_row *rows;
    size_t count;
};
bool file_errors_load(struct web *web, struct request *request, struct file_errors *ret,
                      struct err *err);
bool file_errors_has(const struct file_errors *errors, const char *file);

#endif
