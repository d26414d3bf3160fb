/* The sweep: cron and time zones against an independent scan that watches a clock minute by minute,
 * for every zone of the system's tzdata and with the C library's own reading of it.
 *
 *   sweep [--all] [--processes N] [ZONE …]
 *
 * By default two days round every transition of 1970–2037 are scanned, with --all every minute of
 * these years. Exits 1 at the first disagreement, 77 where there is no tzdata. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/core/cron.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"
#define DAY_SECONDS 86400
#define WARM_UP_SECONDS (2 * DAY_SECONDS) /* more than any local time was ever set back */
#define CHUNK_SECONDS (30 * DAY_SECONDS)
#define STEP_MIN 30
#define BLOCK_STEPS 15
#define FIRST_SECOND INT64_C(0)         /* 1970-01-01 */
#define LAST_SECOND INT64_C(2145916800) /* 2038-01-01 */
#define EXIT_SKIPPED 77

/* What is scanned: numbers end with -1, none at all is a star. */
static const struct plain {
    const char *text;
    int minutes[8];
    int hours[8];
    int days[8];
    int months[8];
    int weekdays[8];
} plains[] = {
    {"30 2 * * *",           {30, -1},     {2, -1},          {-1},        {-1},               {-1}      },
    {"0 0 * * *",            {0, -1},      {0, -1},          {-1},        {-1},               {-1}      },
    {"15,45 0,1,2,3 * * *",  {15, 45, -1}, {0, 1, 2, 3, -1}, {-1},        {-1},               {-1}      },
    {"0 * * * *",            {0, -1},      {-1},             {-1},        {-1},               {-1}      },
    {"30 * * * *",           {30, -1},     {-1},             {-1},        {-1},               {-1}      },
    {"10 * * * *",           {10, -1},     {-1},             {-1},        {-1},               {-1}      },
    {"* 2 * * *",            {-1},         {2, -1},          {-1},        {-1},               {-1}      },
    {"* * * * *",            {-1},         {-1},             {-1},        {-1},               {-1}      },
    {"59 23 * * *",          {59, -1},     {23, -1},         {-1},        {-1},               {-1}      },
    {"0 1 1,15 * 0",         {0, -1},      {1, -1},          {1, 15, -1}, {-1},               {0, -1}   },
    {"20 * * 3,4,10,11 0,6", {20, -1},     {-1},             {-1},        {3, 4, 10, 11, -1}, {0, 6, -1}},
};
#define PLAIN_COUNT (sizeof(plains) / sizeof(plains[0]))

/* One expression's way through a range. */
struct scan {
    const struct plain *plain;
    const struct cron *cron;
    bool due[DAY_SECONDS / 60]; /* by the minute of the day */
    bool any_hour;
    bool any_date;
    int64_t peak; /* the latest local second that the clock has shown */
    int64_t next_us;
    int64_t last_us;
};

struct sweep {
    const char *name;
    const struct zone *zone;
    struct scan scans[PLAIN_COUNT];
    int64_t local[(WARM_UP_SECONDS + CHUNK_SECONDS) / STEP_MIN]; /* local seconds, by step */
    int64_t steps;                                               /* scanned in all */
};

static bool is_in(const int *numbers, int value)
{
    if (numbers[0] < 0)
        return true;
    for (; *numbers >= 0; numbers++)
        if (*numbers == value)
            return true;
    return false;
}

static void init_scan(struct scan *scan, const struct plain *plain, struct arena *arena)
{
    struct err err = {0};

    *scan = (struct scan){.plain = plain, .any_hour = plain->hours[0] < 0};
    scan->any_date = plain->days[0] < 0 && plain->months[0] < 0 && plain->weekdays[0] < 0;
    scan->cron = cron_parse(arena, str_from(plain->text), &err);
    assert(scan->cron != NULL);
    for (int minute = 0; minute < DAY_SECONDS / 60; minute++)
        scan->due[minute] = is_in(plain->minutes, minute % 60) && is_in(plain->hours, minute / 60);
}

static int64_t floor_to(int64_t value, int64_t unit)
{
    return (value / unit - (value % unit < 0)) * unit;
}

/* Both days restricted: either is enough. */
static bool is_named_day(const struct plain *plain, int64_t local)
{
    time_t second = (time_t)local;
    struct tm tm;

    if (gmtime_r(&second, &tm) == NULL || !is_in(plain->months, tm.tm_mon + 1))
        return false;
    bool by_day = is_in(plain->days, tm.tm_mday);
    bool by_weekday = is_in(plain->weekdays, tm.tm_wday);
    return plain->days[0] >= 0 && plain->weekdays[0] >= 0 ? by_day || by_weekday
                                                          : by_day && by_weekday;
}

/* Whether the expression names this local second: on the full minute only. */
static bool is_named(const struct scan *scan, int64_t local)
{
    int64_t of_day = local - floor_to(local, DAY_SECONDS);

    return of_day % 60 == 0 && scan->due[of_day / 60] &&
           (scan->any_date || is_named_day(scan->plain, local));
}

/* DESIGN's rule in the words of a clock that is watched: a local time is due when the clock first
 * shows it or anything later; with a wildcard hour every showing counts, and an hour whose tick was
 * lost in a gap that ends within it has it at the gap's end. */
static bool is_tick(struct scan *scan, int64_t local, int64_t before, int64_t step)
{
    int64_t old_peak = scan->peak;

    if (local > scan->peak)
        scan->peak = local;
    if (is_named(scan, local) && (scan->any_hour || local > old_peak))
        return true;
    if (local - before <= step)
        return false;
    if (!scan->any_hour) {
        for (int64_t l = floor_to(old_peak, 60) + 60; l <= local; l += 60)
            if (is_named(scan, l))
                return true;
        return false;
    }
    int64_t hour = floor_to(local, 3600);
    bool lost = false;
    bool left = false;
    if (local == hour)
        return false;
    for (int64_t l = hour; l < hour + 3600; l += 60) {
        lost = lost || (l > before && l < local && is_named(scan, l));
        left = left || (l >= local && is_named(scan, l));
    }
    return lost && !left;
}

static bool complain(const struct sweep *sweep, const struct scan *scan, int64_t second,
                     const char *what)
{
    char when[TIMEFMT_SIZE];

    fprintf(stderr, "%s in %s at %s: %s\n", scan->plain->text, sweep->name,
            timefmt_utc(second * US_PER_SECOND, when), what);
    return false;
}

/* One step of one expression: the scan and the core must agree on it. */
static bool check_step(const struct sweep *sweep, struct scan *scan, int64_t second, bool ticks,
                       bool moved)
{
    int64_t us = second * US_PER_SECOND;

    if (ticks != (scan->next_us == us))
        return complain(sweep, scan, second,
                        ticks ? "the scan has a tick, cron_next() none"
                              : "cron_next() has a tick, the scan none");
    if (ticks && cron_previous(scan->cron, sweep->zone, us - 1) != scan->last_us)
        return complain(sweep, scan, second, "cron_previous() before the tick is another");
    if (ticks) {
        scan->last_us = us;
        scan->next_us = cron_next(scan->cron, sweep->zone, us);
    }
    if ((ticks || moved) && cron_previous(scan->cron, sweep->zone, us) != scan->last_us)
        return complain(sweep, scan, second, "cron_previous() is another tick");
    return true;
}

/* What the C library makes of an instant. */
static int64_t library_offset(int64_t second)
{
    time_t at = (time_t)second;
    struct tm tm;
    const struct tm *known = localtime_r(&at, &tm);

    assert(known != NULL);
    return tm.tm_gmtoff;
}

/* Fills in the local seconds of a few steps. The library is slow, so it is asked for each of them
 * only if it has different offsets for the first and the last: no zone changes twice so soon. */
static bool read_block(struct sweep *sweep, int64_t from, int64_t first, int64_t last, int64_t step)
{
    int64_t offset = library_offset(first);
    bool changes = library_offset(last) != offset;

    for (int64_t second = first; second <= last; second += step) {
        if (changes)
            offset = library_offset(second);
        if (zone_offset_us(sweep->zone, second * US_PER_SECOND) != offset * US_PER_SECOND) {
            fprintf(stderr, "%s: the offset at %lld differs from the C library's\n", sweep->name,
                    (long long)second);
            return false;
        }
        sweep->local[(second - from) / step] = second + offset;
    }
    return true;
}

static bool read_local(struct sweep *sweep, int64_t from, int64_t to, int64_t step)
{
    for (int64_t first = from; first < to; first += BLOCK_STEPS * step) {
        int64_t last = first + (BLOCK_STEPS - 1) * step;
        last = last < to ? last : to - step;
        if (!read_block(sweep, from, first, last, step))
            return false;
    }
    return true;
}

/* Scans [from, to), at most a chunk; `warm_up` seconds before it only raise the peak. */
static bool scan_chunk(struct sweep *sweep, int64_t from, int64_t to, int64_t warm_up, int64_t step)
{
    int64_t begin = from - warm_up;

    if (!read_local(sweep, begin, to, step))
        return false;
    for (size_t i = 0; i < PLAIN_COUNT; i++) {
        struct scan *scan = &sweep->scans[i];
        int64_t first = begin;
        if (warm_up > 0) {
            scan->peak = sweep->local[0];
            for (; first < from; first += step)
                if (sweep->local[(first - begin) / step] > scan->peak)
                    scan->peak = sweep->local[(first - begin) / step];
            scan->next_us = cron_next(scan->cron, sweep->zone, from * US_PER_SECOND - 1);
            scan->last_us = cron_previous(scan->cron, sweep->zone, from * US_PER_SECOND - 1);
        }
        for (; first < to; first += step) {
            int64_t at = (first - begin) / step;
            int64_t local = sweep->local[at];
            int64_t before = at > 0 ? sweep->local[at - 1] : local - step;
            if (!check_step(sweep, scan, first, is_tick(scan, local, before, step),
                            local - before != step))
                return false;
        }
    }
    sweep->steps += (to - from) / step;
    return true;
}

/* Offsets of whole minutes need no finer look than minutes. */
static int64_t step_of(const struct zone *zone, int64_t from, int64_t to)
{
    for (int64_t us = from * US_PER_SECOND; us < to * US_PER_SECOND;) {
        struct zone_span span = zone_span_at(zone, us);
        if (span.offset_us % US_PER_MINUTE != 0)
            return STEP_MIN;
        us = span.end_us;
    }
    return 60;
}

static bool scan_range(struct sweep *sweep, int64_t from, int64_t to)
{
    int64_t step = step_of(sweep->zone, from - WARM_UP_SECONDS, to);

    for (int64_t at = from; at < to; at += CHUNK_SECONDS) {
        int64_t end = at + CHUNK_SECONDS < to ? at + CHUNK_SECONDS : to;
        if (!scan_chunk(sweep, at, end, WARM_UP_SECONDS, step))
            return false;
    }
    return true;
}

/* A day before and a day after each transition; neighbours whose windows touch are one range. */
static bool scan_transitions(struct sweep *sweep)
{
    int64_t from = -1;
    int64_t to = -1;
    int64_t at = FIRST_SECOND;

    while (at < LAST_SECOND) {
        int64_t end_us = zone_span_at(sweep->zone, at * US_PER_SECOND).end_us;
        if (end_us >= LAST_SECOND * US_PER_SECOND)
            break;
        at = end_us / US_PER_SECOND;
        int64_t begin = floor_to(at, 60) - DAY_SECONDS;
        if (to >= 0 && begin > to) {
            if (!scan_range(sweep, from, to))
                return false;
            from = -1;
        }
        from = from < 0 ? begin : from;
        to = floor_to(at, 60) + DAY_SECONDS;
    }
    return to < 0 || scan_range(sweep, from, to);
}

static bool sweep_zone(const char *name, bool all, int64_t *ret_steps)
{
    struct sweep *sweep = mem_alloc(sizeof(*sweep));
    struct arena arena = {0};
    struct buf bytes = {0};
    struct err err = {0};
    char path[512];

    (void)snprintf(path, sizeof(path), ZONE_FOLDER "/%s", name);
    bool ok = fs_read_file(path, 1u << 20, &bytes, &err);
    sweep->name = name;
    sweep->zone = ok ? zone_parse(&arena, buf_str(&bytes), &err) : NULL;
    ok = sweep->zone != NULL && setenv("TZ", name, 1) == 0;
    if (!ok)
        fprintf(stderr, "%s: %s\n", path, err.message);
    tzset();
    for (size_t i = 0; i < PLAIN_COUNT; i++)
        init_scan(&sweep->scans[i], &plains[i], &arena);
    ok = ok && (all ? scan_range(sweep, FIRST_SECOND, LAST_SECOND) : scan_transitions(sweep));
    *ret_steps += sweep->steps;
    buf_release(&bytes);
    arena_release(&arena);
    free(sweep);
    return ok;
}

struct names {
    char **items;
    size_t count;
};

/* The names of tzdata.zi's zones; its links are the same bytes under other names. */
static bool read_names(struct names *names)
{
    struct buf text = {0};
    struct err err = {0};
    size_t capacity = 0;

    if (!fs_read_file(ZONE_FOLDER "/tzdata.zi", 4u << 20, &text, &err)) {
        buf_release(&text);
        return false;
    }
    for (size_t from = 0; from < text.len;) {
        struct str line = str_sub(buf_str(&text), from, str_find(buf_str(&text), '\n', from));
        from += line.len + 1;
        if (line.len < 3 || line.ptr[0] != 'Z' || line.ptr[1] != ' ')
            continue;
        struct str name = str_sub(line, 2, str_find(line, ' ', 2));
        if (names->count == capacity) {
            capacity = mem_grow(capacity, names->count + 1);
            names->items = mem_resize_array(names->items, capacity, sizeof(char *));
        }
        names->items[names->count++] = mem_dup(name.ptr, name.len);
    }
    buf_release(&text);
    return names->count > 0;
}

/* Every n-th zone, from one on. */
static int sweep_share(const struct names *names, size_t first, size_t every, bool all)
{
    int64_t steps = 0;

    for (size_t i = first; i < names->count; i += every)
        if (!sweep_zone(names->items[i], all, &steps))
            return 1;
    printf("%zu zones, %lld minutes, %zu expressions: the core and the scan agree\n",
           (names->count - first + every - 1) / every, (long long)steps, PLAIN_COUNT);
    return 0;
}

static int sweep_all(const struct names *names, size_t processes, bool all)
{
    int status = 0;
    int worst = 0;

    for (size_t i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0)
            exit(sweep_share(names, i, processes, all));
    }
    while (wait(&status) > 0)
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            worst = 1;
    return worst;
}

int main(int argc, char **argv)
{
    struct names names = {0};
    struct names named = {0};
    size_t processes = 2;
    bool all = false;
    int at = 1;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        int64_t number = 0;
        if (strcmp(argv[at], "--all") == 0) {
            all = true;
        } else if (strcmp(argv[at], "--processes") == 0 && at + 1 < argc &&
                   str_to_int(str_from(argv[at + 1]), &number) && number > 0 && number < 1000) {
            processes = (size_t)number;
            at++;
        } else {
            fprintf(stderr, "usage: sweep [--all] [--processes N] [ZONE ...]\n");
            return 2;
        }
    }
    if (!read_names(&names)) {
        printf("skipped: no " ZONE_FOLDER "/tzdata.zi\n");
        return EXIT_SKIPPED;
    }
    named.items = argv + at;
    named.count = (size_t)(argc - at);
    int code = sweep_all(named.count > 0 ? &named : &names, processes, all);
    for (size_t i = 0; i < names.count; i++)
        free(names.items[i]);
    free(names.items);
    return code;
}
