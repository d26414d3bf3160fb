/* Decisions: what the core wants done, in order. First those the store makes durable, in one
 * transaction per turn; after the commit the loop carries out the rest.
 *
 * Strings and rows in a decision are valid until decisions_clear(). */
#ifndef MILLRACE_DECISION_H
#define MILLRACE_DECISION_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "millrace/dag.h"
#include "millrace/rows.h"

enum decision_kind {
    /* durable */
    DECIDE_DAG,           /* insert or replace the row */
    DECIDE_VERSION,       /* insert */
    DECIDE_RUN_NEW,       /* insert the run and one task_row in state none per task of its DAG */
    DECIDE_RUN,           /* update; from_run holds the state before (equal: no transition) */
    DECIDE_RUN_RESET,     /* a final run is processed again: all its tasks go back to none */
    DECIDE_EXPAND,        /* insert the instances of a mapped task; row -1 gives way to them */
    DECIDE_TASK,          /* update; from_task holds the state before */
    DECIDE_ATTEMPT_NEW,   /* insert, with token and rendered options */
    DECIDE_ATTEMPT_AGAIN, /* a poke: update of the try's row, token and all */
    DECIDE_ATTEMPT,       /* update */
    DECIDE_BACKFILL_NEW,  /* insert */
    DECIDE_BACKFILL,      /* update */
    DECIDE_RECOUNT,       /* update of the counts of a backfill that is over */
    DECIDE_ASSET_EVENT,   /* insert */
    DECIDE_ASSET_SEEN,    /* all unseen asset events have been seen */
    DECIDE_ASSET_WAIT,    /* insert */
    DECIDE_ASSET_TAKEN,   /* a run was made for what its DAG waited with: of one partition */
    DECIDE_ASSET_DROPPED, /* a DAG does not wait for an asset any more */
    DECIDE_CALLBACK,      /* insert or update */
    /* acts, after the commit */
    DECIDE_START,          /* send the attempt to its worker; may be repeated for one token */
    DECIDE_START_CALLBACK, /* likewise a callback */
    DECIDE_STOP,           /* tell the worker to end the attempt */
    DECIDE_ACK,            /* the worker may forget the attempt's result */
    DECIDE_REPLY,          /* answer a command */
};

/* An attempt to start, with what the worker needs to know of its run. */
struct decision_start {
    const char *worker;
    struct attempt_row attempt;
    struct run_row run;
    const struct dag *dag;
    const struct dag_task *task;
};

struct decision_reply {
    uint64_t request;
    const struct err *err; /* NULL = done */
    int64_t row;           /* id of the run or backfill, or how many were changed; 0 = none */
    const char *text;      /* JSON, the answer to a question; NULL = none */
};

/* Rows first … count - 1 in state none. The first time (first = 0) they replace row -1. */
struct decision_expand {
    struct task_row row; /* what they have in common; map_index -1 */
    uint32_t first;
    uint32_t count;
};

struct decision {
    enum decision_kind kind;
    union {
        struct dag_row dag;
        struct version_row version;
        struct {
            struct run_row row;
            enum run_state from;
            const struct dag *dag; /* RUN_NEW, RUN_RESET */
            const bool *keeps;     /* RUN_RESET: per task of `dag`, whether its rows stay as they
                                    * are (same task, same place); NULL = none do */
        } run;
        struct {
            struct task_row row;
            enum task_state from;
            bool is_quiet; /* a poke like those before it: no transition tells of it */
        } task;
        struct decision_expand expand;
        struct attempt_row attempt;
        struct backfill_row backfill;
        struct {
            int64_t backfill;
            int64_t succeeded; /* so many more */
            int64_t failed;
        } recount;
        struct callback_row callback; /* CALLBACK, START_CALLBACK */
        struct decision_start start;
        struct {
            const char *worker;
            const char *token;
            const char *reason; /* STOP only */
        } token;
        struct decision_reply reply;
        struct asset_event_row asset_event;
        struct asset_wait_row asset_wait; /* WAIT; DROPPED: dag_id and asset (NULL = all) */
        struct {
            const char *dag_id;
            const char *partition;
            int64_t run;
        } asset_taken;
    } as;
};

struct decisions {
    struct arena arena; /* owns the strings */
    struct decision *items;
    size_t count;
    size_t capacity;
};

struct decision *decisions_add(struct decisions *decisions, enum decision_kind kind);
void decisions_clear(struct decisions *decisions);
void decisions_release(struct decisions *decisions);

/* One line per decision, the form scenario tests compare. */
void decision_describe(const struct decision *decision, struct buf *out);

#endif
