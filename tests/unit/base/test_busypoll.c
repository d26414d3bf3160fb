/* Busy polling goes on only after a short wait, and ends with its window. */
#include "base/busypoll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LONG_US INT64_C(60000000)

static void wait_for_event(struct busypoll *busypoll)
{
    busypoll_begin(busypoll);
    (void)busypoll_end(busypoll);
}

static void test_after_a_short_wait(void **state)
{
    struct busypoll busypoll = {.window_us = LONG_US};

    (void)state;
    busypoll.rested_us = -2 * LONG_US; /* whatever the clock says, longer ago than the window */
    wait_for_event(&busypoll);
    assert_false(busypoll_goes_on(&busypoll)); /* the wait before the first was long */
    wait_for_event(&busypoll);
    assert_true(busypoll_goes_on(&busypoll));
    busypoll.rested_us -= LONG_US; /* the window is over … */
    busypoll.window_us /= 2;
    assert_false(busypoll_goes_on(&busypoll));
    wait_for_event(&busypoll); /* … and the event came after it */
    assert_false(busypoll_goes_on(&busypoll));
}

static void test_handling_is_no_waiting(void **state)
{
    struct busypoll busypoll = {.window_us = LONG_US};

    (void)state;
    wait_for_event(&busypoll);
    busypoll_begin(&busypoll);
    busypoll.rested_us -= 2 * LONG_US;
    busypoll_begin(&busypoll); /* a second event meanwhile: it did not make anybody wait */
    assert_true(busypoll_end(&busypoll));
    assert_true(busypoll_goes_on(&busypoll));
    busypoll.rested_us = 7;
    assert_false(busypoll_end(&busypoll)); /* nothing came */
    assert_int_equal(busypoll.rested_us, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_a_short_wait),
        cmocka_unit_test(test_handling_is_no_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
