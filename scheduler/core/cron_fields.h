/* What a cron expression says, as sets of numbers: made by cron_parse.c, matched by cron.c. */
#ifndef MILLRACE_CORE_CRON_FIELDS_H
#define MILLRACE_CORE_CRON_FIELDS_H

#include "scheduler/core/cron.h"

#define CRON_NTH_LAST (1u << 6)

struct cron {
    uint64_t seconds; /* bit n = second n */
    uint64_t minutes;
    uint64_t hours;
    uint64_t days;     /* bits 1..31 */
    uint64_t months;   /* bits 1..12 */
    uint64_t weekdays; /* bits 0..6, 0 = Sunday */
    uint8_t nth[7]; /* per weekday: bit k = its k-th in the month (#k), CRON_NTH_LAST = its last */
    bool last_day;  /* L in the day field */
    bool any_day;   /* the day field allows every day: it restricts nothing */
    bool any_weekday;
    bool any_hour; /* fires in every real hour, also when a local hour happens twice */
};

/* The first match at or after a local time, and the last at or before one (microseconds; matches
 * are whole seconds); INT64_MAX and INT64_MIN if there is none within 30 years. */
int64_t cron_match_next(const struct cron *cron, int64_t local_us);
int64_t cron_match_previous(const struct cron *cron, int64_t local_us);

#endif
