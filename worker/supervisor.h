/* The supervisor: what the parts of a worker share. One libuv loop, one thread; it never touches
 * data and never calls DuckDB. */
#ifndef MILLRACE_WORKER_SUPERVISOR_H
#define MILLRACE_WORKER_SUPERVISOR_H

#include "base/busypoll.h"
#include "worker/child.h"
#include "worker/connection.h"
#include "worker/folder.h"
#include "worker/instance.h"
#include "worker/job.h"
#include "worker/runner.h"
#include "worker/worker.h"

struct supervisor {
    struct worker_options *options;
    uv_loop_t loop;
    struct instance instance;
    pid_t guard;
    int guard_fd;

    struct job *jobs;          /* by token: all that are not acknowledged */
    struct job *waiting_first; /* of data and command kinds, in the order they came */
    bool is_filling;
    int64_t running;        /* data and command jobs that hold a slot */
    int64_t launching;      /* of these, with a child that may not be in `children` yet */
    struct child *children; /* by pid */
    struct runners runners;
    struct folders folders;

    struct connection *connection;
    bool is_welcome; /* the scheduler has answered the hello */
    int64_t epoch;   /* highest seen */

    uv_prepare_t flush;  /* sends a turn's frames before the loop waits */
    uv_timer_t deadline; /* the next job's */
    int64_t deadline_us; /* what it is set to; 0 = not set */
    uv_timer_t warm_up;
    uv_timer_t drain;
    uv_timer_t announce;
    uv_timer_t hold;
    uint64_t held_since_ms; /* loop time since which frames are held back; 0 = none are */
    struct busypoll busypoll;
    uv_idle_t idle; /* while it is active the loop polls */
    uv_signal_t on_child;
    uv_signal_t on_term;
    uv_signal_t on_int;
    int signals_seen;
    int64_t signalled_at_us;
    int64_t last_ended_us; /* monotonic: when the last job ended */
    int exit_code;
};

/* Starts waiting jobs while slots are free. */
void supervisor_fill_slots(struct supervisor *supervisor);

/* Sees to it that job_check_deadlines() is called at `deadline_us` at the latest. */
void supervisor_arm(struct supervisor *supervisor, int64_t deadline_us);

/* Sees to it that the scheduler is told soon of the attempts that have started. */
void supervisor_announce(struct supervisor *supervisor);

/* Tells the scheduler; without a connection nothing is sent: results are kept and repeated. */
void supervisor_send_ended(struct supervisor *supervisor, const struct job *job);

/* Ends the loop with a code. */
void supervisor_exit(struct supervisor *supervisor, int code);

#endif
