/* The load-time checks of feature and shard: what is wrong in a DAG file is found where it stands.
 */
#include "base/str.h"
#include "scheduler/dagfile/dagfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#define FEATURE_HEAD                                                                               \
    "dag_id: d\nschedule: null\ntasks:\n  a:\n    type: feature\n    with:\n      target: "        \
    "lake/x\n"
#define SHARD_HEAD                                                                                 \
    "dag_id: d\nschedule: null\ntasks:\n  a:\n    type: shard\n    with:\n      dataset: lake/x\n" \
    "      target: shards/x\n"
#define SOURCES "      entity: u\n      sources: {e: {dataset: lake/e, time: ts}}\n"
#define FEATURES SOURCES "      features:\n"

/* Every text begins with line 1; the heads have 7 and 8 lines. */
static const struct {
    const char *source;
    const char *code; /* NULL: the file is fine */
    uint32_t line;
    uint32_t column;
    const char *text; /* in the message or hint */
} cases[] = {
    {FEATURE_HEAD FEATURES "        n: {source: e, agg: count, window: 7d}\n",                    NULL,     0,  0,  ""                      },
    {FEATURE_HEAD FEATURES "        n: {source: events, agg: count}\n",                           "MR0220", 11, 21,
     "there is no source `events`"                                                                                                          },
    {FEATURE_HEAD "      entity: u\n      sources: {events: {dataset: lake/e, time: ts}}\n      "
                  "features:\n        n: {source: event, agg: count}\n",                     "MR0220", 11, 21, "did you mean `events`?"},
    {FEATURE_HEAD FEATURES "        n: {source: e, agg: count, window: 0s}\n",                    "MR0221", 11, 44,
     "length 0"                                                                                                                             },
    {FEATURE_HEAD FEATURES "        n: {source: e, agg: count, window: -7d}\n",                   "MR0106", 11, 44,
     "-7d"                                                                                                                                  },
    {FEATURE_HEAD FEATURES "        n: {source: e, agg: sum}\n",                                  "MR0222", 11, 9,  "needs a column"        },
    {FEATURE_HEAD FEATURES "        n: {source: e, agg: count, default: 1}\n",                    "MR0222", 11, 45,
     "never used"                                                                                                                           },
    {FEATURE_HEAD FEATURES "        U: {source: e, agg: count}\n",                                "MR0223", 11, 9,
     "a column of the entity"                                                                                                               },
    {FEATURE_HEAD FEATURES "        as_of: {source: e, agg: count}\n",                            "MR0223", 11, 9,
     "the column of the time"                                                                                                               },
    {FEATURE_HEAD FEATURES "        n: {source: e, agg: count}\n        N: {source: e, agg: "
                           "count}\n",                                                       "MR0223", 12, 9,  "another feature"       },
    {FEATURE_HEAD FEATURES "        n: {source: e, agg: average, column: x}\n",                   "MR0106", 11, 29,
     "average"                                                                                                                              },
    {FEATURE_HEAD FEATURES "        n: {source: e, aggregation: sum}\n",                          "MR0105", 11, 24, "`agg`"                 },
    {FEATURE_HEAD "      strict_availability: true\n" FEATURES
                  "        n: {source: e, agg: count}\n",                                    "MR0224", 10, 17, "available"             },
    {FEATURE_HEAD "      as_of: 2026-01-01\n      spine: {dataset: l, time: ts}\n" FEATURES
                  "        n: {source: e, agg: count}\n",                                    "MR0225", 8,  14, "with a spine"          },
    {FEATURE_HEAD SOURCES "      features: {}\n",                                                 "MR0226", 10, 17, "features is empty"     },
    {SHARD_HEAD "      format: tfrecord\n",                                                       NULL,     0,  0,  ""                      },
    {SHARD_HEAD "      format: csv\n",                                                            "MR0106", 9,  15, "csv"                   },
    {SHARD_HEAD "      format: tfrecord\n      extensions: {a: jpg}\n",                           "MR0246", 10, 19,
     "webdataset"                                                                                                                           },
    {SHARD_HEAD "      format: tfrecord\n      split: {kind: hash, key: u, fractions: {train: 0.5, "
                "test: 0.5}}\n",                                                             NULL,     0,  0,  ""                      },
    {SHARD_HEAD
     "      format: tfrecord\n      split: {kind: hash, key: u, fractions: {train: 0.5}}\n", "MR0244", 10, 46, "0.5"                   },
    {SHARD_HEAD
     "      format: tfrecord\n      split: {kind: hash, key: u, fractions: {'a/b': 1}}\n",   "MR0245", 10, 47, "folder"                },
    {SHARD_HEAD "      format: tfrecord\n      split: {kind: hash, fractions: {train: 1}}\n",
     "MR0241",                                                                                              10, 14, "needs `key`"           },
    {SHARD_HEAD
     "      format: tfrecord\n      split: {kind: temporal, time: t, cutoffs: [2026-01-02, "
     "2026-01-01]}\n",                                                                       "MR0242", 10, 62, "2026-01-01"            },
    {SHARD_HEAD
     "      format: tfrecord\n      split: {kind: temporal, time: t, cutoffs: ['{{ ds }}'], "
     "names: [train, test]}\n",                                                              NULL,     0,  0,  ""                      },
    {SHARD_HEAD
     "      format: tfrecord\n      split: {kind: temporal, time: t, cutoffs: [2026-01-02], "
     "names: [a]}\n",                                                                        "MR0243", 10, 70, "1 cutoffs need 2 names"},
    {SHARD_HEAD
     "      format: tfrecord\n      split: {kind: temporal, time: t, cutoffs: [2026-01-02], "
     "seed: 1}\n",                                                                           "MR0240", 10, 69, "kind hash"             },
};

static void check_case(size_t i)
{
    struct arena arena = {0};
    struct diags diags = {.arena = &arena};
    struct dagfile_input input = {.source = str_from(cases[i].source), .file = "d.yaml"};
    struct dag *dag = dagfile_parse(&input, &diags);
    bool found = cases[i].code == NULL && diags.count == 0;

    for (size_t k = 0; cases[i].code != NULL && k < diags.count; k++) {
        const struct diag *diag = &diags.items[k];
        bool says = strstr(diag->message, cases[i].text) != NULL ||
                    (diag->hint != NULL && strstr(diag->hint, cases[i].text) != NULL);
        found =
            found || (strcmp(diag->code, cases[i].code) == 0 && diag->at.line == cases[i].line &&
                      diag->at.column == cases[i].column && says);
    }
    for (size_t k = 0; !found && k < diags.count; k++)
        print_error("%s %u:%u %s\n", diags.items[k].code, diags.items[k].at.line,
                    diags.items[k].at.column, diags.items[k].message);
    if (!found)
        fail_msg("case %zu: wanted %s", i, cases[i].code == NULL ? "nothing" : cases[i].code);
    assert_int_equal(dag == NULL, cases[i].code != NULL);
    dag_unref(dag);
    diags_release(&diags);
    arena_release(&arena);
}

static void test_findings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_case(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_findings)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
