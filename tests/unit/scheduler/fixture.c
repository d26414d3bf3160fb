#include "tests/unit/scheduler/fixture.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/unixsock.h"
#include "base/wire.h"
#include "millrace/messages.h"
#include "scheduler/dagfile/dagfile.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US (5 * US_PER_SECOND)

void fixture_init(struct fixture *f, const char *below)
{
    struct err err;

    *f = (struct fixture){0};
    log_set_level(LOG_ERROR);
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/millrace-scheduler-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->state, sizeof(f->state), "%s%s/state", f->folder, below);
    (void)snprintf(f->dags, sizeof(f->dags), "%s/dags", f->folder);
    assert_true(fs_make_folders(f->dags, 0700, &err));
    f->pools[0] = (struct pool_setting){.name = "default_pool", .slots = 128};
    f->settings.base_folder = f->folder;
    f->settings.state_folder = f->state;
    f->settings.dags_folder = f->dags;
    f->settings.worker_slots = 2;
    f->settings.pools = f->pools;
    f->settings.pool_count = 1;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->read = read_new(f->state);
}

void fixture_release(struct fixture *f)
{
    struct err err;

    fixture_close(f);
    read_free(f->read);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_true(fs_remove_tree(f->folder, &err));
}

void fixture_write(struct fixture *f, const char *file, const char *text)
{
    char *path = fs_join(f->dags, file);
    struct err err;

    assert_true(fs_write_file(path, str_from(text), 0600, &err));
    free(path);
}

void fixture_remove(struct fixture *f, const char *file)
{
    char *path = fs_join(f->dags, file);

    assert_int_equal(unlink(path), 0);
    free(path);
}

static void on_ended(void *context, const struct err *why)
{
    struct fixture *f = context;

    f->has_ended = true;
    f->why = *why;
}

void fixture_open(struct fixture *f, const char *only_file)
{
    struct scheduler_options options = {
        .settings = &f->settings, .observe_context = f, .ended = on_ended};
    struct err err = {0};
    struct arena arena = {0};
    struct diags diags = {.arena = &arena};
    struct buf source = {0};

    if (only_file != NULL) {
        struct dagfile_input input = {.file = only_file};
        options.only_dag = dagfile_load(only_file, &input, &source, &diags);
        assert_non_null(options.only_dag);
    }

    f->has_ended = false;
    f->scheduler = scheduler_open(&f->loop, &options, &err);
    if (f->scheduler == NULL)
        fail_msg("scheduler_open: %s", err.message);
    dag_unref(options.only_dag);
    diags_release(&diags);
    buf_release(&source);
    arena_release(&arena);
}

void fixture_close(struct fixture *f)
{
    if (f->scheduler == NULL)
        return;
    scheduler_stop(f->scheduler);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    scheduler_free(f->scheduler);
    f->scheduler = NULL;
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
}

void fixture_spin(struct fixture *f)
{
    uv_timer_t timer;

    (void)uv_timer_init(&f->loop, &timer);
    (void)uv_timer_start(&timer, on_timer, 20, 0);
    (void)uv_run(&f->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

struct reply_box {
    bool is_there;
    struct fixture_reply reply;
};

static void on_reply(void *context, const struct decision_reply *reply)
{
    struct reply_box *box = context;

    box->is_there = true;
    box->reply.row = reply->row;
    if (reply->err != NULL)
        box->reply.err = *reply->err;
}

struct fixture_reply fixture_command(struct fixture *f, json_t *command)
{
    struct reply_box box = {0};
    int64_t end_us = clock_mono_us() + PATIENCE_US;

    scheduler_submit(f->scheduler, command, on_reply, &box);
    json_decref(command);
    while (!box.is_there && clock_mono_us() < end_us)
        fixture_spin(f);
    assert_true(box.is_there);
    return box.reply;
}

struct dag_row fixture_dag(struct fixture *f, const char *dag_id, bool *ret_exists)
{
    static struct arena arena;
    struct dag_row row = {0};
    struct err err = {0};

    arena_release(&arena);
    *ret_exists = read_dag(f->read, &arena, dag_id, &row, &err);
    read_end(f->read);
    /* Only the numbers are looked at. */
    arena_release(&arena);
    return row;
}

int64_t fixture_import_errors(struct fixture *f)
{
    struct arena arena = {0};
    struct read_page page = {.limit = 10};
    struct import_error_row *rows = NULL;
    struct err err = {0};
    size_t count = 0;
    int64_t total = -1;

    (void)read_import_errors(f->read, &arena, NULL, &page, &rows, &count, &total, &err);
    read_end(f->read);
    arena_release(&arena);
    return total;
}

enum run_state fixture_run_state(struct fixture *f, int64_t run)
{
    struct arena arena = {0};
    struct run_view view = {0};
    struct err err = {0};

    assert_true(read_run_by_row(f->read, &arena, run, &view, &err));
    read_end(f->read);
    arena_release(&arena);
    return view.run.state;
}

struct peer_end peer_connect(struct fixture *f)
{
    char *path = fs_join(f->state, STATE_SCHEDULER_SOCKET);
    struct err err = {0};
    struct peer_end peer = {.fd = unixsock_connect(path, &err), .lock_fd = -1};

    if (peer.fd < 0)
        fail_msg("%s", err.message);
    free(path);
    return peer;
}

void peer_close(struct peer_end *peer)
{
    if (peer->fd >= 0)
        (void)close(peer->fd);
    if (peer->lock_fd >= 0)
        (void)close(peer->lock_fd);
    buf_release(&peer->in);
    *peer = (struct peer_end){.fd = -1, .lock_fd = -1};
}

void peer_send(struct peer_end *peer, json_t *document)
{
    struct buf out = {0};
    struct err err;
    size_t frame = wire_begin(&out);

    json_dump_canonical(document, &out);
    wire_end(&out, frame);
    assert_true(fs_write_all(peer->fd, out.ptr, out.len, &err));
    buf_release(&out);
    json_decref(document);
}

static void receive(struct peer_end *peer)
{
    char bytes[4096];
    ssize_t got = 0;

    while ((got = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        buf_add(&peer->in, bytes, (size_t)got);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        peer->is_closed = true;
}

static json_t *take_frame(struct peer_end *peer)
{
    size_t offset = 0;
    struct str text;
    struct err err = {0};

    if (wire_next(buf_str(&peer->in), &offset, &text) != WIRE_FRAME)
        return NULL;
    json_t *document = json_parse(text, &err);
    assert_non_null(document);
    buf_consume(&peer->in, offset);
    return document;
}

json_t *peer_expect(struct fixture *f, struct peer_end *peer, const char *kind)
{
    int64_t end_us = clock_mono_us() + PATIENCE_US;

    while (clock_mono_us() < end_us) {
        json_t *document = take_frame(peer);
        if (document != NULL && strcmp(json_get_string(document, "kind", ""), kind) == 0)
            return document;
        if (document == NULL && peer->is_closed)
            return NULL;
        if (document == NULL) {
            fixture_spin(f);
            receive(peer);
        }
        json_decref(document);
    }
    return NULL;
}

bool peer_wait_closed(struct fixture *f, struct peer_end *peer)
{
    int64_t end_us = clock_mono_us() + PATIENCE_US;

    while (!peer->is_closed && clock_mono_us() < end_us) {
        fixture_spin(f);
        receive(peer);
    }
    return peer->is_closed;
}

int worker_lock(struct fixture *f, const char *instance)
{
    char path[800];
    struct err err;

    (void)snprintf(path, sizeof(path), "%s/workers", f->state);
    assert_true(fs_make_folders(path, 0700, &err));
    (void)snprintf(path, sizeof(path), "%s/" STATE_WORKER_LOCK_FORMAT, f->state, instance);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    return fd;
}

void worker_say_hello(struct peer_end *peer, const char *instance, const char *token)
{
    json_t *tokens = json_array();

    if (token != NULL)
        (void)json_array_append_new(tokens, json_string(token));
    peer_send(peer,
              json_pack("{s:s, s:i, s:s, s:i, s:i, s:i, s:i, s:o}", "kind", "worker_hello",
                        "protocol", MESSAGES_PROTOCOL, "instance", instance, "pid", (int)getpid(),
                        "slots", 2, "backlog", 0, "shared_slots", 2, "tokens", tokens));
}

struct peer_end worker_connect(struct fixture *f, const char *instance, const char *token)
{
    int lock_fd = worker_lock(f, instance);
    struct peer_end peer = peer_connect(f);

    peer.lock_fd = lock_fd;
    worker_say_hello(&peer, instance, token);
    json_t *welcome = peer_expect(f, &peer, "welcome");
    assert_non_null(welcome);
    json_decref(welcome);
    return peer;
}

void worker_end_attempt(struct peer_end *peer, const char *token, const char *outcome)
{
    int64_t now_us = clock_wall_us();

    peer_send(peer, json_pack("{s:s, s:s, s:i, s:I}", "kind", "started", "token", token, "pid", 7,
                              "at", (json_int_t)now_us));
    peer_send(peer, json_pack("{s:s, s:[{s:s, s:s, s:i, s:i, s:I, s:I, s:n, s:{}}]}", "kind",
                              "ended", "results", "token", token, "outcome", outcome, "exit_code",
                              0, "signal", 0, "started_at", (json_int_t)now_us, "ended_at",
                              (json_int_t)now_us, "reason", "outputs"));
}
