/* The DAG folder: new, broken, doubled, renamed and deleted files. */
#include "tests/unit/scheduler/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct fixture f;

static const char good[] = "dag_id: a\ntasks:\n  x: {type: noop}\n";
static const char better[] = "dag_id: a\ntasks:\n  x: {type: noop}\n  y: {type: noop}\n";
static const char broken[] = "dag_id: a\ntasks:\n  x: {type: nope}\n";
static const char renamed[] = "dag_id: b\ntasks:\n  x: {type: noop}\n";

static int setup(void **context)
{
    (void)context;
    fixture_init(&f, "");
    return 0;
}

static int teardown(void **context)
{
    (void)context;
    fixture_release(&f);
    return 0;
}

/* What a DAG and the import errors should become; -1 = not there. */
static void expect(const char *dag_id, int64_t version, bool is_stale, int64_t errors)
{
    bool exists = false;
    struct dag_row row = {0};

    for (int i = 0; i < 250; i++) {
        row = fixture_dag(&f, dag_id, &exists);
        if (exists == (version >= 0) &&
            (!exists || (row.version_number == version && row.is_stale == is_stale)) &&
            fixture_import_errors(&f) == errors)
            return;
        fixture_spin(&f);
    }
    fail_msg("%s: exists %d, version %lld, stale %d, errors %lld", dag_id, exists,
             (long long)row.version_number, row.is_stale, (long long)fixture_import_errors(&f));
}

static void test_a_new_file_is_loaded(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    expect("a", -1, false, 0);
    fixture_write(&f, "a.yaml", good);
    expect("a", 1, false, 0);
    fixture_write(&f, "a.yaml", better);
    expect("a", 2, false, 0);
}

static void test_a_broken_edit_keeps_the_last_good_version(void **context)
{
    (void)context;
    fixture_write(&f, "a.yaml", good);
    fixture_open(&f, NULL);
    expect("a", 1, false, 0);
    fixture_write(&f, "a.yaml", broken);
    expect("a", 1, false, 1);
    fixture_close(&f);
    fixture_open(&f, NULL); /* also over a restart */
    expect("a", 1, false, 1);
    fixture_write(&f, "a.yaml", better);
    expect("a", 2, false, 0);
}

static void test_a_deleted_file_makes_its_dag_stale(void **context)
{
    (void)context;
    fixture_write(&f, "a.yaml", good);
    fixture_open(&f, NULL);
    expect("a", 1, false, 0);
    fixture_remove(&f, "a.yaml");
    expect("a", 1, true, 0);
    fixture_write(&f, "a.yaml", good);
    expect("a", 1, false, 0);
    fixture_close(&f);
    fixture_remove(&f, "a.yaml"); /* while nobody looks */
    fixture_open(&f, NULL);
    expect("a", 1, true, 0);
}

static void test_the_second_file_of_a_dag_is_an_error(void **context)
{
    (void)context;
    fixture_write(&f, "1.yaml", good);
    fixture_write(&f, "2.yaml", better);
    fixture_open(&f, NULL);
    expect("a", 1, false, 1);
    fixture_remove(&f, "1.yaml"); /* now the other one may have it */
    expect("a", 2, false, 0);
}

static void test_a_file_may_change_its_dag_id(void **context)
{
    (void)context;
    fixture_write(&f, "a.yaml", good);
    fixture_open(&f, NULL);
    expect("a", 1, false, 0);
    fixture_write(&f, "a.yaml", renamed);
    expect("b", 1, false, 0);
    expect("a", 1, true, 0);
}

static void test_subfolders_are_watched(void **context)
{
    (void)context;
    char path[800];

    fixture_open(&f, NULL);
    (void)snprintf(path, sizeof(path), "%s/team", f.dags);
    assert_int_equal(mkdir(path, 0700), 0);
    fixture_write(&f, "team/a.yaml", good);
    fixture_write(&f, "team/notes.txt", broken);
    fixture_write(&f, ".hidden.yaml", broken);
    fixture_write(&f, "millrace.yaml", broken);
    expect("a", 1, false, 0);
    fixture_write(&f, "team/a.yaml", better);
    expect("a", 2, false, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_file_is_loaded),
        TEST(test_a_broken_edit_keeps_the_last_good_version),
        TEST(test_a_deleted_file_makes_its_dag_stale),
        TEST(test_the_second_file_of_a_dag_is_an_error),
        TEST(test_a_file_may_change_its_dag_id),
        TEST(test_subfolders_are_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
