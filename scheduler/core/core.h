/* The core: a pure state machine that decides everything. Events in, decisions out; no I/O, no
 * clock, no randomness, no log. One process feeds it one event at a time.
 *
 * A step can't fail half-way: what a command asks for in vain is answered by a reply decision with
 * an error and changes nothing. Cost follows what an event changes, never what exists. */
#ifndef MILLRACE_CORE_CORE_H
#define MILLRACE_CORE_CORE_H

#include "millrace/decision.h"
#include "millrace/event.h"

struct core;

struct core_pool {
    const char *name;
    int64_t slots; /* -1 = unlimited */
};

struct core_config {
    const char *instance; /* of the state folder: tokens begin with it */
    uint64_t epoch;       /* raised at every start of a scheduler on this state: part of tokens */
    const struct core_pool *pools; /* default_pool among them */
    size_t pool_count;
    bool schedules;          /* false (millrace run): no run is made by schedule */
    int64_t last_version_id; /* highest row ids in the store, from which the core goes on */
    int64_t last_run_id;
    int64_t last_backfill_id;
    int64_t last_asset_event_id;
    int64_t last_callback_id;
};

struct core *core_new(const struct core_config *config);
void core_free(struct core *core);

/* Recovery, the only start-up: hand over what the store has, in this order (DAGs and their current
 * versions, live backfills, runs not final or with attempts that have to stop), then
 * core_restored() once. Rows are copied; a DAG version gets a reference. */
void core_restore_dag(struct core *core, const struct dag_row *row, struct dag *current);
void core_restore_backfill(struct core *core, const struct backfill_row *row);
void core_restore_run(struct core *core, const struct run_row *row, struct dag *version,
                      const struct task_row *tasks, size_t task_count,
                      const struct attempt_row *attempts, size_t attempt_count);
/* In its place for a run whose version can't be read any more: core_restored() ends it as failed.
 */
void core_restore_unreadable_run(struct core *core, const struct run_row *row, const char *reason);
/* What DAGs wait with, and the events that no scheduler of all DAGs has seen; after the DAGs. */
void core_restore_asset_wait(struct core *core, const struct asset_wait_row *row);
void core_restore_asset_event(struct core *core, const struct asset_event_row *row);
/* Callbacks that are pending or running; any time before core_restored(). */
void core_restore_callback(struct core *core, const struct callback_row *row);
void core_restored(struct core *core, int64_t now_us, struct decisions *out);

/* Handles one event; appends to `out`. */
void core_step(struct core *core, const struct event *event, struct decisions *out);

/* Before an end of which the workers are told to stop what they run: all live attempts end as given
 * back, which costs their tasks no try, and nothing more is given out. */
void core_give_back(struct core *core, int64_t now_us, struct decisions *out);

/* When the core wants an EVENT_TICK: an instant (maybe past: at once), or INT64_MAX for never. */
int64_t core_next_wakeup(const struct core *core);

/* The runs the core would make in an EVENT_TICK at `now_us`, or that it asks about: the loop looks
 * each up in the store and passes the answers in the event. At most `max` of them; strings are
 * borrowed from the core until its next step. */
size_t core_wants(struct core *core, int64_t now_us, struct core_want *out, size_t max);

/* The instances of workers that unfinished attempts are bound to; borrowed until the next step. */
size_t core_bound_workers(const struct core *core, const char **out, size_t max);

/* Whether the core has a run in memory: it is live, or attempts of it have still to stop. Of any
 * other a change needs the rows. */
bool core_has_run(const struct core *core, int64_t run_id);

/* The current version of a DAG if it is the one with that row id (no reference), else NULL. */
struct dag *core_current_version(const struct core *core, const char *dag_id, int64_t version_id);

/* Whether there are callbacks of which no try has ended yet. */
bool core_has_fresh_callbacks(const struct core *core);

/* Whether nothing more happens without something from outside: no attempt lives, no task waits for
 * its slots, no timer is set, no run is to be made. What has not ended then waits for the past, or
 * for a run elsewhere. */
bool core_is_idle(const struct core *core);

/* Whether a run is live, i.e. known to the core and not final. */
bool core_run_is_live(const struct core *core, int64_t run_id);

#endif
