/* The reference model: a scheduler that recomputes everything from scratch after each event, slow
 * and plain, against which the core is held in worlds without faults. It shares the DAG structs
 * with the core and nothing else. */
#ifndef MILLRACE_SIM_REFERENCE_H
#define MILLRACE_SIM_REFERENCE_H

#include "tests/sim/naive.h"

#define REFERENCE_TASKS_MAX 20
#define REFERENCE_INSTANCES_MAX 8
#define REFERENCE_POOLS_MAX 4
#define REFERENCE_DAGS_MAX 4
#define REFERENCE_KINDS 2 /* of slots: with a process of their own, shared */

/* What has been done about the end of a task. */
enum reference_ending { END_IS_NEW, END_IS_TOLD, END_IS_COUNTED };

struct reference_task {
    enum task_state state;
    int64_t tries;
    int64_t wake_at_us; /* up_for_retry, deferred */
    uint64_t armed;     /* sensors: the how manieth to wait */
    int64_t since_us;   /* likewise */
    int64_t until_us;
    bool is_asking;      /* sensors: the store has to say what became of a run that is over */
    const char *outputs; /* borrowed; NULL = none */
    uint64_t ended;      /* the how manieth to end; 0 = has not */
    enum reference_ending ending;
};

/* A task, or its instances. */
struct reference_node {
    struct reference_task items[REFERENCE_INSTANCES_MAX];
    uint32_t count;
    bool is_mapped;
};

struct reference_run {
    struct naive_dates dates;
    const char *conf;
    enum run_state state;
    bool is_due;
    uint64_t heard; /* the how manieth whose waiters are to be told what it has come to; 0 = none */
    struct reference_node nodes[REFERENCE_TASKS_MAX];
};

struct reference_start {
    size_t run; /* index: the run's id - 1 */
    uint32_t task;
    int32_t map_index;
    int64_t try_number;
};

/* What a DAG that waits for assets has had no run for, of one partition or of all. */
struct reference_batch {
    const char *partition;
    bool is_new[4];     /* by the place of the asset in the schedule */
    uint64_t completed; /* the how manieth to fulfil the condition; 0 = has not */
};

struct reference_dag {
    const struct dag *dag;
    struct reference_batch batches[8];
    size_t batch_count;
    uint64_t touched; /* the how manieth that may have a run now; 0 = looked at */
};

struct reference {
    struct arena *arena;
    int64_t now_us;
    struct reference_dag dags[REFERENCE_DAGS_MAX];
    size_t dag_count;
    struct reference_run **runs; /* in the order they were made */
    size_t run_count;
    size_t run_capacity;
    struct {
        const char *name;
        int64_t slots;
    } pools[REFERENCE_POOLS_MAX];
    size_t pool_count;
    int64_t slots[REFERENCE_KINDS]; /* of all workers */
    uint64_t last;                  /* counts what is in order: ends, timers, batches */
    struct reference_start *starts; /* of the event */
    size_t start_count;
    size_t start_capacity;
};

/* Each is one event at reference->now_us; afterwards `starts` holds what it started, in order.
 * Texts are borrowed. */
void reference_trigger(struct reference *reference, const struct naive_dates *dates,
                       const char *conf);
void reference_started(struct reference *reference, const struct reference_start *of);
void reference_ended(struct reference *reference, const struct reference_start *of,
                     enum outcome outcome, const char *outputs);
void reference_updated(struct reference *reference, const char *asset, const char *partition);
void reference_tick(struct reference *reference);
void reference_release(struct reference *reference);

/* When something is due next (0 = at once), or INT64_MAX. */
int64_t reference_next_wakeup(const struct reference *reference);

/* reference_assets.c */
void reference_update(struct reference *reference, const char *asset, const char *partition);
void reference_succeeded(struct reference *reference, const struct dag_task *spec,
                         const char *outputs); /* its assets are updated */
void reference_touch(struct reference *reference, const struct dag *dag);
/* The next run for assets that may be made: its DAG and partition; NULL = none. Takes the batch. */
const struct dag *reference_take(struct reference *reference, const char **ret_partition);

#endif
