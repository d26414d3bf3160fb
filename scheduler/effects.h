/* Effects: what a turn's decisions ask for beyond the store. Called after the commit only. */
#ifndef MILLRACE_SCHEDULER_EFFECTS_H
#define MILLRACE_SCHEDULER_EFFECTS_H

#include "scheduler/loop.h"

/* Sends start, stop and ack to workers, replies to whoever asked, and tells web clients of new
 * transitions. A worker that is not connected is told when it reconnects. */
void effects_carry_out(struct scheduler *scheduler, const struct decisions *decisions);

#endif
