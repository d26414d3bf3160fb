/* Cron's ticks. The dialect is croniter's: lists, ranges, steps, names, L and #; when both the day
 * of month and the day of week are restricted, either is enough.
 *
 * Matching jumps field by field in local time and never scans minutes. Local times become instants
 * by DESIGN's one rule; only a wildcard hour follows real time instead, so that it fires in both
 * passes of an hour that happens twice. */
#include "scheduler/core/cron.h"

#include "base/clock.h"
#include "base/timefmt.h"
#include "scheduler/core/cron_fields.h"

#define YEARS_MAX 30
#define DAY_SECONDS 86400

static bool has(uint64_t bits, int value)
{
    return (bits >> value & 1) != 0;
}

/* The lowest member at or above, and the highest at or below, a value; -1 if there is none. */
static int member_from(uint64_t bits, int value)
{
    uint64_t rest = value > 63 ? 0 : bits >> value << value;

    return rest == 0 ? -1 : __builtin_ctzll(rest);
}

static int member_until(uint64_t bits, int value)
{
    uint64_t rest = value < 0 ? 0 : bits & (UINT64_MAX >> (63 - value));

    return rest == 0 ? -1 : 63 - __builtin_clzll(rest);
}

static bool day_matches(const struct cron *cron, int64_t year, int month, int day)
{
    int length = civil_days_in_month(year, month);
    int weekday = civil_weekday(civil_to_days(year, month, day));
    bool by_day = has(cron->days, day) || (cron->last_day && day == length);
    bool by_weekday = has(cron->weekdays, weekday) || has(cron->nth[weekday], (day - 1) / 7 + 1) ||
                      ((cron->nth[weekday] & CRON_NTH_LAST) != 0 && day + 7 > length);

    if (cron->any_day)
        return by_weekday;
    if (cron->any_weekday)
        return by_day;
    return by_day || by_weekday;
}

/* The first matching second of a day at or after one, or -1; the last at or before one, or -1. */
static int time_next(const struct cron *cron, int second)
{
    int h = second / 3600;
    int m = second / 60 % 60;
    int s = second % 60;

    for (;;) {
        int hour = h > 23 ? -1 : member_from(cron->hours, h);
        if (hour < 0)
            return -1;
        if (hour > h)
            m = s = 0;
        int minute = m > 59 ? -1 : member_from(cron->minutes, m);
        if (minute >= 0) {
            if (minute > m)
                s = 0;
            int found = member_from(cron->seconds, s);
            if (found >= 0)
                return hour * 3600 + minute * 60 + found;
            m = minute + 1;
            s = 0;
            h = hour;
            continue;
        }
        h = hour + 1;
        m = s = 0;
    }
}

static int time_previous(const struct cron *cron, int second)
{
    int h = second / 3600;
    int m = second / 60 % 60;
    int s = second % 60;

    for (;;) {
        int hour = member_until(cron->hours, h);
        if (hour < 0)
            return -1;
        if (hour < h)
            m = s = 59;
        int minute = member_until(cron->minutes, m);
        if (minute >= 0) {
            if (minute < m)
                s = 59;
            int found = member_until(cron->seconds, s);
            if (found >= 0)
                return hour * 3600 + minute * 60 + found;
            m = minute - 1;
            s = 59;
            h = hour;
            continue;
        }
        h = hour - 1;
        m = s = 59;
    }
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t join(int64_t days, int second)
{
    return (days * DAY_SECONDS + second) * US_PER_SECOND;
}

int64_t cron_match_next(const struct cron *cron, int64_t local_us)
{
    int64_t second = -floor_div(-local_us, US_PER_SECOND);
    int64_t today = floor_div(second, DAY_SECONDS);
    struct civil c = civil_from_us(join(today, 0));
    int64_t year = c.year;
    int month = c.month;
    int day = c.day;

    if (has(cron->months, month) && day_matches(cron, year, month, day)) {
        int time = time_next(cron, (int)(second - today * DAY_SECONDS));
        if (time >= 0)
            return join(today, time);
    }
    day++;
    while (year <= c.year + YEARS_MAX) {
        if (has(cron->months, month)) {
            for (int length = civil_days_in_month(year, month); day <= length; day++)
                if (day_matches(cron, year, month, day))
                    return join(civil_to_days(year, month, day), time_next(cron, 0));
        }
        day = 1;
        month = month == 12 ? 1 : month + 1;
        year += month == 1;
    }
    return INT64_MAX;
}

int64_t cron_match_previous(const struct cron *cron, int64_t local_us)
{
    int64_t second = floor_div(local_us, US_PER_SECOND);
    int64_t today = floor_div(second, DAY_SECONDS);
    struct civil c = civil_from_us(join(today, 0));
    int64_t year = c.year;
    int month = c.month;
    int day = c.day;

    if (has(cron->months, month) && day_matches(cron, year, month, day)) {
        int time = time_previous(cron, (int)(second - today * DAY_SECONDS));
        if (time >= 0)
            return join(today, time);
    }
    day--;
    while (year >= c.year - YEARS_MAX) {
        if (has(cron->months, month)) {
            for (; day >= 1; day--)
                if (day_matches(cron, year, month, day))
                    return join(civil_to_days(year, month, day),
                                time_previous(cron, DAY_SECONDS - 1));
        }
        month = month == 1 ? 12 : month - 1;
        year -= month == 12;
        day = civil_days_in_month(year, month);
    }
    return INT64_MIN;
}

/* Whether a wildcard hour fires at the end of a gap: when the hour in which the gap ends is there
 * only in part (Lord Howe's half hour), and its tick lies in the part that is lost. */
static bool gap_end_fires(const struct cron *cron, const struct zone_span *before,
                          const struct zone_span *after)
{
    int64_t gap_start = after->start_us + before->offset_us;
    int64_t gap_end = after->start_us + after->offset_us;
    int64_t hour = floor_div(gap_end, US_PER_HOUR) * US_PER_HOUR;

    if (gap_end <= gap_start || hour == gap_end)
        return false;
    return cron_match_next(cron, gap_start > hour ? gap_start : hour) < gap_end &&
           cron_match_next(cron, gap_end) >= hour + US_PER_HOUR;
}

static int64_t next_in_real_time(const struct cron *cron, const struct zone *zone, int64_t after_us)
{
    struct zone_span span = zone_span_at(zone, after_us);
    int64_t from = after_us + 1;

    for (;;) {
        int64_t local = cron_match_next(cron, from + span.offset_us);
        if (local != INT64_MAX && local - span.offset_us < span.end_us)
            return local - span.offset_us;
        if (span.end_us == INT64_MAX || span.end_us > after_us + YEARS_MAX * 366 * US_PER_DAY)
            return INT64_MAX;
        struct zone_span next = zone_span_at(zone, span.end_us);
        if (gap_end_fires(cron, &span, &next) && next.start_us > after_us)
            return next.start_us;
        span = next;
        from = span.start_us > after_us ? span.start_us : after_us + 1;
    }
}

static int64_t previous_in_real_time(const struct cron *cron, const struct zone *zone,
                                     int64_t at_us)
{
    struct zone_span span = zone_span_at(zone, at_us);
    int64_t until = at_us;

    for (;;) {
        int64_t local = cron_match_previous(cron, until + span.offset_us);
        if (local != INT64_MIN && local - span.offset_us >= span.start_us)
            return local - span.offset_us;
        if (span.start_us == INT64_MIN || span.start_us < at_us - YEARS_MAX * 366 * US_PER_DAY)
            return INT64_MIN;
        struct zone_span before = zone_span_at(zone, span.start_us - 1);
        if (gap_end_fires(cron, &before, &span))
            return span.start_us;
        span = before;
        until = span.end_us - 1;
    }
}

int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_us)
{
    if (cron->any_hour)
        return next_in_real_time(cron, zone, after_us);
    int64_t local = cron_match_next(cron, zone_local_peak_us(zone, after_us) + 1);
    return local == INT64_MAX ? INT64_MAX : zone_to_utc_us(zone, local);
}

int64_t cron_previous(const struct cron *cron, const struct zone *zone, int64_t at_us)
{
    if (cron->any_hour)
        return previous_in_real_time(cron, zone, at_us);
    int64_t local = cron_match_previous(cron, zone_local_peak_us(zone, at_us));
    return local == INT64_MIN ? INT64_MIN : zone_to_utc_us(zone, local);
}
