/* The environment of an attempt: the worker's, without what is the worker's own business, with the
 * task's `env` and what tells the program who it is. Pure. */
#ifndef MILLRACE_WORKER_ENVIRON_H
#define MILLRACE_WORKER_ENVIRON_H

#include "base/arena.h"

#include <jansson.h>

/* One more variable; a NULL value is left out. */
struct environ_extra {
    const char *name;
    const char *value;
};

/* Whether a variable of the worker is passed on: all but MILLRACE_* (tokens and settings of the
 * installation; only MILLRACE_STATE is no secret and useful) and the service manager's. */
bool environ_is_passed(const char *entry);

/* "NAME=value" strings ending in NULL, in the arena: what passes of `base`, then `env` (an object
 * of strings; may be NULL), then `extras`; later ones win. Names with '=' or empty are left out. */
char **environ_build(struct arena *arena, char *const *base, const json_t *env,
                     const struct environ_extra *extras, size_t extra_count);

/* The value of a variable in such a list, or NULL. */
const char *environ_get(char *const *list, const char *name);

#endif
