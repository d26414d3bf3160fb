/* An attempt's log file: what the attempt wrote and what the worker says about it, one line each:
 *
 *     2026-01-02T03:04:05.123456Z stdout hello
 *
 * A log must never stop or fail the work it tells of: nothing here returns an error. What can't be
 * written (a full disk) or is too much is counted and dropped, and a line of the worker's own says
 * how much is missing. */
#ifndef MILLRACE_WORKER_ATTEMPT_LOG_H
#define MILLRACE_WORKER_ATTEMPT_LOG_H

#include "worker/lines.h"

/* What one attempt may write; the worker's closing lines still follow. */
#define ATTEMPT_LOG_BYTES_MAX (INT64_C(64) * 1024 * 1024)

enum attempt_log_stream { LOG_STDOUT, LOG_STDERR, LOG_MILLRACE, LOG_STREAM_COUNT };

struct attempt_log {
    int fd; /* -1 = could not be opened */
    int64_t bytes;
    int64_t bytes_max;
    int64_t dropped;  /* bytes not written since the last marker */
    int drop_errno;   /* why; 0 = no failure to write */
    bool is_full;     /* the limit was met, and said */
    bool is_cut;      /* a write ended inside a line */
    struct buf batch; /* lines not yet written */
    struct lines lines[LOG_MILLRACE];
};

/* Opens (appending) and makes missing folders. A failure is reported once on the program's log and
 * everything is dropped from then on. */
void attempt_log_open(struct attempt_log *log, const char *path);

/* Bytes the attempt wrote to stdout or stderr; whole lines are stamped with the time now. */
void attempt_log_feed(struct attempt_log *log, enum attempt_log_stream stream, struct str bytes);

/* A line of the worker's own. */
__attribute__((format(printf, 2, 3))) void attempt_log_note(struct attempt_log *log,
                                                            const char *format, ...);

/* Writes unfinished last lines of the attempt. */
void attempt_log_flush(struct attempt_log *log);

/* Flushes, closes and frees. A log that was never opened (all zero with fd -1) is fine. */
void attempt_log_close(struct attempt_log *log);

#endif
