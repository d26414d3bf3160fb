/* What a task kind's run function gets: one attempt, in a process of its own.
 *
 * The process's working folder is the project's base folder, so relative paths in options need no
 * joining. stdout and stderr go to the attempt's log. A run function is called once and the process
 * ends after it; it may leave freeing to the end of the process, but files it opened for writing
 * must be closed and checked. */
#ifndef MILLRACE_ATTEMPT_H
#define MILLRACE_ATTEMPT_H

#include "base/err.h"

#include <jansson.h>

struct engine; /* tasks/engine/engine.h */

struct attempt {
    const char *dag_id;
    const char *task_id;
    const char *run_id;
    const char *token;       /* unique for ever; use it to name staging folders */
    int64_t try_number;      /* from 1 */
    int64_t map_index;       /* -1 = unmapped */
    int64_t logical_date_us; /* 0 = none */
    int64_t interval_start_us;
    int64_t interval_end_us;
    const char *timezone; /* of the DAG */
    const char *kind;     /* the task kind's name; NULL (tests): nothing is known to be unchanged */
    int kind_version;     /* of its results: see struct task_kind */
    bool cache;           /* an unchanged output may stand for the work */
    const json_t *options; /* rendered, typed, with defaults */
    const char *folder;    /* exists; for reports that are not datasets; absolute */
    const char *temp;      /* exists; removed after the attempt; absolute */
    int64_t memory_bytes;  /* the limit DuckDB was given */
    int64_t staging_us;    /* what dead attempts left goes when it is older; 0 = never */
    int64_t threads;
    struct engine *engine; /* open; NULL for kinds that have no data */
    json_t *outputs;       /* an object the kind fills: at most 64 KiB as text */
    json_t *datasets; /* an object that publishing fills: what was read and published; or NULL */
    char *waits_for;  /* set by a sensor that found nothing yet: what it waits for, in words */
};

/* Failure codes: ERR_INVALID, ERR_TEMPLATE and ERR_FINDINGS end the task without another try; all
 * others are retried as the task's options say. The message becomes the task's reason: it names the
 * file and line where there is one. */
typedef bool (*task_run)(struct attempt *attempt, struct err *err);

#define TASK_KIND(name) bool name##_run(struct attempt *attempt, struct err *err);
#include "tasks/kinds.def"
#undef TASK_KIND

#endif
