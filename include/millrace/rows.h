/* The durable rows: plain data that the core decides, the store writes and loads, and web reads.
 *
 * Times are microseconds since 1970 in UTC; 0 means none. Strings are borrowed from whoever made
 * the row; a NULL string means none. Row ids are given out by the core and never used again. */
#ifndef MILLRACE_ROWS_H
#define MILLRACE_ROWS_H

#include "millrace/state.h"

struct dag_row {
    const char *dag_id;
    const char *file;
    bool is_paused;
    bool is_stale; /* its file is gone */
    int64_t version_id;
    int64_t version_number;
    int64_t last_tick_us;  /* the end of the newest interval a scheduled run was made for */
    int64_t next_start_us; /* the next interval; all 0 when there is none */
    int64_t next_end_us;   /* = its run_after */
    int64_t parsed_at_us;
    int64_t failed_in_row;    /* runs that failed since the last success, backfills not counted */
    const char *pause_reason; /* why it was paused, where no person did it; may be NULL */
};

struct version_row {
    int64_t id;
    const char *dag_id;
    int64_t number; /* from 1, per DAG */
    const char *hash;
    const char *file;
    struct str source;
    int64_t created_at_us;
};

/* In deadlines_missed, beside the deadlines: the run has no dagrun_timeout until it is cleared. */
#define RUN_TIMEOUT_WAIVED (INT64_C(1) << 62)

struct run_row {
    int64_t id;
    const char *dag_id;
    const char *run_id;
    int64_t version_id;
    enum run_type run_type;
    enum run_state state;
    enum triggered_by triggered_by;
    int64_t logical_date_us; /* 0 = none (manual) */
    int64_t interval_start_us;
    int64_t interval_end_us;
    int64_t run_after_us;
    int64_t queued_at_us;
    int64_t started_at_us;
    int64_t ended_at_us;
    int64_t backfill_id; /* 0 = none */
    int64_t clear_number;
    bool is_forced;           /* its tasks don't take an unchanged output for the work */
    int64_t deadlines_missed; /* one bit per deadline of its DAG version, RUN_TIMEOUT_WAIVED */
    const char *conf;         /* a JSON object */
    const char *note;         /* may be NULL */
    const char *reason;       /* why it is in its state */
    const char *doom;         /* running, and will end as failed because of this; NULL = open */
};

struct task_row {
    int64_t run;       /* run_row.id */
    uint32_t task;     /* index in the run's DAG version */
    int32_t map_index; /* -1 = unmapped */
    const char *task_id;
    enum task_state state;
    int64_t try_number; /* 0 before the first */
    int64_t max_tries;  /* retries as of the last clear + tries before it */
    int64_t scheduled_at_us;
    int64_t queued_at_us;
    int64_t started_at_us;
    int64_t ended_at_us;
    int64_t retry_at_us;   /* up_for_retry: not before; up_for_reschedule: the next poke; deferred:
                              the instant waited for */
    int64_t wait_since_us; /* sensors: when they began to wait; kept until cleared */
    int64_t pokes;         /* sensors: how often they have looked since then */
    const char *reason;    /* why it is in its state; may be NULL */
};

struct attempt_row {
    int64_t run;
    uint32_t task;
    int32_t map_index;
    int64_t try_number;
    const char *token;
    enum task_state state; /* queued, running, then success, failed or skipped; up_for_reschedule
                              between the pokes of a sensor, whose row is opened again for each */
    const char *worker;    /* instance id of the worker it is bound to */
    int64_t pid;
    int64_t queued_at_us;
    int64_t started_at_us;
    int64_t ended_at_us;
    int64_t exit_code;    /* -1 = none */
    int64_t signal;       /* 0 = none */
    enum outcome outcome; /* meaningful once it has ended */
    const char *reason;
    const char *rendered; /* {"options":…,"env":…} as sent to the worker */
    const char *outputs;  /* JSON object; NULL until success */
    /* Why its worker was told to end it; NULL = it was not. What it reports then changes nothing
     * but this row. */
    const char *stop_reason;
    /* What it read and published: {"inputs": […], "outputs": […]} of {"dataset", "version"}; NULL =
     * nothing, and until success. Not loaded again: the store keeps it by dataset. */
    const char *datasets;
};

/* An update of an asset. */
struct asset_event_row {
    int64_t id;
    const char *asset;
    int64_t at_us;
    int64_t run; /* what made it: 0 = somebody outside */
    uint32_t task;
    int32_t map_index;
    const char *dag_id; /* NULL from outside, like the next two */
    const char *run_id;
    const char *task_id;
    const char *partition; /* "dt=2026-01-01"; "" = none */
    const char *extra;     /* a JSON object: what was published, or what the outside says */
    bool is_unseen; /* made by a scheduler of one DAG: those that wait for it are to be told */
};

/* An update that a DAG has not had a run for. */
struct asset_wait_row {
    const char *dag_id;
    const char *asset;
    const char *partition; /* of the event, where the DAG has a run per partition; else "" */
    int64_t event;
    const char *extra; /* of the event, as are the next two; only when it is loaded */
    const char *event_partition;
};

/* Something to tell to the outside, made in the transaction of what it tells of. */
struct callback_row {
    int64_t id;
    const char *dag_id;
    int64_t run;         /* run_row.id */
    const char *task_id; /* NULL = of the run */
    int32_t map_index;
    enum callback_event event;
    enum callback_state state;
    const char *kind;     /* "webhook" or "command" */
    const char *options;  /* rendered JSON; secrets as references */
    const char *document; /* JSON: what happened */
    int64_t tries;        /* begun so far */
    int64_t max_tries;
    int64_t retry_delay_us; /* doubled for every further one, up to an hour */
    int64_t created_at_us;
    int64_t next_at_us; /* pending: not before */
    int64_t ended_at_us;
    const char *token;  /* of the last try; NULL before the first */
    const char *worker; /* it is bound to */
    const char *reason; /* of the last failure */
};

struct backfill_row {
    int64_t id;
    const char *dag_id;
    int64_t from_us; /* inclusive, logical dates */
    int64_t to_us;   /* inclusive */
    bool run_backwards;
    bool is_paused;
    enum reprocess reprocess;
    int64_t max_active_runs;
    const char *conf;
    const char *tasks; /* JSON array of task ids and patterns; NULL = all tasks */
    bool upstream;     /* and what is upstream, or downstream, of them */
    bool downstream;
    enum on_failure on_failure;
    bool is_forced;           /* its runs are */
    const char *pause_reason; /* it paused itself because of this; NULL = a person did */
    int64_t created_at_us;
    int64_t updated_at_us;
    int64_t completed_at_us;
    int64_t cursor_us; /* logical date to look at next; 0 = all have been */
    int64_t total;     /* intervals in the range */
    int64_t made;      /* runs made or taken over so far */
    int64_t skipped;   /* intervals whose run existed already */
    int64_t succeeded; /* of made */
    int64_t failed;    /* of made */
    bool cancelled;
    /* A retry: its failed runs that ended before an instant are made again, in the backfill's
     * direction. */
    int64_t retry_before_us; /* 0 = no retry goes on */
    int64_t retry_cursor_us; /* logical date to look at next */
    /* How long a run took to follow the one before, smoothed: the rate. 0 = not known yet. */
    int64_t pace_us;
    int64_t paced_at_us; /* the end, or the begin or resumption, that the next one is measured by */
};

#endif
