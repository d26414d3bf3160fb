/* The footer of a TZif file: a POSIX TZ string with RFC 9636's extension (hours from -167 to 167),
 * which says how local time goes on after the last transition of the table. Pure. */
#ifndef MILLRACE_CORE_POSIX_TZ_H
#define MILLRACE_CORE_POSIX_TZ_H

#include "base/err.h"
#include "base/str.h"

enum posix_day_kind {
    POSIX_DAY_JULIAN,  /* Jn: 1..365, 29 February is never counted */
    POSIX_DAY_ORDINAL, /* n: 0..365, 29 February is counted */
    POSIX_DAY_WEEK,    /* Mm.w.d: weekday d of week w (5 = last) of month m */
};

struct posix_day {
    enum posix_day_kind kind;
    int month;
    int week;
    int day;
    int32_t second; /* local time of the change on that day; may lie days away from it */
};

struct posix_tz {
    bool has_dst;
    int32_t standard; /* seconds east of UTC */
    int32_t daylight;
    struct posix_day start; /* of daylight time, in standard local time */
    struct posix_day end;   /* in daylight local time */
};

/* Parses a whole TZ string; the error names what is wrong with it. */
bool posix_tz_parse(struct str text, struct posix_tz *ret, struct err *err);

bool posix_tz_equal(const struct posix_tz *a, const struct posix_tz *b);

/* The instants (seconds UTC) at which daylight time begins and ends in a year; only for has_dst. */
int64_t posix_tz_start(const struct posix_tz *tz, int64_t year);
int64_t posix_tz_end(const struct posix_tz *tz, int64_t year);

#endif
