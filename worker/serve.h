/* A runner, from inside: says that it is ready, waits for attempts at descriptor LAUNCH_SOCKET_FD,
 * has each one run, sends the result, and ends without tidying up: the process's end does that
 * faster. The working folder is the base folder already. What a runner can do is its executable's
 * matter: millrace-worker has the kinds without data, millrace-runner all of them. */
#ifndef MILLRACE_WORKER_SERVE_H
#define MILLRACE_WORKER_SERVE_H

#include "millrace/attempt.h"
#include "millrace/task_kind.h"

/* The modes of a runner, as its command line gives them. */
#define SERVE_MODE_DATA "data"
#define SERVE_MODE_SHARED "shared"
#define SERVE_MODE_LIGHT "light"

struct served_kind {
    const struct task_kind *kind;
    task_run run;
};

struct serving {
    /* Runs one attempt. `document` is the whole frame, for what struct attempt does not say. */
    bool (*run)(struct attempt *attempt, const json_t *document, struct err *err);
    struct engine *engine; /* NULL = no data */
    bool has_log;          /* what fails is told in the attempt's log, too */
    bool is_for_one;       /* ends after its first attempt */
};

/* Runs an attempt of one of these kinds. ERR_INVALID: of none of them. */
bool serve_kind(const struct served_kind *kinds, size_t count, struct attempt *attempt,
                struct err *err);

__attribute__((noreturn)) void serve_attempts(const struct serving *serving);

/* Instead of serve_attempts(): tells the worker why this runner can't serve. */
__attribute__((noreturn)) void serve_refuse(const char *reason);

#endif
