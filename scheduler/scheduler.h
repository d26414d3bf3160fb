/* The scheduler as a part: opened on a libuv loop by `millrace scheduler` (the daemon) and by
 * `millrace run` (no server needed). One turn: collect events, core_step() each, commit, act, arm
 * one timer. */
#ifndef MILLRACE_SCHEDULER_H
#define MILLRACE_SCHEDULER_H

#include "millrace/dag.h"
#include "millrace/decision.h"
#include "millrace/settings.h"

#include <jansson.h>
#include <uv.h>

struct scheduler;

struct scheduler_options {
    const struct settings *settings; /* borrowed for the scheduler's life */
    /* millrace run: this one DAG, no folder watch, no schedules; the scheduler takes a reference.
     */
    struct dag *only_dag;
    /* Called once the state is ours and before it is read: what takes its time may be started to go
     * on beside. May be NULL. */
    void (*owned)(void *context);
    /* Called after each commit with the turn's decisions; may be NULL. */
    void (*observe)(void *context, const struct decisions *committed);
    void *observe_context;
    /* Called once when the scheduler has to end (failed commit, stop asked for). */
    void (*ended)(void *context, const struct err *why);
};

/* Takes the state lock (a held one gives ERR_CONFLICT naming the holder's pid), opens the store,
 * recovers, listens on <state>/scheduler.sock, and commits the first turn. NULL when one of these
 * fails; `ended` is called for later failures only. */
struct scheduler *scheduler_open(uv_loop_t *loop, const struct scheduler_options *options,
                                 struct err *err);

/* Stops listening, commits what is pending, closes all handles; the loop must run until they are
 * closed, then scheduler_free(). Attempts go on in their workers. */
void scheduler_stop(struct scheduler *scheduler);
void scheduler_free(struct scheduler *scheduler);

/* Gives a command (include/millrace/messages.h: the "command" document) as web does over the
 * socket; `reply` is called once, after the commit. */
typedef void (*scheduler_reply)(void *context, const struct decision_reply *reply);
void scheduler_submit(struct scheduler *scheduler, const json_t *command, scheduler_reply reply,
                      void *context);

/* How many workers are connected. */
size_t scheduler_worker_count(const struct scheduler *scheduler);

/* Whether a worker has, or may have, an attempt of ours. */
bool scheduler_has_attempts(const struct scheduler *scheduler);

/* Whether nothing more happens without a command: what has not ended waits for ever. */
bool scheduler_is_idle(const struct scheduler *scheduler);

/* Whether there are callbacks of which no try has ended yet. */
bool scheduler_has_fresh_callbacks(const struct scheduler *scheduler);

/* Before scheduler_stop(), when the workers are told to stop their attempts: these then cost no
 * try. */
void scheduler_give_back(struct scheduler *scheduler);

/* Sends a signal to every connected worker (SIGTERM: end after the attempts; twice: stop them). */
void scheduler_signal_workers(const struct scheduler *scheduler, int number);

/* The DAG id of `only_dag`; NULL otherwise. */
const char *scheduler_only_dag_id(const struct scheduler *scheduler);

#endif
