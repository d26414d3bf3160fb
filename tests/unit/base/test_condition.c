/* Conditions: what they come to, and what is wrong with those that can't be read or evaluated. */
#include "base/condition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static json_t *world; /* of the test: what names stand for */

static const char *check(void *context, struct str name, enum condition_type *ret_type)
{
    (void)context;
    if (str_starts(name, STR("n.")))
        *ret_type = CONDITION_NUMBER;
    else if (str_starts(name, STR("s.")))
        *ret_type = CONDITION_STRING;
    else if (str_starts(name, STR("l.")))
        *ret_type = CONDITION_LIST;
    else if (!str_starts(name, STR("any.")))
        return "unknown name";
    return NULL;
}

static struct template_value look_up(void *context, struct str name)
{
    const json_t *value = json_object_getn(world, name.ptr, name.len);

    (void)context;
    if (str_is(name, "s.text"))
        return (struct template_value){.kind = TEMPLATE_STRING, .text = STR("2026-01-02")};
    if (value == NULL)
        return (struct template_value){.kind = TEMPLATE_MISSING};
    return (struct template_value){.kind = TEMPLATE_JSON, .json = value};
}

static int setup(void **state)
{
    (void)state;
    world = json_pack("{s:i, s:f, s:s, s:[i,s,i], s:{s:i}, s:b, s:n, s:I}", "n.three", 3, "n.half",
                      0.5, "any.word", "abc", "l.items", 1, "b", 3, "any.map", "k", 1, "any.yes", 1,
                      "any.null", "n.big", (json_int_t)INT64_C(9007199254740993));
    return world == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(world);
    return 0;
}

static const struct {
    const char *text;
    bool value;
    const char *shown;
} good[] = {
    {"true",                                                 true,  ""                                   },
    {"not true",                                             false, ""                                   },
    {"not not true",                                         true,  ""                                   },
    {"n.three == 3",                                         true,  "n.three = 3"                        },
    {"n.three == 3.0",                                       true,  "n.three = 3"                        },
    {"n.three==3 and n.half<1",                              true,  "n.three = 3, n.half = 0.5"          },
    {"n.three > 3 or n.three >= 3",                          true,  "n.three = 3"                        },
    {"n.three > -3",                                         true,  "n.three = 3"                        },
    {"n.three < 1e3",                                        true,  "n.three = 3"                        },
    {"n.big == 9007199254740992",                            false, "n.big = 9007199254740993"           },
    {"false and n.missing > 1",                              false, ""                                   },
    {"true or n.missing > 1",                                true,  ""                                   },
    {"exists(n.missing) and n.missing > 1",                  false, ""                                   },
    {"not exists(n.missing)",                                true,  ""                                   },
    {"s.text >= \"2026-01-01\"",                             true,  "s.text = \"2026-01-02\""            },
    {"s.text in ['2026-01-02', 'x']",                        true,  "s.text = \"2026-01-02\""            },
    {"'26-01' in s.text",                                    true,  "s.text = \"2026-01-02\""            },
    {"'27' not in s.text",                                   true,  "s.text = \"2026-01-02\""            },
    {"3 in l.items and 'b' in l.items and 2 not in l.items", true,  "l.items = [1,\"b\",3]"              },
    {"'k' in any.map and not ('j' in any.map)",              true,  "any.map = {\"k\":1}"                },
    {"length(l.items) == 3 and length(any.word) == 3",       true,
     "l.items = [1,\"b\",3], any.word = \"abc\""                                                         },
    {"length(any.map) == 1",                                 true,  "any.map = {\"k\":1}"                },
    {"any.null == null and any.word != null",                true,  "any.null = null, any.word = \"abc\""},
    {"any.yes",                                              true,  "any.yes = true"                     },
    {"any.yes and false or true",                            true,  "any.yes = true"                     },
    {"any.yes and (false or true)",                          true,  "any.yes = true"                     },
    {"(1 < 2) == true",                                      true,  ""                                   },
    {"\"a\\\"b\" == 'a\"b'",                                 true,  ""                                   },
    {"[] == [] and [1, 'x'] != [1]",                         true,  ""                                   },
    {" \t true\n",                                           true,  ""                                   },
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct arena arena = {0};
        struct buf values = {0};
        struct err err = {0};
        bool value = !good[i].value;
        const struct condition *condition =
            condition_parse(&arena, str_from(good[i].text), check, NULL, &err);
        if (condition == NULL ||
            !condition_evaluate(condition, look_up, NULL, &value, &values, &err))
            fail_msg("%s: %s", good[i].text, err.message);
        if (value != good[i].value)
            fail_msg("%s is %d", good[i].text, value);
        assert_string_equal(buf_text(&values), good[i].shown);
        buf_release(&values);
        arena_release(&arena);
    }
}

static const struct {
    const char *text;
    uint32_t column; /* 0: found when it is evaluated */
    const char *message;
} bad[] = {
    {"",                                                                     1,  "at the end"                         },
    {"n.three",                                                              1,  "a number is neither true nor"       },
    {"n.three == ",                                                          12, "at the end"                         },
    {"n.three = 3",                                                          9,  "write `==`"                         },
    {"n.three <> 3",                                                         9,  "write `!=`"                         },
    {"any.yes && true",                                                      9,  "write `and`"                        },
    {"any.yes || true",                                                      9,  "write `or`"                         },
    {"!any.yes",                                                             1,  "write `not`"                        },
    {"{{ any.yes }}",                                                        1,  "without {{ }}"                      },
    {"n.three + 1 == 4",                                                     9,  "no arithmetic"                      },
    {"any.yes | lower",                                                      9,  "no filters"                         },
    {"nope.x == 1",                                                          1,  "unknown name"                       },
    {"n.three == \"3\"",                                                     1,  "a number can't equal a string"      },
    {"n.three < 's'",                                                        1,  "two numbers or two strings"         },
    {"true < false",                                                         1,  "two numbers or two strings"         },
    {"1 in n.three",                                                         1,  "looks into a list"                  },
    {"1 in 'text'",                                                          1,  "finds a string"                     },
    {"n.three and true",                                                     1,  "a number is neither"                },
    {"true and n.three",                                                     10, "a number is neither"                },
    {"not s.text",                                                           5,  "a string is neither"                },
    {"1 < 2 < 3",                                                            7,  "don't chain"                        },
    {"True",                                                                 1,  "write `true`"                       },
    {"and true",                                                             1,  "nothing before"                     },
    {"(true",                                                                6,  "expected `)`"                       },
    {"true)",                                                                5,  "expected `and`"                     },
    {"[1, 2",                                                                6,  "in the list"                        },
    {"'abc == 1",                                                            1,  "no closing"                         },
    {"'a\\q' == 'b'",                                                        3,  "unknown escape"                     },
    {"12ab == 1",                                                            1,  "no number"                          },
    {"exists(1)",                                                            8,  "expected a name"                    },
    {"length(3) == 1",                                                       8,  "a number has no length"             },
    {"max(1)",                                                               1,  "two functions"                      },
    {"((((((((((((((((((((((((((((((((true))))))))))))))))))))))))))))))))", 33,
     "within each other"                                                                                              },
    {"n.missing > 1",                                                        0,  "`n.missing` has no value here"      },
    {"any.word == 3",                                                        0,  "`any.word` (a string) and a number" },
    {"any.word > 3",                                                         0,  "can't be compared"                  },
    {"any.word",                                                             0,  "`any.word` (a string) is neither"   },
    {"3 in any.word",                                                        0,  "can't be compared"                  },
    {"length(any.yes) == 1",                                                 0,  "`any.yes` (a boolean) has no length"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct arena arena = {0};
        struct buf values = {0};
        struct err err = {0};
        bool value = false;
        const struct condition *condition =
            condition_parse(&arena, str_from(bad[i].text), check, NULL, &err);
        if (condition != NULL && bad[i].column != 0)
            fail_msg("%s is accepted", bad[i].text);
        if (condition != NULL)
            assert_false(condition_evaluate(condition, look_up, NULL, &value, &values, &err));
        if (err.column != bad[i].column || strstr(err.message, bad[i].message) == NULL)
            fail_msg("%s: column %u: %s", bad[i].text, err.column, err.message);
        buf_release(&values);
        arena_release(&arena);
    }
}

/* What is too long or too deep is refused, and no text makes it crash. */
static void test_limits(void **state)
{
    static const char *const pieces[] = {
        "(",   ")", "not ",  "n.three", "any.x",   "==",      "<", " in ", "[", "]",    ",",
        "'a'", "1", " and ", " or ",    "exists(", "length(", "-", "\\",   "'", "\xff", "true"};
    uint32_t seed = 7;
    struct str longest = {NULL, CONDITION_BYTES_MAX + 1};
    struct arena arena = {0};
    struct err err = {0};

    (void)state;
    char *text = malloc(longest.len + 64);
    assert_non_null(text);
    memset(text, ' ', longest.len);
    longest.ptr = text;
    assert_null(condition_parse(&arena, longest, check, NULL, &err));
    for (int round = 0; round < 20000; round++) {
        struct buf values = {0};
        size_t len = 0;
        bool value = false;
        for (int k = 0; k < 24; k++) {
            seed = seed * 1664525u + 1013904223u;
            const char *piece = pieces[(seed >> 16) % COUNT(pieces)];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        const struct condition *condition =
            condition_parse(&arena, (struct str){text, len}, check, NULL, &err);
        if (condition != NULL)
            (void)condition_evaluate(condition, look_up, NULL, &value, &values, &err);
        buf_release(&values);
        arena_release(&arena);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
