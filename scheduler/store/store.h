/* The store: the scheduler's side of SQLite. The only connection that writes and checkpoints.
 *
 * One transaction per turn of the loop, synchronous=FULL. A commit that fails is never retried: the
 * caller ends the process and recovers from disk. The read queries of web are in store/read.h. */
#ifndef MILLRACE_STORE_STORE_H
#define MILLRACE_STORE_STORE_H

#include "millrace/decision.h"
#include "millrace/event.h"

struct store;

/* Opens (or makes) <state_folder>/state.db, migrates it, raises the epoch. A newer schema or a file
 * that is no database of ours is refused with what to do. */
struct store *store_open(const char *state_folder, struct err *err);
void store_close(struct store *store);

struct store_identity {
    const char *instance; /* borrowed from the store */
    uint64_t epoch;
    int64_t last_version_id;
    int64_t last_run_id;
    int64_t last_backfill_id;
    int64_t last_asset_event_id;
    int64_t last_callback_id;
};
struct store_identity store_identity(const struct store *store);

/* Writes the durable ones among the decisions, in order, with their transitions, in one transaction
 * together with what store_put_*() queued since the last commit. A store that was opened again by
 * another process meanwhile is not written to. `now_us` stamps the transitions.
 * False: end the process. */
bool store_commit(struct store *store, const struct decisions *decisions, int64_t now_us,
                  struct err *err);

/* The sequence number of the newest committed transition. */
int64_t store_last_seq(const struct store *store);

/* Checkpoints passively; called in an idle turn or when store_wal_pages() passes 4,000. */
bool store_checkpoint(struct store *store, struct err *err);
int64_t store_wal_pages(const struct store *store);

/* Queued for the next commit: findings of a DAG file (NULL report = none any more; NULL file = of
 * all files), and pools. */
void store_put_import_error(struct store *store, const char *file, const char *report,
                            const char *findings_json, int64_t now_us);
void store_put_pool(struct store *store, const char *name, int64_t slots, const char *description);
void store_put_idempotency(struct store *store, const char *key, const char *body_hash,
                           int64_t now_us, int64_t status, const char *response);

/* Loading, for recovery. Live runs are those not final, and those with attempts that have to stop.
 * Each calls `each` per row; rows are valid during the call only. `dag_id`
 * NULL = all DAGs. Live backfills are those not completed, and cancelled ones with live runs. */
typedef bool (*store_each_dag)(void *context, const struct dag_row *row,
                               const struct version_row *version, struct err *err);
typedef bool (*store_each_backfill)(void *context, const struct backfill_row *row, struct err *err);
typedef bool (*store_each_run)(void *context, const struct run_row *row,
                               const struct version_row *version, const struct task_row *tasks,
                               size_t task_count, const struct attempt_row *attempts,
                               size_t attempt_count, struct err *err);
bool store_load_dags(struct store *store, const char *dag_id, store_each_dag each, void *context,
                     struct err *err);
typedef bool (*store_each_asset_wait)(void *context, const struct asset_wait_row *row,
                                      struct err *err);
typedef bool (*store_each_asset_event)(void *context, const struct asset_event_row *row,
                                       struct err *err);
bool store_load_asset_waits(struct store *store, store_each_asset_wait each, void *context,
                            struct err *err);
bool store_load_unseen_asset_events(struct store *store, store_each_asset_event each, void *context,
                                    struct err *err);
bool store_load_live_backfills(struct store *store, const char *dag_id, store_each_backfill each,
                               void *context, struct err *err);
bool store_load_live_runs(struct store *store, const char *dag_id, store_each_run each,
                          void *context, struct err *err);

/* Callbacks that are pending or running. */
typedef void (*store_each_callback)(void *context, const struct callback_row *row);
bool store_load_callbacks(struct store *store, const char *dag_id, store_each_callback each,
                          void *context, struct err *err);

/* The tokens of unfinished attempts of all other DAGs: `millrace run` leaves their workers alone.
 */
typedef void (*store_each_token)(void *context, const char *token);
bool store_load_foreign_tokens(struct store *store, const char *dag_id, store_each_token each,
                               void *context, struct err *err);

/* Look-ups for prepare. What is found lives in the arena. The run that a want is about: its tasks
 * and what else the want asks for are attached when the run is final and may be processed again, or
 * it is a question. */
bool store_known_run(struct store *store, struct arena *arena, const struct core_want *want,
                     struct known_run *ret, struct err *err);
/* NULL = there is none. */
bool store_find_backfill(struct store *store, struct arena *arena, int64_t id,
                         const struct backfill_row **ret, struct err *err);

/* The runs of a choice, without their tasks and attempts, by logical date. ERR_LIMIT for more than
 * CHOICE_RUNS_MAX, ERR_BAD_REQUEST for what can't be chosen: both are the asker's fault. */
bool store_choose_runs(struct store *store, struct arena *arena, const char *dag_id,
                       const struct run_choice *choice, struct run_rows **ret, size_t *ret_count,
                       struct err *err);

/* The tasks and attempts of a run, and the version it is pinned to. */
bool store_load_run_rows(struct store *store, struct arena *arena, struct run_rows *run,
                         struct err *err);
bool store_load_version(struct store *store, struct arena *arena, int64_t id,
                        struct version_row *ret, struct err *err);

bool store_run_id_exists(struct store *store, const char *dag_id, const char *run_id, bool *ret,
                         struct err *err);

#endif
