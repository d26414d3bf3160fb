#include "web/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "web/listen.h"
#include "web/url.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    connections_max = 600, /* 512 streams and room for requests */
    connection_bytes = 24 * 1024,
    idle_seconds = 60,
};

static const int64_t headers_us = 10 * US_PER_SECOND;
static const int64_t keep_alive_us = 60 * US_PER_SECOND;
static const int64_t body_us = 20 * US_PER_SECOND;
static const int64_t answer_us = 120 * US_PER_SECOND;
static const uint64_t sweep_ms = 500;

/* A connection, for its absolute deadline. */
struct peer {
    struct peer *next;
    struct peer *previous;
    int fd;
    int64_t deadline_us; /* monotonic; 0 = none */
};

/* A request in flight; `request` is first, so that one pointer is both. */
struct exchange {
    struct request request;
    struct server *server;
    struct exchange *next; /* of all that are in flight */
    struct exchange *previous;
    struct MHD_Connection *connection;
    struct peer *peer;
    char *target;
    struct buf body;
    struct buf out; /* of a stream */
    bool started;
    bool handled;
    bool suspended;
    bool too_large;
    bool ended; /* of a stream */
};

struct server {
    struct server_options options;
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timeout;
    uv_timer_t sweep;
    struct peer *peers;
    struct exchange *exchanges;
    int64_t port;
    int open_handles;
    bool stopping;
};

static struct exchange *exchange_of(struct request *request)
{
    return (struct exchange *)request;
}

static void arm_timeout(struct server *server);

static void run_daemon(struct server *server)
{
    (void)MHD_run(server->daemon);
    arm_timeout(server);
}

static void on_timeout(uv_timer_t *timer)
{
    run_daemon(timer->data);
}

static void arm_timeout(struct server *server)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;

    if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES)
        (void)uv_timer_start(&server->timeout, on_timeout, wait_ms, 0);
    else
        (void)uv_timer_stop(&server->timeout);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run_daemon(poll->data);
}

/* Closes what has been too slow. libmicrohttpd's own timeout counts from the last byte, so that a
 * client sending one byte a second would never meet it. */
static void on_sweep(uv_timer_t *timer)
{
    struct server *server = timer->data;
    int64_t now = clock_mono_us();

    for (struct peer *peer = server->peers; peer != NULL; peer = peer->next) {
        if (peer->deadline_us == 0 || peer->deadline_us > now)
            continue;
        peer->deadline_us = 0;
        (void)shutdown(peer->fd, SHUT_RDWR);
    }
    if (server->peers == NULL)
        (void)uv_timer_stop(timer);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *server = context;
    struct peer *peer = *socket_context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        peer = mem_alloc(sizeof(*peer));
        peer->fd = info->connect_fd;
        peer->deadline_us = clock_mono_us() + headers_us;
        peer->next = server->peers;
        if (peer->next != NULL)
            peer->next->previous = peer;
        server->peers = peer;
        *socket_context = peer;
        if (!uv_is_active((uv_handle_t *)&server->sweep) && !server->stopping)
            (void)uv_timer_start(&server->sweep, on_sweep, sweep_ms, sweep_ms);
        return;
    }
    if (peer == NULL)
        return;
    if (peer->next != NULL)
        peer->next->previous = peer->previous;
    if (peer->previous != NULL)
        peer->previous->next = peer->next;
    else
        server->peers = peer->next;
    free(peer);
    *socket_context = NULL;
}

/* Called with the raw target when the request line is there: makes the exchange. */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    struct server *server = context;
    struct exchange *exchange = mem_alloc(sizeof(*exchange));
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    exchange->server = server;
    exchange->connection = connection;
    exchange->peer = info == NULL ? NULL : info->socket_context;
    exchange->target = mem_strdup(target);
    exchange->next = server->exchanges;
    if (exchange->next != NULL)
        exchange->next->previous = exchange;
    server->exchanges = exchange;
    return exchange;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    struct server *server = context;
    struct exchange *exchange = *request_context;

    (void)connection;
    (void)code;
    if (exchange == NULL)
        return;
    if (exchange->request.waits || exchange->request.stream)
        server->options.gone(server->options.context, &exchange->request);
    if (exchange->peer != NULL)
        exchange->peer->deadline_us = clock_mono_us() + keep_alive_us;
    if (exchange->next != NULL)
        exchange->next->previous = exchange->previous;
    if (exchange->previous != NULL)
        exchange->previous->next = exchange->next;
    else
        server->exchanges = exchange->next;
    buf_release(&exchange->body);
    buf_release(&exchange->out);
    buf_release(&exchange->request.response.body);
    arena_release(&exchange->request.arena);
    free(exchange->target);
    free(exchange);
    *request_context = NULL;
}

/* What the framing of a request says, to refuse what another parser might read differently. */
struct framing {
    int hosts;
    int lengths;
    int encodings;
};

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct framing *framing = context;

    (void)kind;
    (void)value;
    framing->hosts += strcasecmp(name, "Host") == 0;
    framing->lengths += strcasecmp(name, "Content-Length") == 0;
    framing->encodings += strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

static const char *header(struct exchange *exchange, const char *name)
{
    const char *value = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);

    return arena_strdup(&exchange->request.arena, value);
}

/* The headers are complete. An answer given here goes out before the body is read. */
static void begin(struct exchange *exchange, const char *method)
{
    struct request *request = &exchange->request;
    struct framing framing = {0};

    exchange->started = true;
    if (exchange->peer != NULL)
        exchange->peer->deadline_us = clock_mono_us() + body_us;
    request->method = http_method_parse(method);
    request->host = header(exchange, "Host");
    request->origin = header(exchange, "Origin");
    request->fetch_site = header(exchange, "Sec-Fetch-Site");
    request->accept = header(exchange, "Accept");
    request->accept_encoding = header(exchange, "Accept-Encoding");
    request->if_none_match = header(exchange, "If-None-Match");
    request->last_event_id = header(exchange, "Last-Event-ID");
    request->content_type = header(exchange, "Content-Type");
    (void)MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, count_header, &framing);
    if (framing.hosts > 1 || framing.lengths + framing.encodings > 1) {
        respond_detail(request, 400,
                       "ambiguous framing: more than one Host, Content-Length or "
                       "Transfer-Encoding");
        respond_header(request, "Connection", "close");
        return;
    }
    const char *length = header(exchange, "Content-Length");
    if (length != NULL && (strlen(length) > 10 || atoll(length) > (long long)HTTP_BODY_BYTES_MAX))
        exchange->too_large = true;
}

static void refuse_large(struct exchange *exchange)
{
    respond_detail(&exchange->request, 413, "the body is larger than %zu bytes",
                   HTTP_BODY_BYTES_MAX);
    respond_header(&exchange->request, "Connection", "close");
}

static void take_body(struct exchange *exchange, const char *bytes, size_t len)
{
    if (exchange->body.len + len > HTTP_BODY_BYTES_MAX)
        exchange->too_large = true;
    if (!exchange->too_large)
        buf_add(&exchange->body, bytes, len);
}

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t max)
{
    struct exchange *exchange = context;
    size_t len = exchange->out.len < max ? exchange->out.len : max;

    (void)position;
    if (len == 0) {
        if (exchange->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        exchange->suspended = true;
        MHD_suspend_connection(exchange->connection);
        return 0;
    }
    memcpy(out, exchange->out.ptr, len);
    buf_consume(&exchange->out, len);
    return (ssize_t)len;
}

static void add_headers(struct MHD_Response *response, const struct response *from)
{
    static const struct http_param always[] = {
        {"X-Content-Type-Options",       "nosniff"    },
        {"Referrer-Policy",              "same-origin"},
        {"Cross-Origin-Opener-Policy",   "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"X-Frame-Options",              "DENY"       },
    };
    bool has_cache = false;

    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        (void)MHD_add_response_header(response, always[i].name, always[i].value);
    if (from->content_type != NULL)
        (void)MHD_add_response_header(response, "Content-Type", from->content_type);
    for (size_t i = 0; i < from->header_count; i++) {
        has_cache = has_cache || strcmp(from->headers[i].name, "Cache-Control") == 0;
        (void)MHD_add_response_header(response, from->headers[i].name, from->headers[i].value);
    }
    if (!has_cache)
        (void)MHD_add_response_header(response, "Cache-Control", "no-store");
}

static struct MHD_Response *make_response(struct exchange *exchange)
{
    struct response *response = &exchange->request.response;

    if (exchange->request.stream)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, exchange,
                                                 NULL);
    if (response->borrowed.len > 0) {
        char *bytes = (char *)(uintptr_t)response->borrowed.ptr;
        return MHD_create_response_from_buffer(response->borrowed.len, bytes,
                                               MHD_RESPMEM_PERSISTENT);
    }
    size_t len = response->body.len;
    char *bytes = buf_take(&response->body);
    return MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result send_answer(struct exchange *exchange)
{
    struct MHD_Response *response = make_response(exchange);
    unsigned status = (unsigned)exchange->request.response.status;

    if (response == NULL)
        return MHD_NO;
    add_headers(response, &exchange->request.response);
    if (exchange->peer != NULL)
        exchange->peer->deadline_us = exchange->request.stream ? 0 : clock_mono_us() + answer_us;
    enum MHD_Result result = MHD_queue_response(exchange->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static void suspend(struct exchange *exchange)
{
    exchange->suspended = true;
    if (exchange->peer != NULL)
        exchange->peer->deadline_us = 0;
    MHD_suspend_connection(exchange->connection);
}

static void resume(struct exchange *exchange)
{
    if (!exchange->suspended)
        return;
    exchange->suspended = false;
    MHD_resume_connection(exchange->connection);
    /* libmicrohttpd wants to be run after this; not from here, which may be below it. */
    if (!exchange->server->stopping)
        (void)uv_timer_start(&exchange->server->timeout, on_timeout, 0, 0);
}

static void handle(struct exchange *exchange)
{
    struct server *server = exchange->server;
    struct request *request = &exchange->request;

    struct err err;

    exchange->handled = true;
    request->body = buf_str(&exchange->body);
    if (exchange->too_large)
        refuse_large(exchange);
    else if (!url_parse(&request->arena, str_from(exchange->target), &request->target, &err))
        respond_detail(request, err_http_status(err.code), "%s", err.message);
    else if (server->stopping)
        respond_detail(request, 503, "the server is ending");
    else
        server->options.handle(server->options.context, request);
    assert(request->response.status != 0 || request->waits);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *upload, size_t *upload_len, void **request_context)
{
    struct exchange *exchange = *request_context;

    (void)context;
    (void)connection;
    (void)path;
    (void)version;
    if (!exchange->started) {
        begin(exchange, method);
        if (exchange->too_large)
            refuse_large(exchange);
        return exchange->request.response.status != 0 ? send_answer(exchange) : MHD_YES;
    }
    if (*upload_len > 0) {
        take_body(exchange, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    if (!exchange->handled)
        handle(exchange);
    if (exchange->request.response.status != 0)
        return send_answer(exchange);
    suspend(exchange);
    return MHD_YES;
}

void request_finish(struct request *request)
{
    assert(request->response.status != 0);
    request->waits = false;
    resume(exchange_of(request));
}

void server_stream_add(struct request *request, struct str bytes)
{
    struct exchange *exchange = exchange_of(request);

    buf_add_str(&exchange->out, bytes);
    resume(exchange);
}

size_t server_stream_backlog(const struct request *request)
{
    return ((const struct exchange *)request)->out.len;
}

void server_stream_end(struct request *request)
{
    struct exchange *exchange = exchange_of(request);

    exchange->ended = true;
    resume(exchange);
}

/* ---- start and stop ---- */

/* Targets are decoded by web/url.c from the raw text; what libmicrohttpd would decode is unused. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *context, const char *format,
                                                         va_list args)
{
    struct buf text = {0};

    (void)context;
    buf_vprintf(&text, format, args);
    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.ptr[--text.len] = '\0';
    log_debug("http", "message=\"%s\"", buf_text(&text));
    buf_release(&text);
}

static struct MHD_Daemon *start_daemon(struct server *server, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
        server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)connection_bytes, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)idle_seconds,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

struct server *server_open(uv_loop_t *loop, const struct server_options *options, struct err *err)
{
    struct server *server = mem_alloc(sizeof(*server));
    int fd = listen_open(options->host, options->port, err);

    server->options = *options;
    server->loop = loop;
    if (fd < 0) {
        free(server);
        return NULL;
    }
    server->port = listen_port(fd);
    server->daemon = start_daemon(server, fd);
    if (server->daemon == NULL) {
        err_set(err, ERR_FAILED, "libmicrohttpd could not be started");
        (void)close(fd);
        free(server);
        return NULL;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    (void)uv_poll_init(loop, &server->poll, info->epoll_fd);
    (void)uv_timer_init(loop, &server->timeout);
    (void)uv_timer_init(loop, &server->sweep);
    server->open_handles = 3;
    server->poll.data = server->timeout.data = server->sweep.data = server;
    (void)uv_poll_start(&server->poll, UV_READABLE, on_readable);
    arm_timeout(server);
    return server;
}

int64_t server_port(const struct server *server)
{
    return server->port;
}

static void on_closed(uv_handle_t *handle)
{
    struct server *server = handle->data;

    server->open_handles--;
}

void server_stop(struct server *server)
{
    server->stopping = true;
    for (struct exchange *exchange = server->exchanges; exchange != NULL;
         exchange = exchange->next) {
        if (exchange->request.stream) {
            server_stream_end(&exchange->request);
        } else if (exchange->request.waits) {
            server->options.gone(server->options.context, &exchange->request);
            respond_detail(&exchange->request, 503, "the server is ending");
            request_finish(&exchange->request);
        }
    }
    (void)MHD_run(server->daemon);
    (void)MHD_run(server->daemon);
    (void)uv_poll_stop(&server->poll);
    uv_close((uv_handle_t *)&server->poll, on_closed);
    uv_close((uv_handle_t *)&server->timeout, on_closed);
    uv_close((uv_handle_t *)&server->sweep, on_closed);
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    assert(server->open_handles == 0);
    for (struct exchange *exchange = server->exchanges; exchange != NULL; exchange = exchange->next)
        resume(exchange);
    MHD_stop_daemon(server->daemon);
    free(server);
}
