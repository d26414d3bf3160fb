#include "base/clock.h"
#include "base/timefmt.h"
#include "scheduler/core/cron.h"
#include "scheduler/core/timetable.h"
#include "scheduler/core/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int64_t at(const char *text)
{
    int64_t us = 0;
    bool has_offset = false;

    if (text == NULL)
        return 0;
    assert_true(timefmt_parse(str_from(text), &us, &has_offset));
    return us;
}

/* "every 1h", "once", "continuous", "" or a cron expression. */
static struct dag make_dag(struct arena *arena, const char *schedule)
{
    struct dag dag = {.zone = zone_utc()};
    struct err err = {0};

    if (schedule[0] == '\0')
        return dag;
    if (strncmp(schedule, "every ", 6) == 0) {
        dag.schedule.kind = SCHEDULE_EVERY;
        assert_true(duration_parse(str_from(schedule + 6), &dag.schedule.every_us));
    } else if (strcmp(schedule, "once") == 0) {
        dag.schedule.kind = SCHEDULE_ONCE;
    } else if (strcmp(schedule, "continuous") == 0) {
        dag.schedule.kind = SCHEDULE_CONTINUOUS;
    } else {
        dag.schedule.kind = SCHEDULE_CRON;
        dag.schedule.cron = cron_parse(arena, str_from(schedule), &err);
        assert_non_null(dag.schedule.cron);
    }
    return dag;
}

static void expect(const char *what, bool found, const struct interval *got, const char *start,
                   const char *end)
{
    char a[TIMEFMT_SIZE];
    char b[TIMEFMT_SIZE];

    if (found != (start != NULL) ||
        (found && (got->start_us != at(start) || got->end_us != at(end))))
        fail_msg("%s: got %s [%s, %s), expected [%s, %s)", what, found ? "" : "none",
                 timefmt_utc(got->start_us, a), timefmt_utc(got->end_us, b),
                 start == NULL ? "none" : start, end == NULL ? "" : end);
}

struct next_row {
    const char *what;
    const char *schedule;
    const char *start_date;
    const char *end_date;
    bool catchup;
    const char *last_tick;
    const char *now;
    const char *start; /* NULL = no run */
    const char *end;
};

static const struct next_row next_rows[] = {
    {"no schedule",                              "",           NULL,                   NULL,         false, NULL,         "2026-01-05",           NULL,                   NULL                  },
    {"catchup begins at start_date",             "0 0 * * *",  "2026-01-01T10:00:00Z", NULL,         true,  NULL,
     "2026-01-05",                                                                                                                                "2026-01-02",           "2026-01-03"          },
    {"catchup takes each interval",              "0 0 * * *",  "2026-01-01",           NULL,         true,  "2026-01-03",
     "2026-01-09",                                                                                                                                "2026-01-03",           "2026-01-04"          },
    {"catchup without start_date: from now on",  "0 0 * * *",  NULL,                   NULL,         true,  NULL,
     "2026-01-05T10:00:00Z",                                                                                                                      "2026-01-05",           "2026-01-06"          },
    {"no catchup: the latest complete interval", "0 0 * * *",  "2026-01-01",           NULL,         false, NULL,
     "2026-01-05T10:00:00Z",                                                                                                                      "2026-01-04",           "2026-01-05"          },
    {"no catchup: it has run already",           "0 0 * * *",  "2026-01-01",           NULL,         false, "2026-01-05",
     "2026-01-05T10:00:00Z",                                                                                                                      "2026-01-05",           "2026-01-06"          },
    {"no catchup: never before start_date",      "0 0 * * *",  "2026-01-05",           NULL,         false, NULL,
     "2026-01-05T10:00:00Z",                                                                                                                      "2026-01-05",           "2026-01-06"          },
    {"no catchup: start_date to come",           "0 0 * * *",  "2026-02-01",           NULL,         false, NULL,         "2026-01-05",
     "2026-02-01",                                                                                                                                                        "2026-02-02"          },
    {"end_date: the last tick",                  "0 0 * * *",  "2026-01-01",           "2026-01-03", true,  "2026-01-02",
     "2026-01-09",                                                                                                                                "2026-01-02",           "2026-01-03"          },
    {"end_date: no tick after it",               "0 0 * * *",  "2026-01-01",           "2026-01-03", true,  "2026-01-03",
     "2026-01-09",                                                                                                                                NULL,                   NULL                  },
    {"every: aligned to start_date",             "every 1h",   "2026-01-01T00:20:00Z", NULL,         true,  NULL,
     "2026-01-05",                                                                                                                                "2026-01-01T00:20:00Z", "2026-01-01T01:20:00Z"},
    {"every: aligned to 1970",                   "every 7m",   NULL,                   NULL,         false, NULL,         "2026-01-01T00:00:00Z",
     "2025-12-31T23:53:00Z",                                                                                                                                              "2026-01-01T00:00:00Z"},
    {"once: at start_date",                      "once",       "2026-01-01",           NULL,         false, NULL,         "2026-01-05",           "2026-01-01",
     "2026-01-01"                                                                                                                                                                               },
    {"once: at first load",                      "once",       NULL,                   NULL,         false, NULL,         "2026-01-05",           "2026-01-05",
     "2026-01-05"                                                                                                                                                                               },
    {"once: not twice",                          "once",       NULL,                   NULL,         false, "2026-01-05", "2026-01-06",           NULL,                   NULL                  },
    {"continuous: from start_date",              "continuous", "2026-01-01",           NULL,         false, NULL,         "2026-01-05",
     "2026-01-01",                                                                                                                                                        "2026-01-05"          },
    {"continuous: start_date to come",           "continuous", "2026-02-01",           NULL,         false, NULL,         "2026-01-05",
     "2026-02-01",                                                                                                                                                        "2026-02-01"          },
    {"continuous: on from the last",             "continuous", "2026-01-01",           NULL,         false, "2026-01-05",
     "2026-01-06T01:00:00Z",                                                                                                                      "2026-01-05",           "2026-01-06T01:00:00Z"},
    {"continuous: one a second",                 "continuous", "2026-01-01",           NULL,         false, "2026-01-05",
     "2026-01-05",                                                                                                                                "2026-01-05",           "2026-01-05T00:00:01Z"},
    {"continuous: end_date",                     "continuous", "2026-01-01",           "2026-01-05", false, "2026-01-05",
     "2026-01-06",                                                                                                                                NULL,                   NULL                  },
};

static void test_next_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(next_rows) / sizeof(next_rows[0]); i++) {
        const struct next_row *row = &next_rows[i];
        struct arena arena = {0};
        struct interval got = {0};
        struct dag dag = make_dag(&arena, row->schedule);
        dag.start_date_us = at(row->start_date);
        dag.end_date_us = at(row->end_date);
        dag.catchup = row->catchup;
        bool found = timetable_next_run(&dag, at(row->last_tick), at(row->now), &got);
        expect(row->what, found, &got, row->start, row->end);
        arena_release(&arena);
    }
}

static void test_intervals(void **state)
{
    struct arena arena = {0};
    struct dag dag = make_dag(&arena, "0 0 * * *");
    struct interval got = {0};

    (void)state;
    expect("from a tick", timetable_interval_from(&dag, at("2026-01-02"), &got), &got, "2026-01-02",
           "2026-01-03");
    expect("from between", timetable_interval_from(&dag, at("2026-01-02T01:00:00Z"), &got), &got,
           "2026-01-03", "2026-01-04");
    expect("until between", timetable_interval_until(&dag, at("2026-01-02T01:00:00Z"), &got), &got,
           "2026-01-02", "2026-01-03");
    expect("complete at a tick", timetable_last_complete(&dag, at("2026-01-02"), &got), &got,
           "2026-01-01", "2026-01-02");
    dag = make_dag(&arena, "");
    expect("none", timetable_interval_from(&dag, at("2026-01-02"), &got), &got, NULL, NULL);
    expect("none", timetable_interval_until(&dag, at("2026-01-02"), &got), &got, NULL, NULL);
    expect("none", timetable_last_complete(&dag, at("2026-01-02"), &got), &got, NULL, NULL);
    arena_release(&arena);
}

static void test_count(void **state)
{
    static const struct {
        const char *schedule;
        const char *from;
        const char *to;
        const char *now;
        int64_t count;
    } rows[] = {
        {"0 0 * * *", "2026-01-01",           "2026-01-03",           "2026-02-01",           3   },
        {"0 0 * * *", "2026-01-01",           "2026-01-03",           "2026-01-03T10:00:00Z", 2   },
        {"0 0 * * *", "2026-01-03",           "2026-01-01",           "2026-02-01",           0   },
        {"0 0 * * *", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-02-01",           0   },
        {"every 1h",  "2026-01-01",           "2026-01-01T23:00:00Z", "2026-02-01",           24  },
        {"every 1h",  "2026-01-01",           "2026-01-01T23:00:00Z", "2026-01-01T02:30:00Z", 2   },
        {"every 1h",  "2026-01-01",           "2026-01-01T23:00:00Z", "2025-01-01",           0   },
        {"* * * * *", "2026-01-01",           "2026-01-01T23:59:00Z", "2026-02-01",           1440},
        {"",          "2026-01-01",           "2026-01-03",           "2026-02-01",           0   },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena = {0};
        struct dag dag = make_dag(&arena, rows[i].schedule);
        assert_int_equal(timetable_count(&dag, at(rows[i].from), at(rows[i].to), at(rows[i].now)),
                         rows[i].count);
        arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_run),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
