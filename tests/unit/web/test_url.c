/* Request targets: what is decoded, what is refused. */
#include "web/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct good {
    const char *target;
    const char *segments; /* joined with "|" */
    const char *params;   /* "name=value" joined with "|" */
};

static void join(const struct target *target, struct buf *segments, struct buf *params)
{
    for (size_t i = 0; i < target->segment_count; i++)
        buf_printf(segments, "%s%s", i > 0 ? "|" : "", target->segments[i]);
    for (size_t i = 0; i < target->param_count; i++)
        buf_printf(params, "%s%s=%s", i > 0 ? "|" : "", target->params[i].name,
                   target->params[i].value);
}

static void accepts(void **state)
{
    static const struct good cases[] = {
        {"/",                                  "",                              ""                         },
        {"/api/v2/dags",                       "api|v2|dags",                   ""                         },
        {"/api/v2/dags/",                      "api|v2|dags",                   ""                         },
        {"/a//b",                              "a||b",                          ""                         },
        {"/r/manual__2025-01-01T00%3A00%2B00", "r|manual__2025-01-01T00:00+00", ""                         },
        {"/r/a+b",                             "r|a+b",                         ""                         },
        {"/%C3%A9",                            "\xc3\xa9",                      ""                         },
        {"/x?a=1&b=two%20words&c=p+q&d=%2B",   "x",                             "a=1|b=two words|c=p q|d=+"},
        {"/x?a&&=v",                           "x",                             "a=|=v"                    },
        {"/x?path=%2Fa%5Cb",                   "x",                             "path=/a\\b"               },
        {"/x?y=1?z",                           "x",                             "y=1?z"                    },
        {"/~/...",                             "~|...",                         ""                         },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena arena = {0};
        struct target target = {0};
        struct buf segments = {0};
        struct buf params = {0};
        struct err err;
        assert_true(url_parse(&arena, str_from(cases[i].target), &target, &err));
        join(&target, &segments, &params);
        assert_string_equal(buf_text(&segments), cases[i].segments);
        assert_string_equal(buf_text(&params), cases[i].params);
        buf_release(&segments);
        buf_release(&params);
        arena_release(&arena);
    }
}

static void refuses(void **state)
{
    static const char *const cases[] = {
        "",       "a/b",   "/a%2fb",     "/a%2Fb",    "/a%5cb",   "/a%00b",   "/%",    "/%4",
        "/%zz",   "/..",   "/a/../b",    "/a/%2e%2e", "/.",       "/%2e",     "/%ff",  "/%c0%af",
        "/a%0ab", "/a\nb", "/%ed%a0%80", "/x?a=%",    "/x?%00=1", "/x?a=%ff", "/a\\b",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena arena = {0};
        struct target target = {0};
        struct err err;
        if (url_parse(&arena, str_from(cases[i]), &target, &err))
            fail_msg("\"%s\" was accepted", cases[i]);
        assert_int_equal(err.code, ERR_BAD_REQUEST);
        assert_int_equal(target.segment_count, 0);
        arena_release(&arena);
    }
}

static void limits(void **state)
{
    struct arena arena = {0};
    struct target target = {0};
    struct buf text = {0};
    struct err err;

    (void)state;
    for (int i = 0; i <= HTTP_SEGMENTS_MAX; i++)
        buf_add_text(&text, "/a");
    assert_false(url_parse(&arena, buf_str(&text), &target, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    buf_clear(&text);
    buf_add_text(&text, "/x?");
    for (int i = 0; i <= HTTP_PARAMS_MAX; i++)
        buf_add_text(&text, "a=1&");
    assert_false(url_parse(&arena, buf_str(&text), &target, &err));
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    buf_clear(&text);
    buf_add_char(&text, '/');
    for (size_t i = 0; i < HTTP_TARGET_BYTES_MAX; i++)
        buf_add_char(&text, 'a');
    assert_false(url_parse(&arena, buf_str(&text), &target, &err));
    buf_release(&text);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
