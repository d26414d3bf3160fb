#include "web/link.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "millrace/messages.h"
#include "scheduler/store/read.h"
#include "web/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const uint64_t retry_ms_min = 100;
static const uint64_t retry_ms_max = 2000;
static const uint64_t command_ms = 10000;

/* A command whose reply is awaited; in the order they were sent, which is that of deadlines. */
struct pending {
    struct pending *next;
    int64_t id;
    uint64_t deadline_ms; /* of the loop's clock */
    struct request *request;
    link_done done;
};

struct link {
    struct web *web;
    uv_loop_t *loop;
    link_notify notify;
    uv_pipe_t *pipe; /* NULL = not connected */
    uv_timer_t retry;
    uv_timer_t deadline;
    uint64_t retry_ms;
    struct buf in;
    struct pending *pending;
    int64_t last_id;
    int64_t last_seen_us;
    bool stopping;
    bool told; /* that the scheduler is away */
};

static void try_connect(struct link *link);

static void on_pipe_closed(uv_handle_t *handle)
{
    free(handle);
}

static void arm_deadline(struct link *link);

/* Gives the first pending command its end. */
static void finish_first(struct link *link, const struct link_answer *answer)
{
    struct pending *pending = link->pending;
    struct request *request = pending->request;

    link->pending = pending->next;
    request->owner = NULL;
    pending->done(link->web, request, answer);
    /* What it read ends with it: a snapshot that stayed would be the next request's, however old
     * it is by then, and keep the WAL from being used again. */
    read_end(link->web->read);
    free(pending);
    request_finish(request);
}

static void fail_all(struct link *link, const char *message)
{
    struct link_answer answer = {0};

    err_set(&answer.err, ERR_UNREACHABLE, "%s", message);
    while (link->pending != NULL)
        finish_first(link, &answer);
    (void)uv_timer_stop(&link->deadline);
}

static void on_deadline(uv_timer_t *timer)
{
    struct link *link = timer->data;
    struct link_answer answer = {0};

    err_set(&answer.err, ERR_UNREACHABLE,
            "the scheduler did not answer within %d s; the change may still be made",
            (int)(command_ms / 1000));
    while (link->pending != NULL && link->pending->deadline_ms <= uv_now(link->loop))
        finish_first(link, &answer);
    arm_deadline(link);
}

static void arm_deadline(struct link *link)
{
    uint64_t now = uv_now(link->loop);

    if (link->pending == NULL || link->stopping) {
        (void)uv_timer_stop(&link->deadline);
        return;
    }
    uint64_t at = link->pending->deadline_ms;
    (void)uv_timer_start(&link->deadline, on_deadline, at > now ? at - now : 0, 0);
}

static void on_retry(uv_timer_t *timer)
{
    try_connect(timer->data);
}

static void schedule_retry(struct link *link)
{
    if (link->stopping)
        return;
    (void)uv_timer_start(&link->retry, on_retry, link->retry_ms, 0);
    link->retry_ms = link->retry_ms * 2 < retry_ms_max ? link->retry_ms * 2 : retry_ms_max;
}

static void disconnect(struct link *link)
{
    if (link->pipe == NULL)
        return;
    link->last_seen_us = clock_wall_us();
    uv_close((uv_handle_t *)link->pipe, on_pipe_closed);
    link->pipe = NULL;
    buf_clear(&link->in);
    log_info("scheduler_away", "pending=%d", link->pending != NULL);
    fail_all(link, "the scheduler went away before it answered; the change may have been made");
    link->retry_ms = retry_ms_min;
    schedule_retry(link);
    if (!link->stopping)
        link->notify(link->web);
}

static void take_reply(struct link *link, const json_t *frame)
{
    int64_t id = json_get_int(frame, "id", 0);
    const json_t *error = json_object_get(frame, "error");
    struct link_answer answer = {.row = json_get_int(frame, "row", 0),
                                 .answer = json_object_get(frame, "answer")};

    if (json_is_object(error))
        err_set(&answer.err, err_from_name(json_get_string(error, "code", "failed")), "%s",
                json_get_string(error, "message", "the scheduler refused the change"));
    for (struct pending **at = &link->pending; *at != NULL; at = &(*at)->next) {
        struct pending *pending = *at;
        if (pending->id != id)
            continue;
        *at = pending->next;
        pending->next = link->pending;
        link->pending = pending;
        finish_first(link, &answer);
        break;
    }
    arm_deadline(link);
}

static bool take_frame(struct link *link, struct str document)
{
    struct err err;
    json_t *frame = json_parse(document, &err);
    const char *kind = json_get_string(frame, "kind", "");
    bool known = true;

    if (strcmp(kind, MESSAGE_REPLY) == 0) {
        take_reply(link, frame);
        link->notify(link->web);
    } else if (strcmp(kind, MESSAGE_NOTIFY) == 0) {
        link->notify(link->web);
    } else if (strcmp(kind, MESSAGE_WELCOME) != 0) {
        log_warn("scheduler_frame", "kind=\"%.40s\"", kind);
        known = false;
    }
    json_decref(frame);
    return known;
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes)
{
    struct link *link = stream->data;
    struct str document;
    size_t offset = 0;
    enum wire_status status = WIRE_MORE;

    if (len > 0)
        buf_add(&link->in, bytes->base, (size_t)len);
    free(bytes->base);
    if (len < 0) {
        disconnect(link);
        return;
    }
    while ((status = wire_next(buf_str(&link->in), &offset, &document)) == WIRE_FRAME) {
        if (!take_frame(link, document))
            status = WIRE_BAD;
        if (status == WIRE_BAD || link->pipe == NULL)
            break;
    }
    if (link->pipe == NULL)
        return;
    if (status == WIRE_BAD)
        disconnect(link);
    else
        buf_consume(&link->in, offset);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(mem_alloc(16 * 1024), 16 * 1024);
}

struct write {
    uv_write_t request;
    struct buf bytes;
};

static void on_written(uv_write_t *request, int status)
{
    struct write *write = request->data;

    (void)status; /* a broken connection is noticed by the reader */
    buf_release(&write->bytes);
    free(write);
}

static void send_frame(struct link *link, const json_t *document)
{
    struct write *write = mem_alloc(sizeof(*write));
    size_t start = wire_begin(&write->bytes);

    json_dump_canonical(document, &write->bytes);
    wire_end(&write->bytes, start);
    write->request.data = write;
    uv_buf_t bytes = uv_buf_init(write->bytes.ptr, (unsigned)write->bytes.len);
    if (uv_write(&write->request, (uv_stream_t *)link->pipe, &bytes, 1, on_written) != 0) {
        buf_release(&write->bytes);
        free(write);
    }
}

/* A connected socket, or -1. The path goes through the folder's descriptor, since a socket's
 * address holds 108 bytes and state folders may lie deeper. */
static int connect_socket(const struct link *link)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s",
                   link->web->state_fd, STATE_SCHEDULER_SOCKET);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static void greet(struct link *link)
{
    json_t *hello =
        json_pack("{s:s, s:i}", "kind", MESSAGE_WEB_HELLO, "protocol", MESSAGES_PROTOCOL);

    send_frame(link, hello);
    json_decref(hello);
}

static void try_connect(struct link *link)
{
    int fd = connect_socket(link);

    if (fd < 0) {
        if (!link->told)
            log_info("scheduler_absent", "waiting for it");
        link->told = true;
        schedule_retry(link);
        return;
    }
    link->pipe = mem_alloc(sizeof(*link->pipe));
    (void)uv_pipe_init(link->loop, link->pipe, 0);
    link->pipe->data = link;
    if (uv_pipe_open(link->pipe, fd) != 0 ||
        uv_read_start((uv_stream_t *)link->pipe, on_alloc, on_read) != 0) {
        disconnect(link);
        return;
    }
    link->told = false;
    link->retry_ms = retry_ms_min;
    link->last_seen_us = clock_wall_us();
    log_info("scheduler_connected", "pending=0");
    greet(link);
    link->notify(link->web);
}

struct link *link_open(uv_loop_t *loop, struct web *web, link_notify notify)
{
    struct link *link = mem_alloc(sizeof(*link));

    link->web = web;
    link->loop = loop;
    link->notify = notify;
    link->retry_ms = retry_ms_min;
    (void)uv_timer_init(loop, &link->retry);
    (void)uv_timer_init(loop, &link->deadline);
    link->retry.data = link->deadline.data = link;
    (void)uv_timer_start(&link->retry, on_retry, 0, 0);
    return link;
}

void link_stop(struct link *link)
{
    link->stopping = true;
    fail_all(link, "the server is ending");
    disconnect(link);
    uv_close((uv_handle_t *)&link->retry, NULL);
    uv_close((uv_handle_t *)&link->deadline, NULL);
}

void link_free(struct link *link)
{
    if (link == NULL)
        return;
    buf_release(&link->in);
    free(link);
}

bool link_is_up(const struct link *link)
{
    return link->pipe != NULL;
}

int64_t link_last_seen_us(const struct link *link)
{
    return link->pipe != NULL ? clock_wall_us() : link->last_seen_us;
}

void link_command(struct link *link, struct request *request, json_t *command, link_done done)
{
    if (link->pipe == NULL) {
        json_decref(command);
        respond_detail(request, 503, "the scheduler is not running: changes have to wait");
        return;
    }
    struct pending *pending = mem_alloc(sizeof(*pending));
    pending->id = ++link->last_id;
    pending->deadline_ms = uv_now(link->loop) + command_ms;
    pending->request = request;
    pending->done = done;
    struct pending **end = &link->pending;
    while (*end != NULL)
        end = &(*end)->next;
    *end = pending;
    request->waits = true;
    request->owner = link;
    (void)json_object_set_new(command, "kind", json_string(MESSAGE_COMMAND));
    (void)json_object_set_new(command, "id", json_integer(pending->id));
    send_frame(link, command);
    json_decref(command);
    arm_deadline(link);
}

void link_forget(struct link *link, struct request *request)
{
    for (struct pending **at = &link->pending; *at != NULL; at = &(*at)->next) {
        struct pending *pending = *at;
        if (pending->request != request)
            continue;
        *at = pending->next;
        free(pending);
        break;
    }
    arm_deadline(link);
}
