/* Workers that are not connected: whether they are still alive is told by their lock file, never by
 * a timer. A free lock is the proof that worker and attempts are gone. */
#ifndef MILLRACE_SCHEDULER_ABSENT_H
#define MILLRACE_SCHEDULER_ABSENT_H

#include "scheduler/loop.h"

#include <sys/types.h>

struct absent *absent_open(struct scheduler *scheduler, struct err *err);
void absent_close(struct absent *absent);
void absent_free(struct absent *absent);

/* Watches the lock of an instance until it is free (EVENT_WORKER_GONE) or it has reconnected. */
void absent_expect(struct absent *absent, const char *instance);
void absent_returned(struct absent *absent, const char *instance);

/* Whether some live process holds the worker's lock. A free lock file is removed. */
bool worker_is_alive(const char *state_folder, const char *instance);

/* How many workers hold a lock in the state folder. */
size_t workers_count_alive(const char *state_folder);

/* Sends a signal to each of them, whoever started it. Returns the pid of one that got it; 0 = none
 * did, because none lives or because what lives is only the rest of one that is dying. */
pid_t workers_signal(const char *state_folder, int number);

#endif
