#include "scheduler/core/timetable.h"

#include "base/clock.h"
#include "scheduler/core/cron.h"
#include "scheduler/core/planted.h"
#include "scheduler/core/zone.h"

static const struct zone *dag_zone(const struct dag *dag)
{
    return dag->zone == NULL ? zone_utc() : dag->zone;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The last tick of an `every` schedule at or before an instant: aligned to start_date, else to
 * 1970. */
static int64_t every_until(const struct dag *dag, int64_t at_us)
{
    int64_t every = dag->schedule.every_us;

    return dag->start_date_us + floor_div(at_us - dag->start_date_us, every) * every;
}

/* The first tick after an instant (INT64_MAX: none), the last at or before one (INT64_MIN). */
static int64_t tick_after(const struct dag *dag, int64_t at_us)
{
    switch (dag->schedule.kind) {
    case SCHEDULE_CRON:
        return cron_next(dag->schedule.cron, dag_zone(dag), at_us);
    case SCHEDULE_EVERY:
        return every_until(dag, at_us) + dag->schedule.every_us;
    case SCHEDULE_NONE:
    case SCHEDULE_ONCE:
    case SCHEDULE_CONTINUOUS:
    case SCHEDULE_ASSETS:
        break;
    }
    return INT64_MAX;
}

static int64_t tick_until(const struct dag *dag, int64_t at_us)
{
    switch (dag->schedule.kind) {
    case SCHEDULE_CRON:
        return cron_previous(dag->schedule.cron, dag_zone(dag), at_us);
    case SCHEDULE_EVERY:
        return every_until(dag, at_us);
    case SCHEDULE_NONE:
    case SCHEDULE_ONCE:
    case SCHEDULE_CONTINUOUS:
    case SCHEDULE_ASSETS:
        break;
    }
    return INT64_MIN;
}

static bool make_interval(int64_t start_us, int64_t end_us, struct interval *ret)
{
    if (start_us == INT64_MIN || start_us == INT64_MAX || end_us == INT64_MIN ||
        end_us == INT64_MAX)
        return false;
    *ret = (struct interval){start_us, end_us};
    return true;
}

bool timetable_interval_from(const struct dag *dag, int64_t from_us, struct interval *ret)
{
    int64_t start = tick_after(dag, from_us - 1);

    return start != INT64_MAX && make_interval(start, tick_after(dag, start), ret);
}

bool timetable_interval_until(const struct dag *dag, int64_t from_us, struct interval *ret)
{
    int64_t start = tick_until(dag, from_us);

    return start != INT64_MIN && make_interval(start, tick_after(dag, start), ret);
}

bool timetable_last_complete(const struct dag *dag, int64_t now_us, struct interval *ret)
{
    int64_t end = tick_until(dag, now_us);

    return end != INT64_MIN && make_interval(tick_until(dag, end - 1), end, ret);
}

static int64_t max_int(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The next interval of a periodic schedule before end_date is applied. */
static bool next_interval(const struct dag *dag, int64_t last_tick_us, int64_t now_us,
                          struct interval *ret)
{
    /* What has been covered, or lies before start_date, is never covered again. */
    int64_t floor_us =
        max_int(dag->start_date_us,
                PLANTED(SCHEDULE_GOES_BACK) && now_us < last_tick_us ? 0 : last_tick_us);
    struct interval latest = {0};

    if (dag->catchup && !PLANTED(CATCHUP_SKIPS)) {
        if (floor_us != 0)
            return timetable_interval_from(dag, floor_us, ret);
        return timetable_interval_until(dag, now_us, ret);
    }
    if (timetable_last_complete(dag, now_us, &latest) &&
        (floor_us == 0 || latest.start_us >= floor_us)) {
        *ret = latest;
        return true;
    }
    if (floor_us != 0)
        return timetable_interval_from(dag, floor_us, ret);
    return timetable_interval_from(dag, now_us, ret);
}

/* Each run goes on where the last one's interval ended and reaches up to now, as in Airflow's
 * ContinuousTimetable; but runs that end at once begin no more than one a second. */
static bool next_continuous(const struct dag *dag, int64_t last_tick_us, int64_t now_us,
                            struct interval *ret)
{
    int64_t start = dag->start_date_us != 0 ? dag->start_date_us : now_us;

    if (last_tick_us == 0)
        return make_interval(start, max_int(start, now_us), ret);
    return make_interval(last_tick_us, max_int(now_us, last_tick_us + US_PER_SECOND), ret);
}

bool timetable_next_run(const struct dag *dag, int64_t last_tick_us, int64_t now_us,
                        struct interval *ret)
{
    struct interval next = {0};

    if (dag->schedule.kind == SCHEDULE_ONCE) {
        int64_t at = dag->start_date_us != 0 ? dag->start_date_us : now_us;
        if (last_tick_us != 0 || !make_interval(at, at, &next))
            return false;
    } else if (dag->schedule.kind == SCHEDULE_CONTINUOUS) {
        if (!next_continuous(dag, last_tick_us, now_us, &next))
            return false;
    } else if (!next_interval(dag, last_tick_us, now_us, &next)) {
        return false;
    }
    if (dag->end_date_us != 0 && next.end_us > dag->end_date_us)
        return false;
    *ret = next;
    return true;
}

int64_t timetable_count(const struct dag *dag, int64_t from_us, int64_t to_us, int64_t now_us)
{
    struct interval interval = {0};
    int64_t count = 0;

    if (from_us > to_us || !timetable_interval_from(dag, from_us, &interval))
        return 0;
    if (dag->schedule.kind == SCHEDULE_EVERY) {
        int64_t every = dag->schedule.every_us;
        int64_t last = to_us < now_us - every ? to_us : now_us - every;
        return last < interval.start_us ? 0 : (last - interval.start_us) / every + 1;
    }
    while (interval.start_us <= to_us && interval.end_us <= now_us && count < TIMETABLE_COUNT_MAX) {
        count++;
        interval.start_us = interval.end_us;
        interval.end_us = tick_after(dag, interval.start_us);
    }
    return count;
}
