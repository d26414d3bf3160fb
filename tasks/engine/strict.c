/* Values out of text, read strictly: what is not plainly the value is refused. DuckDB's own casts
 * would round "1.5" to an integer, and read a time through its calendar library, which takes
 * longer than all the rest of a row. */
#include "base/timefmt.h"
#include "tasks/engine/internal.h"

#include <string.h>
#include <strings.h>

#define US_PER_HOUR (INT64_C(3600) * 1000000)
#define EXACT_DIGITS 15 /* so many decimal digits always fit a double's 53 bits */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Fewer than 19 digits can't overflow. */
static bool read_digits(struct str text, int64_t *ret_value)
{
    int64_t value = 0;

    if (text.len == 0 || text.len > 18)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i]))
            return false;
        value = value * 10 + (text.ptr[i] - '0');
    }
    *ret_value = value;
    return true;
}

/* "1.0" and "1." are the integer 1, as tools write that have only floats. */
static struct str without_zero_fraction(struct str text)
{
    size_t end = text.len;

    while (end > 0 && text.ptr[end - 1] == '0')
        end--;
    return end > 1 && text.ptr[end - 1] == '.' ? str_sub(text, 0, end - 1) : text;
}

static bool read_int(struct str text, void *value)
{
    int64_t *ret_value = value;

    if (read_digits(text, ret_value))
        return true;
    text = str_trim(text);
    if (text.len > 1 && text.ptr[0] == '+' && text.ptr[1] != '-')
        text = str_sub(text, 1, text.len);
    return str_to_int(text, ret_value) || str_to_int(without_zero_fraction(text), ret_value);
}

/* A number in digits with a meaningless zero before it is more likely a code ("007"). */
static struct str plain_digits(struct str text, bool *ret_negative)
{
    *ret_negative = text.len > 0 && text.ptr[0] == '-';
    if (*ret_negative)
        text = str_sub(text, 1, text.len);
    if (text.len == 0 || !is_digit(text.ptr[0]) ||
        (text.ptr[0] == '0' && text.len > 1 && is_digit(text.ptr[1])))
        return (struct str){0};
    return text;
}

static bool guess_bool(struct str text, void *value)
{
    bool yes = str_is(text, "true") || str_is(text, "True") || str_is(text, "TRUE");

    if (!yes && !str_is(text, "false") && !str_is(text, "False") && !str_is(text, "FALSE"))
        return false;
    *(bool *)value = yes;
    return true;
}

static bool guess_int(struct str text, void *value)
{
    bool negative = false;
    int64_t digits = 0;

    if (!read_digits(plain_digits(text, &negative), &digits))
        return false;
    *(int64_t *)value = negative ? -digits : digits;
    return true;
}

/* Few digits are an integer divided by a power of ten, both exact: the quotient is the nearest
 * double, as strtod() finds it with more effort. */
static bool read_short(struct str digits, double *ret_value)
{
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    int64_t whole = 0;
    size_t point = SIZE_MAX;

    if (digits.len > EXACT_DIGITS)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (is_digit(digits.ptr[i]))
            whole = whole * 10 + (digits.ptr[i] - '0');
        else if (digits.ptr[i] == '.' && point == SIZE_MAX && i + 1 < digits.len)
            point = i;
        else
            return false;
    }
    *ret_value = (double)whole / (point == SIZE_MAX ? 1 : powers[digits.len - point - 1]);
    return true;
}

/* digits [ "." digits ] [ ("e" | "E") [sign] digits ] */
static bool is_number(struct str text)
{
    size_t at = 0;

    for (int part = 0; part < 3; part++) {
        if (part == 1 && (at == text.len || text.ptr[at] != '.'))
            continue;
        if (part == 2 && (at == text.len || (text.ptr[at] | 0x20) != 'e'))
            continue;
        at += part > 0;
        if (part == 2 && at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-'))
            at++;
        size_t start = at;
        while (at < text.len && is_digit(text.ptr[at]))
            at++;
        if (at == start)
            return false;
    }
    return at == text.len;
}

static bool guess_double(struct str text, void *value)
{
    double *ret_value = value;
    bool negative = false;
    struct str digits = plain_digits(text, &negative);

    if (digits.len == 0 || (!read_short(digits, ret_value) &&
                            (!is_number(digits) || !str_to_float(digits, ret_value))))
        return false;
    if (negative)
        *ret_value = -*ret_value;
    return true;
}

/* Two digits, or -1. */
static int read_two(const char *text)
{
    return is_digit(text[0]) && is_digit(text[1]) ? (text[0] - '0') * 10 + (text[1] - '0') : -1;
}

/* YYYY-MM-DD from 1600 on, as days since 1970. */
static bool read_days(struct str text, int64_t *ret_days)
{
    if (text.len < 10 || text.ptr[4] != '-' || text.ptr[7] != '-')
        return false;
    int century = read_two(text.ptr);
    int year = read_two(text.ptr + 2);
    int month = read_two(text.ptr + 5);
    int day = read_two(text.ptr + 8);
    if (century < 16 || year < 0 || month < 1 || month > 12 || day < 1 ||
        (day > 28 && day > civil_days_in_month(century * 100 + year, month)))
        return false;
    *ret_days = civil_to_days(century * 100 + year, month, day);
    return true;
}

static bool guess_date(struct str text, void *value)
{
    int64_t days = 0;

    if (text.len != 10 || !read_days(text, &days))
        return false;
    *(int32_t *)value = (int32_t)days;
    return true;
}

/* Up to six digits after a point; gives how many bytes they take, 0 = they are not as they should
 * be. */
static size_t read_fraction(struct str text, int64_t *ret_us)
{
    int64_t us = 0;
    size_t at = 1;

    for (; at < text.len && is_digit(text.ptr[at]); at++)
        us = at <= 6 ? us * 10 + (text.ptr[at] - '0') : us;
    if (at < 2 || at > 7)
        return 0;
    for (size_t i = at; i < 7; i++)
        us *= 10;
    *ret_us = us;
    return at;
}

/* Z, +HH or +HH:MM. */
static bool read_offset(struct str text, int64_t *ret_us)
{
    if (text.len == 1 && text.ptr[0] == 'Z') {
        *ret_us = 0;
        return true;
    }
    if ((text.len != 3 && text.len != 6) || (text.ptr[0] != '+' && text.ptr[0] != '-'))
        return false;
    int hours = read_two(text.ptr + 1);
    int minutes = text.len == 3 ? 0 : read_two(text.ptr + 4);
    if (hours < 0 || hours > 14 || minutes < 0 || minutes > 59 ||
        (text.len == 6 && text.ptr[3] != ':'))
        return false;
    int64_t us = (hours * INT64_C(60) + minutes) * 60 * 1000000;
    *ret_us = text.ptr[0] == '-' ? -us : us;
    return true;
}

/* YYYY-MM-DD HH:MM:SS with a fraction or not, `T` as good as the space; *ret_rest is what follows.
 */
static bool read_naive(struct str text, int64_t *ret_us, struct str *ret_rest)
{
    int64_t days = 0;
    int64_t fraction = 0;
    size_t used = 0;

    if (text.len < 19 || (text.ptr[10] != ' ' && text.ptr[10] != 'T') || text.ptr[13] != ':' ||
        text.ptr[16] != ':' || !read_days(text, &days))
        return false;
    int hour = read_two(text.ptr + 11);
    int minute = read_two(text.ptr + 14);
    int second = read_two(text.ptr + 17);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
        return false;
    struct str rest = str_sub(text, 19, text.len);
    if (rest.len > 0 && rest.ptr[0] == '.' && (used = read_fraction(rest, &fraction)) == 0)
        return false;
    *ret_us =
        (days * 24 + hour) * US_PER_HOUR + (minute * INT64_C(60) + second) * 1000000 + fraction;
    *ret_rest = str_sub(rest, used, rest.len);
    return true;
}

static bool guess_time(struct str text, void *value)
{
    struct str rest = {0};

    return read_naive(text, value, &rest) && rest.len == 0;
}

static bool read_instant(struct str text, void *value)
{
    struct str rest = {0};
    int64_t us = 0;
    int64_t offset = 0;

    if (!read_naive(text, &us, &rest) || (rest.len > 0 && !read_offset(rest, &offset)))
        return false;
    *(int64_t *)value = us - offset;
    return true;
}

static bool is_time_word(struct str text, void *value)
{
    static const char *const words[] = {"epoch", "infinity", "-infinity"};
    bool found = false;

    text = str_trim(text);
    for (size_t i = 0; !found && i < sizeof(words) / sizeof(words[0]); i++)
        found = text.len == strlen(words[i]) && strncasecmp(text.ptr, words[i], text.len) == 0;
    *(bool *)value = found;
    return true;
}

bool engine_register_strict(duckdb_connection connection, struct err *err)
{
    static const struct text_function functions[] = {
        {"millrace_int",           DUCKDB_TYPE_BIGINT,       8, false, read_int    },
        {"millrace_need_int",      DUCKDB_TYPE_BIGINT,       8, true,  read_int    },
        {"millrace_instant",       DUCKDB_TYPE_TIMESTAMP_TZ, 8, false, read_instant},
        {"millrace_time_word",     DUCKDB_TYPE_BOOLEAN,      1, false, is_time_word},
        {"millrace_guess_bool",    DUCKDB_TYPE_BOOLEAN,      1, true,  guess_bool  },
        {"millrace_guess_int",     DUCKDB_TYPE_BIGINT,       8, true,  guess_int   },
        {"millrace_guess_double",  DUCKDB_TYPE_DOUBLE,       8, true,  guess_double},
        {"millrace_guess_date",    DUCKDB_TYPE_DATE,         4, true,  guess_date  },
        {"millrace_guess_time",    DUCKDB_TYPE_TIMESTAMP_TZ, 8, true,  guess_time  },
        {"millrace_guess_instant", DUCKDB_TYPE_TIMESTAMP_TZ, 8, true,  read_instant},
    };
    bool ok = true;

    for (size_t i = 0; ok && i < sizeof(functions) / sizeof(functions[0]); i++)
        ok = engine_register_text(connection, &functions[i], err);
    return ok;
}
