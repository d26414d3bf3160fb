/* The core's memory: what is live, and the lists it stands on. Private to scheduler/core.
 *
 *   core ─┬─ dag_entry (by dag_id) ── current version; queued runs; at most one backfill
 *         ├─ run (by id) ── its version, its tasks, one ready_queue per lane
 *         ├─ attempt (by token) ── on the list of the worker it is bound to
 *         ├─ worker (by instance)      ├─ pool ── lanes (tasks that want the same thing)
 *         ├─ backfill (by id)          └─ timers (one heap)
 *
 * A task that is mapped (`expand`) is one struct task until its upstreams have ended; then the
 * instances that its lists call for take its place. run->tasks[i] stays, without a state of its
 * own, as what they have in common: their upstreams' tally.
 *
 * Ownership: a run owns its tasks and has a reference to its version. What ends within a step is
 * kept in `retired` until the turn's decisions, which borrow its strings, have been cleared. */
#ifndef MILLRACE_CORE_MODEL_H
#define MILLRACE_CORE_MODEL_H

#include "base/arena.h"
#include "millrace/decision.h"
#include "millrace/event.h"
#include "scheduler/core/core.h"
#include "scheduler/core/heap.h"
#include "scheduler/core/timetable.h"

#include <uthash.h>

enum timer_kind {
    TIMER_RETRY,
    TIMER_RUN,
    TIMER_RUN_TIMEOUT,
    TIMER_WAIT,
    TIMER_DEADLINE,
    TIMER_CALLBACK
};

struct timer {
    struct heap_node node;
    int64_t at_us;
    uint64_t order;       /* of arming: among equal times of DAGs first armed, first served */
    enum timer_kind kind; /* of those in core->timers */
};

struct attempt_live {
    struct attempt_row row; /* strings live in the arena */
    struct arena arena;
    struct task *task;
    struct worker *worker;
    bool announced;                /* scratch of EVENT_WORKER_UP */
    struct attempt_live *previous; /* on the worker's list */
    struct attempt_live *next;
    UT_hash_handle hh; /* by token */
};

/* What attempts take at a worker, by the class of their tasks. */
enum slot_kind {
    SLOT_OWN,    /* data and command: a process each */
    SLOT_SHARED, /* a place in the shared runner */
    SLOT_LIGHT,  /* a light runner, so that looking at things never waits for work */
    SLOT_CALLBACK,
    SLOT_KIND_COUNT
};

struct worker {
    char *instance;
    bool is_known; /* it has said what it can take since the core was made, and does not end */
    int64_t slots[SLOT_KIND_COUNT];
    int64_t used[SLOT_KIND_COUNT];
    int64_t backlog; /* attempts beyond its own slots that it keeps waiting */
    int64_t pace_us; /* how long its attempts last of late, smoothed; 0 = none has ended */
    struct attempt_live *attempts;
    struct callback *callbacks;
    UT_hash_handle hh;
};

struct pool {
    char *name;
    bool exists;
    int64_t slots; /* -1 = unlimited */
    int64_t used;
};

/* Tasks that want the same: slots of one pool and one kind of worker slots. */
struct lane {
    struct pool *pool;
    int64_t pool_slots;
    enum slot_kind slot;
    struct heap queues; /* of ready_queue, by their best task */
};

/* The ready tasks of one run in one lane; taken out of the lane while the run is at its limit. */
struct ready_queue {
    struct heap_node node; /* in lane->queues */
    struct lane *lane;
    struct run *run;
    struct heap tasks;
};

/* max_active_tis_per_dag of one task, and how many instances are active. */
struct task_limit {
    char *task_id;
    int64_t max; /* as the DAG's current version says it; 0 = it says nothing */
    int64_t active;
    struct task_lot *lots; /* of runs in which instances wait */
    UT_hash_handle hh;     /* by task_id, in its dag_entry */
};

/* The ready instances of a task with a limit, in one run. */
struct task_lot {
    struct task_limit *limit; /* NULL = only the run's */
    int64_t max_of_dag;       /* max_active_tis_per_dag, as the run's version says it */
    int64_t max;              /* max_active_tis_per_dagrun; 0 = no limit */
    int64_t active;
    struct heap tasks;
    struct task *scout; /* the best of them while there is room: it stands in a ready_queue */
    bool is_listed;     /* in limit->lots */
    struct task_lot *prev;
    struct task_lot *next;
};

/* What a run knows of the one before it; made when a task of it first wants to know. */
struct past {
    struct run *run;
    bool is_asking;       /* on core->past_asking: the store is to say */
    bool is_outdated;     /* what it says now is of before this turn */
    int64_t date_us;      /* logical date of the run before; 0 = there is none */
    const char *run_id;   /* its name */
    struct run *previous; /* it, while it is live */
    bool *well;           /* per task of `run` what became of it there; NULL = all well */
    struct past *ask_previous;
    struct past *ask_next;
    struct past *dependent_previous; /* of previous->dependents */
    struct past *dependent_next;
};

/* How many upstreams have ended how. */
struct tally {
    uint32_t success;
    uint32_t failed;
    uint32_t upstream_failed;
    uint32_t skipped;
    uint32_t setup_success; /* of these, setups */
    uint32_t setup_failed;
    uint32_t guard_success; /* setups further up, in whose scope the task is */
    uint32_t guard_failed;
    uint32_t guard_skipped;
};

/* The instances of a mapped task. The structs lie in the run's arena, where they never move. */
struct mapping {
    struct task **items; /* by map_index */
    uint32_t count;      /* with removed ones: one per row */
    uint32_t capacity;
    uint32_t live;    /* not removed */
    uint32_t waiting; /* in state none */
    json_t *values;   /* name → list it goes over; NULL after recovery, until it is needed */
};

struct task {
    struct run *run;
    uint32_t index;
    int32_t map_index; /* -1 = not mapped, or not yet */
    enum task_state state;
    enum task_state fresh_from; /* scheduled in this step: from which state */
    bool is_fresh;              /* … and no decision tells of it yet */
    bool is_settling;           /* on core->settled: its end is not counted yet */
    bool waits_for_past;        /* in run->tasks: nothing else holds it up */
    bool is_outside;            /* in run->tasks: no part of the run's backfill */
    struct tally tally;         /* in run->tasks; so are the next three */
    uint32_t upstream_total;    /* instances that its upstreams have, but for those outside */
    uint32_t guard_total;       /* and that the setups have in whose scope it is */
    struct mapping *mapping;    /* NULL = not expanded */
    int64_t try_number;
    int64_t max_tries;
    int64_t scheduled_at_us;
    int64_t queued_at_us;
    int64_t started_at_us;
    int64_t ended_at_us;
    int64_t retry_at_us;
    int64_t wait_since_us; /* sensors, as in task_row */
    int64_t pokes;
    bool has_poked;           /* in this try: its attempt's row is there, and opened again */
    struct heap_node ready;   /* in a ready_queue */
    struct heap_node waiting; /* in a task_lot */
    struct timer timer;       /* TIMER_RETRY or TIMER_WAIT */
    struct waiter *waiter;    /* deferred until another DAG's run comes to something, or NULL */
    struct attempt_live *attempt;
    json_t *outputs; /* NULL unless a template of the DAG reads them */
};

struct run {
    struct run_row row; /* strings live in the arena; reason is kept once it is over */
    struct arena arena;
    struct dag *dag; /* the version it is pinned to */
    struct dag_entry *entry;
    struct backfill *backfill; /* NULL = none */
    struct task *tasks;
    uint32_t waiting;               /* task instances in state none */
    uint32_t unfinished;            /* task instances not final */
    const struct task *failed_leaf; /* the first effective leaf in a failed state, or NULL */
    uint32_t settling;              /* of its tasks on core->settled, those not worked off */
    int64_t active;                 /* task instances queued, running or restarting */
    uint32_t stopping; /* attempts told to stop: the run stays in memory until they have ended */
    struct ready_queue **queues;
    size_t queue_count;
    struct past *past;         /* NULL = nobody has asked */
    struct past *dependents;   /* of later runs */
    uint32_t past_waiting;     /* tasks that wait for the run before */
    struct run *past_previous; /* on entry->past_waiting, while there are such tasks */
    struct run *past_next;
    bool is_dated; /* on entry->dated */
    struct run *dated_previous;
    struct run *dated_next;
    struct task_lot **lots;   /* one per task, those without limit NULL; NULL = none so far */
    struct heap_node queued;  /* among the runs that may start, of its DAG or backfill */
    struct heap_node by_date; /* among those of them with a logical date */
    struct timer timer;       /* queued: TIMER_RUN; running: TIMER_RUN_TIMEOUT */
    json_t *conf;             /* parsed when first needed */
    bool is_forgotten;        /* over, and to be freed with the turn's decisions */
    const char *unreadable;   /* while recovering: why its version can't be read */
    struct timer deadline;    /* TIMER_DEADLINE: the next one that is not missed yet */
    struct wait_key *awaited; /* tasks elsewhere wait for it, or NULL */
    UT_hash_handle hh;        /* by row.id, while it is live or has attempts that stop */
    /* By "dag/run id" and "dag/logical date", until the turn is over: what the store was asked
     * before the step may not know runs of the same turn. */
    char *name_key;
    char *date_key; /* NULL without logical date */
    UT_hash_handle hh_name;
    UT_hash_handle hh_date;
};

/* An asset that DAGs wait for. */
struct asset {
    char *name;
    struct asset_reader *readers;
    UT_hash_handle hh;
};

/* One DAG among those that wait for an asset. */
struct asset_reader {
    struct asset *asset;
    struct dag_entry *entry;
    uint32_t index;                /* of the asset in the DAG's schedule */
    struct asset_reader *previous; /* on the asset's list */
    struct asset_reader *next;
};

/* The updates that a DAG has had no run for: of one partition, or of all. */
struct asset_batch {
    char *partition;              /* "" = of all */
    uint32_t *counts;             /* updates of each asset of the schedule */
    json_t *latest;               /* asset → what its latest update said */
    bool is_complete;             /* the schedule's condition holds */
    struct asset_batch *previous; /* among the entry's complete ones, oldest first */
    struct asset_batch *next;
    UT_hash_handle hh; /* by partition */
};

/* Runs that wait for a place, of a DAG or of a backfill. */
struct run_queue {
    struct heap turns; /* in the order in which they start */
    struct heap dates; /* those with a logical date, by it */
};

struct dag_entry {
    struct dag_row row; /* strings live in the arena or in `current` */
    struct arena arena;
    char *pause_reason; /* what row.pause_reason points to */
    struct dag *current;
    int64_t live_runs;          /* queued or running, without those of backfills */
    int64_t running_runs;       /* of these */
    struct run_queue queue;     /* runs that may start */
    struct task_limit *limits;  /* of its tasks */
    struct run *dated;          /* live runs with a logical date, where tasks depend on past */
    struct run *past_waiting;   /* of these and its backfills', those with tasks that wait for it */
    bool is_starting;           /* within dags_start_runs() */
    struct backfill *backfill;  /* the one that is not completed, or NULL */
    struct asset_reader *reads; /* one per asset of its schedule, an array */
    uint32_t read_count;
    char *condition; /* text of the schedule that they are of; NULL = none */
    bool per_partition;
    struct asset_batch *batches;  /* by partition */
    struct asset_batch *complete; /* those that a run can be made for */
    bool is_updated;              /* on core->updated */
    struct dag_entry *updated_previous;
    struct dag_entry *updated_next;
    struct timer timer; /* in core->dag_timers: its next interval's end */
    bool is_due;
    struct dag_entry *due_previous;
    struct dag_entry *due_next;
    UT_hash_handle hh; /* by dag_id */
};

struct backfill {
    struct backfill_row row; /* strings live in the arena */
    struct arena arena;
    struct dag_entry *entry;
    int64_t live_runs;
    int64_t running_runs;
    struct run_queue queue;
    bool is_starting; /* within backfill_start_runs() */
    bool is_retired;  /* over, and to be freed with the turn's decisions */
    size_t lookahead; /* intervals to ask for at once; grows while all are skipped */
    bool is_changed;  /* in this tick, and no decision tells of it yet */
    bool is_blocked;  /* the next run to make again has attempts that are still to stop */
    bool is_wanting;  /* on the core's list: it could make a run */
    struct backfill *want_previous;
    struct backfill *want_next;
    UT_hash_handle hh; /* by row.id */
};

/* Something that is to be told to the outside: waits for its time, for a place, or runs. */
struct callback {
    struct callback_row row; /* strings live in the arena */
    struct arena arena;
    struct timer timer;    /* TIMER_CALLBACK: next_at */
    struct worker *worker; /* running */
    bool is_ready;         /* on core->callbacks_ready */
    bool is_announced;     /* scratch of EVENT_WORKER_UP */
    struct callback *ready_previous;
    struct callback *ready_next;
    struct callback *previous; /* on the worker's list */
    struct callback *next;
    UT_hash_handle hh;       /* by id */
    UT_hash_handle hh_token; /* by row.token, while it runs */
};

/* A task that waits for a run of another DAG, or for a task of it. */
struct waiter {
    struct task *task;
    struct arena arena;
    const char *task_id; /* NULL = the run as a whole */
    unsigned allowed;    /* states as bits: of run_state, or of task_state with a task_id */
    unsigned failed;
    struct wait_key *key;
    struct waiter *previous; /* on the key's list */
    struct waiter *next;
};

/* All that wait for the run of one DAG and logical date. */
struct wait_key {
    char *name; /* "dag/date" */
    char *dag_id;
    int64_t logical_date_us;
    struct waiter *waiters;
    struct run *run; /* live, or NULL */
    bool is_asked;   /* on core->asking: the store is to say what became of it */
    bool is_due;     /* on core->awaited_due: something happened to it */
    struct wait_key *ask_previous;
    struct wait_key *ask_next;
    struct wait_key *due_previous;
    struct wait_key *due_next;
    UT_hash_handle hh; /* by name */
};

struct retired {
    struct attempt_live *attempt; /* one of the four */
    struct run *run;
    struct dag *dag;
    struct backfill *backfill;
};

struct core {
    char *instance;
    uint64_t epoch;
    bool schedules;
    int64_t last_version_id;
    int64_t last_run_id;
    int64_t last_backfill_id;
    int64_t last_asset_event_id;
    int64_t last_callback_id;
    uint64_t token_count;
    uint64_t trigger_count;
    uint64_t timer_count;

    struct dag_entry *dags;
    struct run *runs;
    struct run *run_names;
    struct run *run_dates;
    struct attempt_live *attempts;
    struct worker *workers;
    struct backfill *backfills;
    struct pool **pools;
    size_t pool_count;
    struct lane **lanes;
    size_t lane_count;
    struct heap timers;       /* retries, and runs not due yet */
    struct heap dag_timers;   /* apart, since core_wants() takes from them between steps */
    struct dag_entry *due;    /* DAGs that a run by schedule could be made for now */
    struct backfill *wanting; /* backfills that could make a run now */
    struct asset *assets;
    struct dag_entry *updated;      /* DAGs that a run for assets may be made for in this step */
    struct asset_event_row *unseen; /* while recovering */
    size_t unseen_count;
    struct arena unseen_arena;
    struct callback *callbacks;
    struct callback *callback_tokens;
    struct callback *callbacks_ready;
    size_t callbacks_fresh; /* no try of them has ended yet */
    struct wait_key *wait_keys;
    struct wait_key *asking;
    struct past *past_asking;
    struct wait_key *awaited_due;

    /* Of the step. */
    int64_t now_us;
    struct decisions *out;
    struct task **fresh; /* scheduled in this step */
    size_t fresh_count;
    size_t fresh_capacity;
    struct task **settled; /* final, downstreams not told yet */
    size_t settled_count;
    size_t settled_capacity;

    struct retired *retired;
    size_t retired_count;
    size_t retired_capacity;
};

static inline enum slot_kind slot_of(const struct dag_task *spec)
{
    switch (spec->class) {
    case TASK_CLASS_SHARED:
        return SLOT_SHARED;
    case TASK_CLASS_LIGHT:
        return SLOT_LIGHT;
    case TASK_CLASS_DATA:
    case TASK_CLASS_COMMAND:
        break;
    }
    return SLOT_OWN;
}

static inline const struct dag_task *task_spec(const struct task *task)
{
    return &task->run->dag->tasks[task->index];
}

/* The task that an instance belongs to: itself unless it is mapped. */
static inline struct task *task_node(const struct task *task)
{
    return &task->run->tasks[task->index];
}

/* The instances of a task in run->tasks, which each have a row: itself while it is not expanded. */
static inline uint32_t task_instance_count(const struct task *node)
{
    return node->mapping == NULL ? 1 : node->mapping->count;
}

static inline struct task *task_instance(struct task *node, uint32_t at)
{
    return node->mapping == NULL ? node : node->mapping->items[at];
}

/* Whether some of its instances have not been told what to do yet. */
static inline bool task_is_waiting(const struct task *node)
{
    return node->mapping == NULL ? node->state == TASK_NONE : node->mapping->waiting > 0;
}

#endif
