/* Retention: what is older than the settings allow goes, in small steps while nothing else happens.
 *
 * A pass removes rows first (store/prune.h), a few hundred at a time, and then the files of runs
 * that are gone or old enough: their folders are listed and emptied in libuv's threads, and only
 * the question which of them are over is asked in the loop. */
#ifndef MILLRACE_SCHEDULER_RETENTION_H
#define MILLRACE_SCHEDULER_RETENTION_H

#include "scheduler/loop.h"

struct retention *retention_open(struct scheduler *scheduler);
void retention_close(struct retention *retention);
void retention_free(struct retention *retention);

#endif
