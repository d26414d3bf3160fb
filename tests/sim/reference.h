/* The reference model: a scheduler that recomputes everything from scratch after each event, slow
 * and plain, against which the core is held in worlds without faults. It shares the DAG structs
 * with the core and nothing else. */
#ifndef MILLRACE_SIM_REFERENCE_H
#define MILLRACE_SIM_REFERENCE_H

#include "millrace/dag.h"

#define REFERENCE_RUNS_MAX 16
#define REFERENCE_TASKS_MAX 64
#define REFERENCE_POOLS_MAX 4
#define REFERENCE_KINDS 2 /* of slots: with a process of their own, shared */

struct reference_task {
    enum task_state state;
    int64_t tries;
    int64_t retry_at_us;
    uint64_t ended; /* the how manieth to end; 0 = has not */
    bool is_told;   /* its downstreams have been looked at since it ended */
};

struct reference_run {
    const struct dag *dag;
    enum run_state state;
    int64_t run_after_us;
    bool is_due;
    struct reference_task tasks[REFERENCE_TASKS_MAX];
};

struct reference_start {
    size_t run; /* index: the run's id - 1 */
    uint32_t task;
    int64_t try_number;
};

struct reference {
    int64_t now_us;
    struct reference_run runs[REFERENCE_RUNS_MAX]; /* in the order they were made */
    size_t run_count;
    struct {
        const char *name;
        int64_t slots;
    } pools[REFERENCE_POOLS_MAX];
    size_t pool_count;
    int64_t slots[REFERENCE_KINDS]; /* of all workers */
    uint64_t last_end;
    struct reference_start starts[REFERENCE_RUNS_MAX * REFERENCE_TASKS_MAX]; /* of the event */
    size_t start_count;
};

/* Each is one event at reference->now_us; afterwards `starts` holds what it started, in order. */
void reference_trigger(struct reference *reference, const struct dag *dag, int64_t run_after_us);
void reference_started(struct reference *reference, size_t run, uint32_t task);
void reference_ended(struct reference *reference, size_t run, uint32_t task, enum outcome outcome);
void reference_tick(struct reference *reference);

/* When something is due next, or INT64_MAX. */
int64_t reference_next_wakeup(const struct reference *reference);

#endif
