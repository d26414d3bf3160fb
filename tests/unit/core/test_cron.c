/* Cron and time zones: golden cases and errors. tests/sweep holds them against an independent scan
 * of every zone. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/timefmt.h"
#include "scheduler/core/cron.h"
#include "scheduler/core/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int64_t at(const char *text)
{
    int64_t us = 0;
    bool has_offset = false;

    assert_true(timefmt_parse(str_from(text), &us, &has_offset));
    return us;
}

/* NULL, said so, where the system has no such zone. */
static const struct zone *load_zone(struct arena *arena, const char *name)
{
    struct buf bytes = {0};
    struct err err = {0};
    char path[256];

    (void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
    if (!fs_read_file(path, 1u << 20, &bytes, &err)) {
        print_message("%s is not there: skipped\n", path);
        return NULL;
    }
    const struct zone *zone = zone_parse(arena, buf_str(&bytes), &err);
    assert_non_null(zone);
    buf_release(&bytes);
    return zone;
}

static const struct cron *parse(struct arena *arena, const char *text)
{
    struct err err = {0};
    const struct cron *cron = cron_parse(arena, str_from(text), &err);

    if (cron == NULL)
        fail_msg("%s: %s", text, err.message);
    return cron;
}

struct ticks {
    const char *zone;
    const char *cron;
    const char *after;
    const char *ticks[6]; /* UTC, in order */
};

static const struct ticks golden[] = {
  /* The plain dialect. */
    {"UTC",
     "*/15 * * * *",                           "2026-01-01T00:07:00Z",
     {"2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z", "2026-01-01T00:45:00Z"}                                                  },
    {"UTC",                 "0 0 29 2 *",      "2026-01-01",           {"2028-02-29", "2032-02-29"}                            },
    {"UTC",                 "@quarterly",      "2026-01-01",           {"2026-04-01", "2026-07-01", "2026-10-01", "2027-01-01"}},
    {"UTC",
     "0 12 13 * FRI",                          "2026-02-01",
     {"2026-02-06T12:00:00Z", "2026-02-13T12:00:00Z", "2026-02-20T12:00:00Z"}                                                  },
    {"UTC",
     "0 0 1,15 * MON",                         "2026-06-01",
     {"2026-06-08", "2026-06-15", "2026-06-22", "2026-06-29", "2026-07-01"}                                                    },
    {"UTC",                 "0 0 L * *",       "2026-01-15",           {"2026-01-31", "2026-02-28", "2026-03-31"}              },
    {"UTC",                 "0 0 * * 5#3",     "2026-01-01",           {"2026-01-16", "2026-02-20", "2026-03-20"}              },
    {"UTC",                 "0 0 * * L5",      "2026-01-01",           {"2026-01-30", "2026-02-27", "2026-03-27"}              },
    {"UTC",                 "0 0 * * 5-7",     "2026-01-01",           {"2026-01-02", "2026-01-03", "2026-01-04", "2026-01-09"}},
    {"UTC",                 "0 0 * * sat-mon", "2026-01-01",           {"2026-01-03", "2026-01-04", "2026-01-05"}              },
    {"UTC",                 "30 0 0 1 1 *",    "2026-01-01T00:00:30Z", {"2027-01-01T00:00:30Z"}                                },
    {"UTC",
     "5/20 1 * * *",                           "2026-01-01",
     {"2026-01-01T01:05:00Z", "2026-01-01T01:25:00Z", "2026-01-01T01:45:00Z"}                                                  },
 /* Brussels, 2023-10-29: 02:30 happens twice, and fires at the first. */
    {"Europe/Brussels",
     "30 2 * * *",                             "2023-10-28T12:00:00Z",
     {"2023-10-29T00:30:00Z", "2023-10-30T01:30:00Z"}                                                                          },
    {"Europe/Brussels",
     "30 * * * *",                             "2023-10-28T23:45:00Z",
     {"2023-10-29T00:30:00Z", "2023-10-29T01:30:00Z", "2023-10-29T02:30:00Z"}                                                  },
    {"Europe/Brussels",     "0 3 * * *",       "2023-10-28T12:00:00Z", {"2023-10-29T02:00:00Z"}                                },
 /* New York, 2026-03-08: 02:30 does not exist; several lost times are one tick. */
    {"America/New_York",
     "30 2 * * *",                             "2026-03-07T12:00:00Z",
     {"2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"}                                                                          },
    {"America/New_York",
     "10,20,40 2 * * *",                       "2026-03-07T12:00:00Z",
     {"2026-03-08T07:00:00Z", "2026-03-09T06:10:00Z"}                                                                          },
    {"America/New_York",
     "30 * * * *",                             "2026-03-08T05:45:00Z",
     {"2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z", "2026-03-08T08:30:00Z"}                                                  },
 /* Far in the future, by the footer's rule. */
    {"America/New_York",
     "30 2 * * *",                             "2071-03-07T12:00:00Z",
     {"2071-03-08T07:00:00Z", "2071-03-09T06:30:00Z"}                                                                          },
 /* Lord Howe moves by half an hour: 2026-10-04 02:00 is 02:30, 2026-04-05 02:00 is 01:30. */
    {"Australia/Lord_Howe",
     "15 2 * * *",                             "2026-10-03T00:00:00Z",
     {"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}                                                                          },
    {"Australia/Lord_Howe",
     "0 * * * *",                              "2026-10-03T14:00:00Z",
     {"2026-10-03T14:30:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"}                                                  },
    {"Australia/Lord_Howe",
     "45 1 * * *",                             "2026-04-04T00:00:00Z",
     {"2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"}                                                                          },
    {"Australia/Lord_Howe",
     "*/30 * * * *",                           "2026-04-04T14:00:00Z",
     {"2026-04-04T14:30:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"}                                                  },
 /* Casablanca is an hour behind in Ramadan: 2026-02-15 03:00 is 02:00, 03-22 02:00 is 03:00. */
    {"Africa/Casablanca",
     "30 2 * * *",                             "2026-02-14T12:00:00Z",
     {"2026-02-15T01:30:00Z", "2026-02-16T02:30:00Z"}                                                                          },
    {"Africa/Casablanca",
     "30 2 * * *",                             "2026-03-21T12:00:00Z",
     {"2026-03-22T02:00:00Z", "2026-03-23T01:30:00Z"}                                                                          },
 /* Apia had no 2011-12-30: what was due on it fires as the 31st begins. */
    {"Pacific/Apia",
     "0 2 * * *",                              "2011-12-29T00:00:00Z",
     {"2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T12:00:00Z"}                                                  },
    {"Pacific/Apia",
     "0 0 * * *",                              "2011-12-29T00:00:00Z",
     {"2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"}                                                  },
    {"Pacific/Apia",
     "0 * * * *",                              "2011-12-30T08:30:00Z",
     {"2011-12-30T09:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z"}                                                  },
};

static void test_golden(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        const struct ticks *row = &golden[i];
        struct arena arena = {0};
        const struct zone *zone = load_zone(&arena, row->zone);
        const struct cron *cron = parse(&arena, row->cron);
        int64_t now = at(row->after);
        char got[TIMEFMT_SIZE];
        for (size_t k = 0; zone != NULL && row->ticks[k] != NULL; k++) {
            int64_t next = cron_next(cron, zone, now);
            if (next != at(row->ticks[k]))
                fail_msg("%s in %s: tick %zu is %s, not %s", row->cron, row->zone, k,
                         timefmt_utc(next, got), row->ticks[k]);
            assert_int_equal(cron_previous(cron, zone, next), next);
            if (k > 0)
                assert_int_equal(cron_previous(cron, zone, next - 1), now);
            now = next;
        }
        arena_release(&arena);
    }
}

static void test_errors(void **state)
{
    static const struct {
        const char *text;
        uint32_t column;
        const char *message;
    } rows[] = {
        {"",                             1, "expected five fields" },
        {"* * * *",                      1, "expected five fields" },
        {"* * * * * * *",                1, "expected five fields" },
        {"60 * * * *",                   1, "minute"               },
        {"0 24 * * *",                   3, "hour"                 },
        {"0 0 0 * *",                    5, "day of month"         },
        {"0 0 * 13 *",                   7, "month"                },
        {"0 0 * * 8",                    9, "day of week"          },
        {"0 0 * * MONDAY",               9, "day of week"          },
        {"*/0 * * * *",                  1, "step"                 },
        {"*/ * * * *",                   1, "step"                 },
        {"5-2 * * * *",                  1, "ends before it begins"},
        {"1,,2 * * * *",                 1, "minute"               },
        {"1, * * * *",                   1, "minute"               },
        {"? * * * *",                    1, "minute"               },
        {"-1 * * * *",                   1, "minute"               },
        {"1-2-3 * * * *",                1, "minute"               },
        {"0 0 * * 5#6",                  9, "third Friday"         },
        {"0 0 30 2 *",                   1, "never fires"          },
        {"@dayly",                       1, "expected five fields" },
        {"99999999999999999999 * * * *", 1, "minute"               },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena = {0};
        struct err err = {0};
        assert_null(cron_parse(&arena, str_from(rows[i].text), &err));
        assert_int_equal(err.code, ERR_INVALID);
        if (strstr(err.message, rows[i].message) == NULL || err.column != rows[i].column)
            fail_msg("\"%s\": column %u: %s", rows[i].text, err.column, err.message);
        arena_release(&arena);
    }
}

static void test_to_utc(void **state)
{
    struct arena arena = {0};
    const struct zone *zone = load_zone(&arena, "Europe/Brussels");

    (void)state;
    if (zone != NULL) {
        assert_int_equal(zone_to_utc_us(zone, at("2026-03-29T02:30:00")), at("2026-03-29T01:00Z"));
        assert_int_equal(zone_to_utc_us(zone, at("2026-10-25T02:30:00")), at("2026-10-25T00:30Z"));
        assert_int_equal(zone_to_utc_us(zone, at("2026-07-01T12:00:00")), at("2026-07-01T10:00Z"));
    }
    assert_int_equal(zone_to_utc_us(zone_utc(), at("2026-07-01")), at("2026-07-01"));
    arena_release(&arena);
}

/* Damaged bytes give errors, and never anything worse (the sanitizers watch). */
static void test_damaged_zone(void **state)
{
    struct buf bytes = {0};
    struct err err = {0};
    uint32_t seed = 12345;

    (void)state;
    struct arena none = {0};
    assert_null(zone_parse(&none, (struct str){NULL, 0}, &err));
    arena_release(&none);
    if (!fs_read_file("/usr/share/zoneinfo/Europe/Brussels", 1u << 20, &bytes, &err)) {
        print_message("no zone files: skipped\n");
        return;
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct arena arena = {0};
        assert_null(zone_parse(&arena, (struct str){bytes.ptr, len}, &err));
        assert_true(err.message[0] != '\0');
        arena_release(&arena);
    }
    for (int round = 0; round < 5000; round++) {
        struct arena arena = {0};
        char saved = 0;
        seed = seed * 1664525u + 1013904223u;
        size_t place = seed % bytes.len;
        saved = bytes.ptr[place];
        bytes.ptr[place] = (char)(seed >> 16);
        const struct zone *zone = zone_parse(&arena, buf_str(&bytes), &err);
        if (zone != NULL)
            (void)zone_to_utc_us(zone, at("2026-03-29T02:30:00"));
        bytes.ptr[place] = saved;
        arena_release(&arena);
    }
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_to_utc),
        cmocka_unit_test(test_damaged_zone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
