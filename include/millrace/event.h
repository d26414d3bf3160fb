/* Events: all that can happen to the core. Each carries its time; the core reads no clock.
 *
 * Ownership: everything an event points to is borrowed for the duration of core_step(), except
 * event.dag_loaded.dag, of which the core takes a reference of its own. */
#ifndef MILLRACE_EVENT_H
#define MILLRACE_EVENT_H

#include "base/err.h"
#include "millrace/choice.h"
#include "millrace/dag.h"
#include "millrace/rows.h"

enum event_kind {
    EVENT_TICK,             /* time has passed, or there is work left over: see core_wants() */
    EVENT_DAG_LOADED,       /* a file gave a checked DAG (new, changed or the same again) */
    EVENT_DAG_GONE,         /* its file is no longer there */
    EVENT_DAG_SET_PAUSED,   /* command */
    EVENT_TRIGGER,          /* command: a manual run */
    EVENT_BACKFILL_CREATE,  /* command */
    EVENT_BACKFILL_CONTROL, /* command: pause, unpause, cancel, retry, set */
    EVENT_POOL_SET,         /* command: a pool is made, or gets another number of slots */
    EVENT_CLEAR,            /* command: task instances are to run again */
    EVENT_MARK_TASKS,       /* command: task instances get a state from outside */
    EVENT_MARK_RUN,         /* command: a run gets a state, or a note, from outside */
    EVENT_ASSET,            /* command: an asset was updated by somebody outside */
    EVENT_WHY,              /* question: what does a run wait for, as of now? */
    EVENT_WORKER_UP,        /* a worker (re)connected and told what it has */
    EVENT_WORKER_GONE,      /* proof that a worker instance no longer exists */
    EVENT_ATTEMPT_STARTED,
    EVENT_ATTEMPT_ENDED,
};

/* A run that exists already for a (dag, logical date) the core wanted to make one for. */
struct known_run {
    bool exists;
    struct run_row row;           /* valid when it exists */
    const char *version_hash;     /* of the DAG version that it was made by */
    int64_t version_number;       /* its number */
    const struct task_row *tasks; /* attached when the run is final and may be processed again */
    size_t task_count;
    /* Likewise: tasks outside a backfill keep their outputs, and numbers of tries stay taken. */
    const struct attempt_row *attempts;
    size_t attempt_count;
    /* Attached when asked for by REPROCESS_STALE: a dataset that a task of it read, and that was
     * published with another version since; NULL = none. */
    const char *changed_input;
};

/* One interval the core wants to make a run for in the coming EVENT_TICK, or only to know about. */
struct core_want {
    const char *dag_id;
    int64_t logical_date_us;
    int64_t backfill_id; /* 0 = by schedule */
    bool is_question;    /* a task waits for that run, which is not live: no run is made */
    bool is_previous;    /* tasks of `run` want to know of the run before that date */
    bool skip_manual;    /* … which is not one by hand */
    int64_t run;
    /* Of a backfill: what has to be attached to the answer. */
    enum reprocess reprocess;
    /* A retry: in place of the run of that date, the backfill's failed run at place `offset` from
     * that date on, in the direction asked for, among those that ended before an instant. */
    bool is_retry;
    bool is_backwards;
    int64_t before_us;
    int64_t offset;
};

struct event_tick {
    const struct core_want *wants; /* as core_wants() gave them */
    const struct known_run *known; /* one per want */
    size_t count;
};

struct event_trigger {
    const char *dag_id;
    const char *run_id;        /* NULL = make one */
    int64_t logical_date_us;   /* 0 = none */
    int64_t interval_start_us; /* both or neither; 0 = inferred from logical_date */
    int64_t interval_end_us;
    int64_t run_after_us; /* 0 = now */
    const char *conf;     /* JSON object; NULL = {} */
    const char *note;
    enum triggered_by triggered_by;
    bool is_forced;           /* no unchanged output stands for the work */
    bool run_id_exists;       /* looked up in the store by the loop */
    bool logical_date_exists; /* likewise */
};

struct event_asset {
    const char *asset;
    const char *partition; /* NULL = none */
    const char *extra;     /* a JSON object; NULL = {} */
};

struct event_backfill_create {
    const char *dag_id;
    int64_t from_us;
    int64_t to_us;
    int64_t max_active_runs;
    enum reprocess reprocess;
    bool run_backwards;
    const char *conf;
    const char *tasks; /* JSON array of task ids and patterns; NULL = all */
    bool upstream;
    bool downstream;
    enum on_failure on_failure;
    bool is_forced; /* no unchanged output stands for the work of its runs */
};

enum backfill_action {
    BACKFILL_PAUSE,
    BACKFILL_UNPAUSE,
    BACKFILL_CANCEL,
    BACKFILL_RETRY, /* its failed runs are made again */
    BACKFILL_SET,   /* what may be changed while it goes on */
};

struct event_backfill_control {
    int64_t id;
    enum backfill_action action;
    int64_t max_active_runs;           /* SET: 0 = as it is */
    enum on_failure on_failure;        /* SET: ON_FAILURE_COUNT = as it is */
    const struct backfill_row *stored; /* RETRY: its row, looked up by the loop; NULL = none */
};

/* A run that a change concerns. */
struct run_rows {
    struct run_row row;
    struct dag *version; /* what it is pinned to; NULL = this program can't read it */
    /* Attached unless the core has the run in memory. */
    const struct task_row *tasks;
    size_t task_count;
    const struct attempt_row *attempts;
    size_t attempt_count;
};

/* EVENT_CLEAR, EVENT_MARK_TASKS, EVENT_MARK_RUN. The loop looks the runs up in the store; all of
 * them are changed, or none. */
struct event_change {
    const char *dag_id;
    struct run_choice which;
    const struct run_rows *runs; /* by logical date */
    size_t run_count;
    struct task_choice tasks;   /* of CLEAR and MARK_TASKS */
    bool keep_runs;             /* CLEAR: runs that are over stay so */
    bool on_latest_version;     /* CLEAR: a run that is over, by the DAG's current version */
    bool is_forced;             /* CLEAR: no unchanged output stands for the work */
    bool refuse_running;        /* CLEAR: a conflict if one of the tasks is running */
    enum task_state task_state; /* MARK_TASKS: success, failed or skipped */
    bool is_cancel;             /* MARK_*: to failed, and only what is not over */
    bool has_run_state;         /* MARK_RUN */
    enum run_state run_state;   /* MARK_RUN: queued, success or failed */
    const char *note;           /* CLEAR, MARK_RUN: NULL = as it is */
    const char *by;             /* who asks, for the reasons: "rest_api" */
};

struct event_worker_up {
    const char *instance;      /* unique per worker process */
    int64_t slots;             /* attempts it runs at once */
    int64_t backlog;           /* more that it accepts and keeps waiting, so that it never idles */
    int64_t shared_slots;      /* attempts of TASK_CLASS_SHARED it accepts at once */
    int64_t light_slots;       /* likewise of TASK_CLASS_LIGHT */
    int64_t callback_slots;    /* callbacks at once */
    const char *const *tokens; /* attempts it has: waiting, running or ended but not acknowledged */
    size_t token_count;
};

struct event_attempt_started {
    const char *token;
    int64_t pid;
    int64_t started_at_us;
    const char *worker; /* the instance that reports: told to stop if the token is stale; or NULL */
};

struct event_attempt_ended {
    const char *token;
    enum outcome outcome;
    int64_t exit_code; /* -1 = none */
    int64_t signal;
    int64_t started_at_us; /* 0 = it never started */
    int64_t ended_at_us;
    const char *reason;   /* may be NULL */
    const char *outputs;  /* JSON object text; may be NULL */
    const char *datasets; /* as in attempt_row; may be NULL */
    const char *worker;   /* the instance that reports: gets the ack of a stale token; or NULL */
};

struct event {
    enum event_kind kind;
    int64_t now_us;
    uint64_t request; /* of a command: the reply decision repeats it; 0 = no reply wanted */
    union {
        struct event_tick tick;
        struct {
            struct dag *dag;
        } dag_loaded;
        struct {
            const char *dag_id;
        } dag_gone;
        struct {
            const char *dag_id;
            bool is_paused;
        } set_paused;
        struct event_trigger trigger;
        struct event_asset asset;
        struct event_backfill_create backfill_create;
        struct event_backfill_control backfill_control;
        struct {
            const char *name;
            int64_t slots; /* -1 = unlimited; fewer than are taken hold back new starts only */
        } pool_set;
        struct event_change change;
        struct {
            int64_t run; /* run_row.id */
        } why;
        struct event_worker_up worker_up;
        struct {
            const char *instance;
        } worker_gone;
        struct event_attempt_started attempt_started;
        struct event_attempt_ended attempt_ended;
    } as;
};

#endif
