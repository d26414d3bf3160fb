/* A world for the core: the real core, its rows in memory, and workers that only remember which
 * tokens they have. What the store and the workers rely on is asserted at every decision. */
#ifndef MILLRACE_TESTS_WORLD_H
#define MILLRACE_TESTS_WORLD_H

#include "millrace/decision.h"
#include "scheduler/core/core.h"

/* The rows as the store would hold them (rows.c). Strings live in the arena until the end. */
struct stored_run {
    struct run_row row;
    struct dag *dag; /* reference */
    struct task_row *tasks;
    size_t task_count;
};

struct rows {
    struct arena arena;
    struct dag **dags;     /* every version loaded; references */
    int64_t *dag_versions; /* its row id, once decided */
    size_t dag_count;
    struct dag_row *dag_rows;
    size_t dag_row_count;
    struct stored_run *runs;
    size_t run_count;
    struct attempt_row *attempts;
    size_t attempt_count;
    struct backfill_row *backfills;
    size_t backfill_count;
    struct asset_event_row *asset_events;
    size_t asset_event_count;
    struct asset_wait_row *asset_waits;
    size_t asset_wait_count;
    struct callback_row *callbacks;
    size_t callback_count;
    int64_t last_version_id;
    struct {
        const char *name;
        const char *version; /* that it was last published with */
    } datasets[16];
    size_t dataset_count;
};

void rows_apply(struct rows *rows, const struct decision *decision);
void rows_add_dag(struct rows *rows, struct dag *dag);
struct stored_run *rows_run(const struct rows *rows, int64_t id);
struct attempt_row *rows_attempt(const struct rows *rows, const char *token);
/* The runs that a change concerns, with their rows; lists are the caller's to free. */
struct run_rows *rows_choose(const struct rows *rows, const struct core *core, const char *dag_id,
                             const struct run_choice *choice, size_t *ret_count);
struct callback_row *rows_callback(const struct rows *rows, const char *token);
void rows_known(struct rows *rows, const struct core_want *want, struct known_run *ret);
void rows_restore(const struct rows *rows, struct core *core);
void rows_release(struct rows *rows);

struct world_worker {
    char *instance;
    int64_t slots;
    int64_t backlog;
    int64_t shared_slots;
    int64_t light_slots;
    int64_t callback_slots;
    bool is_connected;
    char **tokens; /* that it has, not acknowledged */
    size_t token_count;
};

struct world {
    struct core *core;
    struct rows rows;
    struct decisions out; /* of the last event */
    int64_t now_us;
    uint64_t epoch;
    uint64_t request;
    bool schedules;
    const char *outputs; /* of the attempts that end next, JSON; NULL = {"k": "v"} */
    struct core_pool pools[8];
    size_t pool_count;
    struct world_worker workers[8];
    size_t worker_count;
    /* Called for each decision, in order; may be NULL. */
    void (*observe)(void *context, const struct decision *decision);
    void *observe_context;
    const char *datasets; /* of the next success; borrowed */
};

void world_init(struct world *world);
void world_start_core(struct world *world); /* from the rows; again = a crash and a restart */
void world_release(struct world *world);

/* Gives one event at world->now_us, stores and carries out what the core decides. */
void world_step(struct world *world, struct event *event);
/* EVENT_TICK with the answers to core_wants(). */
void world_tick(struct world *world);
/* Ticks until the core wants none at or before world->now_us. */
void world_settle(struct world *world);
/* Loads a DAG; takes over the reference. */
void world_load(struct world *world, struct dag *dag);
void world_trigger(struct world *world, const char *dag_id, const char *run_id);
/* With all that can be asked for; who asks and what exists already is filled in here. */
void world_trigger_as(struct world *world, const struct event_trigger *trigger);

/* Gives EVENT_CLEAR or a mark, with the rows that the loop would attach. */
void world_change(struct world *world, enum event_kind kind, struct event_change *change);

struct world_worker *world_worker(struct world *world, const char *instance);
void world_worker_up(struct world *world, struct world_worker *worker);
void world_worker_gone(struct world *world, struct world_worker *worker);
void world_started(struct world *world, const char *token);
void world_ended(struct world *world, const char *token, enum outcome outcome, int64_t exit_code);
void world_given_back(struct world *world, const char *token); /* by a worker that ends */

#endif
