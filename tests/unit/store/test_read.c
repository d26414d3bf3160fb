/* What web reads is what the store committed, in snapshots that never hold the writer back. */
#include "base/fs.h"
#include "base/mem.h"
#include "millrace/messages.h"
#include "scheduler/store/read.h"
#include "scheduler/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[40];
    struct store *store;
    struct read *read;
    struct arena arena;
};

static struct dag_task tasks[] = {{.task_id = "extract"}, {.task_id = "load"}};
static struct dag dag = {.dag_id = "etl", .tasks = tasks, .task_count = 2};

static struct err err;

static int setup(void **context)
{
    struct fixture *fixture = mem_alloc(sizeof(*fixture));

    (void)snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/millrace-read-XXXXXX");
    if (mkdtemp(fixture->folder) == NULL)
        return -1;
    fixture->read = read_new(fixture->folder);
    *context = fixture;
    return 0;
}

static int teardown(void **context)
{
    struct fixture *fixture = *context;

    read_free(fixture->read);
    store_close(fixture->store);
    arena_release(&fixture->arena);
    bool ok = fs_remove_tree(fixture->folder, &err);
    free(fixture);
    return ok ? 0 : -1;
}

static void open_store(struct fixture *fixture)
{
    fixture->store = store_open(fixture->folder, &err);
    if (fixture->store == NULL)
        fail_msg("%s", err.message);
}

static void commit(struct fixture *fixture, struct decision *items, size_t count)
{
    struct decisions decisions = {.items = items, .count = count};

    if (!store_commit(fixture->store, &decisions, 5000, &err))
        fail_msg("%s", err.message);
}

static void commit_dag(struct fixture *fixture)
{
    struct decision items[2] = {{.kind = DECIDE_VERSION}, {.kind = DECIDE_DAG}};

    items[0].as.version = (struct version_row){.id = 1,
                                               .dag_id = "etl",
                                               .number = 1,
                                               .hash = "abc",
                                               .file = "etl.yaml",
                                               .source = STR("dag_id: etl\n"),
                                               .created_at_us = 11};
    items[1].as.dag = (struct dag_row){.dag_id = "etl",
                                       .file = "etl.yaml",
                                       .is_paused = true,
                                       .version_id = 1,
                                       .version_number = 1,
                                       .next_end_us = 77,
                                       .parsed_at_us = 10};
    commit(fixture, items, 2);
}

static void commit_run(struct fixture *fixture, int64_t id, enum run_state state)
{
    struct decision item = {.kind = DECIDE_RUN_NEW};
    char run_id[20];

    (void)snprintf(run_id, sizeof(run_id), "run_%lld", (long long)id);
    item.as.run.row = (struct run_row){.id = id,
                                       .dag_id = "etl",
                                       .run_id = run_id,
                                       .version_id = 1,
                                       .run_type = RUN_TYPE_MANUAL,
                                       .state = state,
                                       .triggered_by = TRIGGERED_BY_CLI,
                                       .logical_date_us = id * 100,
                                       .run_after_us = id * 10,
                                       .started_at_us = state == RUN_QUEUED ? 0 : id * 10,
                                       .ended_at_us = run_state_is_final(state) ? id * 20 : 0,
                                       .conf = "{\"a\":1}"};
    item.as.run.dag = &dag;
    commit(fixture, &item, 1);
}

static void waits_for_the_database(void **context)
{
    struct fixture *fixture = *context;
    struct dag_row *rows = NULL;
    size_t count = 9;
    char *path = fs_join(fixture->folder, STATE_DATABASE);

    assert_false(read_dags(fixture->read, &fixture->arena, &rows, &count, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_int_equal(count, 9);
    FILE *empty = fopen(path, "w"); /* as it is between creation and the first transaction */
    assert_non_null(empty);
    assert_int_equal(fclose(empty), 0);
    assert_false(read_dags(fixture->read, &fixture->arena, &rows, &count, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    open_store(fixture);
    commit_dag(fixture);
    assert_true(read_dags(fixture->read, &fixture->arena, &rows, &count, &err));
    assert_int_equal(count, 1);
    free(path);
}

static void sees_a_replaced_database(void **context)
{
    struct fixture *fixture = *context;
    struct dag_row *rows = NULL;
    size_t count = 0;

    open_store(fixture);
    commit_dag(fixture);
    assert_true(read_dags(fixture->read, &fixture->arena, &rows, &count, &err));
    read_end(fixture->read);
    store_close(fixture->store);
    fixture->store = NULL;
    assert_true(fs_remove_tree(fixture->folder, &err));
    assert_true(fs_make_folders(fixture->folder, 0700, &err));
    assert_false(read_dags(fixture->read, &fixture->arena, &rows, &count, &err));
    open_store(fixture);
    assert_true(read_dags(fixture->read, &fixture->arena, &rows, &count, &err));
    assert_int_equal(count, 0);
}

static void reads_what_was_committed(void **context)
{
    struct fixture *fixture = *context;
    struct dag_row row = {0};
    struct version_row version = {0};
    struct run_view run = {0};
    struct task_row *rows = NULL;
    size_t count = 0;

    open_store(fixture);
    commit_dag(fixture);
    commit_run(fixture, 1, RUN_QUEUED);
    assert_true(read_dag(fixture->read, &fixture->arena, "etl", &row, &err));
    assert_string_equal(row.file, "etl.yaml");
    assert_true(row.is_paused);
    assert_int_equal(row.next_end_us, 77);
    assert_int_equal(row.next_start_us, 0);
    assert_true(read_version(fixture->read, &fixture->arena, 1, &version, &err));
    assert_true(str_is(version.source, "dag_id: etl\n"));
    assert_true(read_run(fixture->read, &fixture->arena, "etl", "run_1", &run, &err));
    assert_int_equal(run.run.state, RUN_QUEUED);
    assert_int_equal(run.run.ended_at_us, 0);
    assert_null(run.run.note);
    assert_int_equal(run.version_number, 1);
    assert_true(read_run_tasks(fixture->read, &fixture->arena, 1, &rows, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(rows[1].task_id, "load");
    assert_int_equal(rows[1].state, TASK_NONE);
    assert_false(read_run(fixture->read, &fixture->arena, "etl", "' OR 1 --", &run, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_snapshot_stands_still(void **context)
{
    struct fixture *fixture = *context;
    int64_t before = 0;
    int64_t now = 0;

    open_store(fixture);
    commit_dag(fixture);
    commit_run(fixture, 1, RUN_RUNNING);
    assert_true(read_live_run_count(fixture->read, "etl", &before, &err));
    commit_run(fixture, 2, RUN_RUNNING);
    assert_true(read_live_run_count(fixture->read, "etl", &now, &err));
    assert_int_equal(now, before);
    read_end(fixture->read);
    assert_true(store_checkpoint(fixture->store, &err));
    assert_int_equal(store_wal_pages(fixture->store), 0);
    assert_true(read_live_run_count(fixture->read, "etl", &now, &err));
    assert_int_equal(now, before + 1);
}

struct filter_case {
    struct run_filter filter;
    int64_t total;
};

static void filters_runs(void **context)
{
    struct fixture *fixture = *context;
    const struct filter_case cases[] = {
        {{.dag_id = "etl"},                                        5},
        {{.dag_id = "other"},                                      0},
        {{.states = "[\"failed\"]"},                               1},
        {{.states = "[\"failed\",\"queued\"]"},                    2},
        {{.run_types = "[\"scheduled\"]"},                         0},
        {{.run_id_pattern = "%RUN\\_3%"},                          0},
        {{.run_id_pattern = "%RUN_3%"},                            1},
        {{.dag_versions = "[1,7]"},                                5},
        {{.conf_contains = "%\"a\"%"},                             5},
        {{.backfill_id = 3},                                       0},
        {{.ranges = {{{READ_RUN_AFTER, READ_GT, 20}}, 1, 0}},      3},
        {{.ranges = {{{READ_RUN_AFTER, READ_GTE, 20}}, 1, 0}},     4},
        {{.ranges = {{{READ_LOGICAL_DATE, READ_LT, 300}}, 1, 0}},  2},
        {{.ranges = {{{READ_START_DATE, READ_LTE, 10}}, 1, 1000}}, 1},
        {{.ranges = {{{READ_END_DATE, READ_GTE, 999}}, 1, 1000}},  2}, /* not ended: counts as now */
        {{.ranges = {{{READ_DURATION, READ_GT, 25}}, 1, 0}},       1},
    };
    static const enum run_state states[] = {RUN_SUCCESS, RUN_FAILED, RUN_SUCCESS, RUN_RUNNING,
                                            RUN_QUEUED};

    open_store(fixture);
    commit_dag(fixture);
    for (int64_t id = 1; id <= 5; id++)
        commit_run(fixture, id, states[id - 1]);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct read_page page = {.limit = 2};
        struct run_view *runs = NULL;
        size_t count = 0;
        int64_t total = -1;
        if (!read_runs(fixture->read, &fixture->arena, &cases[i].filter, &page, &runs, &count,
                       &total, &err))
            fail_msg("case %zu: %s", i, err.message);
        if (total != cases[i].total)
            fail_msg("case %zu: %lld", i, (long long)total);
        assert_int_equal(count, total < 2 ? total : 2);
    }
}

/* Every order the API knows is a column that is there. */
static void orders_lists(void **context)
{
    static const char *const run_orders[] = {
        "id",           "state",      "dag_id",   "run_id",     "dag_run_id", "run_after",
        "logical_date", "start_date", "end_date", "updated_at", "conf",       "duration"};
    static const char *const task_orders[] = {
        "id",        "state",      "duration",     "start_date",    "end_date",
        "map_index", "try_number", "logical_date", "run_after",     "task_id",
        "dag_id",    "run_id",     "queued_when",  "scheduled_when"};
    struct fixture *fixture = *context;
    struct run_filter run_filter = {0};
    struct task_filter task_filter = {0};
    struct run_view *runs = NULL;
    struct task_view *views = NULL;
    size_t count = 0;
    int64_t total = 0;

    open_store(fixture);
    commit_dag(fixture);
    commit_run(fixture, 1, RUN_QUEUED); /* no end: comes last both ways */
    commit_run(fixture, 2, RUN_SUCCESS);
    for (size_t i = 0; i < sizeof(run_orders) / sizeof(run_orders[0]); i++) {
        struct read_page page = {.limit = 10, .order = {{run_orders[i], i % 2}}, .order_count = 1};
        assert_true(read_runs(fixture->read, &fixture->arena, &run_filter, &page, &runs, &count,
                              &total, &err));
        assert_int_equal(count, 2);
        if (strcmp(run_orders[i], "end_date") == 0 || strcmp(run_orders[i], "duration") == 0)
            assert_int_equal(runs[1].run.id, 1);
    }
    for (size_t i = 0; i < sizeof(task_orders) / sizeof(task_orders[0]); i++) {
        struct read_page page = {.limit = 10, .order = {{task_orders[i], true}}, .order_count = 1};
        assert_true(read_tasks(fixture->read, &fixture->arena, &task_filter, &page, &views, &count,
                               &total, &err));
        assert_int_equal(count, 4);
    }
    struct read_page bad = {
        .limit = 10, .order = {{"conf; DROP TABLE run", false}}, .order_count = 1};
    assert_false(
        read_runs(fixture->read, &fixture->arena, &run_filter, &bad, &runs, &count, &total, &err));
    assert_int_equal(err.code, ERR_BAD_REQUEST);
}

static void reads_transitions(void **context)
{
    struct fixture *fixture = *context;
    struct transition_view *items = NULL;
    size_t count = 0;
    int64_t last = -1;

    open_store(fixture);
    assert_true(read_last_seq(fixture->read, &last, &err));
    assert_int_equal(last, 0);
    read_end(fixture->read);
    commit_dag(fixture);
    commit_run(fixture, 1, RUN_QUEUED);
    assert_true(read_last_seq(fixture->read, &last, &err));
    assert_int_equal(last, store_last_seq(fixture->store));
    assert_true(
        read_transitions_after(fixture->read, &fixture->arena, 0, 10, &items, &count, &err));
    assert_true(count > 0);
    assert_string_equal(items[0].run_id, "run_1");
    assert_null(items[0].task_id);
    assert_string_equal(items[0].to_state, "queued");
    assert_true(
        read_transitions_after(fixture->read, &fixture->arena, last, 10, &items, &count, &err));
    assert_int_equal(count, 0);
}

static void reads_errors_and_pools(void **context)
{
    struct fixture *fixture = *context;
    struct read_page page = {.limit = 10};
    struct import_error_row *errors = NULL;
    struct pool_row *pools = NULL;
    size_t count = 0;
    int64_t total = 0;

    open_store(fixture);
    store_put_import_error(fixture->store, "bad.yaml", "line 1: no", "[]", 7);
    store_put_pool(fixture->store, "gpu", 2, NULL);
    commit(fixture, NULL, 0);
    assert_true(read_import_errors(fixture->read, &fixture->arena, "%BAD%", &page, &errors, &count,
                                   &total, &err));
    assert_int_equal(total, 1);
    assert_string_equal(errors[0].report, "line 1: no");
    assert_true(read_pools(fixture->read, &fixture->arena, &pools, &count, &err));
    assert_string_equal(pools[count - 1].name, "gpu");
    assert_null(pools[count - 1].description);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(waits_for_the_database, setup, teardown),
        cmocka_unit_test_setup_teardown(sees_a_replaced_database, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_what_was_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_stands_still, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_transitions, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_errors_and_pools, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
