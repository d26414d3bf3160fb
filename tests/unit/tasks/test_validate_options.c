/* What is said of validate's options when a DAG file is loaded. */
#include "scheduler/dagfile/document.h"

#include "millrace/task_kind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

/* `with` as YAML, the code of the one finding, the line it stands in, and words of its text. */
struct faulty {
    const char *with;
    const char *code;
    uint32_t line;
    const char *text;
};

#define HEAD "dataset: lake/a\nexpectations:\n"

static const struct faulty faults[] = {
    {"dataset: lake/a\n",                                                                        "MR0211", 1, "nothing to validate"                },
    {"dataset: lake/a\nexpectations: []\n",                                                      "MR0211", 2, "nothing to validate"                },
    {"expectations:\n  - expect_column_to_exist: {column: a}\n",                                 "MR0108", 1, "dataset"                            },
    {HEAD "  - expect_column_values_to_be_betwen: {column: a, min_value: 1}\n",                  "MR0105", 3,
     "expect_column_values_to_be_between"                                                                                                          },
    {HEAD "  - not_null: {column: a}\n",                                                         "MR0105", 3, "expect_column_values_to_not_be_null"},
    {HEAD "  - expect_column_to_exist: {colum: a, column: a}\n",                                 "MR0105", 3, "column"                             },
    {HEAD "  - expect_column_values_to_be_between: {column: a}\n",                               "MR0210", 3, "min_value"                          },
    {HEAD "  - expect_column_values_to_be_between: {column: a, min_value: 3, max_value: 2.5}\n",
     "MR0210",                                                                                             3, "larger"                             },
    {HEAD "  - expect_column_values_to_not_be_null: {column: a, mostly: 1.5}\n",                 "MR0106", 3,
     "mostly"                                                                                                                                      },
    {HEAD "  - expect_column_values_to_not_be_null: {column: a, severity: fatal}\n",             "MR0106", 3,
     "severity"                                                                                                                                    },
    {HEAD "  - expect_column_values_to_be_in_set: {column: a, value_set: []}\n",                 "MR0210", 3,
     "value_set is empty"                                                                                                                          },
    {HEAD "  - expect_column_values_to_not_be_null: {column: a, row_condition: \"b; c\"}\n",
     "MR0210",                                                                                             3, "row_condition"                      },
    {HEAD "  - expect_row_count_change: {min_ratio: 2, max_ratio: 1}\n",                         "MR0210", 3, "min_ratio"                          },
    {HEAD "  - expect_freshness: {column: ts, max_age: 3}\n",                                    "MR0106", 3, "max_age"                            },
    {HEAD "  - expect_column_quantile_values_to_be_between: {column: a, quantile_ranges: "
          "{quantiles: [0.5], value_ranges: []}}\n",                                        "MR0210", 3, "same length"                        },
};

/* Checks `with` as the DAG file's parser does: the table first, then what it can't say. */
static json_t *check(struct arena *arena, const char *with, struct diags *diags)
{
    struct node *node = document_parse(arena, str_from(with), diags);
    struct position at = {1, 1, 1};

    assert_non_null(node);
    json_t *options = options_check(validate_kind.options, node, at, diags);
    validate_kind.check(node, diags);
    return options;
}

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct arena arena = {0};
        struct diags diags = {.arena = &arena};
        json_decref(check(&arena, faults[i].with, &diags));
        if (diags.count != 1)
            fail_msg("%s: %zu findings", faults[i].with, diags.count);
        const struct diag *diag = &diags.items[0];
        const char *hint = diag->hint == NULL ? "" : diag->hint;
        if (strcmp(diag->code, faults[i].code) != 0 || diag->at.line != faults[i].line ||
            (strstr(diag->message, faults[i].text) == NULL && strstr(hint, faults[i].text) == NULL))
            fail_msg("%s: %s line %u: %s (%s)", faults[i].with, diag->code, diag->at.line,
                     diag->message, hint);
        diags_release(&diags);
        arena_release(&arena);
    }
}

static void test_defaults_and_types(void **state)
{
    static const char with[] =
        HEAD "  - expect_column_values_to_be_in_set: {column: a, value_set: x, mostly: 0.5}\n"
             "  - expect_table_columns_to_match_set: {column_set: [a, b]}\n"
             "  - expect_column_values_to_be_between: {column: a, min_value: '{{ ds }}'}\n"
             "suite: null\n";
    struct arena arena = {0};
    struct diags diags = {.arena = &arena};
    json_t *options = check(&arena, with, &diags);
    const json_t *list = json_object_get(options, "expectations");
    const json_t *set =
        json_object_get(json_array_get(list, 0), "expect_column_values_to_be_in_set");

    (void)state;
    for (size_t i = 0; i < diags.count; i++)
        print_error("%s: %s\n", diags.items[i].code, diags.items[i].message);
    assert_int_equal(diags.count, 0);
    assert_int_equal(json_array_size(list), 3);
    assert_true(json_real_value(json_object_get(set, "mostly")) == 0.5);
    assert_string_equal(json_string_value(json_object_get(set, "severity")), "critical");
    const json_t *columns =
        json_object_get(json_array_get(list, 1), "expect_table_columns_to_match_set");
    assert_true(json_is_true(json_object_get(columns, "exact_match")));
    json_decref(options);
    diags_release(&diags);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_defaults_and_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
