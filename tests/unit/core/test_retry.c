/* Retry delays: Airflow's formula. The values were worked out with another SHA-1 and big numbers.
 */
#include "base/clock.h"
#include "scheduler/core/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_delay(void **state)
{
    static const struct {
        int64_t delay_s;
        double backoff;
        int64_t max_s;
        int64_t try_number;
        int64_t seconds;
    } rows[] = {
        {10,    2,   0,  1,    18   },
        {10,    2,   0,  3,    41   },
        {300,   2,   0,  2,    921  },
        {7,     1.5, 0,  5,    59   },
        {0,     2,   0,  1,    1    },
        {11,    0.5, 0,  4,    3    },
        {300,   0,   0,  7,    300  }, /* without backoff: as written, no jitter */
        {99999, 0,   10, 1,    99999}, /* … and no cap */
        {300,   2,   60, 1,    60   },
        {300,   2,   0,  20,   86400},
        {300,   2,   0,  5000, 86400}, /* no overflow */
        {90000, 2,   0,  1,    86400},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dag_task spec = {
            .task_id = "a",
            .retry_delay_us = rows[i].delay_s * US_PER_SECOND,
            .retry_backoff = rows[i].backoff,
            .max_retry_delay_us = rows[i].max_s * US_PER_SECOND,
        };
        int64_t got = retry_delay_us(&spec, "etl", "2026-01-01 00:00:00+00:00", rows[i].try_number);
        assert_int_equal(got, rows[i].seconds * US_PER_SECOND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_delay)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
