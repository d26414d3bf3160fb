/* A worker's identity: a random id, and a lock file that is held for as long as the worker or any
 * attempt of it may live. Whoever can take the lock knows that they are gone. */
#ifndef MILLRACE_WORKER_INSTANCE_H
#define MILLRACE_WORKER_INSTANCE_H

#include "base/err.h"

#define INSTANCE_ID_SIZE 33 /* 128 random bits in hexadecimal, and the NUL */

struct instance {
    char id[INSTANCE_ID_SIZE];
    char *lock_path;
    int lock_fd; /* close-on-exec; shared with the guard, never with an attempt */
};

/* Makes an id, takes its lock, and removes the lock files of workers that are gone. */
bool instance_open(struct instance *instance, const char *state_folder, struct err *err);

/* Gives up this holder's part of the lock and frees. The lock falls when the last holder ends; the
 * guard (worker/guard.h) is the last, and removes the file. */
void instance_close(struct instance *instance);

#endif
