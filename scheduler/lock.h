/* The locks of a state folder: one scheduler, and one `millrace serve`. Held by an flock for the
 * process's life, so they go with the process however that ends. */
#ifndef MILLRACE_SCHEDULER_LOCK_H
#define MILLRACE_SCHEDULER_LOCK_H

#include "base/err.h"

#include <stdint.h>

/* Returns the descriptor that holds the lock `name` (STATE_LOCK, STATE_SERVE_LOCK), or -1; a held
 * lock gives ERR_CONFLICT naming the holder: its pid, its host, since when. Makes the state folder
 * (mode 0700) when it is missing. */
int lock_take(const char *state_folder, const char *name, struct err *err);
void lock_release(int fd);

/* The pid of the process that holds STATE_LOCK: 0 = nobody does, -1 = somebody does, or it can't be
 * told. Takes nothing. */
int64_t lock_holder(const char *state_folder);

#endif
