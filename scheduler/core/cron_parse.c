#include "scheduler/core/cron_fields.h"

#include <ctype.h>
#include <stdio.h>

struct field {
    const char *name;
    int64_t min;
    int64_t max;
    const char *names; /* three letters each, from min on */
};

static const struct field fields[] = {
    {"second",       0, 59, ""                                    },
    {"minute",       0, 59, ""                                    },
    {"hour",         0, 23, ""                                    },
    {"day of month", 1, 31, ""                                    },
    {"month",        1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
    {"day of week",  0, 7,  "SUNMONTUEWEDTHUFRISAT"               },
};
enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELD_COUNT };

static const struct {
    const char *name;
    const char *text;
} presets[] = {
    {"@hourly",    "0 * * * *"  },
    {"@daily",     "0 0 * * *"  },
    {"@midnight",  "0 0 * * *"  },
    {"@weekly",    "0 0 * * 0"  },
    {"@monthly",   "0 0 1 * *"  },
    {"@quarterly", "0 0 1 */3 *"},
    {"@yearly",    "0 0 1 1 *"  },
    {"@annually",  "0 0 1 1 *"  },
};

static bool bad_field(struct err *err, const struct field *field, struct str item, const char *why)
{
    return err_set(err, ERR_INVALID, "the %s field of the cron expression has \"%.*s\": %s",
                   field->name, STR_ARG(item), why);
}

/* A number or a name ("MON", any case) of a field. */
static bool read_value(const struct field *field, struct str text, int64_t *ret)
{
    if (text.len > 0 && text.ptr[0] >= '0' && text.ptr[0] <= '9')
        return str_to_int(text, ret) && *ret >= field->min && *ret <= field->max;
    if (text.len != 3)
        return false;
    for (size_t i = 0; field->names[i] != '\0'; i += 3) {
        bool same = true;
        for (size_t k = 0; k < 3; k++)
            same = same && toupper((unsigned char)text.ptr[k]) == field->names[i + k];
        if (same) {
            *ret = field->min + (int64_t)(i / 3);
            return true;
        }
    }
    return false;
}

/* Sets the bits low, low + step, …, high. A range of weekdays may go round the week's end. */
static bool add_range(const struct field *field, int64_t low, int64_t high, int64_t step,
                      uint64_t *bits)
{
    bool weekday = field == &fields[WEEKDAY];

    if (low > high) {
        if (!weekday)
            return false;
        high += 7;
    }
    for (int64_t value = low; value <= high; value += step)
        *bits |= UINT64_C(1) << (weekday ? value % 7 : value);
    return true;
}

/* "5#3", "5L" and croniter's "L5": the third, and the last, Friday. */
static bool read_nth(struct str item, struct cron *cron, bool *ret_is_nth)
{
    const struct field *field = &fields[WEEKDAY];
    size_t hash = str_find(item, '#', 0);
    int64_t weekday = 0;
    int64_t nth = 0;

    *ret_is_nth = true;
    if (hash != SIZE_MAX) {
        if (!read_value(field, str_sub(item, 0, hash), &weekday) ||
            !str_to_int(str_sub(item, hash + 1, item.len), &nth) || nth < 1 || nth > 5)
            return false;
        cron->nth[weekday % 7] |= (uint8_t)(1u << nth);
        return true;
    }
    bool before = item.len > 1 && toupper((unsigned char)item.ptr[0]) == 'L';
    bool after = item.len > 1 && toupper((unsigned char)item.ptr[item.len - 1]) == 'L';
    if (!before && !after) {
        *ret_is_nth = false;
        return true;
    }
    struct str number = before ? str_sub(item, 1, item.len) : str_sub(item, 0, item.len - 1);
    if (!read_value(field, number, &weekday))
        return false;
    cron->nth[weekday % 7] |= CRON_NTH_LAST;
    return true;
}

static bool read_item(const struct field *field, struct str item, uint64_t *bits, struct err *err)
{
    size_t slash = str_find(item, '/', 0);
    struct str range = str_sub(item, 0, slash);
    size_t dash = str_find(range, '-', 0);
    int64_t low = field->min;
    int64_t high = field == &fields[WEEKDAY] ? 6 : field->max;
    int64_t step = 1;

    if (slash != SIZE_MAX &&
        (!str_to_int(str_sub(item, slash + 1, item.len), &step) || step < 1 || step > field->max))
        return bad_field(err, field, item, "after / there must be a step of at least 1");
    if (dash != SIZE_MAX) {
        if (!read_value(field, str_sub(range, 0, dash), &low) ||
            !read_value(field, str_sub(range, dash + 1, range.len), &high))
            return bad_field(err, field, item, "a range is written low-high, within its limits");
    } else if (!str_is(range, "*")) {
        if (!read_value(field, range, &low)) {
            char why[80];
            (void)snprintf(why, sizeof(why), "expected %s%lld to %lld, *, a range or a list",
                           field->names[0] == '\0' ? "" : "a name, ", (long long)field->min,
                           (long long)field->max);
            return bad_field(err, field, item, why);
        }
        if (slash == SIZE_MAX)
            high = low;
    }
    if (!add_range(field, low, high, step, bits))
        return bad_field(err, field, item, "the range ends before it begins");
    return true;
}

/* Reads one field: a list of items. */
static bool read_field(int which, struct str text, struct cron *cron, uint64_t *bits,
                       struct err *err)
{
    const struct field *field = &fields[which];
    size_t at = 0;

    while (at <= text.len) {
        size_t comma = str_find(text, ',', at);
        struct str item = str_sub(text, at, comma);
        bool is_nth = false;
        if (which == DAY && (str_is(item, "L") || str_is(item, "l"))) {
            cron->last_day = true;
        } else {
            if (which == WEEKDAY && !read_nth(item, cron, &is_nth))
                return bad_field(err, field, item,
                                 "write 5#3 for the third Friday, 5L for the last");
            if (!is_nth && !read_item(field, item, bits, err))
                return false;
        }
        if (comma == SIZE_MAX)
            return true;
        at = comma + 1;
    }
    return bad_field(err, field, text, "the list ends with a comma");
}

static uint64_t full(int which)
{
    uint64_t bits = 0;
    int64_t max = which == WEEKDAY ? 6 : fields[which].max;

    (void)add_range(&fields[which], fields[which].min, max, 1, &bits);
    return bits;
}

/* Splits at blanks into at most `max` words; returns how many there are in all. */
static size_t split(struct str text, struct str *words, size_t max)
{
    size_t count = 0;
    size_t at = 0;

    while (at < text.len) {
        while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t'))
            at++;
        size_t start = at;
        while (at < text.len && text.ptr[at] != ' ' && text.ptr[at] != '\t')
            at++;
        if (at > start) {
            if (count < max)
                words[count] = str_sub(text, start, at);
            count++;
        }
    }
    return count;
}

static struct str expand_preset(struct str text)
{
    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
        if (str_is(text, presets[i].name))
            return str_from(presets[i].text);
    return text;
}

const struct cron *cron_parse(struct arena *arena, struct str text, struct err *err)
{
    struct str words[FIELD_COUNT] = {{0}};
    struct str body = expand_preset(str_trim(text));
    size_t count = split(body, words, FIELD_COUNT);
    struct cron cron = {.seconds = 1};
    uint64_t *bits[FIELD_COUNT] = {&cron.seconds, &cron.minutes, &cron.hours,
                                   &cron.days,    &cron.months,  &cron.weekdays};

    err->column = 1;
    if (count != 5 && count != 6) {
        (void)err_set(err, ERR_INVALID,
                      "\"%.*s\" is no cron expression: expected five fields (minute hour "
                      "day-of-month month day-of-week), six with seconds first, or a preset such "
                      "as @daily",
                      STR_ARG(text));
        err->column = 1;
        return NULL;
    }
    size_t first = count == 6 ? SECOND : MINUTE;
    if (count == 6)
        cron.seconds = 0;
    for (size_t i = 0; i < count; i++) {
        if (!read_field((int)(first + i), words[i], &cron, bits[first + i], err)) {
            err->column = (uint32_t)(words[i].ptr - text.ptr) + 1;
            return NULL;
        }
    }
    cron.any_hour = cron.hours == full(HOUR);
    cron.any_day = cron.days == full(DAY);
    cron.any_weekday = cron.weekdays == full(WEEKDAY);
    if (cron_match_next(&cron, 0) == INT64_MAX) {
        (void)err_set(err, ERR_INVALID, "\"%.*s\" never fires: no such day exists", STR_ARG(text));
        err->column = 1;
        return NULL;
    }
    err->column = 0;
    struct cron *made = arena_alloc(arena, sizeof(*made));
    *made = cron;
    return made;
}
