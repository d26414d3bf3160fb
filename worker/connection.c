#include "worker/connection.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/unixsock.h"
#include "base/wire.h"
#include "millrace/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The pause grows by a quarter: it is at most a fifth of the time that the scheduler was away. */
#define RETRY_MS_MIN 1
#define RETRY_MS_MAX 1000
#define READ_BYTES 65536

/* One established stream. It outlives its closing until libuv has let go of it. */
struct link {
    uv_pipe_t pipe;
    struct connection *connection; /* NULL once dropped */
    struct buf in;
    char piece[READ_BYTES];
};

struct connection {
    uv_loop_t *loop;
    char *path;
    struct connection_handler handler;
    struct link *link; /* NULL = not connected */
    struct buf out;
    const char *list_kind; /* of the frame that is being filled with items; NULL = none is */
    size_t list_frame;
    uv_timer_t retry;
    uint64_t retry_ms;
    int64_t down_since_us;
};

struct write_request {
    uv_write_t request;
    char *bytes;
};

static void try_connect(uv_timer_t *timer);

static void link_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;

    buf_release(&link->in);
    free(link);
}

static void plan_retry(struct connection *c)
{
    (void)uv_timer_start(&c->retry, try_connect, c->retry_ms, 0);
    c->retry_ms += c->retry_ms / 4 + 1;
    if (c->retry_ms > RETRY_MS_MAX)
        c->retry_ms = RETRY_MS_MAX;
}

static void drop_link(struct connection *c)
{
    struct link *link = c->link;

    if (link == NULL)
        return;
    c->link = NULL;
    link->connection = NULL;
    c->down_since_us = clock_mono_us();
    c->list_kind = NULL;
    buf_clear(&c->out);
    uv_close((uv_handle_t *)&link->pipe, link_closed);
}

static void lose(struct connection *c)
{
    drop_link(c);
    plan_retry(c);
    c->handler.disconnected(c->handler.context);
}

/* Hands out all complete frames; the handler may make this link go away at any of them. */
static void take_frames(struct link *link)
{
    size_t offset = 0;
    struct str document;
    enum wire_status status;

    while ((status = wire_next(buf_str(&link->in), &offset, &document)) == WIRE_FRAME) {
        struct connection *c = link->connection;
        struct err err = {0};
        json_t *parsed = json_parse(document, &err);
        bool ok = parsed != NULL && c->handler.received(c->handler.context, parsed);

        json_decref(parsed);
        if (link->connection == NULL)
            return;
        if (!ok) {
            log_error("frame_refused", "error=\"%s\"", err.message);
            lose(c);
            return;
        }
    }
    buf_consume(&link->in, offset);
    if (status == WIRE_BAD) {
        log_error("frame_refused", "error=\"a frame over the limit\"");
        lose(link->connection);
    }
}

static void give_piece(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    struct link *link = handle->data;

    (void)wanted;
    *buf = uv_buf_init(link->piece, sizeof(link->piece));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct link *link = stream->data;

    if (link->connection == NULL || n == 0)
        return;
    if (n < 0) {
        log_info("scheduler_gone", "reason=%s", uv_err_name((int)n));
        lose(link->connection);
        return;
    }
    buf_add(&link->in, buf->base, (size_t)n);
    take_frames(link);
}

/* The scheduler tells who we are by SO_PEERCRED; so do we. */
static bool is_same_user(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid();
}

static bool make_link(struct connection *c)
{
    struct err err = {0};
    int fd = unixsock_connect(c->path, &err);

    if (fd < 0)
        return false;
    if (!is_same_user(fd)) {
        log_error("scheduler_refused", "path=\"%s\" error=\"it runs as another user\"", c->path);
        (void)close(fd);
        return false;
    }
    struct link *link = mem_alloc(sizeof(*link));
    link->connection = c;
    int bad = uv_pipe_init(c->loop, &link->pipe, 0);
    assert(bad == 0);
    link->pipe.data = link;
    if (uv_pipe_open(&link->pipe, fd) != 0) {
        (void)close(fd);
        uv_close((uv_handle_t *)&link->pipe, link_closed);
        return false;
    }
    (void)uv_read_start((uv_stream_t *)&link->pipe, give_piece, on_read);
    c->link = link;
    return true;
}

static void try_connect(uv_timer_t *timer)
{
    struct connection *c = timer->data;

    if (!make_link(c)) {
        plan_retry(c);
        c->handler.disconnected(c->handler.context);
        return;
    }
    c->down_since_us = 0;
    c->handler.connected(c->handler.context);
}

struct connection *connection_open(uv_loop_t *loop, const char *path,
                                   const struct connection_handler *handler)
{
    struct connection *c = mem_alloc(sizeof(*c));

    c->loop = loop;
    c->path = mem_strdup(path);
    c->handler = *handler;
    c->retry_ms = RETRY_MS_MIN;
    c->down_since_us = clock_mono_us();
    (void)uv_timer_init(loop, &c->retry);
    c->retry.data = c;
    (void)uv_timer_start(&c->retry, try_connect, 0, 0);
    return c;
}

static void end_list(struct connection *c)
{
    if (c->list_kind == NULL)
        return;
    c->list_kind = NULL;
    buf_add_text(&c->out, "]}");
    wire_end(&c->out, c->list_frame);
}

struct buf *connection_out(struct connection *connection)
{
    end_list(connection);
    return &connection->out;
}

bool connection_has_frames(const struct connection *connection)
{
    return connection->out.len > 0;
}

void connection_add_item(struct connection *c, const char *kind, const char *list, struct str item)
{
    if (c->list_kind != kind || c->out.len - c->list_frame > MESSAGES_BATCH_BYTES) {
        end_list(c);
        c->list_kind = kind;
        c->list_frame = wire_begin(&c->out);
        buf_printf(&c->out, "{\"kind\":\"%s\",\"%s\":[", kind, list);
    } else {
        buf_add_char(&c->out, ',');
    }
    buf_add_str(&c->out, item);
}

static void written(uv_write_t *request, int status)
{
    struct write_request *write = request->data;

    /* A failure shows on the reading side too, which ends the link. */
    (void)status;
    free(write->bytes);
    free(write);
}

void connection_flush(struct connection *c)
{
    end_list(c);
    if (c->link == NULL)
        buf_clear(&c->out);
    if (c->out.len == 0)
        return;
    uv_stream_t *stream = (uv_stream_t *)&c->link->pipe;
    size_t len = c->out.len;
    uv_buf_t all = uv_buf_init(c->out.ptr, (unsigned)len);
    int done = uv_try_write(stream, &all, 1);

    if (done == (int)len) {
        buf_clear(&c->out);
        return;
    }
    if (done > 0)
        buf_consume(&c->out, (size_t)done);
    struct write_request *write = mem_alloc(sizeof(*write));
    len = c->out.len;
    write->bytes = buf_take(&c->out);
    write->request.data = write;
    uv_buf_t rest = uv_buf_init(write->bytes, (unsigned)len);
    if (uv_write(&write->request, stream, &rest, 1, written) != 0) {
        free(write->bytes);
        free(write);
        lose(c);
    }
}

void connection_settle(struct connection *connection)
{
    connection->retry_ms = RETRY_MS_MIN;
}

void connection_again(struct connection *connection)
{
    connection_settle(connection);
    lose(connection);
}

int64_t connection_down_since_us(const struct connection *connection)
{
    return connection->link != NULL ? 0 : connection->down_since_us;
}

static void retry_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;

    buf_release(&c->out);
    free(c->path);
    free(c);
}

void connection_close(struct connection *connection)
{
    drop_link(connection);
    uv_close((uv_handle_t *)&connection->retry, retry_closed);
}
