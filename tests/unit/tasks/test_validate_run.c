/* validate as an attempt: published data in, report and outputs out; suites of Great Expectations;
 * what is refused. */
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "millrace/attempt.h"
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
static char folder[] = "/tmp/millrace-validate-XXXXXX";

/* JSON is written with single quotes in this file. */
static char *json_quotes(const char *text)
{
    char *copy = mem_strdup(text);

    for (char *at = strchr(copy, '\''); at != NULL; at = strchr(at, '\''))
        *at = '"';
    return copy;
}

static json_t *parse(const char *text)
{
    struct err err = {0};
    char *json = json_quotes(text);
    json_t *value = json_parse(str_from(json), &err);

    if (value == NULL)
        fail_msg("bad JSON in the test: %s: %s", text, err.message);
    free(json);
    return value;
}

static struct attempt make_attempt(const json_t *options)
{
    return (struct attempt){
        .dag_id = "shop",
        .task_id = "check",
        .run_id = "scheduled__2026-01-03",
        .token = "token-1",
        .try_number = 1,
        .map_index = -1,
        .interval_end_us = INT64_C(1767484800000000), /* 2026-01-04 */
        .timezone = "UTC",
        .options = options,
        .folder = folder,
        .temp = folder,
        .engine = engine,
        .outputs = json_object(),
    };
}

/* Publishes `rows` rows under lake/events/dt=<day>. */
static void publish_day(const char *day, int rows)
{
    json_t *options = json_object();
    struct attempt attempt = make_attempt(options);
    struct err err = {0};
    char target[100];
    char sql[600];
    bool unchanged;

    (void)snprintf(target, sizeof(target), "lake/events/dt=%s", day);
    struct publication *publication = publication_begin(&attempt, target, &err);
    if (publication == NULL)
        fail_msg("%s", err.message);
    (void)snprintf(sql, sizeof(sql),
                   "COPY (SELECT i AS event_id, CASE WHEN i %% 10 = 3 THEN NULL ELSE i %% 5 END AS "
                   "user_id, (i * 0.25)::DECIMAL(10, 2) AS amount, TIMESTAMP '%s' + to_minutes(i) "
                   "AS event_ts FROM range(%d) AS r(i)) TO '%s/part-000.parquet' (FORMAT parquet)",
                   day, rows, publication_folder(publication));
    if (!engine_run(engine, sql, NULL, &err) ||
        !publication_add_file(publication, "part-000.parquet", rows, &err) ||
        !publication_describe_parquet(publication, &err) ||
        !publication_commit(publication, &unchanged, &err))
        fail_msg("%s", err.message);
    publication_free(publication);
    json_decref(attempt.outputs);
    json_decref(options);
}

/* One attempt with these options; the outputs are the caller's. */
static json_t *run(const char *options_text, bool *ret_ok, struct err *err)
{
    json_t *options = parse(options_text);
    struct attempt attempt = make_attempt(options);

    *err = (struct err){0};
    *ret_ok = validate_run(&attempt, err);
    json_decref(options);
    return attempt.outputs;
}

static json_t *read_report(void)
{
    struct buf text = {0};
    struct err err = {0};
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/validation.json", folder);
    if (!fs_read_file(path, 1 << 20, &text, &err))
        fail_msg("%s", err.message);
    json_t *report = json_parse(buf_str(&text), &err);
    assert_non_null(report);
    buf_release(&text);
    return report;
}

static void write_file(const char *name, const char *text)
{
    struct err err = {0};
    char *json = json_quotes(text);

    assert_true(fs_write_file(name, str_from(json), 0644, &err));
    free(json);
}

static void assert_json(const json_t *value, const char *expected)
{
    json_t *wanted = parse(expected);

    if (!json_equal((json_t *)(uintptr_t)value, wanted)) {
        char *text = json_dumps(value, JSON_INDENT(1) | JSON_ENCODE_ANY);
        fail_msg("not %s, but %s", expected, text);
    }
    json_decref(wanted);
}

static void test_success(void **state)
{
    struct err err;
    bool ok;
    json_t *outputs =
        run("{'dataset':'lake/events/dt=2026-01-03','expectations':["
            "{'expect_column_values_to_be_unique':{'column':'event_id'}},"
            "{'expect_row_count_change':{'partitions':2,'min_ratio':0.5,'min_history':1}},"
            "{'expect_freshness':{'column':'event_ts','max_age':'24h'}},"
            "{'expect_column_values_to_not_be_null':{'column':'user_id','severity':'warning'}},"
            "{'expect_column_values_to_exist_in_dataset':{'column':'user_id','dataset':"
            "'lake/events','other_column':'user_id'}}]}",
            &ok, &err);

    (void)state;
    if (!ok)
        fail_msg("%s", err.message);
    assert_true(json_get_bool(outputs, "success", false));
    assert_int_equal(json_get_int(outputs, "rows", -1), 100);
    assert_int_equal(json_get_int(outputs, "evaluated", -1), 5);
    assert_int_equal(json_get_int(outputs, "unsuccessful", -1), 1);
    assert_json(json_object_get(outputs, "failed"),
                "['expect_column_values_to_not_be_null(user_id)']");
    assert_int_equal(strlen(json_get_string(outputs, "version", "")), 16);
    json_t *report = read_report();
    assert_false(json_get_bool(report, "success", true));
    const json_t *change = json_array_get(json_object_get(report, "results"), 1);
    assert_json(json_object_get(change, "result"),
                "{'observed_value':100,'details':{'rows_before':90.0,'partitions':2}}");
    json_decref(report);
    json_decref(outputs);
}

static void test_failure_has_the_shape_of_gx(void **state)
{
    struct err err;
    bool ok;
    json_t *outputs =
        run("{'dataset':'lake/events/dt=2026-01-03','sla':{'valid_rows_pct':99.5},'expectations':["
            "{'expect_column_values_to_be_in_set':{'column':'user_id','value_set':[0,1,2,4],"
            "'mostly':0.95,'severity':'critical','meta':{'owner':'x'},'id':'e7'}}]}",
            &ok, &err);
    json_t *report = read_report();
    const json_t *result = json_array_get(json_object_get(report, "results"), 0);
    const json_t *meta = json_object_get(report, "meta");

    (void)state;
    assert_false(ok);
    assert_int_equal(err.code, ERR_FINDINGS);
    assert_string_equal(err.message,
                        "1 of 1 expectations failed: expect_column_values_to_be_in_set(user_id): "
                        "10 of 90 rows; sla: 90 of 100 rows valid, 99.5 % asked for");
    assert_false(json_get_bool(outputs, "success", true));
    assert_json(json_object_get(report, "statistics"),
                "{'evaluated_expectations':1,'successful_expectations':0,"
                "'unsuccessful_expectations':1,'success_percent':0.0}");
    assert_json(json_object_get(result, "expectation_config"),
                "{'type':'expect_column_values_to_be_in_set','kwargs':{'column':'user_id',"
                "'value_set':[0,1,2,4],'mostly':0.95},'severity':'critical','meta':{'owner':'x'},"
                "'id':'e7'}");
    assert_json(json_object_get(result, "result"),
                "{'element_count':100,'unexpected_count':10,'unexpected_percent':"
                "11.1111111111111107,'partial_unexpected_list':[3,3,3,3,3,3,3,3,3,3],"
                "'missing_count':10,'missing_percent':10.0,'unexpected_percent_total':10.0,"
                "'unexpected_percent_nonmissing':11.1111111111111107,"
                "'partial_unexpected_counts':[{'value':3,'count':10}],'details':{}}");
    assert_json(json_object_get(result, "exception_info"),
                "{'raised_exception':false,'exception_message':null,'exception_traceback':null}");
    assert_string_equal(json_get_string(report, "suite_name", ""), "shop.check");
    assert_string_equal(json_get_string(meta, "checkpoint_name", ""), "shop.check");
    assert_non_null(json_object_get(json_object_get(meta, "run_id"), "run_time"));
    json_decref(report);
    json_decref(outputs);
}

static void test_suites(void **state)
{
    struct err err;
    bool ok;

    (void)state;
    write_file("suite.json",
               "{'name':'events.basic','meta':{'great_expectations_version':'1.5.11'},"
               "'expectations':["
               "{'type':'expect_column_values_to_be_between','kwargs':{'column':'amount',"
               "'min_value':0,'max_value':20},'severity':'warning','meta':{},'id':'a'},"
               "{'expectation_type':'expect_table_columns_to_match_set','kwargs':{'column_set':"
               "['event_id','user_id','amount','event_ts'],'result_format':'BASIC'}}]}");
    json_t *outputs = run("{'dataset':'lake/events/dt=2026-01-03','suite':'suite.json',"
                          "'expectations':[]}",
                          &ok, &err);
    if (!ok)
        fail_msg("%s", err.message);
    assert_json(json_object_get(outputs, "failed"),
                "['expect_column_values_to_be_between(amount)']");
    json_t *report = read_report();
    assert_string_equal(json_get_string(report, "suite_name", ""), "events.basic");
    json_decref(report);
    json_decref(outputs);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *suite;
        const char *options;
        enum err_code code;
        const char *message;
    } cases[] = {
        {NULL,
         "{'dataset':'lake/nowhere','expectations':[{'expect_column_to_exist':{'column':'a'}}]}",                                                       ERR_NOT_FOUND, "dataset lake/nowhere"   },
        {NULL,                                                                                      "{'dataset':'lake/events','suite':'missing.json'}", ERR_INVALID,   "missing.json"           },
        {NULL,                                                                                      "{'dataset':'lake/events','expectations':[]}",      ERR_INVALID,   "nothing to validate"    },
        {"{'expectations':[",                                                                       "{'dataset':'lake/events','suite':'bad.json'}",     ERR_INVALID,
         "suite: bad.json:1:"                                                                                                                                                                   },
        {"{'name':'x'}",                                                                            "{'dataset':'lake/events','suite':'bad.json'}",     ERR_INVALID,
         "the list `expectations`"                                                                                                                                                              },
        {"{'expectations':[{'type':'expect_magic','kwargs':{}}]}",
         "{'dataset':'lake/events','suite':'bad.json'}",                                                                                                ERR_INVALID,
         "expectations[0]: unknown expectation expect_magic"                                                                                                                                    },
        {"{'expectations':[{'type':'expect_column_values_to_be_in_set','kwargs':{'column':'a'}}]}",
         "{'dataset':'lake/events','suite':'bad.json'}",                                                                                                ERR_INVALID,   "value_set is missing"   },
        {"{'expectations':[{'type':'expect_column_to_exist','kwargs':{'column':'a','colunm':1}}]}",
         "{'dataset':'lake/events','suite':'bad.json'}",                                                                                                ERR_INVALID,   "unknown argument colunm"},
        {"{'expectations':[{'type':'expect_column_values_to_not_be_null','kwargs':{'column':'a',"
         "'mostly':1.5}}]}",                                                               "{'dataset':'lake/events','suite':'bad.json'}",     ERR_INVALID,   "argument mostly"        },
        {"{'expectations':[{'type':'expect_column_values_to_be_between','kwargs':{'column':'a',"
         "'min_value':{'$PARAMETER':'x'}}}]}",                                             "{'dataset':'lake/events','suite':'bad.json'}",     ERR_INVALID,   "argument min_value"     },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err;
        bool ok;
        if (cases[i].suite != NULL)
            write_file("bad.json", cases[i].suite);
        json_t *outputs = run(cases[i].options, &ok, &err);
        assert_false(ok);
        if (err.code != cases[i].code || strstr(err.message, cases[i].message) == NULL)
            fail_msg("%s: %s: %s", cases[i].options, err_name(err.code), err.message);
        json_decref(outputs);
    }
}

static void test_published_report_is_the_same_each_time(void **state)
{
    static const char options[] =
        "{'dataset':'lake/events','report':'reports/events','expectations':["
        "{'expect_table_row_count_to_equal':{'value':280}}]}";
    char *versions[2];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct err err = {0};
        bool ok;
        json_decref(run(options, &ok, &err));
        if (!ok)
            fail_msg("%s", err.message);
        struct dataset *dataset = dataset_open("reports/events", &err);
        assert_non_null(dataset);
        versions[i] = strdup(json_get_string(dataset_manifest(dataset, 0), "version", ""));
        dataset_free(dataset);
    }
    assert_string_equal(versions[0], versions[1]);
    free(versions[0]);
    free(versions[1]);
}

static int set_up(void **state)
{
    struct err err = {0};

    (void)state;
    engine = engine_open(&err);
    if (engine == NULL || mkdtemp(folder) == NULL || chdir(folder) != 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    publish_day("2026-01-01", 80);
    publish_day("2026-01-02", 100);
    publish_day("2026-01-03", 100);
    return 0;
}

static int tear_down(void **state)
{
    struct err err = {0};

    (void)state;
    engine_close(engine);
    return chdir("/") == 0 && fs_remove_tree(folder, &err) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_failure_has_the_shape_of_gx),
        cmocka_unit_test(test_suites),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_published_report_is_the_same_each_time),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
