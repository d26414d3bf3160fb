/* A scheduler on a state folder of its own, driven by hand, and peers that speak its frames. */
#ifndef MILLRACE_TESTS_SCHEDULER_FIXTURE_H
#define MILLRACE_TESTS_SCHEDULER_FIXTURE_H

#include "base/buf.h"
#include "millrace/settings.h"
#include "scheduler/scheduler.h"
#include "scheduler/store/read.h"

#include <jansson.h>

struct fixture {
    char folder[600];
    char state[640];
    char dags[640];
    struct pool_setting pools[1];
    struct settings settings;
    uv_loop_t loop;
    struct scheduler *scheduler;
    struct read *read;
    bool has_ended;
    struct err why;
};

struct peer_end {
    int fd;
    struct buf in;
    int lock_fd; /* of a fake worker */
    bool is_closed;
};

/* `below` is put between the temporary folder and the state folder; may be "". */
void fixture_init(struct fixture *f, const char *below);
void fixture_release(struct fixture *f);

void fixture_write(struct fixture *f, const char *file, const char *text);
void fixture_remove(struct fixture *f, const char *file);

/* Opens, or fails the test; `only_file` gives the options' only_dag. */
void fixture_open(struct fixture *f, const char *only_file);
void fixture_close(struct fixture *f);

/* Turns the loop a little: at most 20 ms of waiting. */
void fixture_spin(struct fixture *f);

/* A copy of what a command was answered. */
struct fixture_reply {
    struct err err; /* ERR_NONE = done */
    int64_t row;
};

/* Gives a command and returns its reply. */
struct fixture_reply fixture_command(struct fixture *f, json_t *command);

struct dag_row fixture_dag(struct fixture *f, const char *dag_id, bool *ret_exists);
int64_t fixture_import_errors(struct fixture *f);
enum run_state fixture_run_state(struct fixture *f, int64_t run);

struct peer_end peer_connect(struct fixture *f);
void peer_close(struct peer_end *peer);
void peer_send(struct peer_end *peer, json_t *document);

/* The next frame of this kind, or NULL after five seconds, or when the other side has closed. The
 * caller owns it. */
json_t *peer_expect(struct fixture *f, struct peer_end *peer, const char *kind);

/* Turns the loop until the other side has closed; false after five seconds. */
bool peer_wait_closed(struct fixture *f, struct peer_end *peer);

/* A worker with a lock and a hello; `token` is one it has already, or NULL. */
struct peer_end worker_connect(struct fixture *f, const char *instance, const char *token);
int worker_lock(struct fixture *f, const char *instance);
void worker_say_hello(struct peer_end *peer, const char *instance, const char *token);
void worker_end_attempt(struct peer_end *peer, const char *token, const char *outcome);

#endif
