#include "base/log.h"

#include "base/clock.h"
#include "base/timefmt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* The one piece of process-wide state: who is logging, and how much. It is set once at start. */
static const char *log_program = "millrace";
static enum log_level log_level_min = LOG_INFO;

void log_init(const char *program)
{
    const char *wanted = getenv("MILLRACE_LOG");

    log_program = program;
    for (unsigned i = 0; wanted != NULL && i < 4; i++)
        if (strcmp(wanted, level_names[i]) == 0)
            log_level_min = (enum log_level)i;
}

void log_set_level(enum log_level level)
{
    log_level_min = level;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    char line[2048];
    char stamp[TIMEFMT_SIZE];
    va_list args;

    if (level < log_level_min)
        return;
    timefmt_utc(clock_wall_us(), stamp);
    int len = snprintf(line, sizeof(line) - 1, "ts=%s level=%s program=%s event=%s ", stamp,
                       level_names[level], log_program, event);
    va_start(args, format);
    int more = vsnprintf(line + len, sizeof(line) - 1 - (size_t)len, format, args);
    va_end(args);
    size_t total = (size_t)len + (size_t)(more > 0 ? more : 0);
    if (total > sizeof(line) - 2)
        total = sizeof(line) - 2;
    line[total++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, total);
    (void)written; /* a log that can't be written must not stop the work */
}
