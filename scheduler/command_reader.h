/* Reading the members of a command: each function says in `err` what is wrong with one. Private to
 * scheduler/commands*.c. */
#ifndef MILLRACE_SCHEDULER_COMMAND_READER_H
#define MILLRACE_SCHEDULER_COMMAND_READER_H

#include "scheduler/loop.h"

/* A command being read: strings are borrowed from the document, which the inbox keeps. */
struct reader {
    struct scheduler *scheduler;
    const json_t *document;
    struct err *err;
};

/* Always false. */
bool bad(struct reader *reader, const char *key, const char *expected);

/* Members that are absent or null leave *ret alone. */
bool read_int(struct reader *reader, const char *key, int64_t *ret);
bool read_bool(struct reader *reader, const char *key, bool *ret);
bool read_string(struct reader *reader, const char *key, const char **ret);
bool read_id(struct reader *reader, const char *key, bool required, const char **ret);

/* An instant: far enough from the ends of int64_t for all arithmetic on times. */
bool read_time(struct reader *reader, const char *key, int64_t *ret);

/* commands_change.c */
bool read_clear(struct reader *reader, struct event *event);
bool read_mark_tasks(struct reader *reader, struct event *event);
bool read_mark_run(struct reader *reader, struct event *event);
bool read_why(struct reader *reader, struct event *event);

#endif
