/* feature: equal to a brute-force oracle on events with ties, window edges, missing keys and times,
 * late arrivals and empty histories; the same bytes every time; errors that name what is wrong. */
#include "test_feature_fixture.h"

/* Times on a grid of 6 hours, so that ties and exact window edges are frequent. One entity has a
 * third of all events. */
static const char events_sql[] =
    "SELECT CASE WHEN h % 29 = 0 THEN NULL WHEN h % 3 = 0 THEN 1 ELSE h % 40 END::INTEGER AS u, "
    "CASE WHEN h % 31 = 0 THEN NULL ELSE TIMESTAMPTZ '2026-01-01 00:00:00+00' + "
    "((h // 7) % 400)::INTEGER * INTERVAL 6 HOUR END AS ts, "
    "CASE WHEN h % 37 = 0 THEN NULL ELSE TIMESTAMPTZ '2026-01-01 00:00:00+00' + "
    "((h // 7) % 400)::INTEGER * INTERVAL 6 HOUR + ((h // 11) % 9)::INTEGER * INTERVAL 12 HOUR "
    "END AS seen, "
    "CASE WHEN h % 5 = 0 THEN NULL ELSE ((h // 13) % 10000 - 3000) / 100 END::DECIMAL(12,2) AS "
    "amount, "
    "CASE WHEN h % 7 = 0 THEN NULL ELSE (h // 17) % 100 END::INTEGER AS n, "
    "((h // 19) % 1000) / 7.0::DOUBLE AS f, "
    "chr(97 + ((h // 23) % 5)::INTEGER) AS kind "
    "FROM (SELECT (millrace_xxh3(i::VARCHAR, 1::UBIGINT) % 1000000007)::BIGINT AS h "
    "FROM range(3000) t(i))";

static const char labels_sql[] =
    "SELECT CASE WHEN h % 19 = 0 THEN NULL ELSE h % 45 END::BIGINT AS u, TIMESTAMPTZ "
    "'2026-01-01 00:00:00+00' + ((h // 7) % 420)::INTEGER * INTERVAL 6 HOUR AS label_ts, "
    "h % 2 = 0 AS churned FROM (SELECT (millrace_xxh3(i::VARCHAR, 2::UBIGINT) % "
    "1000000007)::BIGINT AS h FROM range(600) t(i)) UNION ALL SELECT 1, TIMESTAMPTZ "
    "'2026-02-01 00:00:00+00', true FROM range(2)";

#define FEATURES                                                                                   \
    "'features': {"                                                                                \
    "'n7': {'source': 'e', 'agg': 'count', 'window': '7d'},"                                       \
    "'n_all': {'source': 'e', 'agg': 'count'},"                                                    \
    "'spend7': {'source': 'e', 'agg': 'sum', 'column': 'amount', 'window': '7d'},"                 \
    "'spend30': {'source': 'e', 'agg': 'sum', 'column': 'AMOUNT', 'window': '30d', "               \
    "'default': 0.5},"                                                                             \
    "'spend_a': {'source': 'e', 'agg': 'sum', 'column': 'amount', 'window': '7d', 'where': "       \
    "'kind = `a` -- only these'},"                                                                 \
    "'n_amount': {'source': 'e', 'agg': 'count', 'column': 'amount', 'window': '6h'},"             \
    "'sum_n': {'source': 'e', 'agg': 'sum', 'column': 'n', 'window': '36h'},"                      \
    "'mean_n': {'source': 'e', 'agg': 'mean', 'column': 'n', 'window': '7d'},"                     \
    "'max7': {'source': 'e', 'agg': 'max', 'column': 'amount', 'window': '7d'},"                   \
    "'min_all': {'source': 'e', 'agg': 'min', 'column': 'kind'},"                                  \
    "'last7': {'source': 'e', 'agg': 'last', 'column': 'amount', 'window': '7d'},"                 \
    "'first7': {'source': 'e', 'agg': 'first', 'column': 'n', 'window': '7d', 'default': -1},"     \
    "'kinds': {'source': 'e', 'agg': 'count_distinct', 'column': 'kind', 'window': '3d'},"         \
    "'sd': {'source': 'e', 'agg': 'stddev', 'column': 'n', 'window': '30d'},"                      \
    "'fsum': {'source': 'e', 'agg': 'sum', 'column': 'f', 'window': '30d'}}"

/* The same by looking at every event for every row. */
#define ORACLE(seen)                                                                               \
    "SELECT count(e.i) FILTER (e.ts > l.ts - INTERVAL 7 DAY) AS n7, count(e.i) AS n_all, "         \
    "sum(amount) FILTER (e.ts > l.ts - INTERVAL 7 DAY) AS spend7, "                                \
    "coalesce(sum(amount) FILTER (e.ts > l.ts - INTERVAL 30 DAY), 0.5) AS spend30, "               \
    "sum(amount) FILTER (e.ts > l.ts - INTERVAL 7 DAY AND kind = 'a') AS spend_a, "                \
    "count(amount) FILTER (e.ts > l.ts - INTERVAL 6 HOUR) AS n_amount, "                           \
    "sum(n) FILTER (e.ts > l.ts - INTERVAL 36 HOUR) AS sum_n, "                                    \
    "avg(n) FILTER (e.ts > l.ts - INTERVAL 7 DAY) AS mean_n, "                                     \
    "max(amount) FILTER (e.ts > l.ts - INTERVAL 7 DAY) AS max7, min(kind) AS min_all, "            \
    "arg_max(amount, (e.ts, amount)) FILTER (e.ts > l.ts - INTERVAL 7 DAY AND amount IS NOT NULL)" \
    " AS last7, "                                                                                  \
    "coalesce(arg_min(n, (e.ts, n)) FILTER (e.ts > l.ts - INTERVAL 7 DAY AND n IS NOT NULL), -1) " \
    "AS first7, "                                                                                  \
    "count(DISTINCT kind) FILTER (e.ts > l.ts - INTERVAL 3 DAY) AS kinds, "                        \
    "stddev_samp(n) FILTER (e.ts > l.ts - INTERVAL 30 DAY) AS sd, "                                \
    "fsum(f) FILTER (e.ts > l.ts - INTERVAL 30 DAY) AS fsum, l.* FROM rows l LEFT JOIN "           \
    "(SELECT row_number() OVER () AS i, * FROM raw_events) e ON e.u = l.u AND e.ts <= l.ts " seen  \
    " GROUP BY ALL"

#define EXACT                                                                                      \
    "u, ts, n7, n_all, spend7, spend30, spend_a, n_amount, sum_n, mean_n, max7, min_all, last7, "  \
    "first7, kinds, round(sd, 9), round(fsum, 6)"

static struct fixture *make_data(void **state)
{
    struct fixture *f = *state;

    fixture_publish(f, "lake/events", events_sql);
    fixture_publish(f, "lake/labels", labels_sql);
    return f;
}

static void run(struct fixture *f, const char *options)
{
    struct attempt *attempt = fixture_attempt(f, options);
    struct err err = {0};

    if (!feature_run(attempt, &err))
        fail_msg("%s", err.message);
}

/* How many rows differ between what was published and the oracle over `rows`. */
static int64_t difference(struct fixture *f, const char *rows, const char *time, const char *oracle)
{
    struct buf sql = {0};
    fixture_load(f, "raw_events", "lake/events");
    fixture_load(f, "raw_labels", "lake/labels");
    fixture_load(f, "result", "lake/out");

    buf_printf(&sql, "CREATE OR REPLACE VIEW rows AS %s", rows);
    fixture_run(f, buf_text(&sql));
    buf_clear(&sql);
    buf_printf(&sql,
               "WITH want AS (SELECT " EXACT " FROM (%s)), got AS (SELECT " EXACT
               " FROM (SELECT *, %s AS ts FROM result)) SELECT (SELECT count(*) FROM (FROM want "
               "EXCEPT ALL FROM got)) + (SELECT count(*) FROM (FROM got EXCEPT ALL FROM want))",
               oracle, time);
    int64_t count = fixture_int(f, buf_text(&sql));
    buf_release(&sql);
    return count;
}

#define SPINE_ROWS "SELECT row_number() OVER () AS id, u, label_ts AS ts, churned FROM raw_labels"

static void test_labels_match_oracle(void **state)
{
    struct fixture *f = make_data(state);

    run(f, "{'target': 'lake/out', 'entity': ['u'], 'sources': {'e': {'dataset': 'lake/events', "
           "'time': 'ts'}}, 'spine': {'dataset': 'lake/labels', 'time': 'label_ts', 'keep': "
           "['churned']}, " FEATURES "}");
    assert_int_equal(json_get_int(f->attempt.outputs, "rows_out", 0), 602);
    assert_int_equal(difference(f, SPINE_ROWS, "label_ts", ORACLE("")), 0);
    assert_int_equal(fixture_int(f, "SELECT count(*) FROM result WHERE spend7 IS NULL") > 0, true);
    assert_int_equal(fixture_int(f, "SELECT count(*) FROM result WHERE n7 > 3") > 0, true);
    assert_int_equal(fixture_int(f, "SELECT count(*) FROM result WHERE u IS NULL AND n_all = 0"),
                     fixture_int(f, "SELECT count(*) FROM rows WHERE u IS NULL"));
}

/* An event that arrived after the row's time does not count, even if it happened before. */
static void test_strict_availability(void **state)
{
    struct fixture *f = make_data(state);

    run(f, "{'target': 'lake/out', 'entity': 'u', 'strict_availability': true, 'sources': {'e': "
           "{'dataset': 'lake/events', 'time': 'ts', 'available': 'seen'}}, 'spine': {'dataset': "
           "'lake/labels', 'time': 'label_ts'}, " FEATURES "}");
    assert_int_equal(difference(f, SPINE_ROWS, "label_ts", ORACLE("AND e.seen <= l.ts")), 0);
    assert_int_not_equal(difference(f, SPINE_ROWS, "label_ts", ORACLE("")), 0);
}

static void test_snapshot(void **state)
{
    struct fixture *f = make_data(state);

    run(f, "{'target': 'lake/out', 'entity': ['u'], 'as_of': '2026-02-15', 'sources': {'e': "
           "{'dataset': 'lake/events', 'time': 'ts', 'where': 'u <> 3'}}, " FEATURES "}");
    assert_int_equal(difference(f,
                                "SELECT DISTINCT u, TIMESTAMPTZ '2026-02-15 00:00:00+00' AS ts "
                                "FROM raw_events WHERE ts <= '2026-02-15' AND u <> 3",
                                "as_of", ORACLE("")),
                     0);
    assert_int_equal(fixture_int(f, "SELECT count(*) FROM result") > 30, true);
}

/* A time without an offset is in the DAG's zone: 2026-02-15 begins at 23:00 UTC the day before. */
static void test_snapshot_zone(void **state)
{
    struct fixture *f = make_data(state);
    struct err err = {0};
    struct attempt *attempt = fixture_attempt(
        f, "{'target': 'lake/out', 'entity': ['u'], 'as_of': '2026-02-15', 'sources': {'e': "
           "{'dataset': 'lake/events', 'time': 'ts'}}, 'features': {'n': {'source': 'e', 'agg': "
           "'count', 'window': '1d'}}}");

    attempt->timezone = "Europe/Berlin";
    assert_true(feature_run(attempt, &err));
    fixture_load(f, "result", "lake/out");
    assert_int_equal(
        fixture_int(f, "SELECT count(*) FROM result WHERE as_of <> '2026-02-14 23:00:00+00'"), 0);
}

/* What lies after the labels can't matter, and neither can the number of threads. */
static void test_no_leak_and_same_bytes(void **state)
{
    static const char options[] =
        "{'target': 'lake/out', 'entity': ['u'], 'sources': {'e': {'dataset': 'lake/events', "
        "'time': 'ts'}}, 'spine': {'dataset': 'lake/labels', 'time': 'label_ts'}, " FEATURES "}";
    struct fixture *f = make_data(state);
    struct buf sql = {0};
    char first[256];
    char then[256];

    fixture_publish(f, "lake/labels",
                    "SELECT i % 40 AS u, TIMESTAMPTZ '2026-02-01 00:00:00+00' - (i % 9)::INTEGER * "
                    "INTERVAL 6 HOUR AS label_ts FROM range(300) t(i)");
    run(f, options);
    (void)snprintf(first, sizeof(first), "%s",
                   json_get_string(f->attempt.outputs, "version", "none"));
    fixture_run(f, "SET threads=3");
    run(f, options);
    (void)snprintf(then, sizeof(then), "%s", json_get_string(f->attempt.outputs, "version", ""));
    assert_string_equal(first, then);

    fixture_load(f, "result", "lake/out");
    fixture_run(f, "CREATE OR REPLACE TABLE before AS FROM result");
    buf_printf(&sql, "FROM (%s) WHERE ts <= '2026-02-01'", events_sql);
    fixture_publish(f, "lake/events", buf_text(&sql));
    run(f, options);
    fixture_load(f, "result", "lake/out");
    assert_int_equal(fixture_int(f, "SELECT count(*) FROM (FROM before EXCEPT ALL FROM result)"),
                     0);
    buf_release(&sql);
}

/* Windows are half-open: the edge at the row's time is in, the one a window earlier is out. */
static void test_window_edges(void **state)
{
    struct fixture *f = *state;

    fixture_publish(f, "lake/events",
                    "SELECT 1 AS u, TIMESTAMP '2026-01-08 00:00:00' + to_microseconds(x) "
                    "AS ts, 1 AS n FROM (VALUES (0), (1), (-86400000000), (-86399999999)) t(x)");
    fixture_publish(f, "lake/labels", "SELECT 1 AS u, TIMESTAMP '2026-01-08' AS label_ts");
    run(f, "{'target': 'lake/out', 'entity': 'u', 'sources': {'e': {'dataset': 'lake/events', "
           "'time': 'ts'}}, 'spine': {'dataset': 'lake/labels', 'time': 'label_ts'}, 'features': "
           "{'a': {'source': 'e', 'agg': 'count', 'window': '1d'}, 'b': {'source': 'e', 'agg': "
           "'count_distinct', 'column': 'ts', 'window': '1d'}, 'c': {'source': 'e', 'agg': 'sum', "
           "'column': 'n'}}}");
    fixture_load(f, "result", "lake/out");
    assert_int_equal(fixture_int(f, "SELECT a FROM result"), 2);
    assert_int_equal(fixture_int(f, "SELECT b FROM result"), 2);
    assert_int_equal(fixture_int(f, "SELECT c FROM result"), 3);
}

static void test_errors(void **state)
{
#define FRONT                                                                                      \
    "{'target': 'lake/out', 'entity': ['u'], 'spine': {'dataset': 'lake/labels', 'time': "         \
    "'label_ts'}, 'sources': {'e': {'dataset': 'lake/events', 'time': 'ts'}}, 'features': "
    static const struct {
        const char *options;
        enum err_code code;
        const char *says;
    } rows[] = {
        {FRONT "{'x': {'source': 'e', 'agg': 'sum', 'column': 'amuont'}}}",               ERR_INVALID,
         "feature `x`: lake/events has no column `amuont`: did you mean `amount`?"                                                           },
        {FRONT "{'x': {'source': 'e', 'agg': 'sum', 'column': 'kind'}}}",                 ERR_INVALID,
         "sum needs numbers, but `kind` of lake/events is VARCHAR"                                                                           },
        {FRONT "{'x': {'source': 'q', 'agg': 'count'}}}",                                 ERR_INVALID,   "there is no source `q`"            },
        {FRONT "{'x': {'source': 'e', 'agg': 'count', 'where': 'nokind = 3'}}}",          ERR_INVALID,
         "feature `x`: where on lake/events"                                                                                                 },
        {FRONT "{'x': {'source': 'e', 'agg': 'max', 'column': 'n', 'default': 'many'}}}",
         ERR_INVALID,                                                                                    "the default 'many' is no INTEGER"  },
        {FRONT "{'churned': {'source': 'e', 'agg': 'count'}}}",                           ERR_INVALID,
         "the name of a column kept from lake/labels"                                                                                        },
        {"{'target': 'lake/out', 'entity': 'u', 'sources': {'e': {'dataset': 'lake/nothing', "
         "'time': 'ts'}}, 'as_of': '2026-01-01', 'features': {}}",               ERR_NOT_FOUND, "source `e`"                        },
        {"{'target': 'lake/out', 'entity': 'who', 'sources': {'e': {'dataset': 'lake/events', "
         "'time': 'ts'}}, 'as_of': '2026-01-01', 'features': {}}",               ERR_INVALID,   "lake/events has no column `who`"   },
        {"{'target': 'lake/out', 'entity': 'u', 'sources': {'e': {'dataset': 'lake/events', "
         "'time': 'amount'}}, 'as_of': '2026-01-01', 'features': {}}",           ERR_INVALID,   "the time `amount` is DECIMAL(12,2)"},
    };
    struct fixture *f = make_data(state);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        assert_false(feature_run(fixture_attempt(f, rows[i].options), &err));
        if (err.code != rows[i].code || strstr(err.message, rows[i].says) == NULL)
            fail_msg("row %zu: %s: %s", i, err_name(err.code), err.message);
        assert_int_equal(access("lake/out", F_OK), -1);
    }
}

/* Labels after the end of the run's interval, and labels without a time. */
static void test_label_times(void **state)
{
    static const char options[] = FRONT "{'x': {'source': 'e', 'agg': 'count'}}}";
    struct fixture *f = make_data(state);
    struct err err = {0};
    struct attempt *attempt = fixture_attempt(f, options);

    attempt->interval_start_us = INT64_C(1767225600000000); /* 2026-01-01 */
    attempt->interval_end_us = attempt->interval_start_us + INT64_C(86400000000);
    assert_false(feature_run(attempt, &err));
    assert_non_null(strstr(err.message, "after the end of the run's data interval"));

    fixture_publish(f, "lake/labels", "SELECT 1 AS u, NULL::TIMESTAMP AS label_ts");
    assert_false(feature_run(fixture_attempt(f, options), &err));
    assert_non_null(strstr(err.message, "1 rows have no `label_ts`"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_labels_match_oracle, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(test_strict_availability, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(test_snapshot, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(test_snapshot_zone, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(test_no_leak_and_same_bytes, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(test_window_edges, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(test_errors, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(test_label_times, fixture_open, fixture_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
