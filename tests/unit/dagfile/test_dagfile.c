/* DAG files: what is found where in bad ones, and what good ones become. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "scheduler/dagfile/dagfile.h"
#include "scheduler/dagfile/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD "dag_id: d\ntasks:\n"
#define NOOP HEAD "  a: {type: noop}\n"

static const struct pool_setting pools[] = {
    {"default_pool", 128, NULL},
    {"gpu",          2,   NULL}
};

struct loaded {
    struct arena arena;
    struct diags diags;
    struct dag *dag;
};

static void load(struct loaded *l, struct str source)
{
    struct dagfile_input input = {source, "d.yaml", pools, COUNT(pools)};

    *l = (struct loaded){0};
    l->diags.arena = &l->arena;
    l->dag = dagfile_parse(&input, &l->diags);
}

static void release(struct loaded *l)
{
    dag_unref(l->dag);
    diags_release(&l->diags);
    arena_release(&l->arena);
}

struct bad_case {
    const char *source;
    const char *code;
    uint32_t line;
    uint32_t column;
    const char *text; /* part of message or hint */
};

static const struct bad_case bad_cases[] = {
    {"",                                                                          "MR0108",           1,           1,                                                                                                       "empty"},
    {"- a\n",                                                                     "MR0108",           1,           1,                                                                                                       "no map"},
    {"a: [\n",                                                                    "MR0101",           1,           4,                                                                                                       "this bracket is never closed"},
    {"b: 1\nä: \"x\nb: 2\n",                                                     "MR0101",           2,           5,                                                                                                       "this quote is never closed"},
    {"a: {b: [x}\nc: 1\n",                                                        "MR0101",           1,           10,                                                                                                      "line 1, column 8 is not closed"},
    {"a: {b: x\nc: 1\n",                                                          "MR0101",           2,           2,                                                                                                       "line 1, column 4 is not closed"},
    {"a: \"x\nb: 1\nc: \"y\"\n",                                                  "MR0101",           3,           5,                                                                                                       "line 1, column 4 ends"},
    {"a: [\"x\" \"y\"]\n",                                                        "MR0101",           1,           9,                                                                                                       "a comma is missing, or the bracket"},
    {"a: \"\\d+\"\n",                                                             "MR0101",           1,           5,                                                                                                       "single quotes"},
    {NOOP "schedule: @once\n",                                                    "MR0101",           4,           11,                                                                                                      "quote it: \"@once\""},
    {NOOP "schedule: @daily  # x\n",                                              "MR0101",           4,           11,                                                                                                      "quote it: \"@daily\"\n"},
    {"a: {b: @x}\n",                                                              "MR0101",           1,           8,                                                                                                       "quote it: \"@x\"\n"},
    {"a: b: c\n",                                                                 "MR0101",           1,           5,                                                                                                       "quotes around"},
    {NOOP "x: &a 1\n",                                                            "MR0103",           4,           4,                                                                                                       "anchors"},
    {NOOP "x: *a\n",                                                              "MR0103",           4,           4,                                                                                                       "aliases"},
    {NOOP "x: !!str 1\n",                                                         "MR0103",           4,           4,                                                                                                       "tags"},
    {NOOP "<<: {}\n",                                                             "MR0103",           4,           1,                                                                                                       "merge"},
    {NOOP "---\na: 1\n",                                                          "MR0103",           4,           1,                                                                                                       "second document"},
    {"dag_id: d\ndag_id: e\ntasks: {a: {type: noop}}\n",                          "MR0104",           2,           1,                                                                                                       "first in line 1"},
    {NOOP "schedule_interval: x\n",                                               "MR0105",           4,           1,                                                                                                       "use `schedule`"},
    {NOOP "descripton: x\n",                                                      "MR0105",           4,           1,                                                                                                       "did you mean `description`?"},
    {HEAD "  a: {type: noop, needs: [b]}\n",                                      "MR0105",           3,           19,                                                                                                      "use `depends_on`"},
    {HEAD "  a: {type: noop, retries: x}\n",                                      "MR0106",           3,           28,                                                                                                      "integer"},
    {HEAD "  a: {type: noop, retry_delay: 30}\n",                                 "MR0106",           3,           32,                                                                                                      "add a unit: 30s"},
    {NOOP "catchup: yes\n",                                                       "MR0106",           4,           10,                                                                                                      "there are true, false, latest, all"},
    {NOOP "paused_upon_creation: yes\n",                                          "MR0106",           4,           23,                                                                                                      "only true and false"},
    {NOOP "schedule: \"@continuous\"\nmax_active_runs: 2\n",                      "MR0106",           5,           18,                                                                                                      "write 1"},
    {NOOP "max_active_runs: 0\n",                                                 "MR0106",           4,           18,                                                                                                      "between 1"},
    {NOOP "fail_fast: true\ndefault_args: {trigger_rule: all_done}\n",            "MR0106",           3,           3,
     "all_success, not all_done"},
    {HEAD "  a: {type: noop, trigger_rule: one_failed}\nfail_fast: true\n",       "MR0106",           3,           33,
     "take out"},
    {NOOP "dagrun_timeout: 10\n",                                                 "MR0106",           4,           17,                                                                                                      "add a unit: 10s"},
    {NOOP "run_timeout: 10s\n",                                                   "MR0105",           4,           1,                                                                                                       "use `dagrun_timeout`"},
    {NOOP "max_consecutive_failed_dag_runs: -1\n",                                "MR0106",           4,           34,                                                                                                      "between 0"},
    {HEAD "  a: {type: noop, weight_rule: upsteam}\n",                            "MR0106",           3,           32,                                                                                                      "upstream"},
    {HEAD "  a: {type: noop, retry_exit_codes: [1]}\n",                           "MR0106",           3,           37,
     "only a command has exit codes"},
    {HEAD "  a: {type: command, retry_exit_codes: [1, 99], with: {argv: [x]}}\n", "MR0106",           3,           44,
     "99, which skips"},
    {HEAD "  a: {type: command, retry_exit_codes: [0], with: {argv: [x]}}\n",     "MR0106",           3,           41,
     "1 to 255"},
    {HEAD "  a: {type: noop, teardown: [b]}\n",                                   "MR0107",           3,           30,                                                                                                      "unknown task `b`"},
    {HEAD "  a: {type: noop, teardown: 5}\n",                                     "MR0106",           3,           29,                                                                                                      "true or name setups"},
    {HEAD "  a: {type: noop, teardown: true, setup: true}\n",                     "MR0106",           3,           29,                                                                                                      "two tasks"},
    {HEAD "  a: {type: noop, teardown: true, trigger_rule: all_done}\n",          "MR0106",           3,           49,
     "of its own"},
    {HEAD "  a: {type: noop, on_failure_fail_dagrun: true}\n",                    "MR0106",           3,           43,
     "add `teardown: true`"},
    {HEAD "  a: {type: noop, trigger_rule: all_done_setup_success}\n",            "MR0106",           3,           33,
     "no value of"},
    {HEAD "  a: {type: noop, teardown: true}\n  b: {type: noop, teardown: a}\n",  "MR0110",           4,           29,
     "no setup"},
    {HEAD "  a: {type: noop, depends_on: b}\n  b: {type: noop, teardown: [a]}\n", "MR0109",           4,           30,
     "circle"},
    {NOOP "task_groups: {g: {tasks: {}}}\n",                                      "MR0119",           4,           15,                                                                                                      "no tasks"},
    {NOOP "task_groups: {a: {tasks: {x: {type: noop}}}}\n",                       "MR0104",           4,           15,                                                                                                      "there is a task"},
    {HEAD "  g.x: {type: noop}\ntask_groups: {g: {tasks: {x: {type: noop}}}}\n",  "MR0104",           4,           27,
     "already"},
    {NOOP "task_groups: {g: {tasks: {x: {type: noop, depends_on: y}}}}\n",        "MR0107",           4,           55,
     "`g.x` depends on unknown"},
    {NOOP "task_groups: {g: {tasks: {x: {type: noop, depends_on: g}}}}\n",        "MR0110",           4,           55,
     "its own group"},
    {NOOP "task_groups: {g: {depends_on: h, tasks: {x: {type: noop}}}}\n",        "MR0107",           4,           31,
     "unknown task `h`"},
    {NOOP "task_groups: {g: {tasks: {x: {type: noop}}, tip: x}}\n",               "MR0105",           4,           45,                                                                                                      "tooltip"},
#define NESTED(of_a, of_b)                                                                         \
    NOOP "task_groups:\n  g:\n    task_groups:\n      a: {" of_a                                   \
         "tasks: {x: {type: noop}}}\n      b: {" of_b "tasks: {y: {type: noop}}}\n"
    {NESTED("depends_on: b, ",                                                    "depends_on: a, "), "MR0109",    8,                                                                                                       23,"g.a.x"},
    {NESTED("depends_on: c, ",                                                                           ""),                                                                      "MR0107",    7,                              23,"group `g.a` depends on unknown task `c`"},
    {NESTED("depends_on: g.bb, ",                                  ""),                                                    "MR0107",                                     7,                                                                                                        23,                    "did you mean `g.b`?"},
    {NESTED("depends_on: a, ",                                                                         ""),                                                                      "MR0110",                                                                                 7,                                                          23,"group `g.a` depends on itself"},
    {NESTED("depends_on: [g], ",                                                                          ""),                                                                                          "MR0110",7,                                    24,                                                "the group that it is in"},
    {NESTED("depends_on: [a.x], ",                                                                   ""),"MR0110",               7,                                                          24,"`a.x`, which is in it"},
    {NESTED("",      "tooltip: 5, "),                      "MR0106",                  8,                                                              20,                             "quote it"},
    {NESTED("default_args: {poool: x}, ",                                                                   ""),                                                                 "MR0105",                                               7,                                                                                                                                    26,"did you mean `pool`?"},
    {NESTED("default_args: {pool: gpus}, ",                                                                           ""),                                                           "MR0111", 7,                                32,"did you mean `gpu`?"},
    {NOOP "task_groups: {g: {tasks: {x: {type: noop, depends_on: i.z}}, task_groups: {i: {tasks: "
          "{y: {type: noop}}}}}}\n",                                                     "MR0107",                                                                       4,                                              55,                                                                        "unknown task `i.z`"},
    {NOOP
     "task_groups: {g: {tasks: {i: {type: noop}}, task_groups: {i: {tasks: {y: {type: noop}}}}}}\n",                                                                         "MR0104",                                                                      4,                                                                                 59,                                                                                                                       "there is a task `g.i`"                                                                          },
    {NOOP "task_groups: {g.i: {tasks: {x: {type: noop}}}, g: {task_groups: {i: {tasks: {y: {type: "
          "noop}}}}}}\n",                                                                         "MR0104",                                                                       4,                                     66,"there is a group `g.i`"},
    {NOOP "task_groups: {g.i: {tasks: {x: {type: noop}}}, g: {tasks: {i: {type: noop}}}}\n",
     "MR0104",                                                                    4,60,"there is a group `g.i`"},
    {NOOP "task_groups: {g: {task_groups: {i: {}}}}\n",                                                                         "MR0119",                                                                   4,                                          33,                                                                                          "`g.i` has no tasks"},
    {NOOP "task_groups: {g: {task_groups: {}}}\n",                                                                         "MR0119",                                                                   4,                                                                                15,                                                                                                                                                                               "`g` has no tasks"                                                                                                                                                                                                                                                                                                },
    {NOOP "task_groups: {g: {task_groups: [i]}}\n",                                                                         "MR0106",                                                                       4,                                         32,            "must be a map"},
    {NOOP "task_groups: {g: {task_groups: {i: [x]}}}\n",                                                                         "MR0106",                                                                         4,     36,"`i` must be a map"},
    {"dag_id: d\ntask_groups:\n  g: {depends_on: h, tasks: {x: {type: noop}}}\n  h: {depends_on: "
     "g, tasks: {y: {type: noop}}}\n",                                                                         "MR0109",                                                                            4,                                               19,                                                                                          "g.x"                                                       },
    {"dag_id: d\n",                                                                         "MR0108",                                                                        1,                                                                               1,                                                                                                                                                                                                                                                                 "`tasks` is missing"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                               },
    {NOOP "description: 5\n",                                                                         "MR0106",                                                                                      4,                                                   14,                                                     "quote it"},
    {NOOP "x: 99999999999999999999\n",                                                                          "MR0106",                                                                        4,     4,"64 bits"},
    {HEAD "  a: {type: noop}\n  b: {type: noop, depends_on: [aa]}\n",                                                                         "MR0107",                                                                                 4,                                          32,
     "did you mean `a`?"                                                               },
    {"tasks: {a: {type: noop}}\n",                                                                          "MR0108",                                                                                   1,                                                                                          1,                                                                                                                                                                                                                                                                                                              "dag_id"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                       },
    {HEAD "  a: {retries: 1}\n",                                                                         "MR0108",                                                                             3,                                                                                        6,                                                                                                                                                                    "type"},
    {HEAD "  a: {type: command}\n",                                                                          "MR0108",                                                                                    3,      3,"argv"},
    {HEAD "  a: {type: noop, depends_on: b}\n  b: {type: noop, depends_on: [a]}\n",                                                                          "MR0109",                                                                                      4,          32,
     "b → a → b"},
    {HEAD "  a: {type: noop, depends_on: a}\n",                                                                          "MR0110",                                                                                      3,                                                                                            31,                                                                                                                                                                                                                                                                                                                                                 "itself"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                },
    {HEAD "  a: {type: noop}\n  b: {type: noop, depends_on: [a, a]}\n",                                                                         "MR0110",                                                                                 4,                                                                                            35,                                                                                                                                                           "twice"                      },
    {HEAD "  a: {type: noop, pool: gpus}\n",                                                                         "MR0111",                                                                                   3,   25,"did you mean `gpu`?"},
    {HEAD "  a: {type: nop}\n",                                                                         "MR0112",                                                                                    3,    13,"did you mean `noop`?"},
    {HEAD "  a: {type: command, with: {argv: [x, \"{{ dss }}\"]}}\n",                                                                         "MR0113",                                                                      3,                                                                               43,
     "did you mean `ds`?"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                           },
    {HEAD "  a: {type: command, with: {argv: [x, \"{{ params.p }}\"]}}\n",                                                                         "MR0113",                                                                     3,                                                                             43,
     "not declared"                                                                                                                                                                                                                                                                                                                     },
    {HEAD "  a: {type: command, with: {argv: [x, \"{{ tasks.b.outputs.k }}\"]}}\n"
          "  b: {type: noop}\n",                                                                         "MR0113",                                                                            3,                                                                                       43,                                                                                                                           "does not depend on"},
    {HEAD "  a:\n    type: command\n    with:\n      argv:\n        - sh\n        - -c\n"
          "        - |\n          echo\n          echo {{ ds }}\n",                                                                         "MR0114",                                                                                  11,                                                                                             16,                                                                                                                                                                      "| sh"},
    {NOOP "schedule: \"0 25 * * *\"\n",                                                                         "MR0115",                                                                       4,14,""                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        },
    {NOOP "timezone: Europe/Berln\n",                                                                         "MR0116",                                                                                     4,    11,"Europe/Berlin"                                                     },
    {NOOP "timezone: ../../etc/passwd\n",                                                                         "MR0116",                                                                                         4,                                                                                                         11,                                                                                                                                                                                                                                                                           "unknown time zone"},
    {NOOP "start_date: 2026-02-30\n",                                                                         "MR0117",                                                                            4,                                                                                    13,                                                                                                                                                                                                                                                    "2026-02-30"},
    {NOOP "start_date: 2026-02-03\nend_date: 2026-02-01\n",                                                                         "MR0117",                                                                        5,11,"before"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                       },
    {"dag_id: a b\ntasks: {a: {type: noop}}\n",                                                                         "MR0118",                                                                               1,       9,"id"},
    {HEAD "  \"a b\": {type: noop}\n",                                                                         "MR0118",                                                                                   3,                                                                                                                    3,                                                                                                                                                                                                                                                                                                                                                                                                          "id"},
    {"dag_id: d\ntasks: {}\n",                                                                          "MR0119",                                                                                        2,                                                                                             8,                                                                                                                                                                                                                                                                                                                                                               "at least 1"                                                                                                                                                                                                                                                                                                                                                                                                                                },
    {NOOP "params: {p: {type: integer, default: x}}\n",                                                                          "MR0120",                                                                                        4,38,"integer"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   },
    {NOOP "params: {q: {typ: string}}\n",                                                                          "MR0120",                                                                                4,14,"did you mean `type`?"},
    {NOOP "params: {q: {min: 3, tpye: string}}\n",                                                                         "MR0120",                                                                                  4,                                                                                                              22,                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                             "did you mean `type`?"},
    {NOOP "params: {q: {defualt: 5, description: x}}\n",                                                                         "MR0120",                                                                     4,                                                                                  14,
     "did you mean `default`?"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                },
    {HEAD "  a: {type: command, with: {argv: []}}\n",                                                                         "MR0250",                                                                     3,35,"empty"                    },
    {HEAD "  a: {type: command, with: {argv: [\"\", x]}}\n",                                                                         "MR0250",                                                                       3,                                                                                  36,                                                                                                                                           "program"},
    {HEAD "  a: {type: sensor, with: {timeout: 1h}}\n",                                                                         "MR0260",                                                                                    3,                                                                                                                             27,                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   "does not say"                                                                                                                                                                                                                                                                                                                                        },
    {HEAD "  a: {type: sensor, with: {file: x, time: \"09:30\"}}\n",                                                                         "MR0260",                                                                                  3,            37,"one thing"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                              },
    {HEAD "  a: {type: sensor, with: {file: x, poke_interval: 50ms}}\n",                                                                         "MR0261",                                                                             3,52,
     "at least"},
    {HEAD "  a: {type: sensor, with: {time: \"29:30\"}}\n",                                                                         "MR0261",                                                                                3,                                                                                34,                                                                                                                                                                                              "neither"},
    {HEAD "  a: {type: sensor, with: {http: {url: x, equals: 1}}}\n",                                                                         "MR0261",                                                                                      3,                                                                                                 51,                                                                                                                                                    "json_path"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        },
    {HEAD "  a: {type: sensor, with: {external_task: {dag_id: x, allowed_states: running}}}\n",
     "MR0262",                                                                                  3,              71,"final"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          },
    {HEAD "  a: {type: sensor, with: {external_task: {dag_id: x, failed_states: [skipped]}}}\n",
     "MR0262",                                                                                3,71,"final"},
    {HEAD "  a: {type: sensor, with: {file: x, mode: reschedule}}\n",                                                                         "MR0105",                                                                                    3,                                                                                  37,                                                                                                                                                                                                                                       "mode"},
    {HEAD "  a: {type: ingest, with: {source: x, target: \"\"}}\n",                                                                         "MR0124",                                                                                    3,                                                                                                     47,                                                                                                                                                                                                                                                                                        "lake/events"},
    {HEAD "  a: {type: ingest, with: {source: x, target: \"l/{{ ds }}\"}}\n"
          "  b: {type: noop}\n"
          "  c: {type: ingest, depends_on: a, with: {source: y, target: \"l/{{ ds }}/\"}}\n",                                                                         "MR0124",                                                                                     5,               62,"task `a` (line 3)"},
    {HEAD "  a: {type: ingest, with: {source: x, target: l, columns: {id: BIGINT, n: BIGINT},\n"
          "    unique_key: idd}}\n",                                                                         "MR0231",                                                                              4,17,"did you mean `id`?"},
    {HEAD "  a: {type: ingest, with: {source: x, target: l, columns: {id: BIGINT},\n"
          "    derive: {d: x}, unique_key: [d, id], order_by: [d, at]}}\n",                                                                         "MR0231",                                                                        4,                                                                     56,                                                                                                                                                                                                                                                                                                                       "declare it"                                                                                                                                                                                                                                                                                                                                                                                                                                                                            },
    {NOOP "schedule: {assets: []}\n",                                                                         "MR0106",                                                                       4,                                                                                              20,                                                                                                                                                                                                                                                                                                                                                                                                                   "at least one name"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                 },
    {NOOP "schedule: {assets: {some: [a]}}\n",                                                                         "MR0105",                                                                               4,                      20,"{any: [a, b]}"},
    {NOOP "schedule: {assets: [a, 5]}\n",                                                                         "MR0106",                                                                        4,24,"write its name"},
    {NOOP "schedule: {assets: [\"{{ ds }}\"]}\n",                                                                         "MR0106",                                                                            4,                                                                  21,                                                                                                                                                                                                                                                                                                                                                               "takes no template"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  },
    {NOOP "schedule: {assets: [a], every: 1h}\n",                                                                         "MR0106",                                                                           4,                                                                                                 32,                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                           "either on assets"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        },
    {HEAD "  a: {type: noop, outlets: [\"{{ ds }}\"]}\n",                                                                         "MR0106",                                                                        3,                  29,"takes no template"},
    {NOOP "doc: \"a\xff\"\n",                                                                         "MR0101",                                                                         4,8,"UTF-8"},
};

static void finds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_cases); i++) {
        const struct bad_case *bad = &bad_cases[i];
        struct loaded l;
        bool found = false;
        struct buf report = {0};
        load(&l, str_from(bad->source));
        assert_null(l.dag);
        report_text("d.yaml", str_from(bad->source), &l.diags, &report);
        for (size_t k = 0; k < l.diags.count; k++) {
            const struct diag *d = &l.diags.items[k];
            found = found ||
                    (strcmp(d->code, bad->code) == 0 && d->at.line == bad->line &&
                     d->at.column == bad->column && strstr(buf_text(&report), bad->text) != NULL);
            assert_non_null(report_title(d->code));
        }
        if (!found)
            fail_msg("%s\nwanted %s at %u:%u with '%s', found:\n%s", bad->source, bad->code,
                     bad->line, bad->column, bad->text, buf_text(&report));
        buf_release(&report);
        release(&l);
    }
}

static const char good[] =
    "\xEF\xBB\xBF"
    "dag_id: churn\r\nschedule: \"0 2 * * *\"\r\ntimezone: Europe/Berlin\r\n"
    "start_date: 2026-01-01\r\ntags: [b, a]\r\n"
    "default_args: {retries: 3, retry_delay: 30s, retry_exponential_backoff: true,\r\n"
    "  pool: gpu, env: {A: \"1\", B: \"2\"}}\r\n"
    "params: {lake: {type: string, default: l}, n: 5, free: {type: integer}}\r\n"
    "tasks:\r\n"
    "  a: {type: noop, priority_weight: 5}\r\n"
    "  b: {type: command, depends_on: a, retries: 0, env: {B: \"{{ ds }}\"},\r\n"
    "      with: {argv: [x, \"{{ tasks.a.outputs.k }}\", \"{{ params.free }}\", no]}}\r\n"
    "  c: {type: noop, depends_on: [a], trigger_rule: all_done, execution_timeout: 1h}\r\n"
    "  d: {type: noop, depends_on: [c, b]}\r\n";

static void reads(void **state)
{
    (void)state;
    struct loaded l;

    load(&l, (struct str){good, sizeof(good) - 1});
    if (l.dag == NULL)
        fail_msg("%s %s", l.diags.items[0].code, l.diags.items[0].message);
    const struct dag *dag = l.dag;
    assert_string_equal(dag->dag_id, "churn");
    assert_int_equal(dag->schedule.kind, SCHEDULE_CRON);
    assert_int_equal(dag->start_date_us, INT64_C(1767222000) * US_PER_SECOND);
    assert_string_equal(dag->tags[0], "a");
    assert_false(dag->catchup);
    assert_int_equal(dag->max_active_runs, 16);
    assert_int_equal(json_object_size(dag->params), 2);
    assert_int_equal(json_object_size(dag->param_types), 2);
    assert_string_equal(json_get_string(dag->param_types, "free", ""), "integer");
    assert_int_equal(dag->task_count, 4);
    assert_int_equal(dag->tasks[0].retries, 3);
    assert_int_equal(dag->tasks[0].retry_delay_us, 30 * US_PER_SECOND);
    assert_true(dag->tasks[0].retry_backoff == 2.0);
    assert_string_equal(dag->tasks[0].pool, "gpu");
    assert_true(dag->tasks[0].outputs_used);
    assert_false(dag->tasks[2].outputs_used);
    assert_int_equal(dag->tasks[0].priority_weight_total, 8); /* d counts once */
    assert_int_equal(dag->tasks[1].retries, 0);
    assert_string_equal(json_get_string(dag->tasks[1].env, "A", ""), "1");
    assert_string_equal(json_get_string(dag->tasks[1].env, "B", ""), "{{ ds }}");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(dag->tasks[1].options, "argv"), 3)), "no");
    assert_int_equal(dag->tasks[2].trigger_rule, TRIGGER_RULE_ALL_DONE);
    assert_int_equal(dag->tasks[2].execution_timeout_us, US_PER_HOUR);
    assert_int_equal(dag->tasks[3].upstream_count, 2);
    assert_int_equal(dag->tasks[3].upstream[0], 1);
    assert_int_equal(dag->tasks[0].downstream_count, 2);
    assert_int_equal(dag->source.len, sizeof(good) - 1);
    assert_int_equal(dag_find_task(dag, STR("c")), 2);
    assert_int_equal(strlen(dag->hash), 64);
    release(&l);
}

/* What looks like one of the mistakes above and is none. */
static void reads_assets(void **state)
{
    struct loaded l;

    (void)state;
    load(&l, STR(HEAD "  a: {type: noop, outlets: lake/x/}\n"
                      "  b: {type: sql, with: {query: SELECT 1, target: lake/y}}\n"
                      "schedule:\n"
                      "  assets: [lake/x/, {any: [./lake/y, lake/x]}]\n"
                      "  per_partition: true\n"));
    if (l.dag == NULL)
        fail_msg("%s %s", l.diags.items[0].code, l.diags.items[0].message);
    const struct schedule *schedule = &l.dag->schedule;
    assert_string_equal(schedule->text, "assets: lake/x and (lake/y or lake/x), per partition");
    assert_int_equal(schedule->kind, SCHEDULE_ASSETS);
    assert_int_equal(schedule->asset_count, 2);
    assert_int_equal(schedule->condition[0].kind, ASSET_ALL);
    assert_int_equal(schedule->condition[0].size, 5);
    assert_int_equal(schedule->condition[2].kind, ASSET_ANY);
    assert_int_equal(schedule->condition[4].asset, 0);
    assert_true(schedule->per_partition);
    assert_string_equal(l.dag->tasks[0].outlets[0], "lake/x");
    assert_false(l.dag->tasks[0].updates_target);
    assert_true(l.dag->tasks[1].updates_target);
    release(&l);
}

static void accepts(void **state)
{
    static const char *const cases[] = {
        NOOP
        "params: {q: {limits: 3, mode: string}, r: {types: 3, rows: 4}, s: {default: {typ: x}}}\n",
        HEAD "  a: {type: ingest, with: {source: x, target: l, columns: {id: BIGINT},\n"
             "    on_new_column: keep, unique_key: other}}\n",
        HEAD "  a: {type: ingest, with: {source: x, target: l, unique_key: other}}\n",
        HEAD "  a: {type: ingest, with: {source: x, target: l}}\n"
             "  b: {type: ingest, depends_on: a, trigger_rule: all_failed, with: {source: y, "
             "target: l}}\n",
        HEAD "  a: {type: command, with: {argv: [\"{{ run_id }}\", \"\"]}}\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct loaded l;
        load(&l, str_from(cases[i]));
        if (l.dag == NULL)
            fail_msg("%s\n%s: %s", cases[i], l.diags.items[0].code, l.diags.items[0].message);
        release(&l);
    }
}

static void schedules(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum schedule_kind kind;
    } cases[] = {
        {"",                         SCHEDULE_NONE },
        {"schedule: null\n",         SCHEDULE_NONE },
        {"schedule: \"@daily\"\n",   SCHEDULE_CRON },
        {"schedule: \"@once\"\n",    SCHEDULE_ONCE },
        {"schedule: {every: 15m}\n", SCHEDULE_EVERY},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct loaded l;
        struct buf source = {0};
        buf_printf(&source, "%s%s", NOOP, cases[i].text);
        load(&l, buf_str(&source));
        assert_non_null(l.dag);
        assert_int_equal(l.dag->schedule.kind, cases[i].kind);
        release(&l);
        buf_release(&source);
    }
}

static void prints_like_a_compiler(void **state)
{
    (void)state;
    static const char source[] = "dag_id: d\ntasks:\n  features: {type: noop}\n"
                                 "  train: {type: noop, depends_on: [featurs]} # \xC3\xA4\n";
    struct loaded l;
    struct buf out = {0};
    struct buf json = {0};
    struct jw w = {.out = &json};

    load(&l, STR(source));
    report_text("dags/d.yaml", STR(source), &l.diags, &out);
    assert_string_equal(
        buf_text(&out),
        "error[MR0107]: task `train` depends on unknown task `featurs`\n"
        " --> dags/d.yaml:4:36\n"
        "  |\n"
        "4 |   train: {type: noop, depends_on: [featurs]} # \xC3\xA4\n"
        "  |                                    ^^^^^^^ did you mean `features`?\n");
    report_json("d.yaml", &l.diags, &w);
    assert_non_null(strstr(buf_text(&json), "\"code\":\"MR0107\",\"severity\":\"error\","
                                            "\"file\":\"d.yaml\",\"line\":4,\"column\":36"));
    buf_release(&out);
    buf_release(&json);
    release(&l);
}

static void stops_nesting(void **state)
{
    (void)state;
    static const char *const openers[] = {"[", "- ", "{a: ", "? "};

    for (size_t i = 0; i < COUNT(openers); i++) {
        struct buf source = {0};
        struct loaded l;
        for (int k = 0; k < 100000; k++)
            buf_add_text(&source, openers[i]);
        load(&l, buf_str(&source));
        assert_null(l.dag);
        assert_int_equal(l.diags.error_count, 1);
        release(&l);
        buf_release(&source);
    }
}

static void loads_ten_thousand_tasks(void **state)
{
    (void)state;
    struct buf source = {0};
    struct loaded l;

    buf_add_text(&source, HEAD);
    buf_add_text(&source, "  t0: {type: noop}\n");
    for (int i = 1; i < 10000; i++)
        buf_printf(&source, "  t%d: {type: command, depends_on: [t%d], with: {argv: [echo, x]}}\n",
                   i, i - 1);
    load(&l, buf_str(&source));
    if (l.dag == NULL)
        fail_msg("%u: %s", l.diags.items[0].at.line, l.diags.items[0].message);
    assert_int_equal(l.dag->task_count, 10000);
    assert_int_equal(l.dag->tasks[0].priority_weight_total, 10000);
    release(&l);
    buf_add_text(&source, "  one_more: {type: noop}\n");
    load(&l, buf_str(&source));
    assert_null(l.dag);
    assert_string_equal(l.diags.items[0].code, "MR0119");
    release(&l);
    buf_release(&source);
}

/* Mutated files must be answered, whatever the answer is: the sanitizers watch. */
static void survives_mutations(void **state)
{
    (void)state;
    static const char alphabet[] = "\n\t :-[]{},\"'|>&*!?#%@`~\\a0{}\xC3\x00\xFF";
    uint64_t seed = 42;

    for (int round = 0; round < 3000; round++) {
        char bytes[sizeof(good)];
        struct loaded l;
        memcpy(bytes, good, sizeof(good));
        for (int k = 0; k < 1 + round % 4; k++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            bytes[(seed >> 33) % (sizeof(good) - 1)] =
                alphabet[(seed >> 20) % (sizeof(alphabet) - 1)];
        }
        load(&l, (struct str){bytes, sizeof(good) - 1});
        assert_true((l.dag != NULL) == (l.diags.error_count == 0));
        struct buf report = {0};
        report_text("d.yaml", (struct str){bytes, sizeof(good) - 1}, &l.diags, &report);
        buf_release(&report);
        release(&l);
    }
}

#define MANY 300

/* What a task weighs with all that is reached from it, by walking. */
static int64_t weigh_by_walking(const struct dag *dag, uint32_t task, bool is_down, bool *is_seen)
{
    const struct dag_task *at = &dag->tasks[task];
    int64_t total = at->priority_weight;

    is_seen[task] = true;
    for (uint32_t k = 0; k < (is_down ? at->downstream_count : at->upstream_count); k++) {
        uint32_t next = is_down ? at->downstream[k] : at->upstream[k];
        if (!is_seen[next])
            total += weigh_by_walking(dag, next, is_down, is_seen);
    }
    return total;
}

/* Edges near and far, against the order of the file and along it; weights alike and not. */
static void add_random_dag(struct buf *out, const char *rule, uint64_t seed)
{
    buf_printf(out, "dag_id: d\ndefault_args: {weight_rule: %s}\ntasks:\n", rule);
    for (uint64_t i = 0; i < MANY; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t place = i * 77 % MANY; /* in the order of the edges */
        uint64_t near = place - 1 - (seed >> 40) % (place < 5 ? place + 1 : 5);
        uint64_t far = (seed >> 20) % (place + 1);
        buf_printf(out, "  t%u: {type: noop", (unsigned)place);
        if (seed % 3 == 0)
            buf_printf(out, ", priority_weight: %u", (unsigned)(seed >> 50) % 9 + 1);
        if (place > 0 && near < place && near != far && far < place)
            buf_printf(out, ", depends_on: [t%u, t%u]", (unsigned)near, (unsigned)far);
        buf_add_text(out, "}\n");
    }
}

static void test_weights_of_many(void **context)
{
    (void)context;
    static const char *const rules[] = {"downstream", "upstream"};

    for (uint64_t round = 0; round < 10; round++) {
        struct buf source = {0};
        struct loaded l;
        bool is_down = round % 2 == 0;

        add_random_dag(&source, rules[round % 2], round);
        load(&l, buf_str(&source));
        assert_non_null(l.dag);
        for (uint32_t k = 0; k < MANY; k++) {
            bool is_seen[MANY] = {false};
            assert_int_equal(l.dag->tasks[k].priority_weight_total,
                             weigh_by_walking(l.dag, k, is_down, is_seen));
        }
        release(&l);
        buf_release(&source);
    }
}

/* a → b, c → d: each rule counts every relative once; absolute none. */
static void test_weight_rules(void **context)
{
    (void)context;
    static const struct {
        const char *rule;
        int64_t totals[4];
    } cases[] = {
        {"downstream", {10, 6, 7, 4}},
        {"upstream",   {1, 3, 4, 10}},
        {"absolute",   {1, 2, 3, 4} },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct loaded l;
        char text[512];
        (void)snprintf(text, sizeof(text),
                       "dag_id: d\ndefault_args: {weight_rule: %s}\ntasks:\n"
                       "  a: {type: noop}\n"
                       "  b: {type: noop, depends_on: [a], priority_weight: 2}\n"
                       "  c: {type: noop, depends_on: [a], priority_weight: 3}\n"
                       "  d: {type: noop, depends_on: [b, c], priority_weight: 4}\n",
                       cases[i].rule);
        load(&l, str_from(text));
        assert_non_null(l.dag);
        for (uint32_t k = 0; k < 4; k++)
            assert_int_equal(l.dag->tasks[k].priority_weight_total, cases[i].totals[k]);
        release(&l);
    }
}

static void assert_upstreams(const struct dag *dag, const char *task_id, const char *expected)
{
    const struct dag_task *task = &dag->tasks[dag_find_task(dag, str_from(task_id))];
    struct buf names = {0};

    for (uint32_t i = 0; i < task->upstream_count; i++)
        buf_printf(&names, "%s%s", i == 0 ? "" : " ", dag->tasks[task->upstream[i]].task_id);
    assert_string_equal(buf_text(&names), expected);
    buf_release(&names);
}

/* A group's name stands for its leaves, its own depends_on for its roots; its tasks know each other
 * by their short names; its default_args come before the DAG's. */
static void test_task_groups(void **context)
{
    (void)context;
    struct loaded l;

    load(&l, STR("dag_id: d\n"
                 "default_args: {retries: 1, env: {A: dag, B: dag}}\n"
                 "tasks:\n"
                 "  first: {type: noop}\n"
                 "  last: {type: noop, depends_on: [g, h.y]}\n"
                 "  x: {type: noop}\n"
                 "task_groups:\n"
                 "  g:\n"
                 "    tooltip: makes ready\n"
                 "    depends_on: [first, x]\n"
                 "    default_args: {retries: 5, env: {B: group}}\n"
                 "    tasks:\n"
                 "      x: {type: noop}\n"
                 "      y: {type: noop, depends_on: x}\n"
                 "      z: {type: noop, depends_on: [x, first], retries: 7, env: {A: own}}\n"
                 "      down: {type: noop, depends_on: [y, z], teardown: x}\n"
                 "  h:\n"
                 "    depends_on: g\n"
                 "    tasks:\n"
                 "      y: {type: noop}\n"));
    assert_non_null(l.dag);
    assert_upstreams(l.dag, "g.x", "first x");
    assert_upstreams(l.dag, "g.y", "g.x");
    assert_upstreams(l.dag, "g.z", "first g.x");
    assert_upstreams(l.dag, "g.down", "g.x g.y g.z");
    assert_upstreams(l.dag, "last", "g.y g.z h.y");
    assert_upstreams(l.dag, "h.y", "g.y g.z");
    const struct dag_task *y = &l.dag->tasks[dag_find_task(l.dag, STR("g.y"))];
    const struct dag_task *z = &l.dag->tasks[dag_find_task(l.dag, STR("g.z"))];
    const struct dag_task *of_h = &l.dag->tasks[dag_find_task(l.dag, STR("h.y"))];
    assert_int_equal(y->retries, 5);
    assert_int_equal(z->retries, 7);
    assert_int_equal(of_h->retries, 1);
    assert_string_equal(json_get_string(y->env, "A", ""), "dag");
    assert_string_equal(json_get_string(y->env, "B", ""), "group");
    assert_string_equal(json_get_string(z->env, "A", ""), "own");
    assert_string_equal(json_get_string(of_h->env, "B", ""), "dag");
    assert_true(l.dag->tasks[dag_find_task(l.dag, STR("g.x"))].is_setup);
    release(&l);
}

/* Groups in groups: names are looked for from the inside out; a depends_on at any level is for the
 * tasks that nothing of that level is upstream of, and a name stands for those that nothing of it
 * is downstream of; default_args are handed down. */
static void test_nested_groups(void **context)
{
    (void)context;
    struct loaded l;

    load(&l, STR("dag_id: d\n"
                 "default_args: {retries: 1, env: {A: dag, B: dag, C: dag}}\n"
                 "tasks:\n"
                 "  first: {type: noop}\n"
                 "  x: {type: noop}\n"
                 "  after: {type: noop, depends_on: outer}\n"
                 "  after_in: {type: noop, depends_on: [outer.in, outer.in.x, outer.on.deep.y]}\n"
                 "task_groups:\n"
                 "  outer:\n"
                 "    depends_on: first\n"
                 "    default_args: {retries: 5, pool: gpu, env: {B: outer, C: outer}}\n"
                 "    tasks:\n"
                 "      x: {type: noop}\n"
                 "      own: {type: noop, depends_on: in}\n"
                 "      clean: {type: noop, depends_on: [own, on], teardown: x}\n"
                 "    task_groups:\n"
                 "      in:\n"
                 "        depends_on: x\n"
                 "        default_args: {retries: 7, env: {C: in}}\n"
                 "        tasks:\n"
                 "          x: {type: noop}\n"
                 "          y: {type: noop, depends_on: x}\n"
                 "          z: {type: noop}\n"
                 "      on:\n"
                 "        depends_on: in\n"
                 "        task_groups:\n"
                 "          deep:\n"
                 "            depends_on: [other.t, in.z]\n"
                 "            tasks: {x: {type: noop}, y: {type: noop, depends_on: [x]}}\n"
                 "          free:\n"
                 "            tasks: {t: {type: noop}}\n"
                 "  other: {tasks: {t: {type: noop}}}\n"));
    assert_non_null(l.dag);
    assert_upstreams(l.dag, "outer.x", "first");
    assert_upstreams(l.dag, "outer.in.x", "outer.x");
    assert_upstreams(l.dag, "outer.in.y", "outer.in.x");
    assert_upstreams(l.dag, "outer.in.z", "outer.x");
    assert_upstreams(l.dag, "outer.own", "outer.in.y outer.in.z");
    assert_upstreams(l.dag, "outer.on.deep.x", "outer.in.y outer.in.z other.t");
    assert_upstreams(l.dag, "outer.on.deep.y", "outer.on.deep.x");
    assert_upstreams(l.dag, "outer.on.free.t", "outer.in.y outer.in.z");
    assert_upstreams(l.dag, "outer.clean", "outer.x outer.own outer.on.deep.y outer.on.free.t");
    assert_upstreams(l.dag, "after", "outer.own outer.on.deep.y outer.on.free.t");
    assert_upstreams(l.dag, "after_in", "outer.in.x outer.in.y outer.in.z outer.on.deep.y");
    const struct dag_task *in = &l.dag->tasks[dag_find_task(l.dag, STR("outer.in.x"))];
    const struct dag_task *deep = &l.dag->tasks[dag_find_task(l.dag, STR("outer.on.deep.x"))];
    assert_int_equal(in->retries, 7);
    assert_int_equal(deep->retries, 5);
    assert_string_equal(in->pool, "gpu");
    assert_string_equal(json_get_string(in->env, "A", ""), "dag");
    assert_string_equal(json_get_string(in->env, "B", ""), "outer");
    assert_string_equal(json_get_string(in->env, "C", ""), "in");
    assert_string_equal(json_get_string(deep->env, "C", ""), "outer");
    release(&l);
}

/* As many groups in each other as there may be, and one more. */
static void test_group_depth(void **context)
{
    (void)context;

    for (int depth = DAGFILE_GROUP_DEPTH_MAX; depth <= DAGFILE_GROUP_DEPTH_MAX + 1; depth++) {
        struct buf text = {0};
        struct loaded l;
        buf_add_text(&text, "dag_id: d\n");
        for (int i = 0; i < depth; i++)
            buf_printf(&text, "%*stask_groups:\n%*sg%d:\n", 2 * i, "", 2 * i + 1, "", i);
        buf_printf(&text, "%*stasks: {x: {type: noop}}\n", 2 * depth, "");
        load(&l, buf_str(&text));
        if (depth == DAGFILE_GROUP_DEPTH_MAX) {
            assert_non_null(l.dag);
            assert_string_equal(l.dag->tasks[0].task_id, "g0.g1.g2.g3.g4.g5.g6.g7.x");
        } else {
            assert_null(l.dag);
            assert_string_equal(l.diags.items[0].code, "MR0102");
            assert_int_equal(l.diags.items[0].at.line, 2 * depth + 1);
            assert_int_equal(l.diags.items[0].at.column, 2 * depth);
        }
        release(&l);
        buf_release(&text);
    }
}

/* What is wrong with the names of a group is told once, however many tasks begin it. */
static void test_group_names_are_told_once(void **context)
{
    (void)context;
    struct loaded l;

    load(&l, STR("dag_id: d\ntask_groups:\n  g:\n    depends_on: [nothing]\n"
                 "    tasks: {x: {type: noop}, y: {type: noop}}\n"));
    assert_null(l.dag);
    assert_int_equal(l.diags.error_count, 1);
    release(&l);
}

/* 3,000 tasks of the greatest weight in a chain go past what Airflow's API can say. */
static void test_weights_are_clamped(void **context)
{
    (void)context;
    struct buf text = {0};
    struct loaded l;

    buf_add_text(&text, "dag_id: d\ndefault_args: {priority_weight: 1000000}\ntasks:\n");
    buf_add_text(&text, "  t0: {type: noop}\n");
    for (int i = 1; i < 3000; i++)
        buf_printf(&text, "  t%d: {type: noop, depends_on: [t%d]}\n", i, i - 1);
    load(&l, buf_str(&text));
    assert_non_null(l.dag);
    assert_int_equal(l.dag->tasks[0].priority_weight_total, INT32_MAX);
    assert_int_equal(l.dag->tasks[2999].priority_weight_total, 1000000);
    release(&l);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(reads),
        cmocka_unit_test(reads_assets),
        cmocka_unit_test(accepts),
        cmocka_unit_test(schedules),
        cmocka_unit_test(prints_like_a_compiler),
        cmocka_unit_test(stops_nesting),
        cmocka_unit_test(loads_ten_thousand_tasks),
        cmocka_unit_test(survives_mutations),
        cmocka_unit_test(test_weight_rules),
        cmocka_unit_test(test_weights_of_many),
        cmocka_unit_test(test_task_groups),
        cmocka_unit_test(test_nested_groups),
        cmocka_unit_test(test_group_depth),
        cmocka_unit_test(test_group_names_are_told_once),
        cmocka_unit_test(test_weights_are_clamped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
