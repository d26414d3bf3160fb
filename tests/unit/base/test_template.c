/* Templates: what they render to, and what is refused where. */
#include "base/json.h"
#include "base/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* 2026-01-02T00:00:00 in Berlin. */
#define MIDNIGHT_US (INT64_C(1767308400) * 1000000)
#define HOUR_US INT64_C(3600000000)

static struct template_value lookup(void *context, struct str name)
{
    const json_t *json = context;
    struct template_value time = {
        .kind = TEMPLATE_TIME, .time_us = MIDNIGHT_US, .offset_us = HOUR_US};

    if (str_is(name, "ts"))
        return time;
    if (str_is(name, "ds")) {
        time.format = TEMPLATE_FORMAT_DATE;
        return time;
    }
    if (str_is(name, "ds_nodash")) {
        time.format = TEMPLATE_FORMAT_NODASH;
        return time;
    }
    if (str_starts(name, STR("params."))) {
        struct str key = str_sub(name, 7, name.len);
        const json_t *value = json_object_getn(json, key.ptr, key.len);
        if (value != NULL)
            return (struct template_value){.kind = TEMPLATE_JSON, .json = value};
    }
    if (str_is(name, "run_id"))
        return (struct template_value){.kind = TEMPLATE_STRING, .text = STR("it's")};
    return (struct template_value){.kind = TEMPLATE_MISSING};
}

static json_t *params(void)
{
    struct err err;
    json_t *value = json_parse(STR("{\"n\": 5, \"s\": \"Lake\", \"list\": [1, \"a\"], "
                                   "\"day\": \"2024-03-01\", \"none\": null}"),
                               &err);

    assert_non_null(value);
    return value;
}

static void renders(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *result;
    } cases[] = {
        {"plain",                                         "plain"                    },
        {"{{ ds }}",                                      "2026-01-02"               },
        {"a{{ds}}b{{ ds_nodash }}c",                      "a2026-01-02b20260102c"    },
        {"{{ ts }}",                                      "2026-01-01T23:00:00+00:00"},
        {"{{ ts | ts_nodash }}",                          "20260101T230000"          },
        {"{{ ds | add_days(-7) }}",                       "2025-12-26"               },
        {"{{ ds | add_days(1) | format(\"%Y/%m/%d\") }}", "2026/01/03"               },
        {"{{ ts | add(\"-1h\") }}",                       "2026-01-01T22:00:00+00:00"},
        {"{{ ts | add(1h30m) }}",                         "2026-01-02T00:30:00+00:00"},
        {"{{ ts | ds }}",                                 "2026-01-02"               },
        {"{{ params.day | add_days(-1) }}",               "2024-02-29"               },
        {"{{ params.n }}",                                "5"                        },
        {"{{ params.list }}",                             "[1,\"a\"]"                },
        {"{{ params.s | lower }}-{{ params.s | upper }}", "lake-LAKE"                },
        {"{{ params.s | json }}",                         "\"Lake\""                 },
        {"{{ params.s | replace(\"a\", \"--\") }}",       "L--ke"                    },
        {"{{ conf.x | default(\"y\") }}",                 "y"                        },
        {"{{ conf.x | lower | default('Y') }}",           "Y"                        },
        {"{{ run_id | sh }}",                             "'it'\\''s'"               },
        {"{{ \"{{\" }} x }}",                             "{{ x }}"                  },
        {"{{ \"a\\\"b\\n\" }}",                           "a\"b\n"                   },
    };
    json_t *json = params();

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf out = {0};
        struct err err = {0};
        if (!template_render(str_from(cases[i].text), lookup, json, &out, &err))
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_string_equal(buf_text(&out), cases[i].result);
        buf_release(&out);
    }
    json_decref(json);
}

static void refuses_to_render(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"{{ conf.x }}",                 "`conf.x` has no value"},
        {"{{ params.s | add_days(1) }}", "needs a date"         },
        {"{{ ds | add_days(3652059) }}", "leaves the years"     },
        {"{{ ds | add_days(-999999) }}", "leaves the years"     },
        {"{{ ds",                        "not closed"           },
    };
    json_t *json = params();

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf out = {0};
        struct err err = {0};
        assert_false(template_render(str_from(cases[i].text), lookup, json, &out, &err));
        if (strstr(err.message, cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_int_equal(err.code, ERR_TEMPLATE);
        assert_int_equal(out.len, 0);
    }
    json_decref(json);
}

static const char *check_name(void *context, struct str name, size_t offset)
{
    (void)offset;
    (*(int *)context)++;
    return str_is(name, "ds") || str_is(name, "params.my-key") ? NULL : "unknown name";
}

static void checks_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t column; /* 0: fine */
    } cases[] = {
        {"{{ ds }} and {{ params.my-key | lower }}",                         0 },
        {"no template }} here",                                              0 },
        {"x {{ nope }}",                                                     6 },
        {"{{ ds ",                                                           1 },
        {"{{ ds }",                                                          7 },
        {"{{ }}",                                                            4 },
        {"{{ ds | }}",                                                       9 },
        {"{{ ds | nope }}",                                                  9 },
        {"{{ ds | add_days }}",                                              9 },
        {"{{ ds | add_days(x) }}",                                           9 },
        {"{{ ds | add_days(1, 2) }}",                                        9 },
        {"{{ ds | add(7) }}",                                                9 },
        {"{{ ds | format(\"%Q\") }}",                                        9 },
        {"{{ ds | replace(\"\", \"x\") }}",                                  9 },
        {"{{ ds | replace(\"a\" \"x\") }}",                                  21},
        {"{{ ds | sh | lower }}",                                            9 },
        {"{{ ds + 1 }}",                                                     7 },
        {"{{ \"abc }}",                                                      4 },
        {"{{ ds | lower|lower|lower|lower|lower|lower|lower|lower|lower }}", 57},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        int calls = 0;
        bool fine = template_check(str_from(cases[i].text), check_name, &calls, &err);
        if (fine != (cases[i].column == 0) || (!fine && err.column != cases[i].column))
            fail_msg("%s: column %u: %s", cases[i].text, err.column, err.message);
    }
}

static void knows_what_is_quoted(void **state)
{
    (void)state;
    size_t offset = 0;

    assert_true(template_is_quoted(STR("echo {{ ds | sh }} {{ \"{{\" }}"), &offset));
    assert_false(template_is_quoted(STR("echo {{ ds | sh }} {{ ds }}"), &offset));
    assert_int_equal(offset, 19);
}

static void keeps_types_in_json(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf out = {0};
    json_t *json = params();
    json_t *in = json_parse(STR("{\"a\": [\"{{ params.n }}\", \"{{ params.n }} \", true], "
                                "\"b\": {\"{{ ds }}\": \"{{ conf.n | default(3) }}\"}, "
                                "\"c\": \"{{ params.list }}\"}"),
                            &err);
    json_t *rendered = template_render_json(in, lookup, json, &err);

    assert_non_null(rendered);
    json_dump_canonical(rendered, &out);
    assert_string_equal(buf_text(&out), "{\"a\":[5,\"5 \",true],\"b\":{\"{{ ds }}\":3},"
                                        "\"c\":[1,\"a\"]}");
    json_decref(rendered);
    json_decref(in);
    in = json_parse(STR("{\"argv\": [\"x\", \"{{ conf.y }}\"]}"), &err);
    assert_null(template_render_json(in, lookup, json, &err));
    assert_ptr_equal(strstr(err.message, "argv: [1]: `conf.y`"), err.message);
    json_decref(in);
    json_decref(json);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders),
        cmocka_unit_test(refuses_to_render),
        cmocka_unit_test(checks_syntax),
        cmocka_unit_test(knows_what_is_quoted),
        cmocka_unit_test(keeps_types_in_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
