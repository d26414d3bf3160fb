/* Peers: the processes connected to <state>/scheduler.sock. Frames become events; what effects
 * write for a peer is sent when peers_flush() is called at the end of the turn. */
#ifndef MILLRACE_SCHEDULER_PEERS_H
#define MILLRACE_SCHEDULER_PEERS_H

#include "base/wire.h"
#include "scheduler/loop.h"

struct peers *peers_open(struct scheduler *scheduler);

/* Makes the socket: once what was recovered and loaded is committed, so that whoever finds it there
 * finds that too. */
bool peers_listen(struct peers *peers, struct err *err);

/* Closes the listener and all connections; peers_free() once the handles are closed. */
void peers_close(struct peers *peers);
void peers_free(struct peers *peers);

/* The output of a connected worker, or of a web client by its number; NULL = not connected. */
struct buf *peers_worker_out(struct peers *peers, const char *instance);
struct buf *peers_client_out(struct peers *peers, uint64_t number);

size_t peers_worker_count(const struct peers *peers);
void peers_signal_workers(const struct peers *peers, int number);

/* Appends `notify` for every web client. */
void peers_notify(struct peers *peers, int64_t seq);
void peers_flush(struct peers *peers);

#endif
