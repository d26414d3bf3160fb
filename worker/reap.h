/* Reaping: children that have ended, and what attempts leave behind.
 *
 * The worker is a child subreaper: whatever an attempt starts and abandons becomes a child of the
 * worker, however often it forked and whatever session it moved to. */
#ifndef MILLRACE_WORKER_REAP_H
#define MILLRACE_WORKER_REAP_H

#include "worker/supervisor.h"

/* Becomes the subreaper. */
void reap_init(void);

/* Reaps all children that have ended and tells their owners. A main process's group is killed while
 * the process is a zombie: its number can't belong to anybody else then. */
void reap_children(struct supervisor *supervisor);

/* Kills what a job in CLEARING left behind; true = nothing of it is left. */
bool reap_clear(struct job *job);

#endif
