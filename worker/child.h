/* A child process of the worker and the two pipes it writes to. A child belongs to a job (a
 * command) or to a runner. */
#ifndef MILLRACE_WORKER_CHILD_H
#define MILLRACE_WORKER_CHILD_H

#include "base/arena.h"
#include "base/err.h"
#include "worker/attempt_log.h"
#include "worker/launch.h"

#include <uthash.h>
#include <uv.h>

struct child;
struct job;
struct runner;

struct child_output {
    uv_poll_t poll;
    int fd; /* -1 = ended */
    enum attempt_log_stream stream;
    struct child *child;
};

/* Output before there is a log (a runner that has no attempt) is kept up to this size. */
#define CHILD_EARLY_BYTES_MAX 4096

struct child {
    pid_t pid;
    UT_hash_handle hh; /* by pid */
    struct child_output outputs[LOG_MILLRACE];
    int open_handles;
    bool is_released;        /* freed once the handles are closed */
    struct attempt_log *log; /* borrowed from the job; NULL = none yet */
    struct buf early;
    struct job *job;       /* the owner: one of the two */
    struct runner *runner; /* is set by whoever starts it */
};

/* Launches; stdin is /dev/null, stdout and stderr are pipes to here: those members of `launch` are
 * filled in. Errors as launch_start(). */
struct child *child_start(uv_loop_t *loop, struct launch *launch, struct err *err);

/* The ends of a child's standard streams while it is being launched. */
struct child_pipes {
    int null;
    int out[2];
    int error[2];
};

/* A launch on its way in a thread of the loop's pool: the thread waits in it until the program has
 * replaced the copy of the worker, and the loop goes on meanwhile. The program is looked up in the
 * PATH of `launch.envp`. */
struct child_order {
    uv_work_t work;
    struct arena arena; /* owns what `launch` points to; both are filled in by the caller */
    struct launch launch;
    struct job *job;                                              /* NULL: it has gone meanwhile */
    void (*done)(struct child_order *order, struct child *child); /* NULL child: see err */
    struct child_pipes pipes;
    pid_t pid;
    struct err err; /* as launch_find() and launch_start() give it */
};

/* Calls order->done in the loop; the order belongs to the loop until then, and is freed after it.
 */
void child_start_aside(uv_loop_t *loop, struct child_order *order);

/* Sends what the child writes to a log from now on, and what was kept before. */
void child_set_log(struct child *child, struct attempt_log *log);

/* Reads what is in the pipes now, without waiting for more. */
void child_drain(struct child *child);

/* Closes the pipes and frees (once the loop has let go). The process is the caller's business. */
void child_free(struct child *child);

#endif
