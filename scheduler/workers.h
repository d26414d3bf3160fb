/* Workers that are not connected: whether they are still alive is told by their lock file, never by
 * a timer. A free lock is the proof that worker and attempts are gone. */
#ifndef MILLRACE_SCHEDULER_WORKERS_H
#define MILLRACE_SCHEDULER_WORKERS_H

#include "scheduler/loop.h"

struct workers *workers_open(struct scheduler *scheduler, struct err *err);
void workers_close(struct workers *workers);
void workers_free(struct workers *workers);

/* Watches the lock of an instance until it is free (EVENT_WORKER_GONE) or it has reconnected. */
void workers_expect(struct workers *workers, const char *instance);
void workers_returned(struct workers *workers, const char *instance);

/* Whether some live process holds the worker's lock. A free lock file is removed. */
bool worker_is_alive(const char *state_folder, const char *instance);

/* How many workers hold a lock in the state folder. */
size_t workers_count_alive(const char *state_folder);

#endif
