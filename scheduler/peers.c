#include "scheduler/peers.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/unixsock.h"
#include "millrace/messages.h"
#include "scheduler/absent.h"
#include "scheduler/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64
#define READ_BYTES 65536u

/* A peer that does not read is cut off; a worker reconnects and is told again. */
#define OUT_BYTES_MAX (64u * 1024 * 1024)

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
    bool is_closing;
};

struct peers {
    struct scheduler *scheduler;
    uv_pipe_t listener;
    struct peer *first;
    uint64_t last_number;
    char *path;
};

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

static void close_peer(struct peer *peer)
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

static bool refuse(const struct peer *peer, const char *why)
{
    log_warn("peer_refused", "peer=%llu worker=%s reason=\"%s\"", (unsigned long long)peer->number,
             peer->instance == NULL ? "-" : peer->instance, why);
    return false;
}

static struct peer *find_worker(struct peers *peers, const char *instance)
{
    for (struct peer *peer = peers->first; peer != NULL; peer = peer->next)
        if (peer->role == PEER_WORKER && !peer->is_closing && strcmp(peer->instance, instance) == 0)
            return peer;
    return NULL;
}

static void send_welcome(struct peer *peer)
{
    size_t frame = wire_begin(&peer->out);
    struct jw w = {.out = &peer->out};

    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_WELCOME);
    jw_kv_int(&w, "protocol", MESSAGES_PROTOCOL);
    jw_kv_int(&w, "epoch", (int64_t)store_identity(peer->peers->scheduler->store).epoch);
    jw_end_object(&w);
    wire_end(&peer->out, frame);
}

/* The tokens of a hello, as an array in the turn's arena; false where one is no string. */
static bool read_tokens(struct scheduler *scheduler, const json_t *list,
                        struct event_worker_up *ret)
{
    size_t count = json_array_size(list);
    const char **tokens = arena_alloc_array(&scheduler->turn_arena, count + 1, sizeof(*tokens));

    for (size_t i = 0; i < count; i++) {
        tokens[i] = json_string_value(json_array_get(list, i));
        if (tokens[i] == NULL)
            return false;
    }
    ret->tokens = tokens;
    ret->token_count = count;
    return true;
}

static bool is_foreign(const struct scheduler *scheduler, const struct event_worker_up *up)
{
    for (size_t i = 0; i < up->token_count; i++)
        if (json_object_get(scheduler->foreign_tokens, up->tokens[i]) != NULL)
            return true;
    return false;
}

static bool on_worker_hello(struct peer *peer, json_t *document)
{
    struct peers *peers = peer->peers;
    struct scheduler *scheduler = peers->scheduler;
    const char *instance = json_get_string(document, "instance", "");
    struct event_worker_up up = {
        .slots = json_get_int(document, "slots", -1),
        .backlog = json_get_int(document, "backlog", 0),
        .shared_slots = json_get_int(document, "shared_slots", 0),
    };

    if (peer->role != PEER_NEW)
        return refuse(peer, "a second hello");
    if (json_get_int(document, "protocol", 0) != MESSAGES_PROTOCOL)
        return refuse(peer, "it speaks another protocol: use the worker of this version");
    if (!str_is_id(str_from(instance)) || up.slots < 0 || up.backlog < 0 || up.shared_slots < 0)
        return refuse(peer, "a hello without instance or slots");
    if (!read_tokens(scheduler, json_object_get(document, "tokens"), &up))
        return refuse(peer, "a hello with bad tokens");
    if (is_foreign(scheduler, &up))
        return refuse(peer, "it runs attempts of other DAGs, which go on without us");
    struct peer *former = find_worker(peers, instance);
    if (former != NULL)
        close_peer(former);
    peer->role = PEER_WORKER;
    peer->instance = mem_strdup(instance);
    absent_returned(scheduler->absent, instance);
    log_info("worker_connected", "worker=%s pid=%lld slots=%lld attempts=%zu", instance,
             (long long)json_get_int(document, "pid", 0), (long long)up.slots, up.token_count);
    send_welcome(peer);
    up.instance = json_get_string(document, "instance", "");
    inbox_add(scheduler, EVENT_WORKER_UP, document)->as.worker_up = up;
    return true;
}

static bool on_started(struct peer *peer, json_t *document)
{
    struct event_attempt_started started = {
        .token = json_get_string(document, "token", NULL),
        .pid = json_get_int(document, "pid", 0),
        .started_at_us = json_get_int(document, "at", 0),
        .worker = arena_strdup(&peer->peers->scheduler->turn_arena, peer->instance),
    };

    if (started.token == NULL)
        return refuse(peer, "`started` without a token");
    inbox_add(peer->peers->scheduler, EVENT_ATTEMPT_STARTED, document)->as.attempt_started =
        started;
    return true;
}

static bool on_ended(struct peer *peer, json_t *document)
{
    struct scheduler *scheduler = peer->peers->scheduler;
    const json_t *outputs = json_object_get(document, "outputs");
    struct event_attempt_ended ended = {
        .token = json_get_string(document, "token", NULL),
        .exit_code = json_get_int(document, "exit_code", -1),
        .signal = json_get_int(document, "signal", 0),
        .started_at_us = json_get_int(document, "started_at", 0),
        .ended_at_us = json_get_int(document, "ended_at", 0),
        .reason = json_get_string(document, "reason", NULL),
        .worker = arena_strdup(&scheduler->turn_arena, peer->instance),
    };

    if (ended.token == NULL ||
        !outcome_parse(str_from(json_get_string(document, "outcome", "")), &ended.outcome))
        return refuse(peer, "`ended` without token or outcome");
    if (json_is_object(outputs)) {
        struct buf text = {0};
        json_dump_canonical(outputs, &text);
        ended.outputs = arena_strdup(&scheduler->turn_arena, buf_text(&text));
        buf_release(&text);
    }
    inbox_add(scheduler, EVENT_ATTEMPT_ENDED, document)->as.attempt_ended = ended;
    return true;
}

static bool on_web_hello(struct peer *peer, json_t *document)
{
    if (peer->role != PEER_NEW)
        return refuse(peer, "a second hello");
    if (json_get_int(document, "protocol", 0) != MESSAGES_PROTOCOL)
        return refuse(peer, "it speaks another protocol: use the program of this version");
    peer->role = PEER_CLIENT;
    return true;
}

static bool on_command(struct peer *peer, json_t *document)
{
    struct request origin = {.peer = peer->number, .wire_id = json_get_int(document, "id", 0)};

    commands_give(peer->peers->scheduler, document, request_add(peer->peers->scheduler, &origin));
    return true;
}

struct message {
    const char *kind;
    enum peer_role role; /* who may send it */
    bool (*handle)(struct peer *peer, json_t *document);
};

static const struct message messages[] = {
    {MESSAGE_STARTED,      PEER_WORKER, on_started     },
    {MESSAGE_ENDED,        PEER_WORKER, on_ended       },
    {MESSAGE_COMMAND,      PEER_CLIENT, on_command     },
    {MESSAGE_WORKER_HELLO, PEER_NEW,    on_worker_hello},
    {MESSAGE_WEB_HELLO,    PEER_NEW,    on_web_hello   },
};

static bool handle_document(struct peer *peer, struct str text)
{
    struct err err = {0};
    json_t *document = json_parse(text, &err);
    const char *kind = document == NULL ? "" : json_get_string(document, "kind", "");
    bool ok = false;
    size_t i = 0;

    while (i < sizeof(messages) / sizeof(messages[0]) && strcmp(messages[i].kind, kind) != 0)
        i++;
    if (document == NULL)
        refuse(peer, err.message);
    else if (i == sizeof(messages) / sizeof(messages[0]))
        refuse(peer, "a message of unknown kind");
    else if (messages[i].role != peer->role)
        refuse(peer, "a message out of turn");
    else
        ok = messages[i].handle(peer, document);
    json_decref(document);
    return ok;
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
        ok = handle_document(peer, document);
    }
    if (status == WIRE_BAD)
        ok = refuse(peer, "a frame over the limit");
    buf_consume(&peer->in, offset);
    if (!ok)
        close_peer(peer);
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
        close_peer(peer);
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
        (void)refuse(peer, err.message);
        close_peer(peer);
    }
}

bool peers_adopt(struct peers *peers, int fd, struct err *err)
{
    struct peer *peer = add_peer(peers);
    int status = uv_pipe_open(&peer->pipe, fd);

    if (status != 0) {
        (void)close(fd);
        close_peer(peer);
        return err_set(err, ERR_IO, "take over a socket: %s", uv_strerror(status));
    }
    if (!begin_peer(peer, err)) {
        close_peer(peer);
        return false;
    }
    return true;
}

struct peers *peers_open(struct scheduler *scheduler, struct err *err)
{
    struct peers *peers = mem_alloc(sizeof(*peers));

    peers->scheduler = scheduler;
    peers->path = fs_join(scheduler->settings->state_folder, STATE_SCHEDULER_SOCKET);
    int fd = unixsock_bind(peers->path, err);
    if (fd < 0) {
        peers_free(peers);
        return NULL;
    }
    (void)uv_pipe_init(scheduler->loop, &peers->listener, 0);
    peers->listener.data = peers;
    handle_opened(scheduler);
    int status = uv_pipe_open(&peers->listener, fd);
    if (status != 0)
        (void)close(fd);
    else
        status = uv_listen((uv_stream_t *)&peers->listener, BACKLOG, on_connection);
    if (status != 0) {
        /* The caller closes what is open, this listener among it. */
        err_set(err, ERR_IO, "listen on %s: %s", peers->path, uv_strerror(status));
        scheduler->listen_failed = true;
    }
    return peers;
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
        close_peer(peer);
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
    struct peer *peer = find_worker(peers, instance);

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
        close_peer(peer);
}

static void flush(struct peer *peer)
{
    uv_stream_t *stream = (uv_stream_t *)&peer->pipe;

    if (uv_stream_get_write_queue_size(stream) + peer->out.len > OUT_BYTES_MAX) {
        (void)refuse(peer, "it does not read");
        close_peer(peer);
        return;
    }
    struct writing *writing = mem_alloc(sizeof(*writing));
    uv_buf_t bytes = uv_buf_init(NULL, (unsigned)peer->out.len);
    writing->bytes = buf_take(&peer->out);
    bytes.base = writing->bytes;
    writing->request.data = writing;
    int status = uv_write(&writing->request, stream, &bytes, 1, on_written);
    if (status < 0) {
        free(writing->bytes);
        free(writing);
        close_peer(peer);
    }
}

void peers_flush(struct peers *peers)
{
    for (struct peer *peer = peers->first; peer != NULL; peer = peer->next)
        if (peer->out.len > 0 && !peer->is_closing)
            flush(peer);
}
