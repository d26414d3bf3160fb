/* Every expectation on data that meets it, that does not, on no rows, and on nothing but nulls. */
#include "validate_help.h"

static const char data_sql[] =
    "(SELECT i AS id, CASE WHEN i = 10 THEN NULL ELSE i * 10 END AS v, "
    "(i * 0.1)::DECIMAL(10, 2) AS amount, (i / 4)::DOUBLE AS ratio, 'user' || i AS name, "
    "CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END AS plan, NULL::INTEGER AS nothing, "
    "TIMESTAMP '2026-01-01 00:00:00' + to_hours(i) AS ts, "
    "'2026-01-' || lpad(i::VARCHAR, 2, '0') AS day, '{\"i\":' || i || '}' AS js, i % 3 AS m, "
    "10 - i AS down FROM range(1, 11) AS r(i))";

static const char empty_sql[] = "(SELECT * FROM %s WHERE false)";
static const char nulls_sql[] =
    "(SELECT NULL::BIGINT AS id, NULL::BIGINT AS v, NULL::DECIMAL(10, 2) AS amount, NULL::DOUBLE "
    "AS ratio, NULL::VARCHAR AS name, NULL::VARCHAR AS plan, NULL::INTEGER AS nothing, "
    "NULL::TIMESTAMP AS ts, NULL::VARCHAR AS day, NULL::VARCHAR AS js, NULL::BIGINT AS m, "
    "NULL::BIGINT AS down FROM range(4))";

/* One expectation: arguments that hold for the data and arguments that don't, how many rows are
 * then unexpected (-1: it has no counts), and what no rows and all nulls give for the first. */
struct fixture {
    const char *type;
    const char *holds;
    const char *fails;
    int64_t unexpected;
    bool on_empty;
    bool on_nulls;
};

static const struct fixture fixtures[] = {
#define FIXTURE(type, holds, fails, unexpected, on_empty, on_nulls)                                \
    {type, holds, fails, unexpected, on_empty, on_nulls},
#include "expectation_fixtures.def"
#undef FIXTURE
};

#define FIXTURE_COUNT (sizeof(fixtures) / sizeof(fixtures[0]))

static bool other(void *context, const char *path, struct buf *sql, struct err *err)
{
    (void)context;
    if (strcmp(path, "ten") == 0)
        buf_add_text(sql, "(SELECT * FROM range(10))");
    else if (strcmp(path, "three") == 0)
        buf_add_text(sql, "(SELECT range AS k FROM range(3))");
    else
        return err_set(err, ERR_NOT_FOUND, "no dataset %s", path);
    return true;
}

/* Judges one expectation on one table and returns its rule; the caller closes the run. */
static const struct rule *judge(struct run *run, struct engine *engine, const char *type,
                                const char *kwargs, const char *from)
{
    struct buf suite = {0};

    buf_printf(&suite, "{'expectations':[{'type':'%s','kwargs':%s}]}", type, kwargs);
    run_open(run, engine, buf_text(&suite));
    run->v.open_other = other;
    buf_release(&suite);
    run_over(run, from);
    if (run->rules.items[0]->exception != NULL)
        fail_msg("%s %s: %s", type, kwargs, run->rules.items[0]->exception);
    return run->rules.items[0];
}

static void expect(bool actual, bool wanted, const struct fixture *fixture, const char *where)
{
    if (actual != wanted)
        fail_msg("%s on %s: %s", fixture->type, where, actual ? "succeeded" : "failed");
}

static void check_fixture(struct engine *engine, const struct fixture *fixture)
{
    char empty[1200];
    struct run run;

    (void)snprintf(empty, sizeof(empty), empty_sql, data_sql);
    expect(judge(&run, engine, fixture->type, fixture->holds, data_sql)->success, true, fixture,
           "data that meet it");
    run_close(&run);
    const struct rule *rule = judge(&run, engine, fixture->type, fixture->fails, data_sql);
    expect(rule->success, false, fixture, "data that don't");
    if (fixture->unexpected >= 0 && rule->unexpected != fixture->unexpected)
        fail_msg("%s: %lld unexpected", fixture->type, (long long)rule->unexpected);
    assert_int_equal(rule->has_counts, fixture->unexpected >= 0);
    assert_int_equal(rule->samples != NULL, rule->has_counts);
    run_close(&run);
    expect(judge(&run, engine, fixture->type, fixture->holds, empty)->success, fixture->on_empty,
           fixture, "no rows");
    run_close(&run);
    bool on_nulls = fixture->on_nulls;
    rule = judge(&run, engine, fixture->type, fixture->holds, nulls_sql);
    if (strstr(fixture->type, "row_count") == NULL)
        expect(rule->success, on_nulls, fixture, "nulls");
    run_close(&run);
}

static void test_fixtures(void **state)
{
    for (size_t i = 0; i < FIXTURE_COUNT; i++)
        check_fixture(*state, &fixtures[i]);
}

/* The table of fixtures covers the whole catalogue. */
static void test_every_expectation_has_a_fixture(void **state)
{
    static const char *const names[] = {
#define EXPECT_NAMED(text, table, shape, compile, judge, pass, doc) text,
#include "tasks/validate/expectations.def"
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool found = false;
        for (size_t k = 0; k < FIXTURE_COUNT; k++)
            found = found || strcmp(fixtures[k].type, names[i]) == 0;
        if (!found)
            fail_msg("no fixture for %s", names[i]);
    }
}

static void test_mostly_is_exact(void **state)
{
    static const struct {
        const char *mostly;
        bool success;
    } cases[] = {
        {"0.9",       true },
        {"0.95",      false},
        {"0.9000001", false},
        {"0",         true },
        {"1",         false}
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char kwargs[100];
        struct run run;
        (void)snprintf(kwargs, sizeof(kwargs), "{'column':'id','max_value':9,'mostly':%s}",
                       cases[i].mostly);
        const struct rule *rule =
            judge(&run, *state, "expect_column_values_to_be_between", kwargs, data_sql);
        assert_int_equal(rule->success, cases[i].success);
        run_close(&run);
    }
}

static void test_condition_limits_all_counts(void **state)
{
    struct run run;
    const struct rule *rule =
        judge(&run, *state, "expect_column_values_to_be_between",
              "{'column':'v','max_value':50,'row_condition':'plan = ''a'''}", data_sql);

    assert_int_equal(rule->elements, 5);
    assert_int_equal(rule->missing, 1);
    assert_int_equal(rule->unexpected, 2);
    assert_string_equal(rule->samples, "[60,80]");
    assert_string_equal(rule->sample_counts,
                        "[{\"value\":60,\"count\":1},{\"value\":80,\"count\":1}]");
    run_close(&run);
}

static void test_nothing_looked_at_warns(void **state)
{
    struct run run;
    const struct rule *rule = judge(&run, *state, "expect_column_values_to_be_in_set",
                                    "{'column':'nothing','value_set':[1]}", data_sql);

    assert_true(rule->success);
    assert_string_equal(rule->warning, "0 rows evaluated");
    run_close(&run);
}

static void test_history_too_short_warns(void **state)
{
    struct run run;
    const struct rule *rule =
        judge(&run, *state, "expect_row_count_change", "{'min_ratio':5,'min_history':3}", data_sql);

    assert_true(rule->success);
    assert_non_null(rule->warning);
    run_close(&run);
}

/* After empty days: without a limit any number of rows will do, with one none. */
static void test_history_of_nothing(void **state)
{
    static const char *const kwargs[] = {"{'min_ratio':0.5}", "{'max_ratio':2}"};

    for (size_t i = 0; i < 2; i++) {
        struct buf suite = {0};
        struct run run;
        buf_printf(&suite, "{'expectations':[{'type':'expect_row_count_change','kwargs':%s}]}",
                   kwargs[i]);
        run_open(&run, *state, buf_text(&suite));
        json_decref(run.history);
        run.history = parse("[{\"content\":{\"rows\":0}}]");
        run.v.history = run.history;
        run_over(&run, data_sql);
        assert_int_equal(run.rules.items[0]->success, i == 0);
        run_close(&run);
        buf_release(&suite);
    }
}

/* 0.5 ln(0.5/0.45) + 0.4 ln(0.4/0.45) + 0.1 ln(0.1/0.05), the tails sharing a tenth. */
static void test_divergence_by_hand(void **state)
{
    struct run run;
    const struct rule *rule = judge(
        &run, *state, "expect_column_kl_divergence_to_be_less_than",
        "{'column':'id','threshold':1,'tail_weight_holdout':0.1,'partition_object':{'bins':[1,6,"
        "9],'weights':[0.5,0.5]}}",
        data_sql);

    assert_true(strtod(rule->observed, NULL) > 0.074881 - 1e-6);
    assert_true(strtod(rule->observed, NULL) < 0.074881 + 1e-6);
    run_close(&run);
}

static void test_nan_lies_nowhere(void **state)
{
    struct run run;
    const struct rule *rule =
        judge(&run, *state, "expect_column_values_to_be_between", "{'column':'x','min_value':0}",
              "(SELECT unnest([1.0, 'NaN'::DOUBLE, NULL, 'inf'::DOUBLE]) AS x)");

    assert_int_equal(rule->unexpected, 1);
    assert_string_equal(rule->samples, "[\"NaN\"]");
    run_close(&run);
}

/* What can't be judged fails by itself and says why; the others are judged all the same. */
static void test_exceptions_stay_with_their_rule(void **state)
{
    static const struct {
        const char *expectation;
        const char *message;
    } cases[] = {
        {"{'type':'expect_column_values_to_not_be_null','kwargs':{'column':'usr'}}",
         "The column \"usr\" in BatchData does not exist"                                                             },
        {"{'type':'expect_column_values_to_be_between','kwargs':{'column':'name','min_value':1}}",
         "the column is text"                                                                                         },
        {"{'type':'expect_column_values_to_be_between','kwargs':{'column':'id','min_value':'x'}}",
         "the values are numbers"                                                                                     },
        {"{'type':'expect_column_values_to_match_regex','kwargs':{'column':'name','regex':'('}}",
         "missing )"                                                                                                  },
        {"{'type':'expect_column_mean_to_be_between','kwargs':{'column':'name','min_value':1}}",
         "needs numbers"                                                                                              },
        {"{'type':'expect_column_values_to_not_be_null','kwargs':{'column':'id',"
         "'row_condition':'id > 1; DROP VIEW millrace_batch'}}",                          "without `;`"      },
        {"{'type':'expect_column_values_to_not_be_null','kwargs':{'column':'id',"
         "'row_condition':'1 = 1) OR (1 = 1'}}",                                          ""                 },
        {"{'type':'expect_column_values_to_not_be_null','kwargs':{'column':'id',"
         "'row_condition':'id > ) 1 ('}}",                                                "parentheses"      },
        {"{'type':'expect_column_values_to_not_be_null','kwargs':{'column':'id',"
         "'row_condition':'nowhere = 1'}}",                                               "nowhere"          },
        {"{'type':'expect_column_values_to_be_unique','kwargs':{'column':'id',"
         "'row_condition':'name::INTEGER > 1'}}",                                         "Could not convert"},
        {"{'type':'unexpected_rows_expectation','kwargs':{'unexpected_rows_query':"
         "'DROP VIEW {batch}'}}",                                                         "only a SELECT"    },
        {"{'type':'expect_table_row_count_to_equal_other_table','kwargs':{'other_table_name':"
         "'gone'}}",                                                                      "no dataset gone"  },
        {"{'type':'expect_freshness','kwargs':{'column':'ts','max_age':'soon'}}",                  "no duration"      },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf suite = {0};
        struct run run;
        buf_printf(&suite,
                   "{'expectations':[{'type':'expect_column_values_to_not_be_null','kwargs':"
                   "{'column':'v'}},%s,{'type':'expect_column_sum_to_be_between','kwargs':"
                   "{'column':'id','max_value':55}}]}",
                   cases[i].expectation);
        run_open(&run, *state, buf_text(&suite));
        run.v.open_other = other;
        run_over(&run, data_sql);
        assert_int_equal(run.rules.items[0]->unexpected, 1);
        assert_true(run.rules.items[2]->success);
        const struct rule *rule = run.rules.items[1];
        if (rule->exception == NULL || strstr(rule->exception, cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].expectation,
                     rule->exception == NULL ? "no exception" : rule->exception);
        assert_false(rule->success);
        run_close(&run);
        buf_release(&suite);
    }
}

static void test_severity_decides(void **state)
{
    struct run run;
    struct buf reason = {0};

    run_open(
        &run, *state,
        "{'expectations':[{'type':'expect_column_values_to_not_be_null','severity':'warning',"
        "'kwargs':{'column':'v'}},{'type':'expect_column_to_exist','kwargs':{'column':'id'}}]}");
    run_over(&run, data_sql);
    assert_int_equal(run.v.failed, 1);
    assert_int_equal(run.v.failed_critical, 0);
    assert_true(report_success(&run.v));
    report_reason(&run.v, &reason);
    assert_string_equal(
        buf_text(&reason),
        "1 of 2 expectations failed: expect_column_values_to_not_be_null(v): 1 of 10 rows");
    buf_release(&reason);
    run_close(&run);
}

static void test_sla_counts_rows_once(void **state)
{
    static const char suite[] =
        "{'expectations':["
        "{'type':'expect_column_values_to_be_between','severity':'warning','kwargs':{'column':'id',"
        "'max_value':8}},"
        "{'type':'expect_column_values_to_not_be_null','severity':'warning','kwargs':{'column':"
        "'v'}},"
        "{'type':'expect_column_values_to_be_null','severity':'info','kwargs':{'column':'id'}}]}";
    static const struct {
        double pct;
        bool success;
    } cases[] = {
        {80,   true },
        {80.1, false}
    };

    for (size_t i = 0; i < 2; i++) {
        struct run run;
        run_open(&run, *state, suite);
        run.v.valid_rows_pct = cases[i].pct;
        run_over(&run, data_sql);
        assert_int_equal(run.v.valid_rows, 8); /* row 10 falls short twice */
        assert_int_equal(report_success(&run.v), cases[i].success);
        run_close(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_every_expectation_has_a_fixture),
        cmocka_unit_test(test_mostly_is_exact),
        cmocka_unit_test(test_condition_limits_all_counts),
        cmocka_unit_test(test_nothing_looked_at_warns),
        cmocka_unit_test(test_history_too_short_warns),
        cmocka_unit_test(test_history_of_nothing),
        cmocka_unit_test(test_divergence_by_hand),
        cmocka_unit_test(test_nan_lies_nowhere),
        cmocka_unit_test(test_exceptions_stay_with_their_rule),
        cmocka_unit_test(test_severity_decides),
        cmocka_unit_test(test_sla_counts_rows_once),
    };

    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
