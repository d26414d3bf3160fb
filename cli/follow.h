/* Following one run or one backfill until its end, by what is committed in the state database:
 * progress and failures on stderr, in the same words whether a server runs it or we do. */
#ifndef MILLRACE_CLI_FOLLOW_H
#define MILLRACE_CLI_FOLLOW_H

#include "cli/progress.h"
#include "scheduler/store/read.h"

#include <stdio.h>

struct follow {
    struct read *read;
    const char *state_folder; /* borrowed */
    const char *dag_id;       /* borrowed */
    int64_t run;              /* row id; 0 = a backfill is followed */
    int64_t backfill;         /* row id */
    int64_t seq;              /* newest transition seen */
    int64_t started_us;       /* monotonic */
    struct progress progress;
    struct progress_counts counts;
    char run_id[256];
    bool has_ended;
    bool has_failed;
};

void follow_init(struct follow *follow, const char *state_folder, const char *dag_id);
void follow_release(struct follow *follow);

/* Sets what to follow; transitions before `seq` (follow_last_seq() before the command) are not
 * told. */
void follow_run(struct follow *follow, int64_t run, int64_t seq);
void follow_backfill(struct follow *follow, int64_t backfill, int64_t seq);
int64_t follow_last_seq(struct follow *follow);

/* Prints what is new, and finds out whether it has ended. A database that is busy or not there yet
 * is no error. */
bool follow_poll(struct follow *follow, struct err *err);

/* Says on stderr what the first run that has not ended waits for. */
void follow_tell_waiting(struct follow *follow);

/* Says on stderr which callbacks of what was followed failed to be delivered; of many the first. */
void follow_tell_callbacks(struct follow *follow);

/* The result in one line. */
void follow_summary(const struct follow *follow, FILE *out);

#endif
