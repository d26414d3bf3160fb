/* Dates, instants and durations as text. Instants are microseconds since 1970 in UTC everywhere;
 * time zones are the core's (scheduler/core/zone.h). Pure. */
#ifndef MILLRACE_BASE_TIMEFMT_H
#define MILLRACE_BASE_TIMEFMT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define TIMEFMT_SIZE 40

/* A civil date and time of the proleptic Gregorian calendar. */
struct civil {
    int64_t year;
    int month;  /* 1..12 */
    int day;    /* 1..31 */
    int hour;   /* 0..23 */
    int minute; /* 0..59 */
    int second; /* 0..59 */
    int micro;  /* 0..999999 */
};

/* Days since 1970-01-01 of a civil date and back (Howard Hinnant's algorithms, public domain). */
int64_t civil_to_days(int64_t year, int month, int day);
struct civil civil_from_us(int64_t local_us);
int64_t civil_to_us(const struct civil *civil);
int civil_weekday(int64_t days); /* 0 = Sunday .. 6 = Saturday */
int civil_days_in_month(int64_t year, int month);

/* "2026-01-02T03:04:05Z", with six digits of fraction only when it is not zero: RFC 3339 as
 * Airflow's API writes it. Returns `out`. */
char *timefmt_utc(int64_t us, char out[TIMEFMT_SIZE]);

/* "2026-01-02T03:04:05+00:00", Python's isoformat, as run ids carry it. Returns `out`. */
char *timefmt_iso_offset(int64_t us, char out[TIMEFMT_SIZE]);

/* Parses RFC 3339 and its relatives: a date alone (midnight), 'T' or ' ' between, seconds and
 * 0 to 6+ digits of fraction optional, offset Z, +HH:MM, +HHMM. Without an offset the time is local
 * to a zone: `ret_has_offset` tells, and `ret_us` is then the civil time read as UTC. */
bool timefmt_parse(struct str text, int64_t *ret_us, bool *ret_has_offset);

/* Durations with a unit: "90s", "1h30m", "2d", "250ms", "1w"; false for anything else, negative or
 * over 100 years. */
bool duration_parse(struct str text, int64_t *ret_us);

/* The shortest exact form of a duration: "1h30m", "90s" becomes "1m30s", 0 is "0s". */
void duration_format(int64_t us, struct buf *out);

/* strftime's subset for dates in templates: %Y %m %d %H %M %S %f %j %y %b %B %a %A %u %w %%, with
 * English names. False on an unknown letter, which `ret_bad` names. `local_us` is civil time. */
bool timefmt_strftime(struct str format, int64_t local_us, struct buf *out, char *ret_bad);

#endif
