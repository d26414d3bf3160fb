/* Retention's side of the store: which runs go, which stay, in how small steps, and that a pass
 * that was cut off is gone on with. */
#include "base/fs.h"
#include "millrace/messages.h"
#include "scheduler/store/prune.h"
#include "scheduler/store/statements.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TASKS 600

static char folder[64];
static struct err err;
static struct store *store;
static struct dag_task tasks[TASKS];
static struct dag dag = {.dag_id = "etl", .tasks = tasks, .task_count = TASKS};

static int setup(void **context)
{
    (void)context;
    (void)snprintf(folder, sizeof(folder), "/tmp/millrace-prune-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    for (size_t i = 0; i < TASKS; i++)
        tasks[i].task_id = "task";
    store = store_open(folder, &err);
    return store == NULL ? -1 : 0;
}

static int teardown(void **context)
{
    (void)context;
    store_close(store);
    return fs_remove_tree(folder, &err) ? 0 : -1;
}

static void commit(struct decision *items, size_t count)
{
    struct decisions decisions = {.items = items, .count = count};

    assert_true(store_commit(store, &decisions, 1000, &err));
}

/* A run of `dag_id` that ended at `ended_at_us`; 0 = it is still running. */
static void add_run(const char *dag_id, int64_t id, int64_t logical_date_us, int64_t ended_at_us,
                    int64_t backfill_id)
{
    struct decision item = {.kind = DECIDE_RUN_NEW};
    char run_id[32];

    (void)snprintf(run_id, sizeof(run_id), "run-%lld", (long long)id);
    item.as.run.dag = &dag;
    item.as.run.row = (struct run_row){
        .id = id,
        .dag_id = dag_id,
        .run_id = run_id,
        .version_id = 1,
        .state = ended_at_us == 0 ? RUN_RUNNING : RUN_FAILED,
        .logical_date_us = logical_date_us,
        .run_after_us = id,
        .ended_at_us = ended_at_us,
        .backfill_id = backfill_id,
    };
    commit(&item, 1);
}

static void add_backfill(int64_t id, int64_t completed_at_us)
{
    struct decision item = {.kind = DECIDE_BACKFILL_NEW};

    item.as.backfill =
        (struct backfill_row){.id = id, .dag_id = "etl", .completed_at_us = completed_at_us};
    commit(&item, 1);
}

static int64_t query(const char *sql)
{
    char path[128];
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, STATE_DATABASE);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    return value;
}

static int64_t left_rows(void)
{
    return query("SELECT (SELECT count(*) FROM task_instance) + (SELECT count(*) FROM transition)");
}

/* Steps until the pass is over; how many there were. No step may touch more than some hundred rows.
 */
static int prune_all(int64_t ended_before_us)
{
    struct prune prune = {.ended_before_us = ended_before_us, .keys_before_us = ended_before_us};
    int64_t before = left_rows();
    bool more = true;
    int steps = 0;

    for (; more; steps++) {
        assert_true(store_prune(store, &prune, &more, &err));
        assert_true(before - left_rows() <= 500);
        before = left_rows();
    }
    return steps;
}

static void test_old_runs_go_and_the_newest_stay(void **context)
{
    (void)context;
    add_run("etl", 1, 100, 10, 0);
    add_run("etl", 2, 900, 10, 0); /* the latest logical date */
    add_run("etl", 3, 200, 70, 0); /* too young */
    add_run("etl", 4, 0, 0, 0);    /* still running */
    add_run("etl", 5, 0, 10, 0);
    add_run("etl", 6, 0, 10, 0);   /* the DAG's newest */
    add_run("other", 7, 0, 10, 0); /* likewise */
    add_run("third", 8, 0, 10, 0); /* likewise, and the newest of all */
    assert_true(prune_all(50) > 3);
    assert_int_equal(query("SELECT group_concat(id, '') = '234678' FROM run"), 1);
    assert_int_equal(query("SELECT count(DISTINCT run) FROM task_instance"), 6);
    assert_int_equal(query("SELECT count(DISTINCT run) FROM transition"), 6);
    assert_int_equal(query("SELECT count(*) FROM pruned"), 0);
}

static void test_a_backfill_needs_its_runs_until_it_is_done(void **context)
{
    (void)context;
    add_backfill(1, 0);
    add_run("etl", 1, 100, 10, 1);
    add_run("etl", 2, 200, 10, 0);
    add_run("etl", 3, 300, 10, 0);
    prune_all(50);
    assert_int_equal(query("SELECT group_concat(id, '') = '13' FROM run"), 1);
    add_backfill(1, 20);
    prune_all(50);
    assert_int_equal(query("SELECT group_concat(id, '') = '3' FROM run"), 1);
}

/* What a killed scheduler began to remove is shown no more, and goes with the next pass. */
static void test_a_pass_that_was_cut_off_is_gone_on_with(void **context)
{
    (void)context;
    struct prune prune = {.ended_before_us = 50};
    bool more = false;

    add_run("etl", 1, 100, 10, 0);
    add_run("etl", 2, 200, 10, 0);
    assert_true(store_prune(store, &prune, &more, &err));
    assert_int_equal(query("SELECT count(*) FROM run"), 1);
    assert_true(store_prune(store, &prune, &more, &err));
    store_close(store);
    store = store_open(folder, &err);
    assert_non_null(store);
    assert_true(query("SELECT count(*) FROM task_instance WHERE run = 1") > 0);
    prune_all(0); /* also when the setting has been taken away */
    assert_int_equal(query("SELECT count(*) FROM task_instance WHERE run = 1"), 0);
    assert_int_equal(query("SELECT count(*) FROM pruned"), 0);
}

static void test_old_idempotency_keys_go(void **context)
{
    (void)context;
    struct decisions none = {0};

    store_put_idempotency(store, "old", "h", 10, 200, "{}");
    store_put_idempotency(store, "young", "h", 70, 200, "{}");
    assert_true(store_commit(store, &none, 1000, &err));
    prune_all(50);
    assert_int_equal(query("SELECT group_concat(key) = 'young' FROM idempotency"), 1);
}

static void test_whether_files_of_a_run_are_of_use(void **context)
{
    (void)context;
    bool gone = true;
    bool over = true;

    add_run("etl", 2, 100, 10, 0);
    add_run("etl", 3, 200, 0, 0);
    assert_true(store_is_run_over(store, 2, 50, &gone, &over, &err));
    assert_true(!gone && over);
    assert_true(store_is_run_over(store, 2, 5, &gone, &over, &err));
    assert_true(!gone && !over);
    assert_true(store_is_run_over(store, 3, 50, &gone, &over, &err));
    assert_true(!gone && !over);
    assert_true(store_is_run_over(store, 1, 50, &gone, &over, &err));
    assert_true(gone && !over);
    assert_true(store_is_run_over(store, 9, 50, &gone, &over, &err));
    assert_true(!gone && !over); /* of a former life of the state folder */
}

static void add_event(int64_t id, int64_t at_us, bool is_unseen)
{
    struct decision item = {.kind = DECIDE_ASSET_EVENT};

    item.as.asset_event = (struct asset_event_row){.id = id,
                                                   .asset = "lake/a",
                                                   .at_us = at_us,
                                                   .partition = "",
                                                   .extra = "{}",
                                                   .is_unseen = is_unseen};
    commit(&item, 1);
}

/* A DAG waits with the update, and with `run` has a run for it. */
static void need_event(int64_t id, int64_t run)
{
    struct decision item = {.kind = DECIDE_ASSET_WAIT};

    item.as.asset_wait = (struct asset_wait_row){.dag_id = "etl", .partition = "", .event = id};
    commit(&item, 1);
    if (run == 0)
        return;
    item = (struct decision){.kind = DECIDE_ASSET_TAKEN};
    item.as.asset_taken.dag_id = "etl";
    item.as.asset_taken.partition = "";
    item.as.asset_taken.run = run;
    commit(&item, 1);
}

static void test_old_asset_events_go(void **context)
{
    (void)context;
    add_run("etl", 1, 100, 10, 0);
    add_run("etl", 2, 200, 70, 0); /* kept: it is young */
    add_run("etl", 3, 300, 70, 0);
    for (int64_t id = 1; id <= 7; id++)
        add_event(id, id == 6 ? 70 : 10, id == 5);
    need_event(2, 1); /* of a run that goes */
    need_event(3, 2); /* of one that stays */
    need_event(4, 0); /* a run is still to be made for it */
    prune_all(0);
    assert_int_equal(query("SELECT count(*) FROM asset_event"), 7);
    prune_all(50); /* 5 is unseen, 6 is young, 7 is the newest */
    assert_int_equal(query("SELECT group_concat(id, '') = '34567' FROM asset_event"), 1);
    assert_int_equal(query("SELECT count(*) FROM run_asset_event"), 1);
    assert_int_equal(query("SELECT count(*) FROM asset_wait"), 1);
}

static void test_old_backfills_go_after_their_runs(void **context)
{
    (void)context;
    add_backfill(1, 10);
    add_backfill(2, 10);
    add_backfill(3, 0);  /* goes on */
    add_backfill(4, 70); /* too young */
    add_backfill(5, 10); /* the newest */
    add_run("etl", 1, 100, 10, 1);
    add_run("etl", 2, 200, 70, 2); /* kept, and its backfill with it */
    prune_all(50);
    assert_int_equal(query("SELECT group_concat(id, '') = '2345' FROM backfill"), 1);
}

static void add_version(int64_t id, const char *dag_id, int64_t created_at_us, bool is_current)
{
    struct decision items[2];

    memset(items, 0, sizeof(items));
    items[0].kind = DECIDE_VERSION;
    items[1].kind = DECIDE_DAG;
    items[0].as.version = (struct version_row){.id = id,
                                               .dag_id = dag_id,
                                               .number = id,
                                               .hash = "h",
                                               .file = "f",
                                               .source = STR("s"),
                                               .created_at_us = created_at_us};
    items[1].as.dag = (struct dag_row){
        .dag_id = dag_id, .file = "f", .version_id = id, .version_number = id, .parsed_at_us = 1};
    commit(items, is_current ? 2 : 1);
}

static void test_versions_go_that_nothing_has(void **context)
{
    (void)context;
    add_version(1, "etl", 10, false); /* of run 2 */
    add_version(2, "etl", 10, false);
    add_version(3, "etl", 10, true);
    add_version(4, "old", 10, true); /* of a DAG whose file is gone, too */
    add_version(5, "etl", 70, false);
    add_version(6, "etl", 10, false); /* the newest row */
    add_run("etl", 2, 200, 70, 0);
    prune_all(50);
    assert_int_equal(query("SELECT group_concat(id, '') FROM (SELECT id FROM version ORDER BY id)"),
                     13456);
}

static void test_the_steps_are_small(void **context)
{
    (void)context;
    struct prune prune = {.ended_before_us = 50};
    bool more = true;

    for (int64_t id = 1; id <= 1000; id++)
        add_event(id, 10, false);
    for (int64_t before = 1000; more;) {
        assert_true(store_prune(store, &prune, &more, &err));
        int64_t now = query("SELECT count(*) FROM asset_event");
        assert_true(before - now <= 256);
        before = now;
    }
    assert_int_equal(query("SELECT count(*) FROM asset_event"), 1);
    assert_int_equal(prune.rows, 999);
}

/* A step looks at the next rows of a table by their ids, and asks of each by an index. */
static void test_nothing_is_gone_through(void **context)
{
    (void)context;
    static const char *const statements[] = {
#define STATEMENT(name, sql) sql,
#include "scheduler/store/statements.def"
#undef STATEMENT
    };
    static const enum statement finds[] = {
        STATEMENT_PRUNE_FIND_EVENTS, STATEMENT_PRUNE_FIND_BACKFILLS, STATEMENT_PRUNE_FIND_VERSIONS};
    char path[128];
    sqlite3 *db = NULL;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, STATE_DATABASE);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++) {
        sqlite3_stmt *stmt = NULL;
        char sql[1024];
        (void)snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", statements[finds[i]]);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        int lines = 0;
        for (; sqlite3_step(stmt) == SQLITE_ROW; lines++) {
            const char *line = (const char *)sqlite3_column_text(stmt, 3);
            if (strstr(line, "SCAN") != NULL && strstr(line, "SUBQUERY") == NULL)
                fail_msg("%s: %s", statements[finds[i]], line);
        }
        assert_true(lines > 2);
        (void)sqlite3_finalize(stmt);
    }
    (void)sqlite3_close(db);
}

/* A new table of what runs have is either removed with them (prune.c) or named here. */
static void test_every_table_that_names_runs_is_known(void **context)
{
    (void)context;
    assert_int_equal(
        query("SELECT count(*) FROM sqlite_schema s JOIN pragma_table_info(s.name) c"
              " WHERE s.type = 'table' AND c.name = 'run' AND s.name NOT IN"
              "  ('transition', 'attempt', 'task_instance', 'dataset_use', 'pruned',"
              "   'run_asset_event', 'callback',"
              "   'asset_event', 'dataset')"), /* the history of assets, which outlives runs */
        0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_old_runs_go_and_the_newest_stay),
        TEST(test_a_backfill_needs_its_runs_until_it_is_done),
        TEST(test_a_pass_that_was_cut_off_is_gone_on_with),
        TEST(test_old_idempotency_keys_go),
        TEST(test_whether_files_of_a_run_are_of_use),
        TEST(test_old_asset_events_go),
        TEST(test_old_backfills_go_after_their_runs),
        TEST(test_versions_go_that_nothing_has),
        TEST(test_the_steps_are_small),
        TEST(test_nothing_is_gone_through),
        TEST(test_every_table_that_names_runs_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
