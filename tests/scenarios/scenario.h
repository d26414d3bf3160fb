/* The parts of the scenario runner: tell.c puts decisions into the words of the scripts, verbs.c
 * gives events to the world, main.c reads and compares the file. */
#ifndef MILLRACE_TESTS_SCENARIO_H
#define MILLRACE_TESTS_SCENARIO_H

#include "base/buf.h"
#include "tests/scenarios/world.h"

struct scenario {
    const char *path;
    int line;
    struct world world;
    int64_t base_us;
    int64_t wake_us; /* as last told */
    bool started;
    struct arena arena;
    struct buf said; /* decisions of the current event: " ; " between them */
    struct buf out;  /* the file with actual right sides */
    int failures;
    bool update;
};

/* Ends the program: the script itself is wrong. */
__attribute__((noreturn, format(printf, 2, 3))) void scenario_fail(const struct scenario *s,
                                                                   const char *format, ...);

/* A duration after the begin, or a date. */
int64_t scenario_time(const struct scenario *s, const char *word);

void tell_decision(void *scenario, const struct decision *decision);
void tell_wake(struct scenario *s); /* only if it has changed */

/* Runs "TIME VERB …". */
void verbs_run(struct scenario *s, struct str text);

#endif
