/* Time zones from TZif files (RFC 9636, versions 1 to 4, footer rule included). Pure: bytes in;
 * reading /usr/share/zoneinfo is scheduler/dagfile's. */
#ifndef MILLRACE_CORE_ZONE_H
#define MILLRACE_CORE_ZONE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct zone;

/* Parses a TZif file; the zone lives in the arena. NULL with a message on damaged bytes. */
const struct zone *zone_parse(struct arena *arena, struct str bytes, struct err *err);

/* UTC, for DAGs without a time zone. */
const struct zone *zone_utc(void);

/* The offset of local time from UTC at an instant, in microseconds (a multiple of a second). */
int64_t zone_offset_us(const struct zone *zone, int64_t utc_us);

/* The instant of a local time by DESIGN's one rule: a time in the spring gap is the first instant
 * after the gap; a time that happens twice is the first of the two. */
int64_t zone_to_utc_us(const struct zone *zone, int64_t local_us);

#endif
