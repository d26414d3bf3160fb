/* Which tasks a change takes: by name, up- and downstream, by state and map index. */
#include "tests/scenarios/dag_script.h"

#include "millrace/choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The names of the chosen tasks, as "a b c". */
static const char *chosen(const struct dag *dag, const struct task_choice *choice,
                          struct arena *arena)
{
    const bool *is_chosen = choice_tasks(dag, choice, arena);
    const char *text = "";

    for (uint32_t i = 0; i < dag->task_count; i++)
        if (is_chosen[i])
            text = arena_printf(arena, "%s%s%s", text, text[0] == '\0' ? "" : " ",
                                dag->tasks[i].task_id);
    return text;
}

static void test_names(void **state)
{
    struct dag *dag =
        dag_script("d", "a; b after a; c after b; d after b; e; f after d e; group = g c d");
    struct arena arena = {0};
    const struct task_name b = {"b", CHOICE_EVERY_INDEX};
    const struct task_name group = {"g", CHOICE_EVERY_INDEX};
    const struct task_name group_item = {"g", 3}; /* a group has no instances */
    const struct task_name two[] = {
        {"d",       CHOICE_EVERY_INDEX},
        {"unknown", CHOICE_EVERY_INDEX}
    };
    const struct {
        struct task_choice choice;
        const char *expected;
    } cases[] = {
        {{0},                                                                  "a b c d e f"},
        {{.names = &b, .count = 1},                                            "b"          },
        {{.names = &b, .count = 1, .downstream = true},                        "b c d f"    },
        {{.names = &b, .count = 1, .upstream = true},                          "a b"        },
 /* What is upstream is not a reason to take what else is downstream of it. */
        {{.names = two, .count = 2, .upstream = true, .downstream = true},     "a b d f"    },
        {{.names = two + 1, .count = 1, .upstream = true, .downstream = true}, ""           },
        {{.names = &group, .count = 1},                                        "c d"        },
        {{.names = &group, .count = 1, .downstream = true},                    "c d f"      },
        {{.names = &group_item, .count = 1},                                   ""           },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(chosen(dag, &cases[i].choice, &arena), cases[i].expected);
    assert_true(choice_fits(dag, &cases[4].choice));
    assert_false(choice_fits(dag, &cases[5].choice));
    assert_true(choice_fits(dag, &cases[6].choice));
    assert_false(choice_fits(dag, &cases[8].choice));
    arena_release(&arena);
    dag_unref(dag);
}

static bool takes(const struct dag *dag, const struct task_choice *choice, uint32_t task,
                  int32_t map_index, enum task_state state)
{
    struct arena arena = {0};
    const struct task_row row = {.task = task, .map_index = map_index, .state = state};
    bool taken = choice_takes(choice, dag, choice_tasks(dag, choice, &arena), &row);

    arena_release(&arena);
    return taken;
}

static void test_states(void **state)
{
    struct dag *dag = dag_script("d", "a; b after a");
    const struct task_choice failed = {.only_failed = true};
    const struct task_choice running = {.only_running = true};
    const struct task_choice either = {.only_failed = true, .only_running = true};

    (void)state;
    assert_true(takes(dag, &failed, 0, -1, TASK_UPSTREAM_FAILED));
    assert_false(takes(dag, &failed, 0, -1, TASK_SKIPPED));
    assert_true(takes(dag, &running, 0, -1, TASK_QUEUED));
    assert_false(takes(dag, &running, 0, -1, TASK_FAILED));
    assert_true(takes(dag, &either, 1, -1, TASK_FAILED));
    assert_true(takes(dag, &either, 1, -1, TASK_RUNNING));
    assert_false(takes(dag, &(struct task_choice){0}, 0, -1, TASK_REMOVED));
    assert_false(takes(dag, &(struct task_choice){0}, 7, -1, TASK_FAILED));
    dag_unref(dag);
}

static void test_map_indices(void **state)
{
    struct dag *dag = dag_script("d", "a; b after a");
    const struct task_name names[] = {
        {"a", 2},
        {"a", 4}
    };
    const struct task_choice choice = {.names = names, .count = 2, .downstream = true};

    (void)state;
    assert_true(takes(dag, &choice, 0, 2, TASK_FAILED));
    assert_true(takes(dag, &choice, 0, 4, TASK_FAILED));
    assert_false(takes(dag, &choice, 0, 3, TASK_FAILED));
    assert_true(takes(dag, &choice, 1, 3, TASK_FAILED)); /* downstream: every index */
    dag_unref(dag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_map_indices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
