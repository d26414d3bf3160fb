/* `when`, `branch` and `expand` in DAG files: what is found where, and what they become. */
#include "scheduler/dagfile/dagfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD                                                                                       \
    "dag_id: d\n"                                                                                  \
    "params: {n: {type: integer, default: 1}, s: x, l: {type: array, default: []}}\n"              \
    "tasks:\n"                                                                                     \
    "  a: {type: noop}\n"

struct loaded {
    struct arena arena;
    struct diags diags;
    struct dag *dag;
};

static void load(struct loaded *l, const char *source)
{
    struct dagfile_input input = {.source = str_from(source), .file = "d.yaml"};

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

static const struct {
    const char *tasks; /* from line 5 on */
    const char *code;
    uint32_t line;
    uint32_t column;
    const char *text; /* part of message or hint */
} bad[] = {
    {"  b: {type: noop, when: params.x == 1}\n",                                                     "MR0125", 5, 25, "`x` is not declared"                               },
    {"  b: {type: noop, when: params.n == \"1\"}\n",                                                 "MR0125", 5, 25, "can't equal a string"                              },
    {"  b:\n    type: noop\n    when: ds > 3\n",                                                     "MR0125", 7, 11, "a string and a number"                             },
    {"  b:\n    type: noop\n    when: tasks.a.outputs.k\n",                                          "MR0125", 7, 11, "does not depend on"                                },
    {"  b: {type: noop, when: \"tasks.a.state == 1\"}\n",                                            "MR0125", 5, 26, "tasks.TASK.outputs"                                },
    {"  b: {type: noop, when: map_index == 1}\n",                                                    "MR0125", 5, 25, "there is no `map_index` yet"                       },
    {"  b: {type: noop, when: \"{{ params.n }} == 1\"}\n",                                           "MR0125", 5, 26, "without {{ }}"                                     },
    {"  b: {type: noop, when: [1]}\n",                                                               "MR0106", 5, 25, "when"                                              },
    {"  b: {type: noop, if: x}\n",                                                                   "MR0105", 5, 19, "use `when`"                                        },
    {"  b: {type: noop, foreach: x}\n",                                                              "MR0105", 5, 19, "use `expand`"                                      },
    {"  b: {type: noop, expand: {}}\n",                                                              "MR0127", 5, 27, "names no list"                                     },
    {"  b: {type: noop, expand: {x: a}}\n",                                                          "MR0127", 5, 31, "no list to go over"                                },
    {"  b: {type: noop, expand: {x: 3}}\n",                                                          "MR0127", 5, 31, "not an integer"                                    },
    {"  b: {type: noop, expand: {1x: [3]}}\n",                                                       "MR0127", 5, 28, "no name to go by"                                  },
    {"  b: {type: noop, expand: {x: \"{{ params.n }}\"}}\n",                                         "MR0127", 5, 31, "no list"                                           },
    {"  b: {type: noop, expand: {x: \"{{ params.k }}\"}}\n",                                         "MR0113", 5, 35, "`k` is not"                                        },
    {"  b: {type: noop, expand: {x: [\"{{ map.x }}\"]}}\n",                                          "MR0113", 5, 36, "not known yet"                                     },
    {"  b: {type: noop, expand: {x: \"{{ tasks.a.outputs.k }}\"}}\n",                                "MR0113", 5, 35,
     "does not depend on"                                                                                                                                                 },
    {"  b: {type: command, with: {argv: [x, \"{{ map.x }}\"]}}\n",                                   "MR0113", 5, 43, "add `expand`"                                      },
    {"  b: {type: command, expand: {file: [1]}, with: {argv: [x, \"{{ map.fil }}\"]}}\n",            "MR0113",
     5,                                                                                                           64, "did you mean `file`?"                              },
    {"  b: {type: noop, expand: {x: [1]}, max_map_length: 10001}\n",                                 "MR0106", 5, 53, "10000"                                             },
    {"  b: {type: noop, branch: [{else: [a]}]}\n",                                                   "MR0126", 5, 27, "1 to 200 tasks"                                    },
    {"  b: {type: noop, branch: [{else: [c, a]}]}\n  c: {type: noop, depends_on: b}\n",              "MR0126", 5,
     39,                                                                                                              "`a` is no task or group directly downstream of `b`"},
    {"  b: {type: noop, branch: [{else: [c]}, {when: true, then: c}]}\n"
     "  c: {type: noop, depends_on: b}\n",                                                      "MR0126", 5, 35, "stands alone"                                      },
    {"  b: {type: noop, branch: [{when: true}]}\n  c: {type: noop, depends_on: b}\n",                "MR0126", 5,
     28,                                                                                                              "needs `when` and `then`"                           },
    {"  b: {type: noop, branch: [{when: params.n, then: c}]}\n  c: {type: noop, depends_on: b}\n",
     "MR0125",                                                                                                 5, 35, "neither true nor false"                            },
    {"  b: {type: noop, branch: [{if: true, then: c}]}\n  c: {type: noop, depends_on: b}\n",
     "MR0105",                                                                                                 5, 29, "if"                                                },
    {"  b: {type: noop, expand: {x: [1]}, branch: [{else: c}]}\n  c: {type: noop, depends_on: b}\n",
     "MR0126",                                                                                                 5, 45, "mapped task can't branch"                          },
    {"  b: {type: noop, branch: [{else: c}], branch_output: k}\n  c: {type: noop, depends_on: b}\n",
     "MR0126",                                                                                                 5, 55, "both choose"                                       },
};

static bool holds(const struct diag *diag, size_t i)
{
    return strcmp(diag->code, bad[i].code) == 0 && diag->at.line == bad[i].line &&
           diag->at.column == bad[i].column &&
           (strstr(diag->message, bad[i].text) != NULL ||
            (diag->hint != NULL && strstr(diag->hint, bad[i].text) != NULL));
}

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct loaded l;
        struct buf source = {0};
        bool found = false;
        buf_printf(&source, HEAD "%s", bad[i].tasks);
        load(&l, buf_text(&source));
        for (size_t k = 0; k < l.diags.count; k++)
            found = found || holds(&l.diags.items[k], i);
        if (!found && l.diags.count > 0)
            fail_msg("%s: %u:%u %s %s (%s)", bad[i].tasks, l.diags.items[0].at.line,
                     l.diags.items[0].at.column, l.diags.items[0].code, l.diags.items[0].message,
                     l.diags.items[0].hint == NULL ? "" : l.diags.items[0].hint);
        if (!found)
            fail_msg("nothing found: %s", bad[i].tasks);
        release(&l);
        buf_release(&source);
    }
}

static void test_good(void **state)
{
    struct loaded l;

    (void)state;
    load(&l, HEAD "  b:\n"
                  "    type: noop\n"
                  "    depends_on: a\n"
                  "    when: params.n > 0 and length(tasks.a.outputs.k) > 0 and params.s == \"x\"\n"
                  "    branch:\n"
                  "      - {when: \"tasks.b.outputs.n in params.l\", then: [c, e]}\n"
                  "      - {else: d}\n"
                  "  c: {type: noop, depends_on: b}\n"
                  "  d: {type: noop, depends_on: [b, c]}\n"
                  "  e: {type: noop, depends_on: b, when: false}\n"
                  "  m:\n"
                  "    type: command\n"
                  "    depends_on: a\n"
                  "    max_map_length: 7\n"
                  "    expand: {f: \"{{ tasks.a.outputs.files }}\", g: [{h: 1}], l: "
                  "\"{{ params.l }}\"}\n"
                  "    with: {argv: [x, \"{{ map.f }}\", \"{{ map.g.h }}\"]}\n"
                  "    env: {L: \"{{ map.l }}\"}\n");
    for (size_t i = 0; i < l.diags.count; i++)
        fail_msg("%u: %s", l.diags.items[i].at.line, l.diags.items[i].message);
    assert_non_null(l.dag);
    const struct dag_task *tasks = l.dag->tasks;
    assert_non_null(tasks[1].when);
    assert_true(tasks[0].outputs_used);
    assert_true(tasks[1].outputs_used); /* by its own branch */
    assert_int_equal(tasks[1].branch->choice_count, 2);
    assert_int_equal(tasks[1].branch->choices[0].target_count, 2);
    assert_int_equal(tasks[1].branch->choices[0].targets[1], 4);
    assert_null(tasks[1].branch->choices[1].when);
    assert_int_equal(tasks[1].branch->detours[1].count, 1); /* to d through c */
    assert_int_equal(tasks[1].branch->detours[1].through[0], 2);
    assert_int_equal(tasks[1].branch->detours[0].count, 0);
    assert_true(tasks[2].is_after_branch && !tasks[1].is_after_branch);
    assert_int_equal(json_object_size(tasks[5].expand), 3);
    assert_int_equal(tasks[5].max_map_length, 7);
    assert_int_equal(tasks[0].max_map_length, 10000);
    release(&l);
}

/* A branch chooses groups, and names what is in its own group by the short name. */
static void test_groups(void **state)
{
    struct loaded l;

    (void)state;
    load(&l, "dag_id: d\n"
             "tasks:\n"
             "  a: {type: noop, branch: [{when: params.n > 0, then: [g, g.x, z]}, {else: g.in}]}\n"
             "  z: {type: noop, depends_on: a}\n"
             "params: {n: {type: integer, default: 1}}\n"
             "task_groups:\n"
             "  g:\n"
             "    depends_on: a\n"
             "    tasks:\n"
             "      x: {type: noop}\n"
             "      b: {type: noop, depends_on: x, branch: [{else: c}]}\n"
             "      c: {type: noop, depends_on: b}\n"
             "    task_groups:\n"
             "      in: {tasks: {y: {type: noop}}}\n"
             "  far: {depends_on: g, tasks: {w: {type: noop}}}\n");
    for (size_t i = 0; i < l.diags.count; i++)
        fail_msg("%u: %s", l.diags.items[i].at.line, l.diags.items[i].message);
    const struct dag_task *tasks = l.dag->tasks;
    const struct branch_choice *choice = tasks[0].branch->choices;
    assert_int_equal(choice[0].target_count, 3); /* each once, and not what is further down */
    assert_string_equal(tasks[choice[0].targets[0]].task_id, "g.x");
    assert_string_equal(tasks[choice[0].targets[1]].task_id, "g.in.y");
    assert_string_equal(tasks[choice[0].targets[2]].task_id, "z");
    assert_int_equal(choice[1].target_count, 1);
    assert_string_equal(tasks[choice[1].targets[0]].task_id, "g.in.y");
    choice = tasks[dag_find_task(l.dag, STR("g.b"))].branch->choices;
    assert_int_equal(choice[0].target_count, 1);
    assert_string_equal(tasks[choice[0].targets[0]].task_id, "g.c");
    release(&l);

    load(&l, "dag_id: d\n"
             "tasks:\n"
             "  a: {type: noop, branch: [{else: far}]}\n"
             "  b: {type: noop, depends_on: a}\n"
             "task_groups:\n"
             "  far: {depends_on: b, tasks: {w: {type: noop}}}\n");
    assert_int_equal(l.diags.count, 1);
    assert_non_null(
        strstr(l.diags.items[0].message, "`far` is no task or group directly downstream of `a`"));
    release(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_groups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
