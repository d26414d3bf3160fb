#include "scheduler/core/posix_tz.h"

#include "base/timefmt.h"

#define SECONDS_PER_DAY 86400
#define HOURS_MAX 167

struct reader {
    struct str text;
    size_t at;
};

static char peek(const struct reader *r)
{
    return r->at < r->text.len ? r->text.ptr[r->at] : '\0';
}

static bool take(struct reader *r, char c)
{
    if (r->at >= r->text.len || r->text.ptr[r->at] != c)
        return false;
    r->at++;
    return true;
}

static bool read_number(struct reader *r, int max, int *ret)
{
    int value = 0;
    size_t start = r->at;

    while (peek(r) >= '0' && peek(r) <= '9') {
        value = value * 10 + (peek(r) - '0');
        if (value > max)
            return false;
        r->at++;
    }
    if (r->at == start)
        return false;
    *ret = value;
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* An abbreviation: three or more letters, or anything plausible between angle brackets. */
static bool skip_name(struct reader *r)
{
    size_t start = r->at;

    if (take(r, '<')) {
        while (is_letter(peek(r)) || (peek(r) >= '0' && peek(r) <= '9') || peek(r) == '+' ||
               peek(r) == '-')
            r->at++;
        return r->at - start >= 4 && take(r, '>');
    }
    while (is_letter(peek(r)))
        r->at++;
    return r->at - start >= 3;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool read_time(struct reader *r, int32_t *ret)
{
    bool negative = take(r, '-');
    int hours = 0;
    int minutes = 0;
    int seconds = 0;

    if (!negative)
        (void)take(r, '+');
    if (!read_number(r, HOURS_MAX, &hours))
        return false;
    if (take(r, ':')) {
        if (!read_number(r, 59, &minutes))
            return false;
        if (take(r, ':') && !read_number(r, 59, &seconds))
            return false;
    }
    *ret = hours * 3600 + minutes * 60 + seconds;
    if (negative)
        *ret = -*ret;
    return true;
}

/* An offset is written west of UTC, and at most 25 hours (RFC 9636 section 3.3.1). */
static bool read_offset(struct reader *r, int32_t *ret)
{
    int32_t west = 0;

    if (!read_time(r, &west) || west > 25 * 3600 || west < -25 * 3600)
        return false;
    *ret = -west;
    return true;
}

static bool read_day(struct reader *r, struct posix_day *ret)
{
    struct posix_day day = {.kind = POSIX_DAY_ORDINAL, .second = 2 * 3600};

    if (!take(r, ','))
        return false;
    if (take(r, 'M')) {
        day.kind = POSIX_DAY_WEEK;
        if (!read_number(r, 12, &day.month) || day.month < 1 || !take(r, '.') ||
            !read_number(r, 5, &day.week) || day.week < 1 || !take(r, '.') ||
            !read_number(r, 6, &day.day))
            return false;
    } else if (take(r, 'J')) {
        day.kind = POSIX_DAY_JULIAN;
        if (!read_number(r, 365, &day.day) || day.day < 1)
            return false;
    } else if (!read_number(r, 365, &day.day)) {
        return false;
    }
    if (take(r, '/') && !read_time(r, &day.second))
        return false;
    *ret = day;
    return true;
}

bool posix_tz_parse(struct str text, struct posix_tz *ret, struct err *err)
{
    struct reader r = {.text = text};
    struct posix_tz tz = {0};
    bool ok = skip_name(&r) && read_offset(&r, &tz.standard);

    tz.daylight = tz.standard;
    if (ok && r.at < text.len) {
        tz.has_dst = true;
        tz.daylight = tz.standard + 3600;
        ok = skip_name(&r) && (peek(&r) == ',' || read_offset(&r, &tz.daylight)) &&
             read_day(&r, &tz.start) && read_day(&r, &tz.end);
    }
    if (!ok || r.at != text.len)
        return err_set(err, ERR_DATA, "the TZ string \"%.*s\" is malformed at its byte %zu",
                       (int)(text.len < 100 ? text.len : 100), text.ptr == NULL ? "" : text.ptr,
                       r.at + 1);
    *ret = tz;
    return true;
}

static bool same_day(const struct posix_day *a, const struct posix_day *b)
{
    return a->kind == b->kind && a->month == b->month && a->week == b->week && a->day == b->day &&
           a->second == b->second;
}

bool posix_tz_equal(const struct posix_tz *a, const struct posix_tz *b)
{
    return a->standard == b->standard && a->daylight == b->daylight && a->has_dst == b->has_dst &&
           same_day(&a->start, &b->start) && same_day(&a->end, &b->end);
}

/* The day of a rule in a year, as days since 1970. */
static int64_t day_in_year(const struct posix_day *rule, int64_t year)
{
    int64_t first = civil_to_days(year, 1, 1);

    switch (rule->kind) {
    case POSIX_DAY_ORDINAL:
        return first + rule->day;
    case POSIX_DAY_JULIAN:
        return first + rule->day - 1 + (civil_days_in_month(year, 2) == 29 && rule->day >= 60);
    case POSIX_DAY_WEEK:
        break;
    }
    int64_t month = civil_to_days(year, rule->month, 1);
    int day = 1 + (rule->day - civil_weekday(month) + 7) % 7 + (rule->week - 1) * 7;
    while (day > civil_days_in_month(year, rule->month))
        day -= 7;
    return month + day - 1;
}

int64_t posix_tz_start(const struct posix_tz *tz, int64_t year)
{
    return day_in_year(&tz->start, year) * SECONDS_PER_DAY + tz->start.second - tz->standard;
}

int64_t posix_tz_end(const struct posix_tz *tz, int64_t year)
{
    return day_in_year(&tz->end, year) * SECONDS_PER_DAY + tz->end.second - tz->daylight;
}
