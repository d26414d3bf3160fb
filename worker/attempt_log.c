#include "worker/attempt_log.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const stream_names[LOG_STREAM_COUNT] = {"stdout", "stderr", "millrace"};

struct sink {
    struct attempt_log *log;
    enum attempt_log_stream stream;
    char stamp[TIMEFMT_SIZE];
};

/* Always six digits of fraction, so that lines sort and align. */
static void stamp_now(char stamp[TIMEFMT_SIZE])
{
    struct civil c = civil_from_us(clock_wall_us());

    (void)snprintf(stamp, TIMEFMT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)c.year, c.month,
                   c.day, c.hour, c.minute, c.second, c.micro);
}

void attempt_log_open(struct attempt_log *log, const char *path)
{
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    struct err err = {0};

    *log = (struct attempt_log){.bytes_max = ATTEMPT_LOG_BYTES_MAX};
    log->fd = open(path, flags, 0600);
    if (log->fd < 0 && errno == ENOENT) {
        char *copy = mem_strdup(path);

        if (fs_make_folders(dirname(copy), 0700, &err))
            log->fd = open(path, flags, 0600);
        free(copy);
    }
    if (log->fd < 0)
        log_warn("log_lost", "path=\"%s\" error=\"%s\"", path, strerror(errno));
}

/* Writes as much as goes; returns the bytes written and leaves the reason for less in errno. */
static size_t write_some(int fd, struct str bytes)
{
    size_t done = 0;

    while (done < bytes.len) {
        ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

/* Says what is missing; false while not even that can be written. */
static bool write_marker(struct attempt_log *log)
{
    char stamp[TIMEFMT_SIZE];
    char line[160];

    if (log->dropped == 0)
        return true;
    stamp_now(stamp);
    int len = snprintf(line, sizeof(line), "%s%s millrace [%lld bytes dropped: %s]\n",
                       log->is_cut ? "\n" : "", stamp, (long long)log->dropped,
                       strerror(log->drop_errno));
    size_t done = write_some(log->fd, (struct str){line, (size_t)len});
    if (done == 0)
        return false;
    /* A marker that is itself cut is left as it is: the disk is all but full. */
    log->is_cut = done < (size_t)len;
    log->dropped = 0;
    return !log->is_cut;
}

static void drop(struct attempt_log *log, size_t bytes, int why)
{
    log->dropped += (int64_t)bytes;
    log->drop_errno = why;
}

static void write_batch(struct attempt_log *log)
{
    struct str all = buf_str(&log->batch);

    if (log->fd >= 0 && all.len > 0) {
        if (!write_marker(log)) {
            drop(log, all.len, errno);
        } else {
            size_t done = write_some(log->fd, all);

            log->bytes += (int64_t)done;
            if (done < all.len) {
                drop(log, all.len - done, errno);
                log->is_cut = done > 0 && all.ptr[done - 1] != '\n';
            }
        }
    }
    buf_clear(&log->batch);
}

static void add_line(struct attempt_log *log, const char *stamp, enum attempt_log_stream stream,
                     struct str line)
{
    buf_add_text(&log->batch, stamp);
    buf_add_char(&log->batch, ' ');
    buf_add_text(&log->batch, stream_names[stream]);
    buf_add_char(&log->batch, ' ');
    buf_add_str(&log->batch, line);
    buf_add_char(&log->batch, '\n');
}

static void sink_line(void *context, struct str line)
{
    struct sink *sink = context;
    struct attempt_log *log = sink->log;

    if (log->is_full)
        return;
    if (log->bytes + (int64_t)log->batch.len + (int64_t)line.len > log->bytes_max) {
        char text[96];

        log->is_full = true;
        (void)snprintf(text, sizeof(text), "[the log is full at %lld bytes: the rest is dropped]",
                       (long long)log->bytes_max);
        add_line(log, sink->stamp, LOG_MILLRACE, str_from(text));
        return;
    }
    add_line(log, sink->stamp, sink->stream, line);
}

void attempt_log_feed(struct attempt_log *log, enum attempt_log_stream stream, struct str bytes)
{
    struct sink sink = {.log = log, .stream = stream};

    if (log->fd < 0)
        return;
    stamp_now(sink.stamp);
    lines_feed(&log->lines[stream], bytes, sink_line, &sink);
    write_batch(log);
}

void attempt_log_note(struct attempt_log *log, const char *format, ...)
{
    char stamp[TIMEFMT_SIZE];
    struct buf text = {0};
    va_list args;

    if (log->fd < 0)
        return;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\n')
            text.ptr[i] = ' ';
    stamp_now(stamp);
    add_line(log, stamp, LOG_MILLRACE, buf_str(&text));
    write_batch(log);
    buf_release(&text);
}

void attempt_log_flush(struct attempt_log *log)
{
    if (log->fd < 0)
        return;
    for (enum attempt_log_stream s = LOG_STDOUT; s < LOG_MILLRACE; s++) {
        struct sink sink = {.log = log, .stream = s};

        stamp_now(sink.stamp);
        lines_flush(&log->lines[s], sink_line, &sink);
    }
    write_batch(log);
}

void attempt_log_close(struct attempt_log *log)
{
    attempt_log_flush(log);
    if (log->fd >= 0) {
        (void)write_marker(log);
        (void)close(log->fd);
    }
    log->fd = -1;
    for (enum attempt_log_stream s = LOG_STDOUT; s < LOG_MILLRACE; s++)
        lines_release(&log->lines[s]);
    buf_release(&log->batch);
}
