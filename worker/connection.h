/* The worker's connection to the scheduler: made again and again for as long as the worker lives,
 * with a growing pause between tries. It moves frames; what they mean is the supervisor's. */
#ifndef MILLRACE_WORKER_CONNECTION_H
#define MILLRACE_WORKER_CONNECTION_H

#include "base/buf.h"

#include <jansson.h>
#include <uv.h>

struct connection;

struct connection_handler {
    void *context;
    /* A connection was made: the first frame may be added. */
    void (*connected)(void *context);
    /* A frame came in; false = it makes no sense, and the connection is closed. */
    bool (*received)(void *context, json_t *document);
    /* The connection was lost, or a try to make one failed. */
    void (*disconnected)(void *context);
};

/* Opens on a loop; the first try is made at once. `path` is the socket's. */
struct connection *connection_open(uv_loop_t *loop, const char *path,
                                   const struct connection_handler *handler);

/* Where to add frames to; what is added while there is no connection is dropped. */
struct buf *connection_out(struct connection *connection);

bool connection_has_frames(const struct connection *connection);

/* Adds an item, a JSON document, to the frame {"kind": kind, list: [items]} that is being filled,
 * or begins one. Such a frame ends where connection_out() or connection_flush() is called next, or
 * where it has grown long; `kind` and `list` are constants. */
void connection_add_item(struct connection *connection, const char *kind, const char *list,
                         struct str item);

/* Sends all that was added, in one write. */
void connection_flush(struct connection *connection);

/* The peer made sense: the pause before the next try is short again. */
void connection_settle(struct connection *connection);

/* Ends this connection and makes another: the hello tells anew what we are. */
void connection_again(struct connection *connection);

/* Monotonic time of the last loss (or of the opening); 0 while connected. */
int64_t connection_down_since_us(const struct connection *connection);

/* Closes; the loop must run once more, then it is freed by itself. */
void connection_close(struct connection *connection);

#endif
