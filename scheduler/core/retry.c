/* When a failed attempt is tried again: Airflow's formula, whose jitter comes from a hash and not
 * from chance. */
#include "base/clock.h"
#include "base/digest.h"
#include "base/timefmt.h"
#include "scheduler/core/parts.h"

#include <stdio.h>

#define DELAY_SECONDS_MAX 86400

/* delay * multiplier^times, given up on once it is past the cap or below what counts. */
static double grown(double delay, double multiplier, int64_t times)
{
    while (times-- > 0 && delay < DELAY_SECONDS_MAX && delay >= 1 && multiplier != 1)
        delay *= multiplier;
    return delay;
}

/* Whole seconds in [base, 2 * base): the SHA-1 of the key, read as one big number, modulo base. */
static int64_t with_jitter(int64_t base, const char *key)
{
    unsigned char hash[20];
    int64_t rest = 0;

    digest_sha1(str_from(key), hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        rest = (rest * 256 + hash[i]) % base;
    return base + rest;
}

int64_t retry_backoff_us(int64_t delay_us, double multiplier, int64_t times, const char *key)
{
    const int64_t max_us = DELAY_SECONDS_MAX * US_PER_SECOND;
    double seconds = grown((double)delay_us / (double)US_PER_SECOND, multiplier, times);

    if (seconds >= DELAY_SECONDS_MAX)
        return max_us;
    int64_t base = (int64_t)seconds + ((double)(int64_t)seconds < seconds);
    int64_t grown_us = with_jitter(base < 1 ? 1 : base, key) * US_PER_SECOND;
    return grown_us < max_us ? grown_us : max_us;
}

int64_t retry_delay_us(const struct dag_task *spec, const char *dag_id, const char *date,
                       int64_t try_number)
{
    char key[1024];

    if (spec->retry_backoff <= 0)
        return spec->retry_delay_us;
    (void)snprintf(key, sizeof(key), "%s#%s#%s#%lld", dag_id, spec->task_id, date,
                   (long long)try_number);
    int64_t delay_us =
        retry_backoff_us(spec->retry_delay_us, spec->retry_backoff, try_number - 1, key);
    if (spec->max_retry_delay_us > 0 && delay_us > spec->max_retry_delay_us)
        delay_us = spec->max_retry_delay_us;
    return delay_us;
}

const char *retry_date(const struct run *run, char text[TIMEFMT_SIZE])
{
    if (run->row.logical_date_us == 0)
        return run->row.run_id;
    /* As Python prints it: with a space between date and time. */
    (void)timefmt_iso_offset(run->row.logical_date_us, text);
    text[10] = ' ';
    return text;
}

int64_t retry_at(const struct task *task, int64_t ended_at_us)
{
    char date[TIMEFMT_SIZE];

    return ended_at_us + retry_delay_us(task_spec(task), task->run->row.dag_id,
                                        retry_date(task->run, date), task->try_number);
}
