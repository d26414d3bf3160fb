/* The shrinker: takes ticks out of a failing world, then makes its draws duller, as long as it
 * fails in the same way; at the end it tells what is left. */
#include "tests/sim/campaign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shrinking {
    const struct finding *finding;
    struct draws best;
    struct draws trial;
    time_t end;
    int tries;
};

/* The invariant's name: what stands before the first ':'. */
static bool is_same(const char *a, const char *b)
{
    size_t len = strcspn(a, ":");

    return strncmp(a, b, len) == 0 && b[len] == a[len];
}

static void run_trial(const struct shrinking *s, struct draws *draws, bool is_traced, int out)
{
    struct finding finding = {.seed = s->finding->seed};

    draws_begin_replay(draws);
    bool ok = world_run(draws, 0, is_traced, &finding);
    (void)fflush(stdout);
    if (!ok && write(out, finding.failure, FAILURE_SIZE) != FAILURE_SIZE)
        _exit(2);
    _exit(0);
}

static bool fails(struct shrinking *s, struct draws *draws, bool is_traced)
{
    char failure[FAILURE_SIZE] = "";
    int ends[2];

    s->tries++;
    (void)fflush(stdout);
    if (pipe(ends) != 0)
        abort();
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0)
        run_trial(s, draws, is_traced, ends[1]);
    (void)close(ends[1]);
    bool failed = read(ends[0], failure, sizeof(failure)) == (ssize_t)sizeof(failure);
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
    return failed && is_same(s->finding->failure, failure);
}

static bool is_over(const struct shrinking *s)
{
    return time(NULL) >= s->end;
}

/* Keeps the trial if it still fails. */
static bool accept(struct shrinking *s)
{
    if (!fails(s, &s->trial, false))
        return false;
    draws_copy(&s->best, &s->trial);
    return true;
}

/* Segments [at, at + count) are taken out: those ticks never were. */
static void take_out(struct draws *draws, size_t at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct segment segment = draws->segments[at];
        memmove(&draws->segments[at], &draws->segments[at + 1],
                (draws->count - at - 1) * sizeof(segment));
        draws->segments[draws->count - 1] = segment; /* its memory is used again */
        draws->count--;
    }
}

static bool take_out_ticks(struct shrinking *s)
{
    bool any = false;

    for (size_t block = s->best.count / 2; block > 0; block /= 2)
        for (size_t at = 1; at < s->best.count && !is_over(s);) {
            size_t left = s->best.count - at;
            draws_copy(&s->trial, &s->best);
            take_out(&s->trial, at, left < block ? left : block);
            if (accept(s))
                any = true;
            else
                at += block;
        }
    return any;
}

static bool is_zero(const struct segment *segment)
{
    for (size_t i = 0; i < segment->count; i++)
        if (segment->bytes[i] != 0)
            return false;
    return true;
}

static bool zero_segments(struct shrinking *s)
{
    bool any = false;

    for (size_t i = 0; i < s->best.count && !is_over(s); i++) {
        if (is_zero(&s->best.segments[i]))
            continue;
        draws_copy(&s->trial, &s->best);
        memset(s->trial.segments[i].bytes, 0, s->trial.segments[i].count);
        any = accept(s) || any;
    }
    return any;
}

/* One byte becomes 0, or half of what it was. */
static bool dull_byte(struct shrinking *s, size_t segment, size_t place)
{
    uint8_t byte = s->best.segments[segment].bytes[place];

    if (byte == 0)
        return false;
    for (uint8_t less = 0;; less = byte / 2) {
        draws_copy(&s->trial, &s->best);
        s->trial.segments[segment].bytes[place] = less;
        if (accept(s))
            return true;
        if (less > 0 || byte == 1)
            return false;
    }
}

static bool dull_bytes(struct shrinking *s)
{
    bool any = false;

    for (size_t i = 0; i < s->best.count; i++)
        for (size_t k = 0; k < s->best.segments[i].count && !is_over(s); k++)
            any = dull_byte(s, i, k) || any;
    return any;
}

void shrink_and_tell(const struct finding *finding, int seconds)
{
    struct shrinking s = {.finding = finding, .end = time(NULL) + seconds};
    struct finding again = {.seed = finding->seed};
    bool smaller = true;

    /* The draws of the world, by running it once more. */
    draws_begin(&s.best, finding->seed);
    (void)world_run(&s.best, 0, false, &again);
    while (smaller && !is_over(&s)) {
        smaller = take_out_ticks(&s);
        smaller = zero_segments(&s) || smaller;
        smaller = dull_bytes(&s) || smaller;
    }
    printf("shrunk in %d tries to %zu ticks%s:\n", s.tries, s.best.count - 1,
           is_over(&s) ? " (out of time)" : "");
    (void)fails(&s, &s.best, true);
    draws_release(&s.best);
    draws_release(&s.trial);
}
