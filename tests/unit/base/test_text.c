/* str, buf, err, wire: bytes and errors. */
#include "base/buf.h"
#include "base/err.h"
#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool fine;
        int64_t value;
    } cases[] = {
        {"0",                    true,  0        },
        {"-7",                   true,  -7       },
        {"9223372036854775807",  true,  INT64_MAX},
        {"-9223372036854775808", true,  INT64_MIN},
        {"9223372036854775808",  false, 0        },
        {"",                     false, 0        },
        {"-",                    false, 0        },
        {"1x",                   false, 0        },
        {" 1",                   false, 0        },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = 99;
        assert_int_equal(str_to_int(str_from(cases[i].text), &value), cases[i].fine);
        assert_true(value == (cases[i].fine ? cases[i].value : 99));
    }
    double number = 99;
    assert_true(str_to_float(STR("-1.5e3"), &number) && number == -1500.0);
    assert_false(str_to_float(STR("1.5x"), &number));
    assert_false(str_to_float(STR(""), &number));
    assert_true(number == -1500.0);
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool utf8;
        bool id;
    } cases[] = {
        {"abc_.~:+-",        true,  true },
        {"a b",              true,  false},
        {"",                 true,  false},
        {".",                true,  false},
        {"..",               true,  false},
        {"\xC3\xA4",         true,  false},
        {"\xC0\x80",         false, false},
        {"\xED\xA0\x80",     false, false},
        {"\xF4\x90\x80\x80", false, false},
        {"a\xC3",            false, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(str_is_utf8(str_from(cases[i].text)), cases[i].utf8);
        assert_int_equal(str_is_id(str_from(cases[i].text)), cases[i].id);
    }
    assert_true(str_is_name(STR("_a1B")) && str_is_name(STR("a")));
    assert_false(str_is_name(STR("")) || str_is_name(STR("1a")) || str_is_name(STR("a-b")));
    assert_true(str_is(str_trim(STR(" \t x y\r\n")), "x y"));
    assert_true(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")));
    assert_int_equal(str_find(STR("a,b,c"), ',', 2), 3);
    assert_true(str_find(STR("abc"), ',', 0) == SIZE_MAX);
    assert_int_equal(str_distance(STR("abcd"), STR("abdc")), 1);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting")), 3);
    assert_int_equal(str_from(NULL).len, 0);
}

static void buffers(void **state)
{
    (void)state;
    struct buf buf = {0};

    assert_string_equal(buf_text(&buf), "");
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%d,", i);
    assert_int_equal(buf.len, 3890);
    buf_consume(&buf, 2);
    assert_true(str_starts(buf_str(&buf), STR("1,2,")));
    buf_clear(&buf);
    buf_add(&buf, "a\0b", 3);
    assert_int_equal(buf.len, 3);
    char *taken = buf_take(&buf);
    assert_memory_equal(taken, "a\0b", 4);
    assert_int_equal(buf.len, 0);
    free(taken);
    taken = buf_take(&buf);
    assert_string_equal(taken, "");
    free(taken);
}

static void errors(void **state)
{
    (void)state;
    struct err err = {0};
    char longest[1200];

    assert_false(err_set(&err, ERR_LIMIT, "%d", 7));
    assert_false(err_wrap(&err, "file %s", "x"));
    assert_string_equal(err.message, "file x: 7");
    assert_int_equal(err.code, ERR_LIMIT);
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    (void)err_wrap(&err, "%s", longest);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    (void)err_set(&err, ERR_IO, "%s", longest);
    (void)err_wrap(&err, "ab");
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    assert_int_equal(strncmp(err.message, "ab: xxx", 7), 0);
    for (int code = 0; code < ERR_COUNT; code++)
        assert_int_equal(err_from_name(err_name((enum err_code)code)), code);
    assert_int_equal(err_from_name("no such"), ERR_FAILED);
    assert_int_equal(err_exit_code(ERR_FINDINGS), 5);
}

static void frames(void **state)
{
    (void)state;
    struct buf out = {0};
    struct str document;
    size_t offset = 0;

    size_t start = wire_begin(&out);
    buf_add_text(&out, "{}");
    wire_end(&out, start);
    start = wire_begin(&out);
    buf_add_text(&out, "[1]");
    wire_end(&out, start);
    for (size_t cut = 0; cut < 6; cut++)
        assert_int_equal(wire_next(str_sub(buf_str(&out), 0, cut), &offset, &document), WIRE_MORE);
    assert_int_equal(offset, 0);
    assert_int_equal(wire_next(buf_str(&out), &offset, &document), WIRE_FRAME);
    assert_true(str_is(document, "{}"));
    assert_int_equal(wire_next(buf_str(&out), &offset, &document), WIRE_FRAME);
    assert_true(str_is(document, "[1]"));
    assert_int_equal(wire_next(buf_str(&out), &offset, &document), WIRE_MORE);
    offset = 0;
    assert_int_equal(wire_next(STR("\xFF\xFF\xFF\xFF"), &offset, &document), WIRE_BAD);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers), cmocka_unit_test(texts),  cmocka_unit_test(buffers),
        cmocka_unit_test(errors),  cmocka_unit_test(frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
