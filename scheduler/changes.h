/* Prepares changes (clear, mark, cancel): what the core must know of runs that it has no longer in
 * memory is read from the store. */
#ifndef MILLRACE_SCHEDULER_CHANGES_H
#define MILLRACE_SCHEDULER_CHANGES_H

#include "scheduler/loop.h"

bool changes_is_change(enum event_kind kind);

/* Attaches the runs, valid until changes_release(). False: `err` is ERR_LIMIT or ERR_BAD_REQUEST
 * for what the asker must be told, else the store's. */
bool changes_prepare(struct scheduler *scheduler, struct event *event, struct err *err);

/* Drops the versions that were parsed, after the turn. */
void changes_release(struct scheduler *scheduler);

#endif
