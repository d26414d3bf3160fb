/* Recovery, the only start-up: what the store has becomes the core's state again. */
#ifndef MILLRACE_SCHEDULER_RECOVER_H
#define MILLRACE_SCHEDULER_RECOVER_H

#include "scheduler/loop.h"

/* Makes the core and restores it; with only_dag_id, that DAG alone. Workers that unfinished
 * attempts are bound to are expected back, or found gone by their lock. */
bool scheduler_recover(struct scheduler *scheduler, struct err *err);

#endif
