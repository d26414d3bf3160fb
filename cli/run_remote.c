/* millrace run while a server, or another `millrace run` of the same DAG, holds the state folder:
 * it gets the run, and we follow it. When it goes away before the end, the run goes on here. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/unixsock.h"
#include "base/wire.h"
#include "cli/command.h"
#include "cli/run.h"
#include "millrace/messages.h"
#include "scheduler/lock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define POLL_US 200000
#define REPLY_SECONDS 10
#define COMMAND_ID 1

/* The holder of the state folder is looked for this often. A server restarts its scheduler within
 * moments: only one that stays away so long is gone. */
#define LOOK_US US_PER_SECOND
#define GONE_US (2 * US_PER_SECOND)

/* How long a holder that begins or ends, and so does not listen, is waited for. */
#define LISTEN_US (10 * US_PER_SECOND)

/* What run_remote() gives when nobody holds the state folder any more. */
#define HOLDER_GONE (-1)

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

/* Whether there is a holder, found out about once a second. */
struct holder {
    const char *state_folder;
    int64_t looked_us;
    int64_t absent_since_us; /* 0 = there was one at the last look */
};

static bool holder_is_gone(struct holder *holder)
{
    int64_t now_us = clock_mono_us();

    if (now_us - holder->looked_us < LOOK_US)
        return false;
    holder->looked_us = now_us;
    if (lock_holder(holder->state_folder) != 0)
        holder->absent_since_us = 0;
    else if (holder->absent_since_us == 0)
        holder->absent_since_us = now_us;
    return holder->absent_since_us != 0 && now_us - holder->absent_since_us >= GONE_US;
}

/* Whether the process is a `millrace run`, which knows one DAG only. */
static bool is_run(int64_t pid)
{
    char path[64];
    char text[4096];

    (void)snprintf(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
    FILE *file = pid > 0 ? fopen(path, "re") : NULL;
    if (file == NULL)
        return false;
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[len] = '\0';
    size_t second = strlen(text) + 1;
    return second < len && strcmp(text + second, run_command.name) == 0;
}

/* In place of what a server would have to be told: there is none. */
static void describe_run(const char *state_folder, struct err *err)
{
    int64_t pid = lock_holder(state_folder);

    if (!is_run(pid) || (err->code != ERR_CONFLICT && err->code != ERR_NOT_FOUND))
        return;
    *err = (struct err){0};
    err_set(err, ERR_CONFLICT,
            "another `millrace run` (pid %lld) holds this state folder: wait for its end, or name "
            "another state folder (--state)",
            (long long)pid);
}

static bool send_document(int fd, const json_t *document, struct err *err)
{
    struct buf out = {0};
    size_t frame = wire_begin(&out);

    json_dump_canonical(document, &out);
    wire_end(&out, frame);
    bool ok = fs_write_all(fd, out.ptr, out.len, err);
    buf_release(&out);
    return ok;
}

/* Reads frames until the reply to our command; the caller owns it. */
static json_t *read_reply(int fd, struct err *err)
{
    struct buf in = {0};
    json_t *reply = NULL;
    char bytes[4096];

    while (reply == NULL) {
        size_t offset = 0;
        struct str text;
        enum wire_status status = wire_next(buf_str(&in), &offset, &text);
        if (status == WIRE_FRAME) {
            json_t *document = json_parse(text, err);
            if (document == NULL)
                break;
            if (strcmp(json_get_string(document, "kind", ""), MESSAGE_REPLY) == 0)
                reply = document;
            else
                json_decref(document);
            buf_consume(&in, offset);
            continue;
        }
        ssize_t got = status == WIRE_BAD ? 0 : read(fd, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR && !is_interrupted)
            continue;
        if (got <= 0) {
            err_set(err, got < 0 ? ERR_TIMEOUT : ERR_UNREACHABLE,
                    "the scheduler that holds the state folder did not answer");
            break;
        }
        buf_add(&in, bytes, (size_t)got);
    }
    buf_release(&in);
    return reply;
}

/* -1, with *err, when nobody listens, or with *ret_gone when nobody holds the state folder. */
static int connect_to_holder(const char *state_folder, bool *ret_gone, struct err *err)
{
    char *path = fs_join(state_folder, STATE_SCHEDULER_SOCKET);
    struct holder holder = {.state_folder = state_folder};
    int64_t started_us = clock_mono_us();
    int fd = unixsock_connect(path, err);

    while (fd < 0 && !*ret_gone && !is_interrupted && clock_mono_us() - started_us < LISTEN_US) {
        (void)usleep(POLL_US);
        *ret_gone = holder_is_gone(&holder);
        *err = (struct err){0};
        fd = unixsock_connect(path, err);
    }
    free(path);
    return fd;
}

static bool ask(const char *state_folder, json_t *command, int64_t *ret_row, bool *ret_gone,
                struct err *err)
{
    struct timeval timeout = {.tv_sec = REPLY_SECONDS};
    int fd = connect_to_holder(state_folder, ret_gone, err);

    if (fd < 0)
        return err_wrap(err, "hand the run to the server");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    json_t *hello =
        json_pack("{s:s, s:i}", "kind", MESSAGE_WEB_HELLO, "protocol", MESSAGES_PROTOCOL);
    (void)json_object_set_new(command, "kind", json_string(MESSAGE_COMMAND));
    (void)json_object_set_new(command, "id", json_integer(COMMAND_ID));
    json_t *reply = NULL;
    if (send_document(fd, hello, err) && send_document(fd, command, err))
        reply = read_reply(fd, err);
    const json_t *error = json_object_get(reply, "error");
    bool ok = reply != NULL;
    if (error != NULL)
        ok = err_set(err, err_from_name(json_get_string(error, "code", "")), "%s",
                     json_get_string(error, "message", "failed"));
    if (ok)
        *ret_row = json_get_int(reply, "row", 0);
    json_decref(reply);
    json_decref(hello);
    (void)close(fd);
    return ok;
}

/* The server runs what its own DAG folder says: that must be what the user has given. */
static bool check_same_dag(struct read *read, const struct run_plan *plan, struct err *err)
{
    struct arena arena = {0};
    struct dag_row row = {0};
    struct version_row version = {0};
    const char *dag_id = plan->dag->dag_id;

    bool ok = read_dag(read, &arena, dag_id, &row, err) && !row.is_stale;
    if (!ok)
        err_set(err, ERR_CONFLICT,
                "a server holds this state folder, and its DAG folder (%s) has no DAG `%s`: put "
                "the file there, or name another state folder (--state)",
                plan->settings->dags_folder, dag_id);
    ok = ok && read_version(read, &arena, row.version_id, &version, err);
    if (ok && strcmp(version.hash, plan->dag->hash) != 0)
        ok = err_set(err, ERR_CONFLICT,
                     "a server holds this state folder, and its `%s` (%s) differs from %s: make "
                     "them the same, or name another state folder (--state)",
                     dag_id, row.file, plan->file);
    if (ok && row.is_paused)
        fprintf(stderr,
                "note: %s is paused in the server: `millrace dags unpause %s` lets it run\n",
                dag_id, dag_id);
    read_end(read);
    arena_release(&arena);
    return ok;
}

/* Sets plan->begun. *ret_gone: nobody holds the state folder any more, which has begun nothing. */
static bool begin(struct follow *follow, struct run_plan *plan, bool *ret_gone, struct err *err)
{
    bool is_paused = false;

    if (!check_same_dag(follow->read, plan, err))
        return false;
    int64_t row = run_find_unfinished(follow->read, plan, false, &is_paused);
    if (row != 0) {
        fprintf(stderr, "backfill %lld of this range is unfinished: following it%s\n",
                (long long)row, is_paused ? " (it is paused)" : "");
    } else {
        json_t *command = run_command_document(plan);
        bool ok = ask(plan->settings->state_folder, command, &row, ret_gone, err);
        json_decref(command);
        if (!ok)
            return false;
    }
    plan->begun = row;
    return true;
}

static int follow_to_end(struct follow *follow)
{
    struct holder holder = {.state_folder = follow->state_folder};
    struct err err = {0};

    while (!is_interrupted) {
        bool is_gone = holder_is_gone(&holder);
        if (!follow_poll(follow, &err))
            return command_fail(&err);
        if (follow->has_ended) {
            follow_summary(follow, stdout);
            return follow->has_failed ? err_exit_code(ERR_RUN_FAILED) : 0;
        }
        if (is_gone) {
            progress_clear(&follow->progress);
            return HOLDER_GONE;
        }
        (void)usleep(POLL_US);
    }
    progress_clear(&follow->progress);
    fprintf(stderr, "detached: what holds the state folder goes on with it\n");
    return RUN_INTERRUPTED;
}

int run_remote(struct run_plan *plan)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    struct follow follow;
    struct err err = {0};
    bool is_gone = false;
    int exit_code = HOLDER_GONE;

    (void)sigaction(SIGINT, &action, NULL);
    follow_init(&follow, plan->settings->state_folder, plan->dag->dag_id);
    int64_t seq = follow_last_seq(&follow);
    if (plan->begun != 0 || begin(&follow, plan, &is_gone, &err)) {
        if (plan->is_backfill)
            follow_backfill(&follow, plan->begun, seq);
        else
            follow_run(&follow, plan->begun, seq);
        exit_code = follow_to_end(&follow);
    } else if (!is_gone) {
        describe_run(plan->settings->state_folder, &err);
        exit_code = is_interrupted ? RUN_INTERRUPTED : command_fail(&err);
    }
    follow_release(&follow);
    return exit_code;
}
