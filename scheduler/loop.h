/* The scheduler's parts and what they share. Private to scheduler/.
 *
 * Parts put events into the inbox while libuv delivers I/O and timers; the turn (loop.c) runs once
 * per iteration, before libuv waits again. */
#ifndef MILLRACE_SCHEDULER_LOOP_H
#define MILLRACE_SCHEDULER_LOOP_H

#include "base/arena.h"
#include "base/busypoll.h"
#include "scheduler/core/core.h"
#include "scheduler/scheduler.h"
#include "scheduler/store/store.h"

struct peers;
struct absent;
struct watch;
struct retention;

/* An event that waits for the turn, with what keeps its strings alive. */
struct inbox_item {
    struct event event;
    json_t *document; /* may be NULL */
    struct dag *dag;  /* of EVENT_DAG_LOADED; a reference */
};

/* Whom to answer. */
struct request {
    uint64_t id;
    uint64_t peer;   /* 0 = the callback */
    int64_t wire_id; /* of the peer's command */
    scheduler_reply reply;
    void *context;
};

struct scheduler {
    uv_loop_t *loop;
    struct scheduler_options options;
    const struct settings *settings;
    int lock_fd;
    struct store *store;
    struct core *core;
    char *only_dag_id;
    json_t *foreign_tokens; /* only_dag: an object of the tokens other DAGs wait for */

    struct inbox_item *inbox;
    size_t inbox_count;
    size_t inbox_capacity;
    struct arena turn_arena; /* strings of the events in the inbox */
    struct dag **versions;   /* parsed for the changes of this turn; references */
    size_t version_count;
    struct decisions decisions;
    bool turn_due; /* there is something to commit or to send */
    bool tick_due;
    int idle_ticks; /* that decided nothing, in a row, each due at once */
    int64_t notified_seq;

    struct request *requests;
    size_t request_count;
    size_t request_capacity;
    uint64_t last_request;

    struct peers *peers;
    struct absent *absent;
    struct watch *watch;         /* NULL with only_file */
    struct retention *retention; /* likewise */
    uint64_t turns;              /* that did something, so far */

    uv_prepare_t turn;
    uv_timer_t wakeup;
    uv_timer_t checkpoint;
    struct busypoll busypoll;
    uv_idle_t idle; /* while it is active the loop polls */
    size_t open_handles;
    bool is_stopping;
    bool stop_asked; /* the owner is told after the turn */
    bool has_ended;
    struct err why; /* it has ended */
    bool is_open;   /* scheduler_open() is through: the owner is told of the end */
    bool has_handles;
};

/* The event to fill in; valid until the next call. It has its time by the turn. */
struct event *inbox_add(struct scheduler *scheduler, enum event_kind kind, json_t *document);

/* Asks for a turn although no event waits (something is queued in the store, or to be sent). */
void turn_ask(struct scheduler *scheduler);

/* The turn's handles; loop_close() begins to close them. */
bool loop_open(struct scheduler *scheduler, struct err *err);
void loop_close(struct scheduler *scheduler);
void loop_arm(struct scheduler *scheduler);

/* Frees what waits for a turn that will not come. */
void loop_release(struct scheduler *scheduler);

/* Runs a turn now (recovery, and the last one of an orderly stop). */
void loop_turn(struct scheduler *scheduler);

/* The scheduler has to end: tells the owner, once; `why` is ERR_NONE for an orderly stop. Before
 * scheduler_open() is through, that call fails with it instead. */
void loop_end(struct scheduler *scheduler, const struct err *why);

/* Counts handles, so that the owner knows when all are closed. */
void handle_opened(struct scheduler *scheduler);
void handle_closed(struct scheduler *scheduler);

/* A new request to answer; the event (or answer) carries the id returned. */
uint64_t request_add(struct scheduler *scheduler, const struct request *origin);

/* Answers with the coming turn's commit, without asking the core. */
void request_answer(struct scheduler *scheduler, uint64_t id, const struct err *err);

/* Takes the request out of the table; false if it is unknown. */
bool request_take(struct scheduler *scheduler, uint64_t id, struct request *ret);

#endif
