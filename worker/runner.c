#include "worker/runner.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "millrace/messages.h"
#include "worker/command.h"
#include "worker/environ.h"
#include "worker/folder.h"
#include "worker/guard.h"
#include "worker/serve.h"
#include "worker/shared.h"
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES 65536

enum runner_mode { RUNNER_DATA, RUNNER_SHARED, RUNNER_LIGHT };

struct runner {
    struct supervisor *supervisor;
    struct child *child;
    struct job *job; /* of a data or light runner */
    uv_poll_t poll;
    int fd; /* -1 = its end was closed */
    enum runner_mode mode;
    bool is_ready;
    bool is_failed; /* it said why it can't start */
    bool is_poll_open;
    int events;   /* that the poll waits for: to set it anew costs two calls of the system */
    bool is_gone; /* the process was reaped: free once the handle is closed */
    struct buf in;
    struct buf out;
    bool is_listing; /* shared: attempts are being added to a frame, which begins … */
    size_t list_frame;
    struct runner *next;
};

static void runner_read(struct runner *runner);

bool runners_open(struct runners *runners, struct err *err)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len <= 0)
        return err_errno(err, "find this executable");
    self[len] = '\0';
    char *path = fs_join(dirname(self), "millrace-runner");
    runners->program_fd = open(path, O_PATH | O_CLOEXEC);
    if (runners->program_fd < 0)
        err_set(err, ERR_NOT_FOUND, "%s: %s; install it beside millrace-worker", path,
                strerror(errno));
    free(path);
    return runners->program_fd >= 0;
}

void runners_close(struct runners *runners)
{
    (void)close(runners->program_fd);
}

static void free_when_closed(struct runner *runner)
{
    if (runner->is_poll_open || !runner->is_gone)
        return;
    buf_release(&runner->in);
    buf_release(&runner->out);
    free(runner);
}

static void poll_closed(uv_handle_t *handle)
{
    struct runner *runner = handle->data;

    runner->is_poll_open = false;
    free_when_closed(runner);
}

/* As in child.c: the handle goes before the descriptor. */
static void socket_end(struct runner *runner)
{
    if (runner->fd < 0)
        return;
    uv_close((uv_handle_t *)&runner->poll, poll_closed);
    (void)close(runner->fd);
    runner->fd = -1;
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct runner *runner = poll->data;

    (void)status;
    (void)events;
    busypoll_begin(&runner->supervisor->busypoll);
    runner_read(runner);
    runner_flush_all(runner->supervisor);
}

static void watch(struct runner *runner)
{
    int events = UV_READABLE | (runner->out.len > 0 ? UV_WRITABLE : 0);

    if (events == runner->events)
        return;
    runner->events = events;
    (void)uv_poll_start(&runner->poll, events, on_socket);
}

static void end_list(struct runner *runner)
{
    if (!runner->is_listing)
        return;
    runner->is_listing = false;
    buf_add_text(&runner->out, "]}");
    wire_end(&runner->out, runner->list_frame);
}

static void runner_flush(struct runner *runner)
{
    end_list(runner);
    if (runner->fd < 0 || runner->out.len == 0)
        return;
    while (runner->out.len > 0) {
        ssize_t n = send(runner->fd, runner->out.ptr, runner->out.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* full: the poll tells when there is room; gone: its end tells */
        buf_consume(&runner->out, (size_t)n);
    }
    watch(runner);
}

void runner_flush_all(struct supervisor *supervisor)
{
    for (struct runner *r = supervisor->runners.first; r != NULL; r = r->next)
        runner_flush(r);
}

/* The copy has the command line of a runner that was started as a program. */
static void serve_shared(void *context)
{
    static const char line[] = "millrace-worker\0--runner\0" SERVE_MODE_SHARED;
    const struct worker_options *options = context;

    if (options->command_bytes >= sizeof(line)) {
        memset(options->command_line, 0, options->command_bytes);
        memcpy(options->command_line, line, sizeof(line));
    }
    shared_serve();
}

static void launch_process(struct runner *runner, bool as_copy, int socket_fd, struct err *err)
{
    struct supervisor *supervisor = runner->supervisor;
    struct worker_options copied = *supervisor->options;
    struct arena arena = {0};
    const struct environ_extra extras[] = {
        {GUARD_VARIABLE, supervisor->instance.id}
    };
    char self[] = "/proc/self/exe";
    char runner_program[64];
    char worker_name[] = "millrace-worker";
    char runner_name[] = "millrace-runner";
    char flag[] = "--runner";
    char data[] = SERVE_MODE_DATA;
    char shared[] = SERVE_MODE_SHARED;
    char light[] = SERVE_MODE_LIGHT;
    char *const modes[] = {data, shared, light};
    bool is_shared = runner->mode == RUNNER_SHARED;
    char *argv[] = {is_shared ? worker_name : runner_name, flag, modes[runner->mode], NULL};
    struct launch launch = {.program = is_shared ? self : runner_program,
                            .copy = as_copy ? serve_shared : NULL,
                            .context = &copied,
                            .argv = argv,
                            .socket_fd = socket_fd};

    /* The child closes its own copy before it execs: the path goes by ours. */
    (void)snprintf(runner_program, sizeof(runner_program), "/proc/%d/fd/%d", (int)getpid(),
                   supervisor->runners.program_fd);
    launch.envp = environ_build(&arena, environ, NULL, extras, 1);
    runner->child = child_start(&supervisor->loop, &launch, err);
    if (runner->child == NULL)
        err_wrap(err, "%s", argv[0]); /* the path says nothing to anybody */
    arena_release(&arena);
}

static struct runner *runner_make(struct supervisor *supervisor, enum runner_mode mode,
                                  bool as_copy, struct err *err)
{
    struct runner *runner = mem_alloc(sizeof(*runner));
    int ends[2];

    runner->supervisor = supervisor;
    runner->mode = mode;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        (void)err_errno(err, "a socket for a runner");
        free(runner);
        return NULL;
    }
    launch_process(runner, as_copy, ends[1], err);
    (void)close(ends[1]);
    if (runner->child == NULL) {
        (void)close(ends[0]);
        free(runner);
        return NULL;
    }
    /* Only our end: the runner reads and writes its own in order, and waits when it must. */
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    runner->child->runner = runner;
    HASH_ADD(hh, supervisor->children, pid, sizeof(runner->child->pid), runner->child);
    runner->fd = ends[0];
    runner->poll.data = runner;
    runner->is_poll_open = true;
    (void)uv_poll_init(&supervisor->loop, &runner->poll, runner->fd);
    watch(runner);
    runner->next = supervisor->runners.first;
    supervisor->runners.first = runner;
    return runner;
}

static struct runner *runner_new(struct supervisor *supervisor, enum runner_mode mode,
                                 struct err *err)
{
    return runner_make(supervisor, mode, false, err);
}

void runner_start_early(struct supervisor *supervisor)
{
    struct err err = {0};

    supervisor->runners.shared = runner_make(supervisor, RUNNER_SHARED, true, &err);
    if (supervisor->runners.shared == NULL)
        log_warn("runner_failed", "error=\"%s\"", err.message);
}

/* A free runner, a ready one before one that is still starting. */
static struct runner *find_free(const struct supervisor *supervisor, enum runner_mode mode)
{
    struct runner *starting = NULL;

    for (struct runner *r = supervisor->runners.first; r != NULL; r = r->next) {
        if (r->mode != mode || r->job != NULL || r->fd < 0)
            continue;
        if (r->is_ready)
            return r;
        starting = r;
    }
    return starting;
}

void runner_fill(struct supervisor *supervisor)
{
    struct err err = {0};
    int64_t wanted = supervisor->runners.is_warm ? supervisor->options->slots : 1;
    int64_t have = 0;

    for (struct runner *r = supervisor->runners.first; r != NULL; r = r->next)
        have += r->mode == RUNNER_DATA && r->job == NULL && r->fd >= 0;
    for (; have < wanted && supervisor->signals_seen == 0; have++)
        if (runner_new(supervisor, RUNNER_DATA, &err) == NULL) {
            log_warn("runner_failed", "error=\"%s\"", err.message);
            return;
        }
}

/* A shared kind is told of nothing but its options, so that attempts of any runs go in one frame. */
static void hand_over_shared(struct runner *runner, const struct job *job)
{
    const json_t *options = json_object_get(job->start, "options");
    struct jw w = {.out = &runner->out};

    if (runner->is_listing && runner->out.len - runner->list_frame > MESSAGES_BATCH_BYTES)
        end_list(runner);
    if (runner->is_listing) {
        buf_add_char(&runner->out, ',');
    } else {
        runner->is_listing = true;
        runner->list_frame = wire_begin(&runner->out);
        buf_add_text(&runner->out, "{\"kind\":\"" MESSAGE_ATTEMPT "\",\"attempts\":[");
    }
    jw_begin_object(&w);
    jw_kv_string(&w, "token", job->token);
    jw_kv_string(&w, "task_kind", job->kind->name);
    if (options != NULL) {
        jw_key(&w, "options");
        json_dump_ordered(options, &runner->out);
    }
    jw_end_object(&w);
}

/* The `attempt` document: what the scheduler sent, and what the worker adds. */
static void hand_over(struct runner *runner, struct job *job)
{
    const struct worker_options *options = runner->supervisor->options;
    char *temp = job->folder == NULL ? NULL : folder_path(job, FOLDER_TEMP);
    json_t *start = job->start;

    (void)json_object_set_new(start, "kind", json_string(MESSAGE_ATTEMPT));
    if (temp != NULL) {
        int64_t threads = get_nprocs() / options->slots;
        (void)json_object_set_new(start, "folder", json_string(job->folder));
        (void)json_object_set_new(start, "temp", json_string(temp));
        (void)json_object_set_new(start, "memory", json_integer(options->memory_bytes));
        (void)json_object_set_new(start, "staging", json_integer(options->staging_us));
        (void)json_object_set_new(start, "threads", json_integer(threads < 1 ? 1 : threads));
    }
    size_t at = wire_begin(&runner->out);
    json_dump_ordered(start, &runner->out);
    wire_end(&runner->out, at);
    free(temp);
}

bool runner_start_job(struct job *job)
{
    struct supervisor *supervisor = job->supervisor;
    struct err err = {0};
    struct runner *runner = NULL;

    supervisor->runners.is_warm = true;
    if (folder_make(job, &err)) {
        runner = find_free(supervisor, RUNNER_DATA);
        if (runner == NULL)
            runner = runner_new(supervisor, RUNNER_DATA, &err);
    }
    if (runner == NULL) {
        job_judge(job, OUTCOME_FAILED, "%s", err.message);
        return false;
    }
    attempt_log_note(&job->log, "attempt %lld: %s", (long long)job->try_number, job->kind->name);
    runner->job = job;
    job->runner = runner;
    job->child = runner->child;
    job->group = runner->child->pid;
    child_set_log(runner->child, &job->log);
    hand_over(runner, job);
    runner_flush(runner);
    runner_fill(supervisor);
    return true;
}

bool runner_start_shared(struct job *job)
{
    struct supervisor *supervisor = job->supervisor;
    struct err err = {0};

    if (supervisor->runners.shared == NULL)
        supervisor->runners.shared = runner_new(supervisor, RUNNER_SHARED, &err);
    if (supervisor->runners.shared == NULL) {
        job_judge(job, OUTCOME_FAILED, "%s", err.message);
        return false;
    }
    job->runner = supervisor->runners.shared;
    hand_over_shared(job->runner, job);
    return true;
}

bool runner_start_light(struct job *job)
{
    struct supervisor *supervisor = job->supervisor;
    struct err err = {0};
    struct runner *runner = find_free(supervisor, RUNNER_LIGHT);

    if (runner == NULL)
        runner = runner_new(supervisor, RUNNER_LIGHT, &err);
    if (runner == NULL) {
        job_judge(job, OUTCOME_FAILED, "%s", err.message);
        return false;
    }
    runner->job = job;
    job->runner = runner;
    child_set_log(runner->child, &job->log);
    hand_over(runner, job);
    return true;
}

void runner_release_light(struct job *job)
{
    struct runner *runner = job->runner;

    if (runner == NULL)
        return;
    child_drain(runner->child);
    runner->child->log = NULL;
    runner->job = NULL;
    job->runner = NULL;
}

void runner_kill_light(struct job *job)
{
    if (job->runner == NULL)
        return;
    (void)kill(job->runner->child->pid, SIGKILL);
    socket_end(job->runner); /* it is free for nobody */
}

/* A runner that can't start: if none ever could, no data attempt will, and the worker says so. */
static void start_failed(struct runner *runner, const char *reason)
{
    struct supervisor *supervisor = runner->supervisor;

    if (runner->is_failed)
        return;
    runner->is_failed = true;
    log_error("runner_failed", "error=\"%s\"", reason);
    if (!supervisor->runners.is_proven)
        supervisor_exit(supervisor, 1);
}

/* The job that an answer is of; NULL if it was stopped meanwhile. */
static struct job *job_of(struct runner *runner, const char *token)
{
    struct job *job = runner->job;

    if (runner->mode != RUNNER_DATA)
        job = token == NULL ? NULL : job_find(runner->supervisor, token);
    return job != NULL && job->runner == runner ? job : NULL;
}

static void answered(struct runner *runner, struct job *job, enum outcome outcome,
                     const char *reason)
{
    job_judge(job, outcome, "%s", reason);
    if (runner->mode != RUNNER_DATA)
        job_handle(job, JOB_FINISHED);
}

static void take_result(struct runner *runner, const json_t *result)
{
    struct job *job = job_of(runner, json_get_string(result, "token", NULL));
    const char *reason = json_get_string(result, "reason", "");
    enum outcome outcome = OUTCOME_FAILED;
    json_t *outputs = json_object_get(result, "outputs");
    json_t *datasets = json_object_get(result, "datasets");

    if (runner->mode == RUNNER_DATA && !runner->is_ready)
        start_failed(runner, reason);
    if (job == NULL)
        return;
    if (!outcome_parse(str_from(json_get_string(result, "outcome", "")), &outcome))
        log_error("result_unknown", "token=%s", job->token);
    if (!job->is_judged && json_object_size(outputs) > 0)
        job->outputs = json_incref(outputs);
    if (!job->is_judged && json_object_size(datasets) > 0)
        job->datasets = json_incref(datasets);
    answered(runner, job, outcome, reason);
}

static void take_results(struct runner *runner, const json_t *results)
{
    for (size_t i = 0; i < json_array_size(results); i++)
        take_result(runner, json_array_get(results, i));
}

static void take_done(struct runner *runner, const json_t *tokens)
{
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        struct job *job = job_of(runner, json_string_value(json_array_get(tokens, i)));

        if (job != NULL)
            answered(runner, job, OUTCOME_SUCCESS, "");
    }
}

static void take_frames(struct runner *runner)
{
    size_t offset = 0;
    struct str document;

    while (wire_next(buf_str(&runner->in), &offset, &document) == WIRE_FRAME) {
        struct err err = {0};
        json_t *parsed = json_parse(document, &err);
        const char *kind = json_get_string(parsed, "kind", "");

        if (strcmp(kind, MESSAGE_READY) == 0) {
            runner->is_ready = true;
            runner->supervisor->runners.is_proven |= runner->mode == RUNNER_DATA;
        } else if (strcmp(kind, MESSAGE_RESULT) == 0) {
            take_results(runner, json_object_get(parsed, "results"));
        } else if (strcmp(kind, MESSAGE_DONE) == 0) {
            take_done(runner, json_object_get(parsed, "tokens"));
        } else {
            log_error("runner_frame", "pid=%d kind=\"%s\"", (int)runner->child->pid, kind);
        }
        json_decref(parsed);
    }
    buf_consume(&runner->in, offset);
}

static void runner_read(struct runner *runner)
{
    char piece[READ_BYTES];
    ssize_t n = sizeof(piece);

    while (runner->fd >= 0 && n == sizeof(piece)) {
        n = recv(runner->fd, piece, sizeof(piece), 0);

        if (n < 0 && errno == EINTR)
            n = sizeof(piece);
        else if (n > 0)
            buf_add(&runner->in, piece, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
            socket_end(runner);
    }
    take_frames(runner);
}

static void unlink_runner(struct runner *runner)
{
    struct runners *runners = &runner->supervisor->runners;

    for (struct runner **at = &runners->first; *at != NULL; at = &(*at)->next)
        if (*at == runner) {
            *at = runner->next;
            break;
        }
    if (runners->shared == runner)
        runners->shared = NULL;
}

/* The last thing a runner that could not start wrote: why. */
static const char *early_text(struct child *child)
{
    child_drain(child);
    while (child->early.len > 0 && child->early.ptr[child->early.len - 1] == '\n')
        child->early.ptr[--child->early.len] = '\0';
    return child->early.len == 0 ? "it said nothing" : buf_text(&child->early);
}

/* The jobs a shared runner took with it. */
static void fail_shared(struct runner *runner)
{
    struct job *job;
    struct job *next;

    HASH_ITER(hh, runner->supervisor->jobs, job, next)
    {
        if (job->runner != runner || job->state != JOB_RUNNING)
            continue;
        job_judge(job, OUTCOME_FAILED, "the runner it was handed to has ended: %s",
                  early_text(runner->child));
        job_handle(job, JOB_FINISHED);
    }
}

void runner_exited(struct runner *runner, int status)
{
    struct supervisor *supervisor = runner->supervisor;
    struct job *job = runner->job;

    runner_read(runner);
    socket_end(runner);
    unlink_runner(runner);
    if (runner->mode == RUNNER_SHARED)
        fail_shared(runner);
    if (job != NULL && runner->mode == RUNNER_LIGHT) {
        command_judge_status(job, status);
        job_judge(job, OUTCOME_FAILED, "the runner ended without a result");
        job_handle(job, JOB_FINISHED);
        child_free(runner->child);
    } else if (job != NULL) {
        command_judge_status(job, status);
        job_judge(job, OUTCOME_FAILED, "the runner ended without a result");
        job->runner = NULL;
        job_handle(job, JOB_EXITED); /* closes the child */
    } else {
        if (runner->mode == RUNNER_DATA && !runner->is_ready && supervisor->signals_seen == 0)
            start_failed(runner, early_text(runner->child));
        child_free(runner->child);
    }
    runner->is_gone = true;
    free_when_closed(runner);
}

void runner_kill_idle(struct supervisor *supervisor)
{
    for (struct runner *r = supervisor->runners.first; r != NULL; r = r->next)
        if (r->job == NULL && r->mode == RUNNER_DATA)
            (void)kill(r->child->pid, SIGKILL);
}

void runner_kill_all(struct supervisor *supervisor)
{
    struct runner *runner;

    while ((runner = supervisor->runners.first) != NULL) {
        struct child *child = runner->child;

        (void)kill(child->pid, SIGKILL);
        HASH_DELETE(hh, supervisor->children, child);
        if (runner->job != NULL)
            runner->job->child = NULL;
        child->log = NULL;
        child_free(child);
        socket_end(runner);
        unlink_runner(runner);
        runner->is_gone = true;
        free_when_closed(runner);
    }
}
