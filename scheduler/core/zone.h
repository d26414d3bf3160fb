/* Time zones from TZif files (RFC 9636, versions 1 to 4, footer rule included). Pure: bytes in;
 * reading /usr/share/zoneinfo is scheduler/dagfile's. */
#ifndef MILLRACE_CORE_ZONE_H
#define MILLRACE_CORE_ZONE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct zone;

/* A stretch of time with one offset: [start_us, end_us), INT64_MIN and INT64_MAX where it is open.
 * Neighbours may have the same offset. */
struct zone_span {
    int64_t start_us;
    int64_t end_us;
    int64_t offset_us;
};

/* Parses a TZif file; the zone lives in the arena. NULL with a message on damaged bytes. */
const struct zone *zone_parse(struct arena *arena, struct str bytes, struct err *err);

/* Whether two zones give the same local times; one of an updated tzdata may not. NULL is UTC. */
bool zone_equal(const struct zone *a, const struct zone *b);

/* UTC, for DAGs without a time zone. */
const struct zone *zone_utc(void);

/* The offset of local time from UTC at an instant, in microseconds (a multiple of a second). */
int64_t zone_offset_us(const struct zone *zone, int64_t utc_us);

/* The stretch around an instant. */
struct zone_span zone_span_at(const struct zone *zone, int64_t utc_us);

/* The latest local time that any instant up to this one has shown: unlike local time itself it
 * never goes back. zone_to_utc_us(L) <= utc_us exactly if L <= zone_local_peak_us(utc_us). */
int64_t zone_local_peak_us(const struct zone *zone, int64_t utc_us);

/* The instant of a local time by DESIGN's one rule: a time in the spring gap is the first instant
 * after the gap; a time that happens twice is the first of the two. */
int64_t zone_to_utc_us(const struct zone *zone, int64_t local_us);

#endif
