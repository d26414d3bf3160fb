/* The DAG folder: which files there are, and what each was when it was last read.
 *
 * Changes are noticed by inotify and by a look every 30 seconds. A file is read once size and time
 * have stayed the same for a while, so that a half-written one is never taken for a DAG. A broken
 * edit keeps the last good version and leaves an import error. A folder that is not there holds no
 * DAGs until it appears. */
#ifndef MILLRACE_SCHEDULER_WATCH_H
#define MILLRACE_SCHEDULER_WATCH_H

#include "scheduler/loop.h"

struct watch *watch_open(struct scheduler *scheduler);
void watch_close(struct watch *watch);
void watch_free(struct watch *watch);

/* A DAG that the store knew at start, before the first scan. */
void watch_remember(struct watch *watch, const char *dag_id, const char *file);

/* The first scan: loads all files, and tells which remembered DAGs have no file any more. */
void watch_begin(struct watch *watch);

/* Reads every file again (the command `reparse`). */
void watch_scan_all(struct watch *watch);

#endif
