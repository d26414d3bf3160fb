/* A request and its answer as plain data, between the server (which knows libmicrohttpd) and the
 * handlers (which do not). */
#ifndef MILLRACE_WEB_HTTP_H
#define MILLRACE_WEB_HTTP_H

#include "base/arena.h"
#include "base/buf.h"

#define HTTP_BODY_BYTES_MAX ((size_t)1024 * 1024)
#define HTTP_TARGET_BYTES_MAX ((size_t)8 * 1024)
#define HTTP_SEGMENTS_MAX 12
#define HTTP_ARGS_MAX 6 /* of them, those that a route names {…} */
#define HTTP_PARAMS_MAX 200
#define HTTP_HEADERS_MAX 8

enum http_method {
    HTTP_GET,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_METHOD_COUNT, /* also: any other method */
};

const char *http_method_name(enum http_method method);

/* "GET" and the like; HEAD counts as GET (the server leaves the body away). */
enum http_method http_method_parse(const char *name);

struct http_param {
    const char *name;
    const char *value;
};

/* The path's segments and the query's parameters, decoded; strings are in an arena. */
struct target {
    const char *segments[HTTP_SEGMENTS_MAX];
    size_t segment_count;
    struct http_param params[HTTP_PARAMS_MAX];
    size_t param_count;
};

struct response {
    int status; /* 0 = not answered yet */
    const char *content_type;
    struct buf body;
    struct str borrowed; /* constant bytes sent instead of the body when len > 0 */
    struct http_param headers[HTTP_HEADERS_MAX];
    size_t header_count;
};

struct route;

struct request {
    struct arena arena; /* lives as long as the request */
    enum http_method method;
    struct target target;
    const char *host; /* headers; NULL = absent */
    const char *origin;
    const char *fetch_site;
    const char *accept;
    const char *accept_encoding;
    const char *if_none_match;
    const char *last_event_id;
    const char *content_type;
    struct str body;
    const struct route *route;
    const char *path_args[HTTP_ARGS_MAX]; /* values of the route's {…} segments, in order */

    struct response response;
    bool waits;    /* a handler promised to call request_finish() later */
    bool stream;   /* answered with an endless text/event-stream: see server_stream_*() */
    void *context; /* what its handler keeps while it waits; in the arena */
    void *owner;   /* of a waiting or streaming request, for request_gone */
};

/* Sets status and type; the body is written into response.body. */
struct buf *respond(struct request *request, int status, const char *content_type);

/* respond() with JSON. */
struct buf *respond_json(struct request *request, int status);

/* {"detail": text}. */
__attribute__((format(printf, 3, 4))) void respond_detail(struct request *request, int status,
                                                          const char *format, ...);

void respond_header(struct request *request, const char *name, const char *value);

/* The first value of a query parameter, or NULL. */
const char *request_param(const struct request *request, const char *name);

#endif
