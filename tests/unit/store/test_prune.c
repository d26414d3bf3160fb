/* Retention's side of the store: which runs go, which stay, in how small steps, and that a pass
 * that was cut off is gone on with. */
#include "base/fs.h"
#include "millrace/messages.h"
#include "scheduler/store/prune.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

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
        TEST(test_every_table_that_names_runs_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
