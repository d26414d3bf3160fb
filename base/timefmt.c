#include "base/timefmt.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int64_t civil_to_days(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

struct civil civil_from_us(int64_t local_us)
{
    int64_t days = floor_div(local_us, US_PER_DAY);
    int64_t rest = local_us - days * US_PER_DAY;
    int64_t z = days + 719468;
    int64_t era = floor_div(z, 146097);
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);

    return (struct civil){
        .year = yoe + era * 400 + (month <= 2),
        .month = month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .hour = (int)(rest / US_PER_HOUR),
        .minute = (int)(rest / US_PER_MINUTE % 60),
        .second = (int)(rest / US_PER_SECOND % 60),
        .micro = (int)(rest % US_PER_SECOND),
    };
}

int64_t civil_to_us(const struct civil *c)
{
    return civil_to_days(c->year, c->month, c->day) * US_PER_DAY + c->hour * US_PER_HOUR +
           c->minute * US_PER_MINUTE + c->second * US_PER_SECOND + c->micro;
}

int civil_weekday(int64_t days)
{
    int64_t weekday = (days + 4) % 7; /* 1970-01-01 was a Thursday */

    return (int)(weekday < 0 ? weekday + 7 : weekday);
}

int civil_days_in_month(int64_t year, int month)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : lengths[month - 1];
}

static char *format_instant(int64_t us, const char *offset, char out[TIMEFMT_SIZE])
{
    struct civil c = civil_from_us(us);
    char fraction[16] = "";

    if (c.micro != 0)
        (void)snprintf(fraction, sizeof(fraction), ".%06d", c.micro);
    (void)snprintf(out, TIMEFMT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%s%s", (int)c.year, c.month,
                   c.day, c.hour, c.minute, c.second, fraction, offset);
    return out;
}

char *timefmt_utc(int64_t us, char out[TIMEFMT_SIZE])
{
    return format_instant(us, "Z", out);
}

char *timefmt_iso_offset(int64_t us, char out[TIMEFMT_SIZE])
{
    return format_instant(us, "+00:00", out);
}

/* Reads exactly `digits` digits at *at into a number within [min, max]. */
static bool read_digits(struct str s, size_t *at, int digits, int min, int max, int *ret_value)
{
    int value = 0;

    for (int i = 0; i < digits; i++, (*at)++) {
        if (*at >= s.len || s.ptr[*at] < '0' || s.ptr[*at] > '9')
            return false;
        value = value * 10 + (s.ptr[*at] - '0');
    }
    if (value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

static bool read_char(struct str s, size_t *at, char c)
{
    if (*at >= s.len || s.ptr[*at] != c)
        return false;
    (*at)++;
    return true;
}

static bool read_date(struct str s, size_t *at, struct civil *c)
{
    int year = 0;

    if (!read_digits(s, at, 4, 1, 9999, &year) || !read_char(s, at, '-') ||
        !read_digits(s, at, 2, 1, 12, &c->month) || !read_char(s, at, '-') ||
        !read_digits(s, at, 2, 1, 31, &c->day))
        return false;
    c->year = year;
    return c->day <= civil_days_in_month(c->year, c->month);
}

static bool read_fraction(struct str s, size_t *at, int *ret_micro)
{
    int micro = 0;
    int digits = 0;

    while (*at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9') {
        if (digits < 6)
            micro = micro * 10 + (s.ptr[*at] - '0');
        digits++;
        (*at)++;
    }
    for (int i = digits; i < 6; i++)
        micro *= 10;
    *ret_micro = micro;
    return digits > 0;
}

static bool read_time(struct str s, size_t *at, struct civil *c)
{
    if (!read_digits(s, at, 2, 0, 23, &c->hour) || !read_char(s, at, ':') ||
        !read_digits(s, at, 2, 0, 59, &c->minute))
        return false;
    if (!read_char(s, at, ':'))
        return true;
    if (!read_digits(s, at, 2, 0, 59, &c->second))
        return false;
    return !read_char(s, at, '.') || read_fraction(s, at, &c->micro);
}

static bool read_offset(struct str s, size_t *at, int64_t *ret_us)
{
    int hours = 0;
    int minutes = 0;
    int64_t sign = 1;

    if (read_char(s, at, 'Z') || read_char(s, at, 'z')) {
        *ret_us = 0;
        return true;
    }
    if (read_char(s, at, '-'))
        sign = -1;
    else if (!read_char(s, at, '+'))
        return false;
    if (!read_digits(s, at, 2, 0, 23, &hours))
        return false;
    (void)read_char(s, at, ':');
    if (!read_digits(s, at, 2, 0, 59, &minutes))
        return false;
    *ret_us = sign * (hours * US_PER_HOUR + minutes * US_PER_MINUTE);
    return true;
}

bool timefmt_parse(struct str text, int64_t *ret_us, bool *ret_has_offset)
{
    struct civil c = {0};
    size_t at = 0;
    int64_t offset = 0;
    bool has_offset = false;

    if (!read_date(text, &at, &c))
        return false;
    if (at < text.len) {
        if (!read_char(text, &at, 'T') && !read_char(text, &at, 't') && !read_char(text, &at, ' '))
            return false;
        if (!read_time(text, &at, &c))
            return false;
        if (at < text.len) {
            if (!read_offset(text, &at, &offset))
                return false;
            has_offset = true;
        }
    }
    if (at != text.len)
        return false;
    *ret_us = civil_to_us(&c) - offset;
    *ret_has_offset = has_offset;
    return true;
}

static const struct {
    const char *unit;
    int64_t us;
} duration_units[] = {
    {"w",  7 * US_PER_DAY},
    {"d",  US_PER_DAY    },
    {"h",  US_PER_HOUR   },
    {"m",  US_PER_MINUTE },
    {"s",  US_PER_SECOND },
    {"ms", US_PER_MS     }
};

#define DURATION_UNITS (sizeof(duration_units) / sizeof(duration_units[0]))
#define DURATION_US_MAX (INT64_C(36525) * US_PER_DAY)

static int64_t duration_unit_us(struct str unit)
{
    for (size_t i = 0; i < DURATION_UNITS; i++)
        if (str_is(unit, duration_units[i].unit))
            return duration_units[i].us;
    return 0;
}

bool duration_parse(struct str text, int64_t *ret_us)
{
    int64_t total = 0;
    size_t at = 0;

    if (text.len == 0)
        return false;
    while (at < text.len) {
        size_t start = at;
        while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
            at++;
        size_t digits_end = at;
        while (at < text.len && text.ptr[at] >= 'a' && text.ptr[at] <= 'z')
            at++;
        int64_t count = 0;
        int64_t unit = duration_unit_us(str_sub(text, digits_end, at));
        if (unit == 0 || !str_to_int(str_sub(text, start, digits_end), &count) ||
            __builtin_mul_overflow(count, unit, &count) ||
            __builtin_add_overflow(total, count, &total) || total > DURATION_US_MAX)
            return false;
    }
    *ret_us = total;
    return true;
}

void duration_format(int64_t us, struct buf *out)
{
    size_t start = out->len;

    if (us < 0) {
        buf_add_char(out, '-');
        us = -us;
        start++;
    }
    for (size_t i = 1; i < DURATION_UNITS; i++) {
        int64_t count = us / duration_units[i].us;
        if (count > 0)
            buf_printf(out, "%lld%s", (long long)count, duration_units[i].unit);
        us -= count * duration_units[i].us;
    }
    if (out->len == start)
        buf_add_text(out, "0s");
}

bool timefmt_strftime(struct str format, int64_t local_us, struct buf *out, char *ret_bad)
{
    struct civil c = civil_from_us(local_us);
    int64_t days = civil_to_days(c.year, c.month, c.day);
    int weekday = civil_weekday(days);

    for (size_t i = 0; i < format.len; i++) {
        if (format.ptr[i] != '%') {
            buf_add_char(out, format.ptr[i]);
            continue;
        }
        char letter = ++i < format.len ? format.ptr[i] : '\0';
        switch (letter) {
        case 'Y':
            buf_printf(out, "%04d", (int)c.year);
            break;
        case 'y':
            buf_printf(out, "%02d", (int)(c.year % 100));
            break;
        case 'm':
            buf_printf(out, "%02d", c.month);
            break;
        case 'd':
            buf_printf(out, "%02d", c.day);
            break;
        case 'H':
            buf_printf(out, "%02d", c.hour);
            break;
        case 'M':
            buf_printf(out, "%02d", c.minute);
            break;
        case 'S':
            buf_printf(out, "%02d", c.second);
            break;
        case 'f':
            buf_printf(out, "%06d", c.micro);
            break;
        case 'j':
            buf_printf(out, "%03d", (int)(days - civil_to_days(c.year, 1, 1)) + 1);
            break;
        case 'b':
            buf_printf(out, "%.3s", month_names[c.month - 1]);
            break;
        case 'B':
            buf_add_text(out, month_names[c.month - 1]);
            break;
        case 'a':
            buf_printf(out, "%.3s", day_names[weekday]);
            break;
        case 'A':
            buf_add_text(out, day_names[weekday]);
            break;
        case 'u':
            buf_printf(out, "%d", weekday == 0 ? 7 : weekday);
            break;
        case 'w':
            buf_printf(out, "%d", weekday);
            break;
        case '%':
            buf_add_char(out, '%');
            break;
        default:
            *ret_bad = letter;
            return false;
        }
    }
    return true;
}
