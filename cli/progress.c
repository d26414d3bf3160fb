#include "cli/progress.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/timefmt.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_CELLS 24
#define REDRAW_US (US_PER_SECOND / 10)
#define PLAIN_LINE_US (30 * US_PER_SECOND)
#define PLAIN_LINE_PERCENT 10

void progress_init(struct progress *progress, const char *unit, int64_t done_at_start)
{
    *progress = (struct progress){
        .unit = unit,
        .terminal = isatty(STDERR_FILENO) != 0,
        .started_us = clock_mono_us(),
        .done_at_start = done_at_start,
    };
}

static int64_t percent_done(const struct progress_counts *counts)
{
    return counts->total > 0 ? counts->done * 100 / counts->total : 0;
}

static void add_rate(const struct progress *progress, const struct progress_counts *counts,
                     int64_t now_us, struct buf *line)
{
    int64_t done = counts->done - progress->done_at_start;
    double seconds = (double)(now_us - progress->started_us) / (double)US_PER_SECOND;

    if (done <= 0 || seconds <= 0)
        return;
    double rate = (double)done / seconds;
    buf_printf(line, "  %.1f/s", rate);
    if (counts->total > counts->done) {
        int64_t left = (int64_t)((double)(counts->total - counts->done) / rate) + 1;
        buf_add_text(line, "  ETA ");
        duration_format(left * US_PER_SECOND, line);
    }
}

static void add_bar(const struct progress_counts *counts, struct buf *line)
{
    int64_t filled = counts->total > 0 ? counts->done * BAR_CELLS / counts->total : 0;

    buf_add_char(line, '[');
    for (int64_t i = 0; i < BAR_CELLS; i++)
        buf_add_text(line, i < filled ? "█" : "░");
    buf_add_text(line, "] ");
}

static bool wants_counts(const struct progress *progress, int64_t now_us)
{
    if (progress->terminal)
        return now_us - progress->started_us >= US_PER_SECOND &&
               now_us - progress->drawn_us >= REDRAW_US;
    return now_us - progress->started_us >= PLAIN_LINE_US;
}

bool progress_wants_counts(const struct progress *progress)
{
    return wants_counts(progress, clock_mono_us());
}

static bool is_due(const struct progress *progress, const struct progress_counts *counts,
                   int64_t now_us)
{
    return wants_counts(progress, now_us) &&
           (progress->terminal || now_us - progress->drawn_us >= PLAIN_LINE_US ||
            percent_done(counts) >= progress->drawn_percent + PLAIN_LINE_PERCENT);
}

void progress_show(struct progress *progress, const struct progress_counts *counts)
{
    struct buf line = {0};
    int64_t now_us = clock_mono_us();

    if (!is_due(progress, counts, now_us))
        return;
    if (progress->terminal) {
        buf_add_text(&line, "\r\x1b[K");
        add_bar(counts, &line);
    }
    buf_printf(&line, "%lld", (long long)counts->done);
    if (counts->total > 0)
        buf_printf(&line, "/%lld", (long long)counts->total);
    buf_printf(&line, " %s  ok %lld  fail %lld  run %lld", progress->unit,
               (long long)counts->succeeded, (long long)counts->failed, (long long)counts->running);
    add_rate(progress, counts, now_us, &line);
    if (!progress->terminal)
        buf_add_char(&line, '\n');
    (void)fputs(buf_text(&line), stderr);
    (void)fflush(stderr);
    buf_release(&line);
    progress->drawn = progress->terminal;
    progress->drawn_us = now_us;
    progress->drawn_percent = percent_done(counts);
}

void progress_clear(struct progress *progress)
{
    if (!progress->drawn)
        return;
    (void)fputs("\r\x1b[K", stderr);
    (void)fflush(stderr);
    progress->drawn = false;
}
