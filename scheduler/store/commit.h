/* The parts of a commit, by what they write; each returns false with the commit's error, after
 * which nothing more is written. Private to scheduler/store. */
#ifndef MILLRACE_STORE_COMMIT_H
#define MILLRACE_STORE_COMMIT_H

#include "scheduler/store/latest.h"
#include "scheduler/store/statements.h"

struct commit_change {
    int64_t run;
    const struct task_row *task; /* of the decision; NULL = the run itself */
    const char *from;
    const char *to;
    const char *reason;
};

/* As many as STATEMENT_TRANSITIONS_NEW takes. */
#define COMMIT_TRANSITIONS 16

/* What one commit carries along. */
struct commit {
    struct store *store;
    int64_t now_us;
    int64_t seq; /* of the newest transition so far */
    struct latest latest;
    /* The newest transitions, with their numbers, that are not written yet: there are three for
     * each task of a run, and a statement that writes many costs half of what as many cost. */
    struct commit_change changes[COMMIT_TRANSITIONS];
    int64_t change_seqs[COMMIT_TRANSITIONS];
    size_t change_count;
    struct err *err;
};

static inline const char *text_or(const char *text, const char *fallback)
{
    return text == NULL ? fallback : text;
}

/* Numbers it; written at the latest with the commit. */
bool commit_transition(struct commit *commit, const struct commit_change *change);

/* commit_runs.c */
bool commit_run_new(struct commit *commit, const struct decision *decision);
bool commit_run(struct commit *commit, const struct decision *decision);
bool commit_run_reset(struct commit *commit, const struct decision *decision);

/* commit_tasks.c */
/* A task of a new run that this turn takes further: its row is inserted as it will be. */
bool commit_task_put(struct commit *commit, const struct task_row *row);
/* One that has yet to begin, after so many tries of earlier times. */
bool commit_task_insert(struct commit *commit, int64_t run, const struct dag *dag, uint32_t task,
                        int64_t tries);
bool commit_task(struct commit *commit, const struct decision *decision);
bool commit_expand(struct commit *commit, const struct decision_expand *expand);
/* A new row, or one that a poke opens again. */
bool commit_attempt_new(struct commit *commit, const struct attempt_row *row,
                        enum statement statement);
bool commit_attempt(struct commit *commit, const struct attempt_row *row);

/* commit_assets.c */
bool commit_asset_event(struct commit *commit, const struct asset_event_row *row);
bool commit_asset_wait(struct commit *commit, const struct asset_wait_row *row);
bool commit_asset_taken(struct commit *commit, const struct decision *decision);
bool commit_asset_dropped(struct commit *commit, const struct asset_wait_row *row);
bool commit_asset_seen(struct commit *commit);

/* puts.c */
bool commit_put(struct commit *commit, const struct store_put *put);
void commit_clear_puts(struct store *store);

#endif
