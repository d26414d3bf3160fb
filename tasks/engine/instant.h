/* Instants in options: with an offset as they stand, without one in the DAG's time zone. */
#ifndef MILLRACE_TASKS_ENGINE_INSTANT_H
#define MILLRACE_TASKS_ENGINE_INSTANT_H

#include "tasks/engine/engine.h"

/* `timezone` may be NULL: UTC. ERR_INVALID quotes a text that is no date or time. */
bool instant_parse(struct engine *engine, const char *text, const char *timezone, int64_t *ret_us,
                   struct err *err);

#endif
