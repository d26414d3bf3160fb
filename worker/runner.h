/* Runners, seen from the worker: processes that wait for a data attempt with DuckDB open, the one
 * shared runner for kinds that touch no data, and light ones, which serve one look at a time and
 * are used again. The other side is serve.c. */
#ifndef MILLRACE_WORKER_RUNNER_H
#define MILLRACE_WORKER_RUNNER_H

#include "worker/child.h"

struct runner;
struct supervisor;

struct runners {
    int program_fd;        /* of millrace-runner, opened once: an upgrade of the files below a
                            * worker that runs gives it no runner that speaks otherwise */
    struct runner *first;  /* all of them, ready or not */
    struct runner *shared; /* NULL = none yet */
    bool is_proven;        /* one has become ready: DuckDB is right */
    bool is_warm;          /* a data attempt has come: as many as slots are kept ready */
};

/* Finds millrace-runner, beside this program. ERR_NOT_FOUND names the place. runners_close() lets
 * go of it. */
bool runners_open(struct runners *runners, struct err *err);
void runners_close(struct runners *runners);

/* Keeps as many runners ready as are wanted now. */
void runner_fill(struct supervisor *supervisor);

/* Starts the shared runner, before the worker has threads: as a copy of the worker it is ready at
 * once and costs next to nothing, where a program of its own takes longer to load than thousands of
 * its tasks to run. One that dies is replaced by such a program. */
void runner_start_early(struct supervisor *supervisor);

/* Hands a data job to a runner that waits (or to one that is being started for it). On failure the
 * job is judged. */
bool runner_start_job(struct job *job);

/* Hands a job of a shared kind to the shared runner. On failure the job is judged. */
bool runner_start_shared(struct job *job);

/* Hands a job of class LIGHT to a light runner that is free, or to a new one. On failure the job is
 * judged. */
bool runner_start_light(struct job *job);

/* Lets go of the job's runner, after what it wrote has been taken into the log. */
void runner_release_light(struct job *job);

/* Kills the job's runner, which would keep its place for as long as it hangs. */
void runner_kill_light(struct job *job);

/* Sends what was handed over in this turn. */
void runner_flush_all(struct supervisor *supervisor);

/* The process has ended with this wait status. */
void runner_exited(struct runner *runner, int status);

/* Kills all that have no job: the worker takes none any more. */
void runner_kill_idle(struct supervisor *supervisor);

/* Kills and forgets all of them, for the worker's end. */
void runner_kill_all(struct supervisor *supervisor);

#endif
