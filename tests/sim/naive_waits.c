/* What sensors wait for, read off their options. */
#include "tests/sim/naive.h"

#include "base/clock.h"
#include "scheduler/core/timetable.h"

#include <stdio.h>
#include <string.h>

#define DAY_BEGIN_US INT64_C(1767225600000000) /* 2026-01-01; worlds hardly leave it */

static int64_t interval_of(const struct naive_dates *dates, int64_t *ret_end)
{
    struct interval last = {dates->interval_start_us, dates->interval_end_us};

    if (last.start_us == 0 && last.end_us == 0 &&
        !timetable_last_complete(dates->dag, dates->run_after_us, &last))
        last = (struct interval){dates->run_after_us, dates->run_after_us};
    *ret_end = last.end_us;
    return last.start_us;
}

static const char *text_of(const json_t *options, const char *key)
{
    const char *text = json_string_value(json_object_get(options, key));

    return text == NULL ? "" : text;
}

static int64_t read_minute(const char *text)
{
    unsigned minute = 0;

    (void)sscanf(text, "2026-01-01T00:%2u:00Z", &minute);
    return DAY_BEGIN_US + minute * US_PER_MINUTE;
}

int64_t naive_instant(const struct naive_dates *dates, const json_t *options, int64_t since_us)
{
    const char *text = text_of(options, "time");
    int64_t day_us = (since_us - DAY_BEGIN_US) / US_PER_DAY - (since_us < DAY_BEGIN_US ? 1 : 0);
    unsigned number = 0;
    int64_t end_us = 0;

    (void)interval_of(dates, &end_us);
    if (sscanf(text_of(options, "delta"), "%us", &number) == 1)
        return end_us + number * US_PER_SECOND;
    if (sscanf(text, "00:%2u", &number) == 1)
        return DAY_BEGIN_US + day_us * US_PER_DAY + number * US_PER_MINUTE;
    return read_minute(text);
}

static bool is_named(const json_t *names, const char *name)
{
    size_t i = 0;
    const json_t *item = NULL;

    json_array_foreach(names, i, item)
    {
        if (strcmp(json_string_value(item), name) == 0)
            return true;
    }
    return false;
}

struct naive_external naive_external(const struct naive_dates *dates, const json_t *options)
{
    const json_t *what = json_object_get(options, "external_task");
    struct naive_external external = {.dag_id = text_of(what, "dag_id"),
                                      .task_id = text_of(what, "task_id"),
                                      .allowed = json_object_get(what, "allowed_states"),
                                      .failed = json_object_get(what, "failed_states"),
                                      .date_us = dates->logical_date_us};
    unsigned minutes = 0;
    int64_t ignored = 0;

    if (external.date_us == 0)
        external.date_us = interval_of(dates, &ignored);
    if (text_of(what, "logical_date")[0] != '\0')
        external.date_us = read_minute(text_of(what, "logical_date"));
    if (sscanf(text_of(what, "execution_delta"), "%um", &minutes) == 1)
        external.date_us -= minutes * US_PER_MINUTE;
    return external;
}

void naive_hear(const struct naive_external *external, const char *state, struct naive_news *news)
{
    bool is_failed = is_named(external->failed, state);
    bool is_allowed = !is_failed && is_named(external->allowed, state);

    news->all_allowed = is_allowed && (!news->any || news->all_allowed);
    news->any = true;
    news->any_failed = news->any_failed || is_failed;
}
