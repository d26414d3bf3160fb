/* Which runs and task instances a change (clear, mark, cancel) concerns: one rule for the
 * scheduler, which applies it, and for web, which shows beforehand what would be changed. In
 * scheduler/core/choice.c.
 *
 * Ownership: a choice borrows its strings. */
#ifndef MILLRACE_CHOICE_H
#define MILLRACE_CHOICE_H

#include "base/err.h"
#include "millrace/dag.h"
#include "millrace/rows.h"

/* A change is one transaction, prepared in memory: what concerns more is refused (ERR_LIMIT) before
 * anything is changed, and has to be given in parts. */
#define CHOICE_RUNS_MAX 1000
#define CHOICE_TASKS_MAX 100000

#define CHOICE_EVERY_INDEX INT32_MIN

/* Runs of one DAG: one by its id, with or without those before and after it by logical date; or,
 * without an id, those whose logical date is in a range. */
struct run_choice {
    const char *run_id;  /* NULL = by range */
    int64_t from_us;     /* inclusive; 0 = no limit */
    int64_t to_us;       /* inclusive; 0 = no limit */
    bool include_past;   /* only with run_id */
    bool include_future; /* likewise */
};

struct task_name {
    const char *task_id; /* with CHOICE_EVERY_INDEX also a group's id: all of its tasks */
    int32_t map_index; /* or CHOICE_EVERY_INDEX */
};

struct task_choice {
    const struct task_name *names; /* NULL = all tasks */
    size_t count;
    bool upstream;     /* also all that they depend on */
    bool downstream;   /* also all that depends on them */
    bool only_failed;  /* failed and upstream_failed; together with only_running: either */
    bool only_running; /* queued or running */
};

/* For each task of the DAG whether it is chosen, in an array of the arena. Names that the DAG has
 * no task of are left out: runs of several versions may be chosen. */
const bool *choice_tasks(const struct dag *dag, const struct task_choice *choice,
                         struct arena *arena);

/* Whether the DAG has at least one of the named tasks. */
bool choice_fits(const struct dag *dag, const struct task_choice *choice);

/* Whether an instance of a chosen task is taken, by its index and state. */
bool choice_takes(const struct task_choice *choice, const struct dag *dag, const bool *chosen,
                  const struct task_row *row);

/* Whether clearing would change an instance: not what has not begun. */
bool choice_can_clear(enum task_state state);

#endif
