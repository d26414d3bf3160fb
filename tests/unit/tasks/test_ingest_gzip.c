/* Packed sources: what is damaged, cut short or not packed at all publishes nothing, and the error
 * says so. */
#include "base/fs.h"
#include "base/json.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct engine *engine;
static char folder[] = "/tmp/millrace-packed-XXXXXX";

static int clear(void **state)
{
    (void)state;
    return system("rm -rf lake lake.millrace in reports && mkdir in reports");
}

/* The rows that ingest wrote, or -1 with the error. */
static int64_t ingest(const char *options, struct err *err)
{
    struct attempt attempt = {
        .dag_id = "d",
        .task_id = "t",
        .run_id = "r",
        .token = "token",
        .try_number = 1,
        .map_index = -1,
        .timezone = "UTC",
        .folder = "reports",
        .temp = "reports",
        .threads = 1,
        .engine = engine,
        .outputs = json_object(),
    };
    json_t *parsed = json_parse(str_from(options), err);

    if (parsed == NULL)
        fail_msg("%s: %s", options, err->message);
    attempt.options = parsed;
    bool ok = ingest_run(&attempt, err);
    int64_t rows = ok ? json_get_int(attempt.outputs, "rows_out", -2) : -1;
    json_decref(parsed);
    json_decref(attempt.outputs);
    return rows;
}

/* Enough rows for several chunks of packed data. */
static void write_rows(const char *path, int rows)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs("a,b\n", file) >= 0);
    for (int i = 0; i < rows; i++)
        assert_true(fprintf(file, "%d,%x\n", i, (unsigned)i * 2654435761U) > 0);
    assert_int_equal(fclose(file), 0);
}

static void flip(const char *path, long at, int whence)
{
    FILE *file = fopen(path, "r+");

    assert_non_null(file);
    assert_int_equal(fseek(file, at, whence), 0);
    int byte = fgetc(file);
    assert_int_not_equal(byte, EOF);
    assert_int_equal(fseek(file, at, whence), 0);
    assert_int_equal(fputc(byte ^ 0x10, file), byte ^ 0x10);
    assert_int_equal(fclose(file), 0);
}

static void run_command(const char *command)
{
    if (system(command) != 0)
        fail_msg("%s failed", command);
}

#define OPTIONS                                                                                    \
    "\"target\": \"lake/e/dt=1\", \"reject\": {\"max_pct\": 100}, \"columns\": {\"a\": "           \
    "\"BIGINT\", \"b\": \"VARCHAR\"}}"

static void expect_rows(const char *source, int64_t rows)
{
    struct err err = {0};
    char options[300];

    (void)snprintf(options, sizeof(options), "{\"source\": \"%s\", " OPTIONS, source);
    int64_t got = ingest(options, &err);
    if (got != rows)
        fail_msg("%s: %lld rows: %s", source, (long long)got, err.message);
}

static void expect_error(const char *source, const char *message)
{
    struct err err = {0};
    char options[300];

    (void)snprintf(options, sizeof(options), "{\"source\": \"%s\", " OPTIONS, source);
    int64_t got = ingest(options, &err);
    if (got != -1 || err.code != ERR_DATA || strstr(err.message, message) == NULL ||
        strstr(err.message, source) == NULL)
        fail_msg("%s: %lld rows, code %d: %s", source, (long long)got, (int)err.code, err.message);
    assert_int_not_equal(access("lake/e/dt=1/_manifest.json", F_OK), 0);
}

/* Several members are one text. */
static void test_good(void **state)
{
    (void)state;
    write_rows("in/a.csv", 200000);
    run_command("gzip -k in/a.csv; zstd -q -k in/a.csv; printf '7,x\\n' >in/b.csv;"
                "printf '' | gzip >in/empty.gz;"
                "gzip -c in/b.csv | cat in/a.csv.gz - in/empty.gz >in/many.csv.gz;"
                "zstd -q -c in/b.csv | cat in/a.csv.zst - >in/many.csv.zst;"
                "printf 'a,b\\n' >in/none.csv; gzip in/none.csv;"
                "head -c 30000000 /dev/zero | tr '\\0' '1' | fold -w 9 | "
                "sed '1s/.*/a,b/; 2,$s/$/,x/' | zstd -q -o in/dense.csv.zst");
    expect_rows("in/a.csv.gz", 200000);
    expect_rows("in/a.csv.zst", 200000);
    expect_rows("in/many.csv.gz", 200001);
    expect_rows("in/many.csv.zst", 200001);
    expect_rows("in/none.csv.gz", 0);
    expect_rows("in/dense.csv.zst", 3333333);
}

static void test_damaged(void **state)
{
    static const struct {
        const char *path;
        long at;
        int whence;
    } rows[] = {
        {"in/a.csv.gz",  -8,     SEEK_END}, /* CRC32 */
        {"in/a.csv.gz",  -4,     SEEK_END}, /* length */
        {"in/a.csv.gz",  300000, SEEK_SET},
        {"in/a.csv.gz",  600000, SEEK_SET},
        {"in/a.csv.gz",  2,      SEEK_SET}, /* method */
        {"in/a.csv.zst", -1,     SEEK_END},
        {"in/a.csv.zst", 300000, SEEK_SET},
    };

    (void)state;
    write_rows("in/a.csv", 200000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run_command("gzip -kf in/a.csv && zstd -q -k -f in/a.csv");
        flip(rows[i].path, rows[i].at, rows[i].whence);
        expect_error(rows[i].path, "is damaged");
    }
}

static void test_cut_short(void **state)
{
    static const long lengths[] = {1000000, 400000, 100, 20, 11, 5};

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        write_rows("in/a.csv", 300000);
        run_command("gzip -kf in/a.csv && zstd -q -k -f in/a.csv");
        assert_int_equal(truncate("in/a.csv.gz", lengths[i]), 0);
        assert_int_equal(truncate("in/a.csv.zst", lengths[i]), 0);
        expect_error("in/a.csv.gz", "is cut short");
        expect_error("in/a.csv.zst", "is cut short");
    }
    run_command("printf 'a,b\\n1,x\\n' | gzip | head -c -1 >in/b.csv.gz");
    expect_error("in/b.csv.gz", "is cut short");
    run_command("printf 'a,b\\n1,x\\n' | zstd -q | head -c -1 >in/b.csv.zst");
    expect_error("in/b.csv.zst", "is cut short");
}

static void test_not_packed(void **state)
{
    (void)state;
    run_command("printf 'a,b\\n1,x\\n' | tee in/a.csv.zst >in/a.csv.gz;"
                "printf a | tee in/b.csv.zst >in/b.csv.gz; : >in/c.csv.gz; : >in/c.csv.zst;"
                ": >in/c.ndjson.gz; printf 'a,b\\n1,x\\n' | zstd -q >in/d.csv.gz;"
                "printf 'a,b\\n1,x\\n' | gzip >in/d.csv.zst");
    expect_error("in/a.csv.gz", "is named .gz but is not gzip");
    expect_error("in/a.csv.zst", "is named .zst but is not zstd");
    expect_error("in/b.csv.gz", "is named .gz but is not gzip");
    expect_error("in/b.csv.zst", "is named .zst but is not zstd");
    expect_error("in/c.csv.gz", "is empty, not even gzip");
    expect_error("in/c.csv.zst", "is empty, not even zstd");
    expect_error("in/c.ndjson.gz", "is empty, not even gzip");
    expect_error("in/d.csv.gz", "is named .gz but is not gzip");
    expect_error("in/d.csv.zst", "is named .zst but is not zstd");
}

static void test_other_bytes_behind(void **state)
{
    (void)state;
    run_command("printf 'a,b\\n1,x\\n' | tee in/a.csv | gzip >in/a.csv.gz;"
                "zstd -q in/a.csv; cp in/a.csv.gz in/b.csv.gz;"
                "printf '2,y\\n' | tee -a in/a.csv.zst >>in/a.csv.gz; printf x >>in/b.csv.gz");
    expect_error("in/a.csv.gz", "other bytes");
    expect_error("in/a.csv.zst", "other bytes");
    expect_error("in/b.csv.gz", "other bytes");
}

static int open_all(void **state)
{
    struct err err = {0};

    (void)state;
    engine = engine_open(&err);
    return engine != NULL && mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int close_all(void **state)
{
    struct err err = {0};

    (void)state;
    engine_close(engine);
    return chdir("/") == 0 && fs_remove_tree(folder, &err) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good, clear),
        cmocka_unit_test_setup(test_damaged, clear),
        cmocka_unit_test_setup(test_cut_short, clear),
        cmocka_unit_test_setup(test_not_packed, clear),
        cmocka_unit_test_setup(test_other_bytes_behind, clear),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
