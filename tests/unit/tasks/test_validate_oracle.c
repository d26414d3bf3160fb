/* The one scan against one plain query per expectation, on random tables. */
#include "validate_help.h"

#include <inttypes.h>

struct oracle {
    const char *type;
    const char *kwargs;
    const char *domain;     /* of rows */
    const char *considered; /* of those */
    const char *bad;        /* of those again */
};

static const struct oracle oracles[] = {
#define ORACLE(type, kwargs, domain, considered, bad) {type, kwargs, domain, considered, bad},
#include "validate_oracles.def"
#undef ORACLE
};

#define ORACLE_COUNT (sizeof(oracles) / sizeof(oracles[0]))

/* A table of `rows` random rows, the same for the same seed: small integers, text and decimals,
 * with nulls, empty strings and doubled values among them. */
static void make_table(struct engine *engine, int seed, int rows)
{
    char sql[1200];
    struct err err = {0};

    (void)snprintf(
        sql, sizeof(sql),
        "CREATE OR REPLACE TABLE t AS SELECT "
        "CASE WHEN r1 %% 7 = 0 THEN NULL ELSE (r1 %% 40)::INTEGER - 10 END AS a, "
        "CASE WHEN r2 %% 5 = 0 THEN NULL ELSE (r2 %% 40)::INTEGER - 10 END AS b, "
        "CASE WHEN r3 %% 9 = 0 THEN NULL WHEN r3 %% 11 = 0 THEN '' ELSE "
        "chr((97 + r3 %% 4)::INTEGER) || (r3 %% 30) END AS s, "
        "CASE WHEN r4 %% 6 = 0 THEN NULL ELSE ((r4 %% 1000) / 100)::DECIMAL(8, 2) END AS d, "
        "'2026-0' || (r1 %% 12) || '-1' || (r2 %% 10) AS day "
        "FROM (SELECT hash(i * 4 + %d) AS r1, hash(i * 4 + 1 + %d) AS r2, hash(i * 4 + 2 + %d) "
        "AS r3, hash(i * 4 + 3 + %d) AS r4 FROM range(%d) AS x(i))",
        seed, seed, seed, seed, rows);
    if (!engine_run(engine, sql, NULL, &err))
        fail_msg("%s", err.message);
}

static int64_t count(struct engine *engine, const char *where)
{
    struct buf sql = {0};
    struct err err = {0};

    buf_printf(&sql, "SELECT count(*) FROM t WHERE %s", where);
    struct engine_result *result = engine_query(engine, buf_text(&sql), &err);
    if (result == NULL || !engine_next(result, &err))
        fail_msg("%s: %s", buf_text(&sql), err.message);
    int64_t rows = engine_int(result, 0);
    engine_result_free(result);
    buf_release(&sql);
    return rows;
}

static int64_t count_of(struct engine *engine, const char *format, const struct oracle *oracle)
{
    struct buf where = {0};

    if (strcmp(format, "bad") == 0)
        buf_printf(&where, "(%s) AND (%s) AND (%s)", oracle->domain, oracle->considered,
                   oracle->bad);
    else if (strcmp(format, "considered") == 0)
        buf_printf(&where, "(%s) AND (%s)", oracle->domain, oracle->considered);
    else
        buf_add_text(&where, oracle->domain);
    int64_t rows = count(engine, buf_text(&where));
    buf_release(&where);
    return rows;
}

static void check_rule(struct engine *engine, const struct rule *rule, const struct oracle *oracle)
{
    int64_t elements = count_of(engine, "domain", oracle);
    int64_t considered = count_of(engine, "considered", oracle);
    int64_t unexpected = count_of(engine, "bad", oracle);

    if (rule->exception != NULL)
        fail_msg("%s %s: %s", oracle->type, oracle->kwargs, rule->exception);
    if (rule->elements != elements || rule->missing != elements - considered ||
        rule->unexpected != unexpected)
        fail_msg("%s %s: %" PRId64 "/%" PRId64 "/%" PRId64 ", but by its own queries %" PRId64
                 "/%" PRId64 "/%" PRId64,
                 oracle->type, oracle->kwargs, rule->elements, rule->missing, rule->unexpected,
                 elements, elements - considered, unexpected);
    bool success =
        considered == 0 || (double)(considered - unexpected) / (double)considered >= rule->mostly;
    assert_int_equal(rule->success, success);
}

static void check_table(struct engine *engine, int seed, int rows)
{
    struct buf suite = {0};
    struct run run;
    int64_t unexpected = 0;

    make_table(engine, seed, rows);
    buf_add_text(&suite, "{'expectations':[");
    for (size_t i = 0; i < ORACLE_COUNT; i++)
        buf_printf(&suite, "%s{'type':'%s','kwargs':%s}", i == 0 ? "" : ",", oracles[i].type,
                   oracles[i].kwargs);
    buf_add_text(&suite, "]}");
    run_open(&run, engine, buf_text(&suite));
    run_over(&run, "t");
    for (size_t i = 0; i < ORACLE_COUNT; i++) {
        check_rule(engine, run.rules.items[i], &oracles[i]);
        unexpected += run.rules.items[i]->unexpected;
    }
    assert_int_equal(run.v.rows, rows);
    assert_true(rows < 100 || unexpected > 0);
    run_close(&run);
    buf_release(&suite);
}

static void test_scan_equals_single_queries(void **state)
{
    static const int sizes[] = {0, 1, 17, 3000};

    for (int seed = 1; seed <= 3; seed++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            check_table(*state, seed * 1000003, sizes[i]);
}

/* One rule whose cast fails on some row makes the scan fail as a whole; asked one by one, the
 * others must come to the same counts. */
static void test_fallback_equals_scan(void **state)
{
    struct buf suite = {0};
    struct run run;

    make_table(*state, 5, 2000);
    buf_add_text(&suite, "{'expectations':[{'type':'expect_column_values_to_not_be_null','kwargs':"
                         "{'column':'a','row_condition':'s::INTEGER > 0'}}");
    for (size_t i = 0; i < ORACLE_COUNT; i++)
        buf_printf(&suite, ",{'type':'%s','kwargs':%s}", oracles[i].type, oracles[i].kwargs);
    buf_add_text(&suite, "]}");
    run_open(&run, *state, buf_text(&suite));
    run_over(&run, "t");
    assert_non_null(run.rules.items[0]->exception);
    for (size_t i = 0; i < ORACLE_COUNT; i++)
        check_rule(*state, run.rules.items[i + 1], &oracles[i]);
    run_close(&run);
    buf_release(&suite);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_equals_single_queries),
        cmocka_unit_test(test_fallback_equals_scan),
    };

    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
