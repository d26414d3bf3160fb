/* Reading the state: the queries of web, on a read-only connection of its own that never
 * checkpoints.
 *
 * The first query after read_end() begins a snapshot; all queries until the next read_end() see the
 * same state. Results live in the caller's arena. The database may not exist yet, or may be
 * replaced while we run: both are noticed when a snapshot begins, and a missing one is
 * ERR_UNREACHABLE. A snapshot's queries together may take two seconds (ERR_TIMEOUT). */
#ifndef MILLRACE_STORE_READ_H
#define MILLRACE_STORE_READ_H

#include "base/arena.h"
#include "base/err.h"
#include "millrace/rows.h"

struct read;

/* Opens nothing yet; never fails. */
struct read *read_new(const char *state_folder);
void read_free(struct read *read);

/* Ends the snapshot, so that nothing holds back a checkpoint. Called once per request. */
void read_end(struct read *read);

/* ---- what lists have in common ---- */

#define READ_ORDERS_MAX 10
#define READ_RANGES_MAX 24

struct read_order {
    const char *name; /* the API's name of the field; an unknown one is ERR_BAD_REQUEST */
    bool descending;
};

struct read_page {
    int64_t limit;
    int64_t offset;
    struct read_order order[READ_ORDERS_MAX];
    size_t order_count;
};

enum read_field {
    READ_RUN_AFTER,
    READ_LOGICAL_DATE,
    READ_START_DATE, /* none counts as now, as Airflow has it */
    READ_END_DATE,   /* likewise */
    READ_UPDATED_AT,
    READ_DURATION, /* µs */
    READ_FIELD_COUNT,
};

enum read_operator { READ_GTE, READ_GT, READ_LTE, READ_LT, READ_OPERATOR_COUNT };

struct read_range {
    enum read_field field;
    enum read_operator op;
    int64_t value_us;
};

struct read_ranges {
    struct read_range items[READ_RANGES_MAX];
    size_t count;
    int64_t now_us; /* what a missing start or end counts as */
};

/* ---- DAGs and versions ---- */

/* All DAGs in the order of their ids; the lists of web filter by what DAG files say, which is not
 * in the database. */
bool read_dags(struct read *read, struct arena *arena, struct dag_row **ret, size_t *ret_count,
               struct err *err);

/* ERR_NOT_FOUND without a message for the reader: web knows what it was asked for. */
bool read_dag(struct read *read, struct arena *arena, const char *dag_id, struct dag_row *ret,
              struct err *err);

bool read_version(struct read *read, struct arena *arena, int64_t id, struct version_row *ret,
                  struct err *err);
bool read_version_number(struct read *read, struct arena *arena, const char *dag_id, int64_t number,
                         struct version_row *ret, struct err *err);

/* Without the source; newest first. `dag_id` NULL = all. */
bool read_versions(struct read *read, struct arena *arena, const char *dag_id,
                   const struct read_page *page, struct version_row **ret, size_t *ret_count,
                   int64_t *ret_total, struct err *err);

/* ---- runs ---- */

struct run_view {
    struct run_row run;
    int64_t updated_at_us;
    int64_t version_number;
    int64_t version_created_at_us;
};

struct run_filter {
    const char *dag_id;         /* NULL = all */
    const char *states;         /* JSON arrays of names; NULL = all */
    const char *run_types;      /* likewise */
    const char *run_id_pattern; /* LIKE patterns; NULL = none */
    const char *dag_id_pattern;
    const char *conf_contains;
    const char *dag_versions; /* a JSON array of numbers */
    int64_t backfill_id;      /* 0 = all */
    struct read_ranges ranges;
};

bool read_runs(struct read *read, struct arena *arena, const struct run_filter *filter,
               const struct read_page *page, struct run_view **ret, size_t *ret_count,
               int64_t *ret_total, struct err *err);
bool read_run(struct read *read, struct arena *arena, const char *dag_id, const char *run_id,
              struct run_view *ret, struct err *err);
bool read_run_by_row(struct read *read, struct arena *arena, int64_t id, struct run_view *ret,
                     struct err *err);

/* The newest runs of a DAG, newest first. */
bool read_last_runs(struct read *read, struct arena *arena, const char *dag_id, int64_t limit,
                    struct run_view **ret, size_t *ret_count, struct err *err);

struct run_count {
    const char *dag_id;
    enum run_state state;
    int64_t count;
};

/* Counts per DAG and state, ordered by DAG; `dag_ids` is a JSON array or NULL. */
bool read_run_counts(struct read *read, struct arena *arena, const char *dag_ids,
                     struct run_count **ret, size_t *ret_count, struct err *err);

/* Runs queued or running of one DAG. */
bool read_live_run_count(struct read *read, const char *dag_id, int64_t *ret, struct err *err);

/* Those of them that max_active_runs of the DAG counts: not those of a backfill that goes on. */
bool read_counted_runs(struct read *read, const char *dag_id, int64_t *ret, struct err *err);

/* ---- task instances and attempts ---- */

struct task_view {
    struct task_row task;
    const char *dag_id;
    const char *run_id;
    int64_t logical_date_us;
    int64_t run_after_us;
    int64_t version_id;
    int64_t version_number;
    int64_t version_created_at_us;
    int64_t pid;          /* of the current try; 0 = none */
    const char *worker;   /* likewise; NULL = none */
    const char *rendered; /* read_task() only */
};

struct task_filter {
    const char *dag_id; /* NULL = all */
    const char *run_id; /* NULL = all */
    const char *task_ids;
    const char *states; /* JSON arrays; "none" names the state without one */
    const char *run_id_pattern;
    const char *dag_id_pattern;
    const char *task_id_pattern;
    const char *map_indexes;
    const char *mapped_task_id; /* only instances of this task that have an index */
    const char *try_numbers;
    const char *version_numbers;
    struct read_ranges ranges;
};

bool read_tasks(struct read *read, struct arena *arena, const struct task_filter *filter,
                const struct read_page *page, struct task_view **ret, size_t *ret_count,
                int64_t *ret_total, struct err *err);

struct task_key {
    const char *dag_id;
    const char *run_id;
    const char *task_id;
    int32_t map_index;
};
bool read_task(struct read *read, struct arena *arena, const struct task_key *key,
               struct task_view *ret, struct err *err);

/* All task rows of a run, by row id, in the order of the tasks. */
bool read_run_tasks(struct read *read, struct arena *arena, int64_t run, struct task_row **ret,
                    size_t *ret_count, struct err *err);

/* The attempts of a task instance in order; with try_number > 0 only that one. */
bool read_attempts(struct read *read, struct arena *arena, const struct task_row *task,
                   int64_t try_number, struct attempt_row **ret, size_t *ret_count,
                   struct err *err);

struct task_count {
    int64_t version_id;
    uint32_t task;
    enum task_state state;
    int64_t count;
};

/* Unfinished task instances of live runs, counted per task of a DAG version and state. */
bool read_live_task_counts(struct read *read, struct arena *arena, struct task_count **ret,
                           size_t *ret_count, struct err *err);

/* ---- transitions ---- */

struct transition_view {
    int64_t seq;
    int64_t at_us;
    const char *dag_id;
    const char *run_id;
    int64_t backfill_id; /* 0 = none */
    const char *task_id; /* NULL = of the run itself */
    int64_t map_index;
    int64_t try_number;
    const char *from_state;
    const char *to_state;
    const char *reason;
};

bool read_last_seq(struct read *read, int64_t *ret, struct err *err);
bool read_transitions_after(struct read *read, struct arena *arena, int64_t seq, int64_t limit,
                            struct transition_view **ret, size_t *ret_count, struct err *err);

/* How many task instances of a run are in each state. */
bool read_run_task_states(struct read *read, int64_t run, int64_t counts[TASK_STATE_COUNT],
                          struct err *err);

/* Those of a run to failed or up_for_retry. */
bool read_run_failures_after(struct read *read, struct arena *arena, int64_t run, int64_t seq,
                             int64_t limit, struct transition_view **ret, size_t *ret_count,
                             struct err *err);

/* The newest transitions of a run, in order. */
bool read_run_transitions(struct read *read, struct arena *arena, int64_t run, int64_t limit,
                          struct transition_view **ret, size_t *ret_count, struct err *err);

/* The newest callbacks of a run, newest first, without their options and tokens. */
bool read_run_callbacks(struct read *read, struct arena *arena, int64_t run, int64_t limit,
                        struct callback_row **ret, size_t *ret_count, struct err *err);

/* Callbacks of a run, or with run 0 of all runs of a backfill, of which a try failed and none has
 * succeeded; oldest first. */
bool read_undelivered(struct read *read, struct arena *arena, int64_t run, int64_t backfill,
                      int64_t limit, struct callback_row **ret, size_t *ret_count,
                      struct err *err);

/* ---- backfills, import errors, pools ---- */

bool read_backfills(struct read *read, struct arena *arena, const char *dag_id, bool only_active,
                    const struct read_page *page, struct backfill_row **ret, size_t *ret_count,
                    int64_t *ret_total, struct err *err);
bool read_backfill(struct read *read, struct arena *arena, int64_t id, struct backfill_row *ret,
                   struct err *err);

/* The runs with a logical date in [from, to], ascending: what a backfill would find. */
struct past_run {
    int64_t logical_date_us;
    enum run_state state;
    const char *run_id;
    int64_t version_id;
    int64_t version_number;
    const char *version_hash;
    const char *conf;
    const char *changed_input; /* with_inputs: a dataset it read that has another version now */
};
struct past_question {
    const char *dag_id;
    int64_t from_us;
    int64_t to_us;
    bool with_inputs;
};
bool read_past_runs(struct read *read, struct arena *arena, const struct past_question *question,
                    struct past_run **ret, size_t *ret_count, struct err *err);

/* How many of its runs are in each state that is not final. */
bool read_backfill_live(struct read *read, int64_t id, int64_t counts[RUN_STATE_COUNT],
                        struct err *err);

struct import_error_row {
    int64_t id;
    const char *file;
    int64_t at_us;
    const char *report;
    const char *findings;
};
bool read_import_errors(struct read *read, struct arena *arena, const char *file_pattern,
                        const struct read_page *page, struct import_error_row **ret,
                        size_t *ret_count, int64_t *ret_total, struct err *err);
bool read_import_error(struct read *read, struct arena *arena, int64_t id,
                       struct import_error_row *ret, struct err *err);

struct pool_row {
    const char *name;
    int64_t slots; /* -1 = unlimited */
    const char *description;
};
bool read_pools(struct read *read, struct arena *arena, struct pool_row **ret, size_t *ret_count,
                struct err *err);

#endif
