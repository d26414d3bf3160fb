/* The progress line of long work, on stderr: a bar on a terminal, a plain line now and then
 * elsewhere. Redrawn at most ten times a second; silent in the first second. */
#ifndef MILLRACE_CLI_PROGRESS_H
#define MILLRACE_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress_counts {
    int64_t total; /* 0 = not known */
    int64_t done;  /* ended, whatever way; succeeded + failed + skipped */
    int64_t succeeded;
    int64_t failed;
    int64_t running;
    int64_t upstream_failed; /* of those that failed: they never ran */
};

struct progress {
    const char *unit; /* "runs", "tasks" */
    bool terminal;
    bool drawn; /* a bar stands on the current line */
    int64_t started_us;
    int64_t drawn_us;
    int64_t drawn_percent;
    int64_t done_at_start;
};

/* `done_at_start`: what had ended before this watch began; it does not count for the rate. */
void progress_init(struct progress *progress, const char *unit, int64_t done_at_start);

/* Whether progress_show() could draw now: counts that are dear need not be taken before. */
bool progress_wants_counts(const struct progress *progress);

/* Shows the counts: `[██████░░] 312/900 runs  ok 300  fail 2  run 10  4.1/s  ETA 2m24s`. */
void progress_show(struct progress *progress, const struct progress_counts *counts);

/* Takes the bar away, so that other lines can be printed. */
void progress_clear(struct progress *progress);

#endif
