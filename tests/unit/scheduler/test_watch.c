/* The DAG folder: new, broken, doubled, renamed and deleted files. */
#include "base/clock.h"
#include "base/fs.h"
#include "tests/unit/scheduler/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Makes `name` of a time zone folder of the test's own a copy of one of the system's. */
static bool copy_zone(const char *folder, const char *from, const char *name)
{
    struct buf bytes = {0};
    struct err err = {0};
    char path[800];

    (void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", from);
    bool ok = fs_read_file(path, 1u << 20, &bytes, &err);
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    ok = ok && fs_write_file(path, buf_str(&bytes), 0600, &err);
    buf_release(&bytes);
    return ok;
}

/* The folder above tells of one that is not there: the look every 30 seconds is not waited for. */
static void test_a_missing_folder_is_waited_for(void **context)
{
    (void)context;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rmdir(f.dags), 0);
        if (round == 0)
            fixture_open(&f, NULL);
        expect("a", round == 0 ? -1 : 1, true, 0);
        assert_int_equal(mkdir(f.dags, 0700), 0);
        fixture_write(&f, "a.yaml", good);
        expect("a", 1, false, 0);
        fixture_remove(&f, "a.yaml");
    }
}

static void test_an_updated_tzdata_gives_other_ticks(void **context)
{
    static const char daily[] =
        "dag_id: a\nschedule: \"@daily\"\ntimezone: Here\ntasks:\n  x: {type: noop}\n";
    char zones[700];
    bool exists = false;

    (void)context;
    (void)snprintf(zones, sizeof(zones), "%s/zones", f.folder);
    assert_int_equal(mkdir(zones, 0700), 0);
    if (!copy_zone(zones, "Asia/Tokyo", "Here") || !copy_zone(zones, "zone.tab", "tzdata.zi"))
        skip(); /* there is no tzdata */
    assert_int_equal(setenv("TZDIR", zones, 1), 0);
    fixture_write(&f, "a.yaml", daily);
    fixture_open(&f, NULL);
    expect("a", 1, false, 0);
    int64_t tick = fixture_dag(&f, "a", &exists).next_end_us;
    assert_int_equal(tick % US_PER_DAY, 15 * US_PER_HOUR);

    assert_true(copy_zone(zones, "Asia/Dubai", "Here"));
    assert_true(copy_zone(zones, "iso3166.tab", "tzdata.zi"));
    fixture_write(&f, "b.yaml", renamed); /* has the folder looked at before its time */
    expect("b", 1, false, 0);
    for (int i = 0; i < 250 && tick % US_PER_DAY != 20 * US_PER_HOUR; i++) {
        fixture_spin(&f);
        tick = fixture_dag(&f, "a", &exists).next_end_us;
    }
    assert_int_equal(tick % US_PER_DAY, 20 * US_PER_HOUR);
    expect("a", 1, false, 0);
    assert_int_equal(unsetenv("TZDIR"), 0);
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
        TEST(test_a_missing_folder_is_waited_for),
        TEST(test_an_updated_tzdata_gives_other_ticks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
