/* Planted bugs: mistakes that the simulation (tests/sim) has to find. They exist in its own build
 * of the core only, where one of planted.def is switched on at a time; elsewhere PLANTED() is false
 * and costs nothing. */
#ifndef MILLRACE_CORE_PLANTED_H
#define MILLRACE_CORE_PLANTED_H

#include <stdbool.h>

enum planted {
    PLANTED_NONE,
#define PLANTED_BUG(name, description) PLANTED_##name,
#include "scheduler/core/planted.def"
#undef PLANTED_BUG
    PLANTED_COUNT
};

#ifdef MILLRACE_PLANTED
extern enum planted planted_bug; /* the one that is on; tests/sim defines and sets it */
#define PLANTED(name) (planted_bug == PLANTED_##name)
#else
#define PLANTED(name) false
#endif

#endif
