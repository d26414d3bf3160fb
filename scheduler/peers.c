#include "scheduler/peers.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/unixsock.h"
#include "millrace/messages.h"
#include "scheduler/absent.h"
#include "scheduler/peer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64
#define READ_BYTES 65536u

/* A peer that leaves this much unread, and reads nothing of it for so long, is cut off. One that
 * does read is not: a worker that reconnects is told all it has not heard again. */
#define UNREAD_BYTES_MAX (4u * 1024 * 1024)
#define UNREAD_US_MAX (10 * US_PER_SECOND)

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    struct peers *peers = peer->peers;

    for (struct peer **at = &peers->first; *at != NULL; at = &(*at)->next) {
        if (*at == peer) {
            *at = peer->next;
            break;
        }
    }
    handle_closed(peers->scheduler);
    buf_release(&peer->in);
    buf_release(&peer->out);
    free(peer->instance);
    free(peer);
}

void peer_cut_off(struct peer *peer)
{
    struct scheduler *scheduler = peer->peers->scheduler;

    if (peer->is_closing)
        return;
    peer->is_closing = true;
    if (peer->role == PEER_WORKER && !scheduler->is_stopping) {
        log_info("worker_disconnected", "worker=%s", peer->instance);
        absent_expect(scheduler->absent, peer->instance);
    }
    uv_close((uv_handle_t *)&peer->pipe, on_peer_closed);
}

bool peer_refuse(const struct peer *peer, const char *why)
{
    log_warn("peer_refused", "peer=%llu worker=%s reason=\"%s\"", (unsigned long long)peer->number,
             peer->instance == NULL ? "-" : peer->instance, why);
    return false;
}

struct peer *peers_find_worker(struct peers *peers, const char *instance)
{
    for (struct peer *peer = peers->first; peer != NULL; peer = peer->next)
        if (peer->role == PEER_WORKER && !peer->is_closing && strcmp(peer->instance, instance) == 0)
            return peer;
    return NULL;
}

static void read_frames(struct peer *peer)
{
    size_t offset = 0;
    struct str document;
    enum wire_status status = WIRE_FRAME;
    bool ok = true;

    while (ok && !peer->is_closing) {
        status = wire_next(buf_str(&peer->in), &offset, &document);
        if (status != WIRE_FRAME)
            break;
        ok = message_handle(peer, document);
    }
    if (status == WIRE_BAD)
        ok = peer_refuse(peer, "a frame over the limit");
    buf_consume(&peer->in, offset);
    if (!ok)
        peer_cut_off(peer);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct peer *peer = handle->data;

    (void)suggested;
    buf_reserve(&peer->in, READ_BYTES);
    *ret = uv_buf_init(peer->in.ptr + peer->in.len, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *bytes)
{
    struct peer *peer = stream->data;

    (void)bytes;
    if (peer->is_closing || got == 0)
        return;
    if (got < 0) {
        peer_cut_off(peer);
        return;
    }
    peer->in.len += (size_t)got;
    peer->in.ptr[peer->in.len] = '\0';
    read_frames(peer);
}

/* Only processes of our own user, or of root, may speak. */
static bool check_credentials(int fd, pid_t *ret_pid, struct err *err)
{
    struct ucred credentials;
    socklen_t len = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0)
        return err_errno(err, "SO_PEERCRED");
    if (credentials.uid != geteuid() && credentials.uid != 0)
        return err_set(err, ERR_FORBIDDEN, "a connection of user %u is refused",
                       (unsigned)credentials.uid);
    *ret_pid = credentials.pid;
    return true;
}

static struct peer *add_peer(struct peers *peers)
{
    struct peer *peer = mem_alloc(sizeof(*peer));

    peer->peers = peers;
    peer->number = ++peers->last_number;
    peer->next = peers->first;
    peers->first = peer;
    (void)uv_pipe_init(peers->scheduler->loop, &peer->pipe, 0);
    peer->pipe.data = peer;
    handle_opened(peers->scheduler);
    return peer;
}

static bool begin_peer(struct peer *peer, struct err *err)
{
    uv_os_fd_t fd = -1;

    if (uv_fileno((const uv_handle_t *)&peer->pipe, &fd) != 0)
        return err_set(err, ERR_IO, "a connection without a socket");
    if (!check_credentials(fd, &peer->pid, err))
        return false;
    int status = uv_read_start((uv_stream_t *)&peer->pipe, on_alloc, on_read);
    return status == 0 || err_set(err, ERR_IO, "read from a peer: %s", uv_strerror(status));
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct peers *peers = listener->data;
    struct err err = {0};

    if (status != 0) {
        log_warn("accept_failed", "error=\"%s\"", uv_strerror(status));
        return;
    }
    struct peer *peer = add_peer(peers);
    status = uv_accept(listener, (uv_stream_t *)&peer->pipe);
    bool ok = status == 0 || err_set(&err, ERR_IO, "accept: %s", uv_strerror(status));
    if (!ok || !begin_peer(peer, &err)) {
        (void)peer_refuse(peer, err.message);
        peer_cut_off(peer);
    }
}

struct peers *peers_open(struct scheduler *scheduler)
{
    struct peers *peers = mem_alloc(sizeof(*peers));

    peers->scheduler = scheduler;
    peers->path = fs_join(scheduler->settings->state_folder, STATE_SCHEDULER_SOCKET);
    (void)uv_pipe_init(scheduler->loop, &peers->listener, 0);
    peers->listener.data = peers;
    handle_opened(scheduler);
    return peers;
}

bool peers_listen(struct peers *peers, struct err *err)
{
    int fd = unixsock_bind(peers->path, err);

    if (fd < 0)
        return false;
    int status = uv_pipe_open(&peers->listener, fd);
    if (status != 0)
        (void)close(fd);
    else
        status = uv_listen((uv_stream_t *)&peers->listener, BACKLOG, on_connection);
    return status == 0 ||
           err_set(err, ERR_IO, "listen on %s: %s", peers->path, uv_strerror(status));
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct peers *peers = handle->data;

    handle_closed(peers->scheduler);
}

void peers_close(struct peers *peers)
{
    (void)unlink(peers->path);
    uv_close((uv_handle_t *)&peers->listener, on_listener_closed);
    for (struct peer *peer = peers->first; peer != NULL; peer = peer->next)
        peer_cut_off(peer);
}

void peers_free(struct peers *peers)
{
    if (peers == NULL)
        return;
    free(peers->path);
    free(peers);
}

struct buf *peers_worker_out(struct peers *peers, const char *instance)
{
    struct peer *peer = peers_find_worker(peers, instance);

    return peer == NULL ? NULL : &peer->out;
}

struct buf *peers_client_out(struct peers *peers, uint64_t number)
{
    for (struct peer *peer = peers->first; peer != NULL; peer = peer->next)
        if (peer->number == number && !peer->is_closing)
            return &peer->out;
    return NULL;
}

size_t peers_worker_count(const struct peers *peers)
{
    size_t count = 0;

    for (const struct peer *peer = peers->first; peer != NULL; peer = peer->next)
        count += peer->role == PEER_WORKER && !peer->is_closing;
    return count;
}

/* The pid is the kernel's word, not the peer's; while the socket is open the process lives, or its
 * pid belongs to a process of its own that has not been reaped. */
void peers_signal_workers(const struct peers *peers, int number)
{
    for (const struct peer *peer = peers->first; peer != NULL; peer = peer->next)
        if (peer->role == PEER_WORKER && !peer->is_closing && peer->pid > 1)
            (void)kill(peer->pid, number);
}

void peers_notify(struct peers *peers, int64_t seq)
{
    for (struct peer *peer = peers->first; peer != NULL; peer = peer->next) {
        if (peer->role != PEER_CLIENT || peer->is_closing)
            continue;
        size_t frame = wire_begin(&peer->out);
        struct jw w = {.out = &peer->out};
        jw_begin_object(&w);
        jw_kv_string(&w, "kind", MESSAGE_NOTIFY);
        jw_kv_int(&w, "seq", seq);
        jw_end_object(&w);
        wire_end(&peer->out, frame);
    }
}

struct writing {
    uv_write_t request;
    char *bytes;
};

static void on_written(uv_write_t *request, int status)
{
    struct writing *writing = request->data;
    struct peer *peer = request->handle->data;

    free(writing->bytes);
    free(writing);
    if (status < 0)
        peer_cut_off(peer);
}

static bool is_stuck(struct peer *peer)
{
    size_t unread = uv_stream_get_write_queue_size((uv_stream_t *)&peer->pipe);
    int64_t now_us = clock_mono_us();

    if (unread == 0 || unread < peer->unread)
        peer->read_at_us = now_us;
    return unread > UNREAD_BYTES_MAX && now_us - peer->read_at_us > UNREAD_US_MAX;
}

static void flush(struct peer *peer)
{
    uv_stream_t *stream = (uv_stream_t *)&peer->pipe;

    if (is_stuck(peer)) {
        (void)peer_refuse(peer, "it does not read");
        peer_cut_off(peer);
        return;
    }
    /* At once where the peer has room, which it nearly always has. */
    uv_buf_t bytes = uv_buf_init(peer->out.ptr, (unsigned)peer->out.len);
    int done = uv_try_write(stream, &bytes, 1);
    if (done > 0)
        buf_consume(&peer->out, (size_t)done);
    if (peer->out.len == 0) {
        peer->unread = 0;
        return;
    }
    struct writing *writing = mem_alloc(sizeof(*writing));
    bytes.len = peer->out.len;
    writing->bytes = buf_take(&peer->out);
    bytes.base = writing->bytes;
    writing->request.data = writing;
    int status = uv_write(&writing->request, stream, &bytes, 1, on_written);
    if (status < 0) {
        free(writing->bytes);
        free(writing);
        peer_cut_off(peer);
    }
    peer->unread = uv_stream_get_write_queue_size(stream);
}

static void flush_those(struct peers *peers, bool are_workers)
{
    for (struct peer *peer = peers->first; peer != NULL; peer = peer->next)
        if (peer->out.len > 0 && !peer->is_closing && (peer->role == PEER_WORKER) == are_workers)
            flush(peer);
}

/* Workers first: a start waits for nothing else, and who is woken takes a processor. */
void peers_flush(struct peers *peers)
{
    flush_those(peers, true);
    flush_those(peers, false);
}
