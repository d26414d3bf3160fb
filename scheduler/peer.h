/* One connection to the scheduler's socket, as peers.c (bytes) and message.c (their meaning) see
 * it. Private to those two. */
#ifndef MILLRACE_SCHEDULER_PEER_H
#define MILLRACE_SCHEDULER_PEER_H

#include "scheduler/peers.h"

#include <sys/types.h>

enum peer_role { PEER_NEW, PEER_WORKER, PEER_CLIENT };

struct peer {
    uv_pipe_t pipe;
    struct peers *peers;
    struct peer *next;
    uint64_t number;
    enum peer_role role;
    pid_t pid;
    char *instance; /* of a worker */
    struct buf in;
    struct buf out;
    size_t unread;      /* bytes the peer had not read when it was last written to */
    int64_t read_at_us; /* monotonic: when it was last seen to read */
    bool is_closing;
};

struct peers {
    struct scheduler *scheduler;
    uv_pipe_t listener;
    struct peer *first;
    uint64_t last_number;
    char *path;
};

/* Logs why a peer is not listened to, and returns false. */
bool peer_refuse(const struct peer *peer, const char *why);

/* Begins to close the connection; of a worker, its lock is watched from now on. */
void peer_cut_off(struct peer *peer);

struct peer *peers_find_worker(struct peers *peers, const char *instance);

/* Makes an event of a document that came in; false = it makes no sense, close the connection. */
bool message_handle(struct peer *peer, struct str text);

#endif
