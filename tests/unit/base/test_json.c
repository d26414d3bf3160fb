/* JSON out: sorted where texts are compared, in its own order where it is handed on. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_order_of_keys(void **state)
{
    struct err err = {0};
    struct buf text = {0};
    json_t *value = json_parse(STR("{\"b\": {\"z\": 1, \"y\": 2}, \"a\": null}"), &err);

    (void)state;
    assert_non_null(value);
    json_dump_ordered(value, &text);
    assert_string_equal(buf_text(&text), "{\"b\":{\"z\":1,\"y\":2},\"a\":null}");
    buf_clear(&text);
    json_dump_canonical(value, &text);
    assert_string_equal(buf_text(&text), "{\"a\":null,\"b\":{\"y\":2,\"z\":1}}");
    buf_release(&text);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_of_keys)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
