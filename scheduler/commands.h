/* Commands: the "command" document of include/millrace/messages.h, from a socket or from
 * scheduler_submit(), checked and made into an event. One path for all callers. */
#ifndef MILLRACE_SCHEDULER_COMMANDS_H
#define MILLRACE_SCHEDULER_COMMANDS_H

#include "scheduler/loop.h"

/* Every outcome is answered with the coming commit: a wrong document with ERR_BAD_REQUEST, which
 * names the member. */
void commands_give(struct scheduler *scheduler, json_t *document, uint64_t request);

#endif
