/* The HTTP server: libmicrohttpd inside a libuv loop. The only file that knows libmicrohttpd.
 *
 * One thread: libmicrohttpd's epoll descriptor is polled by the loop, its timeout is one of the
 * loop's timers. A request that waits is suspended; while suspended it notices neither a timeout
 * nor that the client left, so whoever makes it wait keeps a timer. Deadlines for headers, bodies
 * and slow readers are absolute, by closing the socket. */
#ifndef MILLRACE_WEB_SERVER_H
#define MILLRACE_WEB_SERVER_H

#include "base/err.h"
#include "web/http.h"

#include <uv.h>

struct server;

struct server_options {
    const char *host; /* a loopback address or "localhost" */
    int64_t port;     /* 0 = any free one */

    /* A complete request: answers it (response.status), or sets `waits` or `stream`. */
    void (*handle)(void *context, struct request *request);

    /* A waiting or streaming request has ended; its memory goes after this call. */
    void (*gone)(void *context, struct request *request);
    void *context;
};

struct server *server_open(uv_loop_t *loop, const struct server_options *options, struct err *err);

/* The port that is listened on. */
int64_t server_port(const struct server *server);

/* Answers whatever waits with 503, ends the streams and closes all handles; the loop must run until
 * they are closed, then server_free(). */
void server_stop(struct server *server);
void server_free(struct server *server);

/* The waiting request has its response now. */
void request_finish(struct request *request);

/* Bytes for a streaming request; they go out as the client takes them. */
void server_stream_add(struct request *request, struct str bytes);

/* Bytes that wait to be sent. */
size_t server_stream_backlog(const struct request *request);

/* Ends the stream once its backlog is sent. */
void server_stream_end(struct request *request);

#endif
