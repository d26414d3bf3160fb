/* Timetables: from a DAG's schedule to ticks and data intervals (DESIGN section 6). A run at a tick
 * covers [previous tick, tick); its logical date is the interval's start. Pure; used by the core
 * and by the dry runs of web and CLI. */
#ifndef MILLRACE_CORE_TIMETABLE_H
#define MILLRACE_CORE_TIMETABLE_H

#include "millrace/dag.h"

struct interval {
    int64_t start_us; /* = logical date */
    int64_t end_us;   /* = the tick = run_after */
};

/* The first interval whose start is >= `from_us`; false if the schedule gives none. start_date and
 * end_date are not looked at: a backfill ignores the former, see timetable_next_run() for both. */
bool timetable_interval_from(const struct dag *dag, int64_t from_us, struct interval *ret);

/* The last interval whose start is <= `from_us`; false if none. */
bool timetable_interval_until(const struct dag *dag, int64_t from_us, struct interval *ret);

/* The last complete interval at an instant: what a manual run without logical_date renders from. */
bool timetable_last_complete(const struct dag *dag, int64_t now_us, struct interval *ret);

/* The next run by schedule after the one that ended at `last_tick_us` (0 = none so far): catchup,
 * start_date and end_date applied. False if there will be none. */
bool timetable_next_run(const struct dag *dag, int64_t last_tick_us, int64_t now_us,
                        struct interval *ret);

/* The number of intervals with a start in [from, to] and an end <= now. Of cron schedules no more
 * than TIMETABLE_COUNT_MAX are counted, which takes half a second. */
#define TIMETABLE_COUNT_MAX 10000000
int64_t timetable_count(const struct dag *dag, int64_t from_us, int64_t to_us, int64_t now_us);

#endif
