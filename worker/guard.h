/* The guard: a small process that outlives the worker by a moment and kills what is left of its
 * attempts, however the worker ended.
 *
 * The kernel kills an attempt's main process when the worker dies, but not what that process has
 * started. The guard shares the worker's lock, so the lock falls only when all of them are gone:
 * its release is the proof that the scheduler waits for before it starts another attempt. */
#ifndef MILLRACE_WORKER_GUARD_H
#define MILLRACE_WORKER_GUARD_H

#include "worker/instance.h"

#include <sys/types.h>

/* The variable that marks every process of a worker's attempts; its value is the instance id. */
#define GUARD_VARIABLE "MILLRACE_WORKER"

/* Starts the guard. Called at start, while the process is small and has one thread. `ret_fd` is
 * the end of a pipe whose closing tells the guard that the worker has ended. */
bool guard_start(const struct instance *instance, pid_t *ret_pid, int *ret_fd, struct err *err);

#endif
