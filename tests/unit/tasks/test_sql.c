/* sql: what may run, what is published, and what it says of its inputs. */
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
#include <unistd.h>

static struct engine *engine;
static char folder[] = "/tmp/millrace-sql-XXXXXX";

/* Of the attempts below: what could make their outputs stand for their work. */
static bool cache;
static int kind_version = 1;
static int64_t interval_end_us;

static json_t *run(const char *options, struct err *err)
{
    struct attempt attempt = {
        .kind = "sql",
        .kind_version = kind_version,
        .cache = cache,
        .interval_end_us = interval_end_us,
        .dag_id = "d",
        .task_id = "t",
        .run_id = "r",
        .token = "token",
        .try_number = 1,
        .map_index = -1,
        .engine = engine,
        .outputs = json_object(),
    };
    struct err parse = {0};
    json_t *parsed = json_parse(str_from(options), &parse);

    if (parsed == NULL)
        fail_msg("%s: %s", options, parse.message);
    attempt.options = parsed;
    *err = (struct err){0};
    bool ok = sql_run(&attempt, err);
    json_decref(parsed);
    if (ok)
        return attempt.outputs;
    json_decref(attempt.outputs);
    return NULL;
}

static json_t *must_run(const char *options)
{
    struct err err = {0};
    json_t *outputs = run(options, &err);

    if (outputs == NULL)
        fail_msg("%s: %s", options, err.message);
    return outputs;
}

static void assert_rows(const char *target, const char *select, const char *want)
{
    struct err err = {0};
    struct buf sql = {0};
    struct dataset *dataset = dataset_open(target, &err);

    assert_non_null(dataset);
    buf_printf(&sql, "SELECT %s AS v FROM ", select);
    dataset_add_source(dataset, &sql);
    json_t *row = engine_one_row(engine, buf_text(&sql), &err);
    if (row == NULL)
        fail_msg("%s", err.message);
    assert_string_equal(json_get_string(row, "v", "?"), want);
    json_decref(row);
    dataset_free(dataset);
    buf_release(&sql);
}

static void test_inputs_to_target(void **state)
{
    (void)state;
    json_decref(
        must_run("{\"query\": \"SELECT 1 AS i, 'a' AS s\", \"target\": \"lake/e/dt=2026-01-01\"}"));
    json_decref(must_run("{\"query\": \"FROM (VALUES (3, 'c'), (2, 'b')) t(i, s)\", \"target\": "
                         "\"lake/e/dt=2026-01-02\", \"order_by\": [\"i\"]}"));
    assert_rows("lake/e/dt=2026-01-02", "array_agg(i)::VARCHAR", "[2, 3]");
    json_t *outputs = must_run(
        "{\"inputs\": {\"e\": \"lake/e\", \"second\": \"lake/e/dt=2026-01-02\"}, \"query\": "
        "\"SELECT "
        "dt, sum(i) AS total, (SELECT count(*) FROM second) AS n FROM e GROUP BY dt -- last\\n;\", "
        "\"target\": \"lake/totals\", \"order_by\": \"dt\"}");
    assert_int_equal(json_get_int(outputs, "rows_out", 0), 2);
    assert_rows("lake/totals", "string_agg(dt || ' ' || total || ' ' || n, ', ')",
                "2026-01-01 1 2, 2026-01-02 5 2");

    struct err err = {0};
    struct dataset *dataset = dataset_open("lake/totals", &err);
    const json_t *content = json_object_get(dataset_manifest(dataset, 0), "content");
    assert_int_equal(json_array_size(json_object_get(content, "inputs")), 3);
    assert_string_equal(
        json_get_string(json_array_get(json_object_get(content, "inputs"), 0), "partition", ""),
        "dt=2026-01-01");
    dataset_free(dataset);
    json_decref(outputs);
}

static void test_refuses(void **state)
{
    static const struct {
        const char *options;
        enum err_code code;
        const char *message;
    } rows[] = {
        {"{\"query\": \"DROP TABLE x\", \"target\": \"lake/x\"}",                                  ERR_INVALID, "query: "                                      },
        {"{\"query\": \"CREATE TABLE x AS SELECT 1\", \"target\": \"lake/x\"}",                    ERR_INVALID,
         "only a SELECT"                                                                                                                                       },
        {"{\"query\": \"COPY (SELECT 1) TO 'stolen.csv'\", \"target\": \"lake/x\"}",               ERR_INVALID,
         "only a SELECT"                                                                                                                                       },
        {"{\"query\": \"SELECT 1; SELECT 2\", \"target\": \"lake/x\"}",                            ERR_INVALID,
         "there are 2 statements"                                                                                                                              },
        {"{\"query\": \"SELECT 1) TO 'stolen.csv'; --\", \"target\": \"lake/x\"}",                 ERR_INVALID,
         "query"                                                                                                                                               },
        {"{\"query\": \"\", \"target\": \"lake/x\"}",                                              ERR_INVALID, "query"                                        },
        {"{\"query\": \"SELECT nope\", \"target\": \"lake/x\"}",                                   ERR_INVALID, "nope"                                         },
        {"{\"inputs\": {\"e\": \"lake/nothing\"}, \"query\": \"FROM e\", \"target\": \"lake/x\"}",
         ERR_NOT_FOUND,                                                                                         "input e: nothing is published at lake/nothing"},
        {"{\"query\": \"SELECT 1 AS i\", \"order_by\": [\"j\"], \"target\": \"lake/x\"}",
         ERR_INVALID,                                                                                           "j"                                            },
        {"{\"query\": \"SELECT error('boom')\", \"target\": \"lake/x\"}",                          ERR_DATA,    "boom"                                         },
        {"{\"query\": \"SELECT 1 AS i\", \"target\": \"lake/.x\"}",                                ERR_INVALID, "begins with '.'"                              },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        json_t *outputs = run(rows[i].options, &err);
        if (outputs != NULL || err.code != rows[i].code ||
            strstr(err.message, rows[i].message) == NULL)
            fail_msg("%s: %s: %s", rows[i].options, err_name(err.code), err.message);
        assert_int_not_equal(access("lake/x", F_OK), 0);
        assert_int_not_equal(access("stolen.csv", F_OK), 0);
    }
}

/* A sum of integers is HUGEINT, which Parquet would turn into a float. */
static void test_sums_stay_exact(void **state)
{
    struct err err = {0};

    (void)state;
    json_decref(must_run("{\"query\": \"SELECT sum(i) AS total FROM (VALUES (9007199254740993)) "
                         "t(i)\", \"target\": \"lake/sums\"}"));
    assert_rows("lake/sums", "typeof(total) || ' ' || total", "BIGINT 9007199254740993");
    assert_null(run("{\"query\": \"SELECT sum(i) AS total FROM (VALUES (9223372036854775807), (1)) "
                    "t(i)\", \"target\": \"lake/large\"}",
                    &err));
    assert_non_null(strstr(err.message, "out of range"));
}

static void test_again_is_unchanged(void **state)
{
    static const char options[] = "{\"query\": \"SELECT i FROM range(1000) t(i)\", \"order_by\": "
                                  "\"i\", \"target\": \"lake/r\"}";
    json_t *first = must_run(options);
    json_t *second = must_run(options);

    (void)state;
    assert_false(json_get_bool(first, "unchanged", true));
    assert_true(json_get_bool(second, "unchanged", false));
    assert_string_equal(json_get_string(first, "version", "?"),
                        json_get_string(second, "version", "!"));
    json_decref(first);
    json_decref(second);
}

/* A query that gives another row each time it really runs. */
#define ANY_ROW(more)                                                                              \
    "{\"inputs\": {\"e\": \"lake/cached_in\"}, \"query\": \"SELECT uuid() AS u"                    \
    " FROM e" more "\", \"target\": \"lake/cached\"}"
#define INPUT(value) "{\"query\": \"SELECT " value " AS i\", \"target\": \"lake/cached_in\"}"

/* Whether the work is done again, seen by the version. */
static bool works_again(const char *options)
{
    static char last[64];
    json_t *outputs = must_run(options);
    const char *version = json_get_string(outputs, "version", "?");
    bool is_new = strcmp(version, last) != 0;

    assert_int_equal(json_get_bool(outputs, "unchanged", false), !is_new);
    assert_int_equal(json_get_int(outputs, "rows_out", 0), 1);
    (void)snprintf(last, sizeof(last), "%s", version);
    json_decref(outputs);
    return is_new;
}

static void remove_data(const char *target)
{
    struct err err = {0};
    struct dataset *dataset = dataset_open(target, &err);
    const json_t *files = json_object_get(dataset_manifest(dataset, 0), "files");
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/%s", target,
                   json_string_value(json_array_get(files, 0)));
    assert_int_equal(unlink(path), 0);
    dataset_free(dataset);
}

static void test_unchanged_work_is_skipped(void **state)
{
    (void)state;
    json_decref(must_run(INPUT("1")));
    cache = true;
    assert_true(works_again(ANY_ROW("")));
    assert_false(works_again(ANY_ROW("")));
    assert_false(works_again(ANY_ROW("")));
    cache = false; /* `cache: false`, or --force */
    assert_true(works_again(ANY_ROW("")));
    cache = true;
    assert_false(works_again(ANY_ROW("")));
    assert_true(works_again(ANY_ROW(" WHERE true"))); /* other options */
    assert_false(works_again(ANY_ROW(" WHERE true")));
    json_decref(must_run(INPUT("2"))); /* another version of the input */
    assert_true(works_again(ANY_ROW(" WHERE true")));
    json_decref(must_run(INPUT("2"))); /* the same again */
    assert_false(works_again(ANY_ROW(" WHERE true")));
    kind_version++;
    assert_true(works_again(ANY_ROW(" WHERE true")));
    assert_false(works_again(ANY_ROW(" WHERE true")));
    interval_end_us = 1;
    assert_true(works_again(ANY_ROW(" WHERE true")));
    assert_false(works_again(ANY_ROW(" WHERE true")));
    remove_data("lake/cached");
    assert_true(works_again(ANY_ROW(" WHERE true")));
    cache = false;
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
        cmocka_unit_test(test_inputs_to_target),          cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_sums_stay_exact),           cmocka_unit_test(test_again_is_unchanged),
        cmocka_unit_test(test_unchanged_work_is_skipped),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
