/* The store: what is committed is what is loaded, also after a crash; what must be refused is. */
#include "base/fs.h"
#include "millrace/messages.h"
#include "scheduler/store/migrate.h"
#include "scheduler/store/pages.h"
#include "scheduler/store/store.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/millrace-store-XXXXXX";
static char state[64];
static struct err err;

static int setup(void **context)
{
    (void)context;
    (void)snprintf(folder, sizeof(folder), "/tmp/millrace-store-XXXXXX");
    err = (struct err){0};
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(state, sizeof(state), "%s/state", folder);
    return 0;
}

static int teardown(void **context)
{
    (void)context;
    return fs_remove_tree(folder, &err) ? 0 : -1;
}

static struct dag_task tasks[] = {
    {.task_id = "extract", .retries = 2},
    {.task_id = "load",    .retries = 0},
};
static struct dag dag = {.dag_id = "etl", .tasks = tasks, .task_count = 2};

static struct version_row make_version(void)
{
    return (struct version_row){.id = 1,
                                .dag_id = "etl",
                                .number = 1,
                                .hash = "abc",
                                .file = "etl.yaml",
                                .source = STR("dag_id: etl\n"),
                                .created_at_us = 11};
}

static struct run_row make_run(int64_t id, int64_t logical_date_us)
{
    static char names[8][32];
    (void)snprintf(names[id % 8], sizeof(names[0]), "run-%lld", (long long)id);
    return (struct run_row){.id = id,
                            .dag_id = "etl",
                            .run_id = names[id % 8],
                            .version_id = 1,
                            .run_type = RUN_TYPE_MANUAL,
                            .state = RUN_QUEUED,
                            .triggered_by = TRIGGERED_BY_CLI,
                            .logical_date_us = logical_date_us,
                            .run_after_us = 5,
                            .queued_at_us = 6,
                            .conf = "{\"a\":1}",
                            .reason = "waiting"};
}

static struct attempt_row make_attempt(int64_t run)
{
    return (struct attempt_row){.run = run,
                                .task = 0,
                                .map_index = -1,
                                .try_number = 1,
                                .token = "t-1",
                                .state = TASK_QUEUED,
                                .worker = "w-1",
                                .queued_at_us = 21,
                                .exit_code = -1,
                                .rendered = "{\"options\":{}}"};
}

static bool commit(struct store *store, struct decision *items, size_t count)
{
    struct decisions decisions = {.items = items, .count = count};

    return store_commit(store, &decisions, 1000, &err);
}

static void commit_dag_and_run(struct store *store, int64_t id, int64_t logical_date_us)
{
    struct decision items[3] = {
        {.kind = DECIDE_DAG},
        {.kind = DECIDE_VERSION},
        {.kind = DECIDE_RUN_NEW},
    };

    items[0].as.dag = (struct dag_row){.dag_id = "etl",
                                       .file = "etl.yaml",
                                       .version_id = 1,
                                       .version_number = 1,
                                       .next_end_us = 77,
                                       .parsed_at_us = 10};
    items[1].as.version = make_version();
    items[2].as.run.row = make_run(id, logical_date_us);
    items[2].as.run.dag = &dag;
    assert_true(commit(store, items, 3));
}

static void commit_run(struct store *store, int64_t id, int64_t logical_date_us)
{
    struct decision item = {.kind = DECIDE_RUN_NEW};

    item.as.run.row = make_run(id, logical_date_us);
    item.as.run.dag = &dag;
    assert_true(commit(store, &item, 1));
}

static int64_t query(const char *sql)
{
    char path[128];
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    (void)snprintf(path, sizeof(path), "%s/%s", state, STATE_DATABASE);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    return value;
}

/* What a load found, for the assertions. */
struct found {
    int dags;
    int backfills;
    int runs;
    size_t tasks;
    size_t attempts;
    struct run_row run;
    struct task_row task;
    struct attempt_row attempt;
    struct dag_row dag;
    struct backfill_row backfill;
    char texts[8][64];
};

static const char *keep(struct found *found, size_t slot, const char *text)
{
    if (text == NULL)
        return NULL;
    (void)snprintf(found->texts[slot], sizeof(found->texts[0]), "%s", text);
    return found->texts[slot];
}

static bool on_dag(void *context, const struct dag_row *row, const struct version_row *version,
                   struct err *ignored)
{
    struct found *found = context;

    (void)ignored;
    found->dags++;
    found->dag = *row;
    found->dag.dag_id = keep(found, 0, row->dag_id);
    assert_string_equal(row->file, "etl.yaml");
    assert_true(str_is(version->source, "dag_id: etl\n"));
    assert_string_equal(version->hash, "abc");
    return true;
}

static bool on_backfill(void *context, const struct backfill_row *row, struct err *ignored)
{
    struct found *found = context;

    (void)ignored;
    found->backfills++;
    found->backfill = *row;
    return true;
}

static bool on_run(void *context, const struct run_row *row, const struct version_row *version,
                   const struct task_row *task_rows, size_t task_count,
                   const struct attempt_row *attempts, size_t attempt_count, struct err *ignored)
{
    struct found *found = context;

    (void)ignored;
    assert_int_equal(version->id, 1);
    found->runs++;
    found->tasks += task_count;
    found->attempts += attempt_count;
    found->run = *row;
    found->run.run_id = keep(found, 1, row->run_id);
    found->run.conf = keep(found, 2, row->conf);
    found->run.reason = keep(found, 3, row->reason);
    found->task = task_rows[0];
    found->task.task_id = keep(found, 4, task_rows[0].task_id);
    found->task.reason = keep(found, 5, task_rows[0].reason);
    if (attempt_count > 0) {
        found->attempt = attempts[0];
        found->attempt.token = keep(found, 6, attempts[0].token);
        found->attempt.rendered = keep(found, 7, attempts[0].rendered);
    }
    return true;
}

static struct found load_all(struct store *store, const char *dag_id)
{
    struct found found = {0};

    assert_true(store_load_dags(store, dag_id, on_dag, &found, &err));
    assert_true(store_load_live_backfills(store, dag_id, on_backfill, &found, &err));
    assert_true(store_load_live_runs(store, dag_id, on_run, &found, &err));
    return found;
}

static void test_epoch_rises_and_instance_stays(void **context)
{
    (void)context;
    char instance[32] = "";

    for (uint64_t i = 1; i <= 3; i++) {
        struct store *store = store_open(state, &err);
        assert_non_null(store);
        struct store_identity identity = store_identity(store);
        assert_int_equal(identity.epoch, i);
        assert_int_equal(strlen(identity.instance), 16);
        if (i > 1)
            assert_string_equal(identity.instance, instance);
        (void)snprintf(instance, sizeof(instance), "%s", identity.instance);
        store_close(store);
    }
}

/* Two schedulers on one state, because the lock file was removed: the older one may not write. */
static void test_a_former_epoch_cannot_commit(void **context)
{
    (void)context;
    struct store *former = store_open(state, &err);
    commit_dag_and_run(former, 1, 100);
    struct store *newer = store_open(state, &err);
    assert_non_null(newer);
    struct decision item = {.kind = DECIDE_RUN_NEW};

    item.as.run.row = make_run(2, 200);
    item.as.run.dag = &dag;
    assert_false(commit(former, &item, 1));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_non_null(strstr(err.message, "another scheduler has taken the state over"));
    store_close(former);
    commit_run(newer, 3, 300);
    assert_int_equal(query("SELECT group_concat(id) = '1,3' FROM run"), 1);
    store_close(newer);
}

static void test_new_run_is_loaded_as_it_was(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);

    commit_dag_and_run(store, 1, 100);
    store_close(store);
    store = store_open(state, &err);
    struct store_identity identity = store_identity(store);
    assert_int_equal(identity.last_run_id, 1);
    assert_int_equal(identity.last_version_id, 1);
    struct found found = load_all(store, NULL);
    assert_int_equal(found.dags, 1);
    assert_int_equal(found.dag.next_end_us, 77);
    assert_int_equal(found.dag.next_start_us, 0);
    assert_int_equal(found.runs, 1);
    assert_int_equal(found.tasks, 2);
    assert_int_equal(found.run.logical_date_us, 100);
    assert_int_equal(found.run.interval_start_us, 0);
    assert_int_equal(found.run.state, RUN_QUEUED);
    assert_int_equal(found.run.triggered_by, TRIGGERED_BY_CLI);
    assert_string_equal(found.run.run_id, "run-1");
    assert_string_equal(found.run.conf, "{\"a\":1}");
    assert_string_equal(found.task.task_id, "extract");
    assert_int_equal(found.task.state, TASK_NONE);
    assert_int_equal(found.task.max_tries, 2);
    assert_int_equal(load_all(store, "other").runs, 0);
    store_close(store);
}

static void test_updates_write_rows_and_transitions(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision items[4] = {
        {.kind = DECIDE_RUN},
        {.kind = DECIDE_TASK},
        {.kind = DECIDE_ATTEMPT_NEW},
        {.kind = DECIDE_TASK},
    };

    commit_dag_and_run(store, 1, 100);
    int64_t seq = store_last_seq(store);
    items[0].as.run.row = make_run(1, 100);
    items[0].as.run.row.state = RUN_RUNNING;
    items[0].as.run.row.started_at_us = 30;
    items[0].as.run.from = RUN_QUEUED;
    items[1].as.task.row = (struct task_row){.run = 1,
                                             .task = 0,
                                             .map_index = -1,
                                             .task_id = "extract",
                                             .state = TASK_QUEUED,
                                             .try_number = 1,
                                             .max_tries = 2,
                                             .queued_at_us = 31,
                                             .reason = "pool_full: gpu 2/2"};
    items[1].as.task.from = TASK_SCHEDULED;
    items[2].as.attempt = make_attempt(1);
    items[3] = items[1];
    items[3].as.task.from = TASK_QUEUED; /* no change of state: a row, but no transition */
    items[3].as.task.row.reason = "again";
    assert_true(commit(store, items, 4));
    assert_int_equal(store_last_seq(store), seq + 2);
    assert_int_equal(query("SELECT count(*) FROM transition"), 3);

    struct found found = load_all(store, "etl");
    assert_int_equal(found.run.state, RUN_RUNNING);
    assert_int_equal(found.run.started_at_us, 30);
    assert_int_equal(found.task.state, TASK_QUEUED);
    assert_string_equal(found.task.reason, "again");
    assert_int_equal(found.attempts, 1);
    assert_string_equal(found.attempt.token, "t-1");
    assert_int_equal(found.attempt.exit_code, -1);
    store_close(store);
}

static void test_expanding_replaces_the_unmapped_row(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision items[2] = {{.kind = DECIDE_EXPAND}, {.kind = DECIDE_TASK}};

    commit_dag_and_run(store, 1, 100);
    items[0].as.expand.row = (struct task_row){.run = 1,
                                               .task = 0,
                                               .map_index = -1,
                                               .task_id = "extract",
                                               .try_number = 1,
                                               .max_tries = 3,
                                               .reason = "expanded: 3 instances"};
    items[0].as.expand.count = 3;
    items[1].as.task.row = items[0].as.expand.row;
    items[1].as.task.row.map_index = 2;
    items[1].as.task.row.state = TASK_SCHEDULED;
    assert_true(commit(store, items, 2));
    assert_int_equal(query("SELECT count(*) FROM task_instance WHERE task_id = 'extract'"), 3);
    assert_int_equal(query("SELECT count(*) FROM task_instance WHERE task_id = 'extract'"
                           " AND map_index = 2 AND state = 'scheduled' AND max_tries = 3"),
                     1);
    assert_int_equal(query("SELECT count(*) FROM transition WHERE task = 0 AND map_index = -1"
                           " AND reason = 'expanded: 3 instances'"),
                     1);
    items[0].as.expand.first = 3;
    items[0].as.expand.count = 5;
    assert_true(commit(store, items, 1));
    assert_int_equal(query("SELECT max(map_index) FROM task_instance WHERE task = 0"), 4);
    items[0].as.expand.first = 0;
    assert_false(commit(store, items, 1)); /* there is no unmapped row any more */
    store_close(store);
}

static struct decision task_change(int64_t run, enum task_state from, enum task_state to)
{
    struct decision decision = {.kind = DECIDE_TASK};

    decision.as.task.from = from;
    decision.as.task.row = (struct task_row){.run = run,
                                             .map_index = -1,
                                             .task_id = "extract",
                                             .state = to,
                                             .try_number = to == TASK_NONE ? 0 : 1,
                                             .max_tries = 2,
                                             .reason = task_state_name(to)};
    return decision;
}

/* What happens to a task within one turn: its row is the last one, and no transition is lost. */
static void test_changes_of_one_turn_leave_the_last_row_and_each_transition(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision items[8] = {
        {.kind = DECIDE_RUN_NEW},
        task_change(2, TASK_NONE, TASK_SCHEDULED),
        task_change(2, TASK_SCHEDULED, TASK_QUEUED),
        task_change(1, TASK_NONE, TASK_SCHEDULED),
        task_change(1, TASK_SCHEDULED, TASK_QUEUED),
        {.kind = DECIDE_RUN_RESET},
        task_change(1, TASK_NONE, TASK_SCHEDULED),
        task_change(1, TASK_SCHEDULED, TASK_QUEUED),
    };

    commit_dag_and_run(store, 1, 100);
    items[0].as.run.row = make_run(2, 200);
    items[0].as.run.dag = &dag;
    items[5].as.run.row = make_run(1, 100);
    items[5].as.run.from = RUN_QUEUED;
    items[5].as.run.dag = &dag;
    /* Without the reset, rows of the new run are inserted as they will be. */
    assert_true(commit(store, items, 3));
    assert_int_equal(query("SELECT count(*) FROM task_instance WHERE run = 2"), 2);
    assert_int_equal(query("SELECT count(*) FROM task_instance WHERE run = 2 AND task = 0"
                           " AND state = 'queued' AND try_number = 1 AND max_tries = 2"
                           " AND reason = 'queued' AND task_id = 'extract'"),
                     1);
    assert_int_equal(query("SELECT count(*) FROM task_instance WHERE run = 2 AND task = 1"
                           " AND state = 'none' AND try_number = 0"),
                     1);
    assert_int_equal(query("SELECT count(*) FROM transition WHERE run = 2 AND task = 0"), 2);
    /* A reset reads the tries of what came before it, and replaces its rows. */
    assert_true(commit(store, &items[3], 5));
    assert_int_equal(query("SELECT count(*) FROM task_instance WHERE run = 1 AND task = 0"
                           " AND state = 'queued'"),
                     1);
    assert_int_equal(query("SELECT count(*) FROM transition WHERE run = 1 AND task = 0"), 5);
    assert_int_equal(query("SELECT max(seq) FROM transition"), store_last_seq(store));
    /* A new run and a reset in one turn. */
    items[0].as.run.row = make_run(3, 300);
    items[1].as.task.row.run = items[2].as.task.row.run = 3;
    assert_true(commit(store, items, 8));
    assert_int_equal(query("SELECT count(*) FROM task_instance WHERE run = 3 AND task = 0"
                           " AND state = 'queued'"),
                     1);
    store_close(store);
}

static void test_attempt_end_is_kept(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision item = {.kind = DECIDE_ATTEMPT_NEW};

    commit_dag_and_run(store, 1, 100);
    item.as.attempt = make_attempt(1);
    assert_true(commit(store, &item, 1));
    assert_int_equal(query("SELECT outcome IS NULL FROM attempt"), 1);
    item.kind = DECIDE_ATTEMPT;
    item.as.attempt.state = TASK_FAILED;
    item.as.attempt.outcome = OUTCOME_TIMEOUT;
    item.as.attempt.exit_code = 0;
    item.as.attempt.signal = 9;
    item.as.attempt.ended_at_us = 50;
    assert_true(commit(store, &item, 1));
    struct found found = load_all(store, NULL);
    assert_int_equal(found.attempt.outcome, OUTCOME_TIMEOUT);
    assert_int_equal(found.attempt.exit_code, 0);
    assert_int_equal(found.attempt.signal, 9);
    assert_string_equal(found.attempt.rendered, "{\"options\":{}}");
    store_close(store);
}

static void test_update_of_a_missing_row_fails(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision item = {.kind = DECIDE_RUN};

    item.as.run.row = make_run(9, 100);
    assert_false(commit(store, &item, 1));
    err = (struct err){0};
    /* A broken store takes nothing more, not even what is right. */
    item.kind = DECIDE_VERSION;
    item.as.version = make_version();
    assert_false(commit(store, &item, 1));
    store_close(store);
    assert_int_equal(query("SELECT count(*) FROM version"), 0);
}

static void test_reset_starts_again_and_keeps_tries(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision items[2] = {{.kind = DECIDE_TASK}, {.kind = DECIDE_RUN}};

    commit_dag_and_run(store, 1, 100);
    items[0].as.task.row = (struct task_row){.run = 1,
                                             .map_index = -1,
                                             .task_id = "extract",
                                             .state = TASK_FAILED,
                                             .try_number = 3,
                                             .max_tries = 2};
    items[0].as.task.from = TASK_RUNNING;
    items[1].as.run.row = make_run(1, 100);
    items[1].as.run.row.state = RUN_FAILED;
    items[1].as.run.from = RUN_RUNNING;
    assert_true(commit(store, items, 2));
    struct arena arena = {0};
    struct known_run known = {0};
    assert_true(store_known_run(store, &arena,
                                &(struct core_want){.dag_id = "etl",
                                                    .logical_date_us = 100,
                                                    .reprocess = REPROCESS_COMPLETED},
                                &known, &err));
    assert_true(known.exists);
    assert_int_equal(known.task_count, 2);
    assert_int_equal(known.tasks[0].try_number, 3);
    arena_release(&arena);

    struct decision reset = {.kind = DECIDE_RUN_RESET};
    reset.as.run.row = make_run(1, 100);
    reset.as.run.row.clear_number = 1;
    reset.as.run.row.is_forced = true;
    reset.as.run.from = RUN_FAILED;
    reset.as.run.dag = &dag;
    assert_true(commit(store, &reset, 1));
    struct found found = load_all(store, NULL);
    assert_int_equal(found.run.clear_number, 1);
    assert_true(found.run.is_forced);
    assert_int_equal(found.tasks, 2);
    assert_int_equal(found.task.state, TASK_NONE);
    assert_int_equal(found.task.try_number, 3);
    assert_int_equal(found.task.max_tries, 5);
    assert_int_equal(query("SELECT count(*) FROM transition WHERE to_state = 'none'"), 1);
    assert_int_equal(query("SELECT max(seq) FROM transition"), store_last_seq(store));
    store_close(store);
}

static void test_backfill_round_trip(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision item = {.kind = DECIDE_BACKFILL_NEW};

    commit_dag_and_run(store, 1, 100);
    item.as.backfill = (struct backfill_row){.id = 4,
                                             .dag_id = "etl",
                                             .from_us = 10,
                                             .to_us = 20,
                                             .run_backwards = true,
                                             .reprocess = REPROCESS_FAILED,
                                             .max_active_runs = 3,
                                             .is_forced = true,
                                             .cursor_us = 10,
                                             .total = 5};
    assert_true(commit(store, &item, 1));
    item.kind = DECIDE_BACKFILL;
    item.as.backfill.made = 2;
    item.as.backfill.is_paused = true;
    assert_true(commit(store, &item, 1));
    struct found found = load_all(store, NULL);
    assert_int_equal(found.backfills, 1);
    assert_int_equal(found.backfill.made, 2);
    assert_true(found.backfill.is_paused && found.backfill.run_backwards);
    assert_true(found.backfill.is_forced);
    assert_int_equal(found.backfill.reprocess, REPROCESS_FAILED);
    item.as.backfill.completed_at_us = 99;
    assert_true(commit(store, &item, 1));
    assert_int_equal(load_all(store, NULL).backfills, 0);
    assert_int_equal(store_identity(store).last_backfill_id, 0);
    store_close(store);
}

/* A cancelled backfill is completed, but loaded as long as runs of it go on: they count for it. */
static void test_cancelled_backfill(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision items[2] = {{.kind = DECIDE_BACKFILL_NEW}, {.kind = DECIDE_RUN_NEW}};
    struct decision end = {.kind = DECIDE_RUN};

    commit_dag_and_run(store, 1, 100);
    items[0].as.backfill =
        (struct backfill_row){.id = 4, .dag_id = "etl", .completed_at_us = 99, .cancelled = true};
    items[1].as.run.row = make_run(2, 200);
    items[1].as.run.row.backfill_id = 4;
    items[1].as.run.dag = &dag;
    assert_true(commit(store, items, 2));
    assert_int_equal(load_all(store, NULL).backfills, 1);
    assert_int_equal(load_all(store, "other").backfills, 0);
    end.as.run.row = items[1].as.run.row;
    end.as.run.row.state = RUN_FAILED;
    end.as.run.from = RUN_QUEUED;
    assert_true(commit(store, &end, 1));
    assert_int_equal(load_all(store, NULL).backfills, 0);
    store_close(store);
}

static void test_lookups(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct arena arena = {0};
    struct known_run known = {0};
    bool exists = false;

    commit_dag_and_run(store, 1, 100);
    assert_true(store_known_run(store, &arena,
                                &(struct core_want){.dag_id = "etl",
                                                    .logical_date_us = 100,
                                                    .reprocess = REPROCESS_COMPLETED},
                                &known, &err));
    assert_true(known.exists);
    assert_null(known.tasks); /* it is live: the core has them */
    assert_true(store_known_run(
        store, &arena, &(struct core_want){.dag_id = "etl", .logical_date_us = 101}, &known, &err));
    assert_false(known.exists);
    struct core_want before = {.dag_id = "etl", .logical_date_us = 101, .is_previous = true};
    assert_true(store_known_run(store, &arena, &before, &known, &err));
    assert_true(known.exists);
    assert_int_equal(known.row.logical_date_us, 100);
    before.logical_date_us = 100; /* not the run itself */
    assert_true(store_known_run(store, &arena, &before, &known, &err));
    assert_false(known.exists);
    assert_true(store_run_id_exists(store, "etl", "run-1", &exists, &err));
    assert_true(exists);
    assert_true(store_run_id_exists(store, "etl", "run-2", &exists, &err));
    assert_false(exists);
    arena_release(&arena);
    store_close(store);
}

static void test_puts_go_with_the_next_commit(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);

    store_put_import_error(store, "a.yaml", "broken", "[]", 5);
    store_put_import_error(store, "b.yaml", "broken too", "[]", 5);
    store_put_pool(store, "gpu", 2, NULL);
    store_put_idempotency(store, "k", "h", 5, 200, "{}");
    assert_true(commit(store, NULL, 0));
    assert_int_equal(query("SELECT count(*) FROM import_error"), 2);
    assert_int_equal(query("SELECT slots FROM pool WHERE name = 'gpu'"), 2);
    assert_int_equal(query("SELECT status FROM idempotency"), 200);
    store_put_import_error(store, "a.yaml", NULL, NULL, 6);
    assert_true(commit(store, NULL, 0));
    assert_int_equal(query("SELECT count(*) FROM import_error WHERE file = 'b.yaml'"), 1);
    store_put_import_error(store, NULL, NULL, NULL, 6);
    assert_true(commit(store, NULL, 0));
    assert_int_equal(query("SELECT count(*) FROM import_error"), 0);
    store_close(store);
}

/* A child commits runs until it is killed: every commit it told of must be there. */
static void test_kill_loses_nothing_committed(void **context)
{
    (void)context;
    int pipe_fds[2];
    unsigned char told = 0;

    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *store = store_open(state, &err);
        commit_dag_and_run(store, 1, 100);
        for (unsigned char i = 2; i < 200; i++) {
            commit_run(store, i, 100 + i);
            if (write(pipe_fds[1], &i, 1) != 1)
                _exit(1);
        }
        for (;;)
            (void)pause();
    }
    while (told < 20)
        assert_int_equal(read(pipe_fds[0], &told, 1), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(pipe_fds[1]);
    while (read(pipe_fds[0], &told, 1) == 1)
        continue;
    (void)close(pipe_fds[0]);
    struct store *store = store_open(state, &err);
    assert_non_null(store);
    struct found found = load_all(store, NULL);
    assert_true(found.runs >= told);
    assert_int_equal(found.tasks, 2 * (size_t)found.runs);
    assert_int_equal(query("SELECT count(*) FROM transition"), found.runs);
    store_close(store);
}

/* The file-size limit stands in for a full disk. */
static void test_full_disk_fails_the_commit_for_good(void **context)
{
    (void)context;
    struct rlimit before;
    struct rlimit tight;
    bool ok = true;
    int64_t id = 2;

    (void)signal(SIGXFSZ, SIG_IGN);
    struct store *store = store_open(state, &err);
    commit_dag_and_run(store, 1, 100);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 256 * 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    for (; ok && id < 2000; id++) {
        struct decision item = {.kind = DECIDE_RUN_NEW};
        item.as.run.row = make_run(id, 100 + id);
        item.as.run.dag = &dag;
        char run_id[32];
        (void)snprintf(run_id, sizeof(run_id), "r%lld", (long long)id);
        item.as.run.row.run_id = run_id;
        ok = commit(store, &item, 1);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(ok);
    assert_int_equal(err.code, ERR_IO);
    assert_false(commit(store, &(struct decision){.kind = DECIDE_VERSION}, 1));
    store_close(store);
    store = store_open(state, &err);
    assert_non_null(store);
    assert_int_equal(load_all(store, NULL).runs, id - 2); /* all but the one that failed */
    store_close(store);
}

static void set_pragma(const char *sql)
{
    char path[128];
    sqlite3 *db = NULL;

    (void)snprintf(path, sizeof(path), "%s/%s", state, STATE_DATABASE);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, PAGES_VFS), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_foreign_and_newer_databases_are_refused(void **context)
{
    (void)context;
    static const struct {
        const char *sql;
        const char *says;
    } cases[] = {
        {"PRAGMA user_version = 99",   "newer Millrace" },
        {"PRAGMA application_id = 17", "another program"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct store *store = store_open(state, &err);
        assert_non_null(store);
        store_close(store);
        set_pragma(cases[i].sql);
        assert_null(store_open(state, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, cases[i].says));
        assert_true(fs_remove_tree(state, &err));
    }
}

static void test_a_file_that_is_no_database_is_refused(void **context)
{
    (void)context;
    char path[128];

    assert_int_equal(mkdir(state, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/%s", state, STATE_DATABASE);
    char text[4096];
    memset(text, 'x', sizeof(text));
    assert_true(fs_write_file(path, (struct str){text, sizeof(text)}, 0600, &err));
    assert_null(store_open(state, &err));
    assert_non_null(strstr(err.message, "state.db"));
}

static void test_migration_backs_up_and_is_atomic(void **context)
{
    (void)context;
    static const char *const good[] = {"CREATE TABLE a (x)", "CREATE TABLE b (x)"};
    static const char *const bad[] = {"CREATE TABLE a (x)", "CREATE TABLE b (x)",
                                      "CREATE TABLE c (x); SELECT nothing FROM nowhere"};
    char path[128];
    char copy[160];
    sqlite3 *db = NULL;

    assert_int_equal(mkdir(state, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/%s", state, STATE_DATABASE);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_true(store_migrate(db, path, good, 1, &err));
    (void)snprintf(copy, sizeof(copy), "%s.before-2", path);
    assert_int_equal(access(copy, F_OK), -1); /* a new database needs no backup */
    assert_true(store_migrate(db, path, good, 2, &err));
    assert_int_equal(access(copy, F_OK), 0);
    assert_false(store_migrate(db, path, bad, 3, &err));
    assert_non_null(strstr(err.message, "migration 3"));
    (void)sqlite3_close(db);
    assert_int_equal(query("PRAGMA user_version"), 2);
    assert_int_equal(query("SELECT count(*) FROM sqlite_schema WHERE name = 'c'"), 0);
}

static void test_checkpoint_empties_the_log(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);

    commit_dag_and_run(store, 1, 100);
    assert_true(store_wal_pages(store) > 0);
    assert_true(store_checkpoint(store, &err));
    assert_int_equal(store_wal_pages(store), 0);
    store_close(store);
}

static void count_token(void *context, const char *token)
{
    assert_string_equal(token, "t-1");
    ++*(int *)context;
}

static void test_foreign_tokens_are_those_of_other_dags(void **context)
{
    (void)context;
    struct store *store = store_open(state, &err);
    struct decision item = {.kind = DECIDE_ATTEMPT_NEW};
    int count = 0;

    commit_dag_and_run(store, 1, 100);
    item.as.attempt = make_attempt(1);
    assert_true(commit(store, &item, 1));
    assert_true(store_load_foreign_tokens(store, "etl", count_token, &count, &err));
    assert_int_equal(count, 0);
    assert_true(store_load_foreign_tokens(store, "other", count_token, &count, &err));
    assert_int_equal(count, 1);
    store_close(store);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_epoch_rises_and_instance_stays),
        TEST(test_a_former_epoch_cannot_commit),
        TEST(test_new_run_is_loaded_as_it_was),
        TEST(test_updates_write_rows_and_transitions),
        TEST(test_expanding_replaces_the_unmapped_row),
        TEST(test_changes_of_one_turn_leave_the_last_row_and_each_transition),
        TEST(test_attempt_end_is_kept),
        TEST(test_update_of_a_missing_row_fails),
        TEST(test_reset_starts_again_and_keeps_tries),
        TEST(test_backfill_round_trip),
        TEST(test_cancelled_backfill),
        TEST(test_lookups),
        TEST(test_puts_go_with_the_next_commit),
        TEST(test_kill_loses_nothing_committed),
        TEST(test_full_disk_fails_the_commit_for_good),
        TEST(test_foreign_and_newer_databases_are_refused),
        TEST(test_a_file_that_is_no_database_is_refused),
        TEST(test_migration_backs_up_and_is_atomic),
        TEST(test_checkpoint_empties_the_log),
        TEST(test_foreign_tokens_are_those_of_other_dags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
