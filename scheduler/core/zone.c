#include "scheduler/core/zone.h"

#include "base/clock.h"
#include "base/timefmt.h"
#include "scheduler/core/posix_tz.h"

#include <string.h>

#define HEADER_BYTES 44
#define OFFSET_SECONDS_MAX (26 * 3600)
/* Further than any offset can move local time. */
#define REACH_US (27 * US_PER_HOUR)
/* Transitions are clamped to this many seconds around 1970, so that microseconds never overflow. */
#define SECONDS_MAX INT64_C(4000000000000)

struct zone {
    const int64_t *times;   /* seconds UTC, ascending */
    const int32_t *offsets; /* from the transition on, seconds east of UTC */
    size_t count;
    int32_t first_offset; /* before the first transition */
    bool has_rule;
    struct posix_tz rule; /* from the last transition on */
};

static const struct zone utc_zone = {0};

const struct zone *zone_utc(void)
{
    return &utc_zone;
}

/* One data block's counts, from its header. */
struct block {
    unsigned char version;
    size_t isutcnt;
    size_t isstdcnt;
    size_t leapcnt;
    size_t timecnt;
    size_t typecnt;
    size_t charcnt;
};

static uint32_t get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t get_time(const unsigned char *p, size_t width)
{
    if (width == 4)
        return (int32_t)get_u32(p);
    return (int64_t)((uint64_t)get_u32(p) << 32 | get_u32(p + 4));
}

static bool read_header(struct str bytes, size_t at, struct block *ret, struct err *err)
{
    if (at > bytes.len || bytes.len - at < HEADER_BYTES)
        return err_set(err, ERR_DATA, "the time zone file is cut short in a header");
    const unsigned char *p = (const unsigned char *)bytes.ptr + at;
    if (memcmp(p, "TZif", 4) != 0)
        return err_set(err, ERR_DATA, "not a time zone file: it does not begin with TZif");
    if (p[4] != 0 && (p[4] < '2' || p[4] > '9'))
        return err_set(err, ERR_DATA, "the time zone file has the unknown version %u", p[4]);
    struct block b = {.version = p[4],
                      .isutcnt = get_u32(p + 20),
                      .isstdcnt = get_u32(p + 24),
                      .leapcnt = get_u32(p + 28),
                      .timecnt = get_u32(p + 32),
                      .typecnt = get_u32(p + 36),
                      .charcnt = get_u32(p + 40)};
    if (b.typecnt == 0 || b.typecnt > 256 || b.charcnt == 0 ||
        (b.isutcnt != 0 && b.isutcnt != b.typecnt) || (b.isstdcnt != 0 && b.isstdcnt != b.typecnt))
        return err_set(err, ERR_DATA, "the time zone file's counts contradict each other");
    *ret = b;
    return true;
}

/* The counts are 32-bit, so the sum can't overflow 64 bits. */
static size_t block_bytes(const struct block *b, size_t width)
{
    return b->timecnt * (width + 1) + b->typecnt * 6 + b->charcnt + b->leapcnt * (width + 4) +
           b->isstdcnt + b->isutcnt;
}

static bool read_type(const unsigned char *p, const struct block *b, int32_t *ret_offset,
                      struct err *err)
{
    int32_t offset = (int32_t)get_u32(p);

    if (offset < -OFFSET_SECONDS_MAX || offset > OFFSET_SECONDS_MAX || p[4] > 1 ||
        p[5] >= b->charcnt)
        return err_set(err, ERR_DATA, "the time zone file has a damaged local time type");
    *ret_offset = offset;
    return true;
}

/* Reads the tables of one data block whose size has been checked. */
static bool read_block(struct arena *arena, const unsigned char *p, const struct block *b,
                       size_t width, struct zone *zone, struct err *err)
{
    const unsigned char *indices = p + b->timecnt * width;
    const unsigned char *types = indices + b->timecnt;
    int64_t *times = arena_alloc_array(arena, b->timecnt, sizeof(*times));
    int32_t *offsets = arena_alloc_array(arena, b->timecnt, sizeof(*offsets));
    int64_t before = INT64_MIN;

    for (size_t i = 0; i < b->typecnt; i++) {
        int32_t checked = 0;
        if (!read_type(types + i * 6, b, &checked, err))
            return false;
        if (i == 0)
            zone->first_offset = checked;
    }
    for (size_t i = 0; i < b->timecnt; i++) {
        int64_t time = get_time(p + i * width, width);
        if (i > 0 && time <= before)
            return err_set(err, ERR_DATA, "the time zone file's transitions are not in order");
        if (indices[i] >= b->typecnt)
            return err_set(err, ERR_DATA, "the time zone file's transition %zu has no type", i);
        before = time;
        times[i] = time < -SECONDS_MAX ? -SECONDS_MAX : time > SECONDS_MAX ? SECONDS_MAX : time;
        offsets[i] = (int32_t)get_u32(types + (size_t)indices[i] * 6);
    }
    zone->times = times;
    zone->offsets = offsets;
    zone->count = b->timecnt;
    return true;
}

static bool read_footer(struct str bytes, size_t at, struct zone *zone, struct err *err)
{
    if (at >= bytes.len || bytes.ptr[at] != '\n')
        return err_set(err, ERR_DATA, "the time zone file's footer is missing");
    size_t end = str_find(bytes, '\n', at + 1);
    if (end == SIZE_MAX)
        return err_set(err, ERR_DATA, "the time zone file's footer is cut short");
    struct str text = str_sub(bytes, at + 1, end);
    if (text.len == 0)
        return true;
    zone->has_rule = posix_tz_parse(text, &zone->rule, err);
    return zone->has_rule;
}

const struct zone *zone_parse(struct arena *arena, struct str bytes, struct err *err)
{
    struct zone *zone = arena_alloc(arena, sizeof(*zone));
    struct block b;
    size_t at = 0;
    size_t width = 4;

    if (!read_header(bytes, 0, &b, err))
        return NULL;
    if (b.version != 0) {
        /* From version 2 on the file says everything again with 64-bit times. */
        at = HEADER_BYTES + block_bytes(&b, 4);
        width = 8;
        if (!read_header(bytes, at, &b, err))
            return NULL;
    }
    at += HEADER_BYTES;
    size_t size = block_bytes(&b, width);
    if (size > bytes.len - at) {
        (void)err_set(err, ERR_DATA, "the time zone file is cut short in its tables");
        return NULL;
    }
    if (b.leapcnt != 0) {
        (void)err_set(err, ERR_DATA,
                      "the time zone file counts leap seconds; take the one from "
                      "zoneinfo itself, not from its folder right/");
        return NULL;
    }
    if (!read_block(arena, (const unsigned char *)bytes.ptr + at, &b, width, zone, err))
        return NULL;
    if (width == 8 && !read_footer(bytes, at + size, zone, err))
        return NULL;
    return zone;
}

bool zone_equal(const struct zone *a, const struct zone *b)
{
    a = a == NULL ? &utc_zone : a;
    b = b == NULL ? &utc_zone : b;
    if (a->count != b->count || a->first_offset != b->first_offset || a->has_rule != b->has_rule)
        return false;
    if (a->has_rule && !posix_tz_equal(&a->rule, &b->rule))
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->times[i] != b->times[i] || a->offsets[i] != b->offsets[i])
            return false;
    return true;
}

static int64_t floor_seconds(int64_t us)
{
    return us / US_PER_SECOND - (us % US_PER_SECOND < 0);
}

/* The stretch around an instant by the footer rule alone. */
static struct zone_span rule_span(const struct posix_tz *tz, int64_t utc_us)
{
    struct zone_span span = {INT64_MIN, INT64_MAX, tz->standard * US_PER_SECOND};
    int64_t year = civil_from_us(utc_us).year;

    if (!tz->has_dst)
        return span;
    /* The changes of three years, of which the latest before and the first after are wanted. At
     * one instant the start of daylight time wins: so rules write daylight time all year. */
    for (int64_t y = year - 1; y <= year + 1; y++) {
        for (int is_start = 0; is_start <= 1; is_start++) {
            int64_t at = (is_start ? posix_tz_start(tz, y) : posix_tz_end(tz, y)) * US_PER_SECOND;
            if (at <= utc_us && (at > span.start_us || (is_start && at == span.start_us))) {
                span.start_us = at;
                span.offset_us = (is_start ? tz->daylight : tz->standard) * US_PER_SECOND;
            }
            if (at > utc_us && at < span.end_us)
                span.end_us = at;
        }
    }
    return span;
}

/* The number of transitions at or before a second. */
static size_t count_until(const struct zone *zone, int64_t second)
{
    size_t low = 0;
    size_t high = zone->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->times[middle] <= second)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct zone_span zone_span_at(const struct zone *zone, int64_t utc_us)
{
    size_t passed = count_until(zone, floor_seconds(utc_us));
    struct zone_span span = {INT64_MIN, INT64_MAX, zone->first_offset * US_PER_SECOND};

    if (passed == zone->count && zone->has_rule)
        span = rule_span(&zone->rule, utc_us);
    else if (passed > 0)
        span.offset_us = zone->offsets[passed - 1] * US_PER_SECOND;
    if (passed > 0 && span.start_us < zone->times[passed - 1] * US_PER_SECOND)
        span.start_us = zone->times[passed - 1] * US_PER_SECOND;
    if (passed < zone->count)
        span.end_us = zone->times[passed] * US_PER_SECOND;
    return span;
}

int64_t zone_offset_us(const struct zone *zone, int64_t utc_us)
{
    return zone_span_at(zone, utc_us).offset_us;
}

int64_t zone_local_peak_us(const struct zone *zone, int64_t utc_us)
{
    int64_t peak = INT64_MIN;
    int64_t at = utc_us;

    /* Local time of two reaches ago can't be later than local time now. */
    while (at > utc_us - 2 * REACH_US) {
        struct zone_span span = zone_span_at(zone, at);
        if (at + span.offset_us > peak)
            peak = at + span.offset_us;
        if (span.start_us == INT64_MIN)
            break;
        at = span.start_us - 1;
    }
    return peak;
}

int64_t zone_to_utc_us(const struct zone *zone, int64_t local_us)
{
    /* The first instant whose local time is at or past the one asked for: for a local time that
     * happens twice the first, for one in a gap the gap's end. */
    int64_t at = local_us - REACH_US;

    for (;;) {
        struct zone_span span = zone_span_at(zone, at);
        int64_t hit = local_us - span.offset_us;
        if (hit < at)
            hit = at;
        if (hit < span.end_us)
            return hit;
        at = span.end_us;
    }
}
