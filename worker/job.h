/* A job: one attempt as its worker sees it, from the scheduler's `start` to its `ack`.
 *
 *             START            LAUNCHED          STOP, DEADLINE       DEADLINE
 *   WAITING ────────► LAUNCHING ────────► RUNNING ────────► STOPPING ────────► KILLING
 *      │ STOP             │ FAILED           │ EXITED          │ EXITED           │ EXITED
 *      │                  │                  ▼                 ▼                  ▼
 *      │                  │               CLEARING  (what the attempt left behind is being killed)
 *      ▼                  ▼                  │ CLEARED
 *    ENDED ◄─────────────────────────────────┘   the result is kept until acknowledged
 *
 * The table in job.c is this picture. Only commands are LAUNCHING: a data attempt is handed to a
 * runner. A job of class SHARED has no process of its own, one of class LIGHT only borrows one: its
 * result is its end (FINISHED). */
#ifndef MILLRACE_WORKER_JOB_H
#define MILLRACE_WORKER_JOB_H

#include "base/buf.h"
#include "millrace/state.h"
#include "millrace/task_kind.h"
#include "worker/attempt_log.h"

#include <jansson.h>
#include <uthash.h>

struct child;
struct child_order;
struct runner;
struct supervisor;

enum job_state {
    JOB_WAITING,
    JOB_LAUNCHING, /* stopped meanwhile: it has a verdict already */
    JOB_RUNNING,
    JOB_STOPPING, /* SIGTERM was sent */
    JOB_KILLING,  /* SIGKILL was sent */
    JOB_CLEARING,
    JOB_ENDED,
    JOB_STATE_COUNT
};

enum job_event {
    JOB_START,    /* a slot is free */
    JOB_LAUNCHED, /* its program runs */
    JOB_FAILED,   /* its program can't be launched: verdict is set */
    JOB_STOP,     /* the scheduler or the worker's end wants it stopped: verdict is set */
    JOB_DEADLINE, /* job->deadline_us has passed */
    JOB_EXITED,   /* the main process has ended and is reaped */
    JOB_CLEARED,  /* nothing of it is left */
    JOB_FINISHED, /* shared and light: the result came */
    JOB_EVENT_COUNT
};

struct job {
    struct supervisor *supervisor;
    char *token;
    UT_hash_handle hh; /* by token */
    enum job_state state;
    const struct task_kind *kind;
    enum task_class class;
    bool is_callback; /* no attempt of a task: it takes no slot */
    json_t *start;    /* of this attempt; all but shared kinds have what it says of the run too */

    int64_t run; /* the numbers that name its log and folder */
    int64_t task;
    int64_t map_index;
    int64_t try_number;
    char *folder; /* absolute; NULL = none */

    int64_t timeout_us;
    int64_t deadline_us;     /* monotonic; 0 = none */
    int64_t started_mono_us; /* 0 = not yet */
    int64_t started_at_us;
    int64_t ended_at_us;

    bool is_announced; /* the scheduler was told that it runs */
    bool is_judged;    /* the first verdict stands */
    bool is_short;     /* `ended` is an item of MESSAGE_DONE */
    enum outcome outcome;
    char *reason;
    int64_t exit_code; /* -1 = none */
    int64_t signal;
    json_t *outputs;
    json_t *datasets; /* read and published, as the runner says; may be NULL */

    struct child_order *order; /* while LAUNCHING */
    struct child *child;       /* main process; the runner's for data */
    struct runner *runner;     /* data, shared and light */
    pid_t group;               /* its process group, also after the end of the main process */
    int looks;                 /* for leftovers, while CLEARING */
    struct attempt_log log;
    struct buf ended; /* the frame's document, once ENDED */
    struct job *prev; /* the list of waiting ones */
    struct job *next;
};

/* A job of a `start` document and one of its attempts, WAITING and in the table; it takes
 * references and may add to `attempt`. NULL (and nothing changed) where they make no sense. A kind
 * that is not known gives a job that is judged already. */
struct job *job_new(struct supervisor *supervisor, json_t *start, json_t *attempt, struct err *err);
void job_free(struct job *job);

struct job *job_find(struct supervisor *supervisor, const char *token);

/* Sets how the job ended, unless that is set already: a timeout stays one, whatever the process
 * did with its last seconds. */
__attribute__((format(printf, 3, 4))) void job_judge(struct job *job, enum outcome outcome,
                                                     const char *format, ...);

void job_handle(struct job *job, enum job_event event);

/* Calls job_handle(DEADLINE) for all that are due, and returns the next deadline (0 = none). */
int64_t job_check_deadlines(struct supervisor *supervisor, int64_t now_us);

const char *job_state_name(enum job_state state);

#endif
