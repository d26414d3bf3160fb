/* The engine: rows of every type, nested use, limits and errors. */
#include "base/digest.h"
#include "tasks/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct engine *engine_of(void **state)
{
    return *state;
}

static int open_engine(void **state)
{
    struct err err = {0};

    *state = engine_open(&err);
    if (*state == NULL)
        print_error("%s\n", err.message);
    return *state == NULL ? -1 : 0;
}

static int close_engine(void **state)
{
    engine_close(engine_of(state));
    return 0;
}

static struct engine_result *query(struct engine *engine, const char *sql)
{
    struct err err = {0};
    struct engine_result *rows = engine_query(engine, sql, &err);

    if (rows == NULL)
        fail_msg("%s: %s", sql, err.message);
    return rows;
}

static void assert_text(struct engine_result *rows, size_t column, const char *want)
{
    struct str got = engine_text(rows, column);

    if (!str_is(got, want))
        fail_msg("column %s: got '%.*s', want '%s'", engine_column_name(rows, column), STR_ARG(got),
                 want);
}

/* Any type reads as DuckDB's own cast to text, and keeps its type's name. */
static void test_types_as_text(void **state)
{
    static const struct {
        const char *sql;
        const char *type;
    } rows[] = {
        {"true",                                                "BOOLEAN"                                 },
        {"(-7)::TINYINT",                                       "TINYINT"                                 },
        {"65535::USMALLINT",                                    "USMALLINT"                               },
        {"4294967295::UINTEGER",                                "UINTEGER"                                },
        {"(-9223372036854775808)::BIGINT",                      "BIGINT"                                  },
        {"18446744073709551615::UBIGINT",                       "UBIGINT"                                 },
        {"(-170141183460469231731687303715884105728)::HUGEINT", "HUGEINT"                                 },
        {"340282366920938463463374607431768211455::UHUGEINT",   "UHUGEINT"                                },
        {"1.1::FLOAT",                                          "FLOAT"                                   },
        {"1e300::DOUBLE",                                       "DOUBLE"                                  },
        {"(-1.25)::DECIMAL(4,2)",                               "DECIMAL(4,2)"                            },
        {"(-123456789.25)::DECIMAL(18,2)",                      "DECIMAL(18,2)"                           },
        {"12345678901234567890.5::DECIMAL(38,1)",               "DECIMAL(38,1)"                           },
        {"'short'",                                             "VARCHAR"                                 },
        {"'longer than twelve bytes'",                          "VARCHAR"                                 },
        {"'\\xAA\\x00'::BLOB",                                  "BLOB"                                    },
        {"DATE '1969-12-31'",                                   "DATE"                                    },
        {"TIME '10:11:12.5'",                                   "TIME"                                    },
        {"TIMETZ '10:11:12+02'",                                "TIME WITH TIME ZONE"                     },
        {"TIMESTAMP '2020-01-02 03:04:05.678'",                 "TIMESTAMP"                               },
        {"TIMESTAMP_S '2020-01-02 03:04:05'",                   "TIMESTAMP_S"                             },
        {"TIMESTAMP_MS '2020-01-02 03:04:05.678'",              "TIMESTAMP_MS"                            },
        {"TIMESTAMP_NS '2020-01-02 03:04:05.678901234'",        "TIMESTAMP_NS"                            },
        {"TIMESTAMPTZ '2020-01-02 03:04:05+02'",                "TIMESTAMP WITH TIME ZONE"                },
        {"INTERVAL '1 month 3 days'",                           "INTERVAL"                                },
        {"'12345678-1234-1234-8234-123456789abc'::UUID",        "UUID"                                    },
        {"'f2345678-1234-1234-8234-123456789abc'::UUID",        "UUID"                                    },
        {"'b'::ENUM('a', 'b')",                                 "ENUM"                                    },
        {"[1, NULL, 3]",                                        "INTEGER[]"                               },
        {"[1, 2]::INTEGER[2]",                                  "INTEGER[2]"                              },
        {"{'a b': 1, 'c': ['x']}",                              "STRUCT(\"a b\" INTEGER, \"c\" VARCHAR[])"},
        {"MAP {'a': 1.5::DECIMAL(3,1)}",                        "MAP(VARCHAR, DECIMAL(3,1))"              },
        {"'1011'::BIT",                                         "BIT"                                     },
        {"union_value(k := 1)",                                 "UNION(\"k\" INTEGER)"                    },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char sql[400];
        struct err err = {0};
        (void)snprintf(sql, sizeof(sql), "SELECT %s AS v, CAST(%s AS VARCHAR) AS t, %s AS v;",
                       rows[i].sql, rows[i].sql, rows[i].sql);
        struct engine_result *result = query(engine_of(state), sql);
        assert_true(engine_next(result, &err));
        assert_string_equal(engine_column_type(result, 0), rows[i].type);
        assert_string_equal(engine_column_name(result, 2), "v");
        char *want = strndup(engine_text(result, 1).ptr, engine_text(result, 1).len);
        assert_text(result, 0, want);
        assert_text(result, 2, want);
        free(want);
        assert_false(engine_next(result, &err));
        assert_int_equal(err.code, ERR_NONE);
        engine_result_free(result);
    }
}

static void test_numbers(void **state)
{
    struct err err = {0};
    struct engine_result *rows =
        query(engine_of(state), "SELECT sum(i), avg(i), 12.75::DECIMAL(10,2), '41', 9e30::DOUBLE, "
                                "true, DATE '1970-01-03', TIMESTAMPTZ '1970-01-01 00:00:01Z', "
                                "18446744073709551615::UBIGINT, 2.5::FLOAT FROM range(5) t(i)");

    assert_true(engine_next(rows, &err));
    assert_int_equal(engine_int(rows, 0), 10);
    assert_true(engine_real(rows, 1) == 2.0);
    assert_int_equal(engine_int(rows, 2), 12);
    assert_true(engine_real(rows, 2) == 12.75);
    assert_int_equal(engine_int(rows, 3), 41);
    assert_true(engine_int(rows, 4) == INT64_MAX);
    assert_true(engine_bool(rows, 5));
    assert_int_equal(engine_int(rows, 6), 2);
    assert_int_equal(engine_int(rows, 7), 1000000);
    assert_true(engine_int(rows, 8) == INT64_MAX);
    assert_true(engine_real(rows, 9) == 2.5);
    engine_result_free(rows);
}

/* Many chunks, with NULLs at known places and strings of every length. */
static void test_streams_all_rows(void **state)
{
    struct err err = {0};
    struct engine_result *rows =
        query(engine_of(state), "SELECT i, CASE WHEN i % 7 > 0 THEN repeat('x', (i % 40)::INT) END "
                                "FROM range(100000) t(i) ORDER BY i");
    int64_t count = 0;

    while (engine_next(rows, &err)) {
        assert_int_equal(engine_int(rows, 0), count);
        assert_int_equal(engine_is_null(rows, 1), count % 7 == 0);
        assert_int_equal(engine_text(rows, 1).len, count % 7 == 0 ? 0 : count % 40);
        count++;
    }
    assert_int_equal(err.code, ERR_NONE);
    assert_int_equal(count, 100000);
    engine_result_free(rows);
}

/* Statements run while rows are being read don't end the stream, and see its tables. */
static void test_nested_use(void **state)
{
    struct err err = {0};
    struct engine *engine = engine_of(state);
    int64_t count = 0;

    assert_true(
        engine_run(engine, "CREATE TABLE nested AS SELECT i FROM range(9000) t(i)", NULL, &err));
    struct engine_result *rows = query(engine, "FROM nested");
    while (engine_next(rows, &err)) {
        if (count++ % 1000 != 0)
            continue;
        json_t *row = engine_one_row(engine, "SELECT count(*) AS n FROM nested", &err);
        assert_non_null(row);
        assert_int_equal(json_integer_value(json_object_get(row, "n")), 9000);
        json_decref(row);
        assert_true(engine_run(engine, "CREATE OR REPLACE TABLE other AS SELECT 1", NULL, &err));
    }
    assert_int_equal(count, 9000);
    engine_result_free(rows);
    int64_t changed = 0;
    assert_true(engine_run(engine, "DELETE FROM nested WHERE i < 10", &changed, &err));
    assert_int_equal(changed, 10);
}

static void test_errors(void **state)
{
    static const struct {
        const char *sql;
        enum err_code code;
    } rows[] = {
        {"SELEC 1",                                        ERR_INVALID},
        {"SELECT no_such_column",                          ERR_INVALID},
        {"FROM no_such_table",                             ERR_INVALID},
        {"FROM read_csv('/no/such/file')",                 ERR_IO     },
        {"COPY (SELECT 1) TO '/no/such/folder/x.parquet'", ERR_IO     },
        {"SELECT CAST('x' AS INTEGER)",                    ERR_DATA   },
        {"SELECT error('boom')",                           ERR_DATA   },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        assert_false(engine_run(engine_of(state), rows[i].sql, NULL, &err));
        if (err.code != rows[i].code)
            fail_msg("%s: %s", rows[i].sql, err.message);
        assert_true(err.message[0] != '\0');
    }
}

/* An error in the middle of a stream is reported by engine_next(), not taken for its end. */
static void test_error_while_streaming(void **state)
{
    struct err err = {0};
    struct engine_result *rows =
        query(engine_of(state), "SELECT CASE WHEN i = 1900000 THEN error('late')::INT ELSE i END "
                                "FROM range(2000000) t(i)");
    int64_t count = 0;

    while (engine_next(rows, &err))
        count++;
    assert_true(count < 2000000);
    assert_int_equal(err.code, ERR_DATA);
    assert_non_null(strstr(err.message, "late"));
    engine_result_free(rows);
}

static void test_one_row(void **state)
{
    struct err err = {0};
    json_t *row = engine_one_row(engine_of(state),
                                 "SELECT 1 AS i, 1.5::DOUBLE AS d, true AS b, NULL AS n, 'x' AS s, "
                                 "DATE '2020-01-01' AS t, 2.50::DECIMAL(5,2) AS m, sum(3) AS h, "
                                 "'nan'::DOUBLE AS nan",
                                 &err);
    char *text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS);

    assert_string_equal(text, "{\"b\":true,\"d\":1.5,\"h\":3,\"i\":1,\"m\":\"2.50\",\"n\":null,"
                              "\"nan\":null,\"s\":\"x\",\"t\":\"2020-01-01\"}");
    free(text);
    json_decref(row);
    assert_null(engine_one_row(engine_of(state), "SELECT 1 WHERE false", &err));
    assert_null(engine_one_row(engine_of(state), "FROM range(2)", &err));
}

static void test_check_select(void **state)
{
    static const struct {
        const char *sql;
        bool ok;
    } rows[] = {
        {"SELECT 1",                              true },
        {"WITH a AS (SELECT 1) SELECT * FROM a;", true },
        {"FROM range(3)",                         true },
        {"SELECT 1; SELECT 2",                    false},
        {"CREATE TABLE x AS SELECT 1",            false},
        {"COPY (SELECT 1) TO 'x.csv'",            false},
        {"DROP TABLE x",                          false},
        {"ATTACH 'x.db'",                         false},
        {"SET threads = 4",                       false},
        {"SELEC",                                 false},
        {"",                                      false},
        {"SELECT no_such_column",                 false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        if (engine_check_select(engine_of(state), rows[i].sql, &err) != rows[i].ok)
            fail_msg("%s: %s", rows[i].sql, err.message);
        assert_int_equal(err.code, rows[i].ok ? ERR_NONE : ERR_INVALID);
    }
}

static void test_xxh3(void **state)
{
    struct err err = {0};
    struct engine_result *rows = query(
        engine_of(state), "SELECT millrace_xxh3(s, 7), millrace_xxh3(s, NULL), s FROM "
                          "(VALUES ('a'), (NULL), ('a text of more than twelve bytes')) t(s)");

    for (int i = 0; i < 3; i++) {
        assert_true(engine_next(rows, &err));
        assert_true(engine_is_null(rows, 1));
        assert_int_equal(engine_is_null(rows, 0), i == 1);
        char want[32];
        (void)snprintf(want, sizeof(want), "%llu",
                       (unsigned long long)digest_xxh3(engine_text(rows, 2), 7));
        if (i != 1)
            assert_text(rows, 0, want);
    }
    engine_result_free(rows);
    json_t *row =
        engine_one_row(engine_of(state), "SELECT millrace_xxh3('abc', 0)::VARCHAR AS h", &err);
    assert_string_equal(json_string_value(json_object_get(row, "h")), "8696274497037089104");
    json_decref(row);
}

static void test_int(void **state)
{
    static const struct {
        const char *text;
        const char *value;
    } rows[] = {
        {"'7'",                   "7"                  },
        {"' +7 '",                "7"                  },
        {"'-7'",                  "-7"                 },
        {"'7.0'",                 "7"                  },
        {"'7.'",                  "7"                  },
        {"'700'",                 "700"                },
        {"'0'",                   "0"                  },
        {"'-0.00'",               "0"                  },
        {"'9223372036854775807'", "9223372036854775807"},
        {"'9223372036854775808'", NULL                 },
        {"'7.5'",                 NULL                 },
        {"'1e3'",                 NULL                 },
        {"''",                    NULL                 },
        {"'.'",                   NULL                 },
        {"'.0'",                  NULL                 },
        {"'+-7'",                 NULL                 },
        {"'0x10'",                NULL                 },
        {"'seven'",               NULL                 },
        {"NULL",                  NULL                 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char sql[100];
        struct err err = {0};
        (void)snprintf(sql, sizeof(sql), "SELECT millrace_int(%s)", rows[i].text);
        struct engine_result *result = query(engine_of(state), sql);
        assert_true(engine_next(result, &err));
        if (engine_is_null(result, 0) != (rows[i].value == NULL))
            fail_msg("%s", sql);
        if (rows[i].value != NULL)
            assert_text(result, 0, rows[i].value);
        engine_result_free(result);
    }
}

static void test_limits(void **state)
{
    struct err err = {0};
    struct engine *engine = engine_of(state);

    assert_true(engine_set_limits(engine, 50000000, 2, "/tmp/engine'limits", &err));
    json_t *row = engine_one_row(engine,
                                 "SELECT current_setting('threads') AS threads, "
                                 "current_setting('memory_limit') AS memory, "
                                 "current_setting('temp_directory') AS temp, "
                                 "current_setting('TimeZone') AS zone",
                                 &err);
    assert_int_equal(json_integer_value(json_object_get(row, "threads")), 2);
    assert_string_equal(json_string_value(json_object_get(row, "memory")), "47.6 MiB");
    assert_string_equal(json_string_value(json_object_get(row, "temp")), "/tmp/engine'limits");
    assert_string_equal(json_string_value(json_object_get(row, "zone")), "UTC");
    json_decref(row);
}

static void test_quoting(void **state)
{
    struct err err = {0};
    struct buf sql = {0};

    buf_add_text(&sql, "SELECT ");
    engine_add_literal(&sql, STR("it's \"q\"; DROP"));
    buf_add_text(&sql, " AS ");
    engine_add_identifier(&sql, STR("a \"b\" 'c'"));
    struct engine_result *rows = query(engine_of(state), buf_text(&sql));
    assert_true(engine_next(rows, &err));
    assert_text(rows, 0, "it's \"q\"; DROP");
    assert_string_equal(engine_column_name(rows, 0), "a \"b\" 'c'");
    engine_result_free(rows);
    buf_release(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_as_text),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_streams_all_rows),
        cmocka_unit_test(test_nested_use),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_error_while_streaming),
        cmocka_unit_test(test_one_row),
        cmocka_unit_test(test_check_select),
        cmocka_unit_test(test_xxh3),
        cmocka_unit_test(test_int),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
