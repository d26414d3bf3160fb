/* Cron expressions: five fields, or six with seconds first… see cron.c for the dialect. Pure. */
#ifndef MILLRACE_CORE_CRON_H
#define MILLRACE_CORE_CRON_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "scheduler/core/zone.h"

struct cron;

/* Parses five fields, or a preset (@hourly, @daily, @midnight, @weekly, @monthly, @quarterly,
 * @yearly, @annually). On failure err->column is the 1-based offset of the bad field in the text.
 */
const struct cron *cron_parse(struct arena *arena, struct str text, struct err *err);

/* The first tick strictly after, and the last tick at or before, an instant; INT64_MAX and
 * INT64_MIN if there is none within 30 years. DST: DESIGN section 6. */
int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_us);
int64_t cron_previous(const struct cron *cron, const struct zone *zone, int64_t at_us);

#endif
