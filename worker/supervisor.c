#include "worker/supervisor.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "millrace/messages.h"
#include "worker/guard.h"
#include "worker/reap.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

/* More attempts than slots, so that a free slot never waits for the scheduler while attempts are
 * short; with long ones the scheduler makes no use of it. */
#define BACKLOG(slots) (24 * (slots))
#define SHARED_SLOTS 1024

/* How many things are looked at, and how many callbacks made, at once. */
#define LIGHT_SLOTS 8
#define CALLBACK_SLOTS 4

#define ALONE_US (10 * US_PER_MINUTE) /* without work and without scheduler: end */
#define DRAIN_US (10 * US_PER_SECOND) /* results nobody takes, after a request to end */
#define DRAIN_LOOK_MS 100
#define WARM_UP_MS 100

/* An attempt that is over by then is told of once, with its end, which says when it started: that
 * saves the scheduler a third of its work when attempts are many and short. */
#define ANNOUNCE_MS 10
#define HOLD_MS 5

/* What comes after the end of a task takes a commit. */
#define BUSYPOLL_US 400

/* --- to the scheduler ------------------------------------------------------------------------ */

static void send_hello(struct supervisor *s)
{
    const struct worker_options *options = s->options;
    struct buf *out = connection_out(s->connection);
    struct jw w = {.out = out};
    size_t start = wire_begin(out);
    struct job *job;
    struct job *next;

    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_WORKER_HELLO);
    jw_kv_int(&w, "protocol", MESSAGES_PROTOCOL);
    jw_kv_string(&w, "instance", s->instance.id);
    jw_kv_int(&w, "pid", getpid());
    jw_kv_int(&w, "slots", options->slots);
    jw_kv_int(&w, "backlog", BACKLOG(options->slots));
    jw_kv_int(&w, "shared_slots", SHARED_SLOTS);
    jw_kv_int(&w, "light_slots", LIGHT_SLOTS);
    jw_kv_int(&w, "callback_slots", CALLBACK_SLOTS);
    jw_key(&w, "tokens");
    jw_begin_array(&w);
    HASH_ITER(hh, s->jobs, job, next)
    {
        jw_string(&w, job->token);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    wire_end(out, start);
}

static void send_started(struct supervisor *s, struct job *job)
{
    struct buf *out = connection_out(s->connection);
    struct jw w = {.out = out};
    size_t start;

    job->is_announced = true;
    if (!s->is_welcome || job->child == NULL)
        return;
    start = wire_begin(out);
    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_STARTED);
    jw_kv_string(&w, "token", job->token);
    jw_kv_int(&w, "pid", job->child->pid);
    jw_kv_int(&w, "at", job->started_at_us);
    jw_end_object(&w);
    wire_end(out, start);
}

static bool has_process(const struct job *job)
{
    return job->child != NULL && job->state != JOB_ENDED;
}

static void on_announce(uv_timer_t *timer)
{
    struct supervisor *s = timer->data;
    int64_t old_us = clock_mono_us() - ANNOUNCE_MS * US_PER_MS;
    struct job *job;
    struct job *next;

    HASH_ITER(hh, s->jobs, job, next)
    {
        if (job->is_announced || !has_process(job))
            continue;
        if (job->started_mono_us <= old_us)
            send_started(s, job);
        else
            supervisor_announce(s);
    }
}

void supervisor_announce(struct supervisor *s)
{
    if (!uv_is_active((uv_handle_t *)&s->announce))
        (void)uv_timer_start(&s->announce, on_announce, ANNOUNCE_MS, 0);
}

void supervisor_send_ended(struct supervisor *s, const struct job *job)
{
    if (s->is_welcome)
        connection_add_item(s->connection, job->is_short ? MESSAGE_DONE : MESSAGE_ENDED, "results",
                            buf_str(&job->ended));
}

/* --- from the scheduler ---------------------------------------------------------------------- */

/* The first runner is started in the first idle moment with a scheduler: its start costs more than
 * many a small task, and a data attempt that can't wait for it starts its own. It also proves that
 * DuckDB is there and right. */
static void on_warm_up(uv_timer_t *timer)
{
    struct supervisor *s = timer->data;

    if (s->jobs == NULL)
        runner_fill(s);
    else
        (void)uv_timer_start(timer, on_warm_up, WARM_UP_MS, 0);
}

static bool take_number(const json_t *document, const char *key, int64_t min, int64_t max,
                        int64_t *number)
{
    int64_t told = json_get_int(document, key, *number);

    if (told == *number || told < min || told > max)
        return false;
    *number = told;
    return true;
}

/* Whether the scheduler wants other slots or limits than we have, which are then ours. Attempts
 * that run keep what they were started with. */
static bool take_settings(struct supervisor *s, const json_t *document)
{
    struct worker_options *options = s->options;
    int64_t staging_s = options->staging_us / US_PER_SECOND;

    if (!options->is_managed)
        return false;
    bool has_slots = take_number(document, "slots", 1, WORKER_SLOTS_MAX, &options->slots);
    bool has_memory =
        take_number(document, "memory", WORKER_MEMORY_BYTES_MIN, INT64_MAX, &options->memory_bytes);
    bool has_staging = take_number(document, "staging", 0, INT64_MAX / US_PER_SECOND, &staging_s);

    options->staging_us = staging_s * US_PER_SECOND;
    if (has_slots || has_memory)
        log_info("settings_taken", "slots=%lld memory=%lld", (long long)options->slots,
                 (long long)options->memory_bytes);
    return has_slots || has_memory || has_staging;
}

/* Everything that happened while nobody listened, or that the scheduler may have lost. */
static bool take_welcome(struct supervisor *s, json_t *document)
{
    int64_t epoch = json_get_int(document, "epoch", 0);
    struct job *job;
    struct job *next;

    if (epoch < s->epoch) {
        log_error("scheduler_refused", "epoch=%lld known=%lld", (long long)epoch,
                  (long long)s->epoch);
        return false;
    }
    if (json_get_int(document, "protocol", 0) != MESSAGES_PROTOCOL) {
        log_error("scheduler_refused", "error=\"it speaks another protocol version\"");
        return false;
    }
    s->epoch = epoch;
    if (take_settings(s, document)) {
        connection_again(s->connection); /* the next hello tells of them */
        return true;
    }
    s->is_welcome = true;
    (void)uv_timer_start(&s->warm_up, on_warm_up, WARM_UP_MS, 0);
    connection_settle(s->connection);
    log_info("connected", "epoch=%lld jobs=%u", (long long)epoch, HASH_COUNT(s->jobs));
    HASH_ITER(hh, s->jobs, job, next)
    {
        if (job->state == JOB_ENDED)
            supervisor_send_ended(s, job);
        else if (has_process(job))
            send_started(s, job);
    }
    return true;
}

static bool take_attempt(struct supervisor *s, json_t *start, json_t *attempt)
{
    struct err err = {0};
    struct job *job = job_find(s, json_get_string(attempt, "token", ""));

    if (job != NULL) {
        /* Repeated: a token is started once. A result that got lost is told again. */
        if (job->state == JOB_ENDED)
            supervisor_send_ended(s, job);
        return true;
    }
    job = job_new(s, start, attempt, &err);
    if (job == NULL) {
        log_error("start_refused", "error=\"%s\"", err.message);
        return false;
    }
    if (s->signals_seen > 0)
        job_judge(job, OUTCOME_WORKER_LOST, "the worker ended before it started");
    if (job->is_judged)
        job_handle(job, JOB_STOP);
    else if (job->class == TASK_CLASS_SHARED || job->class == TASK_CLASS_LIGHT || job->is_callback)
        job_handle(job, JOB_START);
    else
        DL_APPEND(s->waiting_first, job);
    return true;
}

static bool take_start(struct supervisor *s, json_t *document)
{
    const char *worker = json_get_string(document, "worker", "");
    const json_t *attempts = json_object_get(document, "attempts");

    if (strcmp(worker, s->instance.id) != 0) {
        log_error("start_refused", "error=\"it is bound to the worker %s\"", worker);
        return true;
    }
    for (size_t i = 0; i < json_array_size(attempts); i++)
        if (!take_attempt(s, document, json_array_get(attempts, i)))
            return false;
    runner_flush_all(s); /* they begin while the next frame is read */
    return true;
}

static void stop_job(struct supervisor *s, struct job *job, enum outcome outcome,
                     const char *reason)
{
    if (job->state == JOB_WAITING)
        DL_DELETE(s->waiting_first, job);
    if (job->state <= JOB_RUNNING)
        job_judge(job, outcome, "%s", reason);
    job_handle(job, JOB_STOP);
}

static bool take_stop(struct supervisor *s, json_t *document)
{
    struct job *job = job_find(s, json_get_string(document, "token", ""));

    if (job != NULL)
        stop_job(s, job, OUTCOME_STOPPED, json_get_string(document, "reason", "stopped"));
    return true;
}

static void look_for_end(struct supervisor *s);

static bool take_ack(struct supervisor *s, json_t *document)
{
    const json_t *tokens = json_object_get(document, "tokens");

    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const char *token = json_string_value(json_array_get(tokens, i));
        struct job *job = token == NULL ? NULL : job_find(s, token);
        if (job != NULL && job->state == JOB_ENDED)
            job_free(job);
        else if (job != NULL)
            log_error("ack_refused", "token=%s state=%s", job->token, job_state_name(job->state));
    }
    look_for_end(s);
    return true;
}

static const struct message {
    const char *kind;
    bool (*take)(struct supervisor *supervisor, json_t *document);
} messages[] = {
    {MESSAGE_WELCOME, take_welcome},
    {MESSAGE_START,   take_start  },
    {MESSAGE_STOP,    take_stop   },
    {MESSAGE_ACK,     take_ack    },
};

static bool on_message(void *context, json_t *document)
{
    struct supervisor *s = context;
    const char *kind = json_get_string(document, "kind", "");

    busypoll_begin(&s->busypoll);
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        if (strcmp(messages[i].kind, kind) == 0)
            return messages[i].take(s, document);
    log_error("message_unknown", "kind=\"%s\"", kind);
    return false;
}

static void on_connected(void *context)
{
    send_hello(context);
}

static void on_disconnected(void *context)
{
    struct supervisor *s = context;
    int64_t now_us = clock_mono_us();
    int64_t since_us = connection_down_since_us(s->connection);

    s->is_welcome = false;
    if (s->running > 0 || s->waiting_first != NULL)
        return;
    if (s->last_ended_us > since_us)
        since_us = s->last_ended_us;
    if (now_us - since_us < ALONE_US)
        return;
    log_info("alone", "reason=\"no work, and no scheduler for ten minutes\"");
    supervisor_exit(s, 0);
}

/* --- slots and deadlines --------------------------------------------------------------------- */

void supervisor_fill_slots(struct supervisor *s)
{
    /* A job that fails to start ends at once and comes back here: the outer call goes on. */
    if (s->is_filling)
        return;
    s->is_filling = true;
    while (s->running < s->options->slots && s->waiting_first != NULL) {
        struct job *job = s->waiting_first;

        DL_DELETE(s->waiting_first, job);
        job_handle(job, JOB_START);
    }
    s->is_filling = false;
}

static void on_deadline(uv_timer_t *timer)
{
    struct supervisor *s = timer->data;
    int64_t next_us;

    s->deadline_us = 0;
    next_us = job_check_deadlines(s, clock_mono_us());
    if (next_us != 0)
        supervisor_arm(s, next_us);
}

void supervisor_arm(struct supervisor *s, int64_t deadline_us)
{
    int64_t wait_us = deadline_us - clock_mono_us();

    if (s->deadline_us != 0 && s->deadline_us <= deadline_us)
        return;
    s->deadline_us = deadline_us;
    /* Rounded up: an early timer would find nothing due and be set again. */
    (void)uv_timer_start(&s->deadline, on_deadline,
                         wait_us <= 0 ? 0 : (uint64_t)(wait_us / US_PER_MS) + 1, 0);
}

/* --- the end --------------------------------------------------------------------------------- */

void supervisor_exit(struct supervisor *s, int code)
{
    s->exit_code = code;
    uv_stop(&s->loop);
}

/* After a request to end: everything has ended and was taken, or nobody takes it. */
static void look_for_end(struct supervisor *s)
{
    int64_t since_us = s->signalled_at_us;

    if (s->signals_seen == 0 || s->running > 0)
        return;
    if (s->last_ended_us > since_us)
        since_us = s->last_ended_us;
    if (s->jobs == NULL || clock_mono_us() - since_us > DRAIN_US)
        supervisor_exit(s, 0);
}

static void on_drain(uv_timer_t *timer)
{
    look_for_end(timer->data);
}

/* The first request: no new attempts, those that run may end. What has not started is given back,
 * told as never started, so that another worker can have it at once. */
static void begin_drain(struct supervisor *s)
{
    struct job *job;
    struct job *next;

    log_info("draining", "running=%lld", (long long)s->running);
    (void)uv_timer_start(&s->drain, on_drain, DRAIN_LOOK_MS, DRAIN_LOOK_MS);
    DL_FOREACH_SAFE(s->waiting_first, job, next)
    stop_job(s, job, OUTCOME_WORKER_LOST, "the worker ended before it started");
    runner_kill_idle(s);
}

static void on_end_signal(uv_signal_t *handle, int number)
{
    struct supervisor *s = handle->data;
    struct job *job;
    struct job *next;

    (void)number;
    if (s->signals_seen++ == 0) {
        s->signalled_at_us = clock_mono_us();
        begin_drain(s);
    } else {
        log_info("stopping", "running=%lld", (long long)s->running);
        HASH_ITER(hh, s->jobs, job, next)
        {
            stop_job(s, job, OUTCOME_WORKER_LOST, "the worker was stopped");
        }
    }
    look_for_end(s);
}

/* --- set-up and loop ------------------------------------------------------------------------- */

static void on_child_signal(uv_signal_t *handle, int number)
{
    (void)number;
    reap_children(handle->data);
}

/* One write for all that a turn has to say. */
static void on_hold_over(uv_timer_t *timer)
{
    (void)timer; /* it was armed to begin a turn, at whose end on_flush() runs */
}

/* While attempts wait in line no slot depends on an answer: results are then held back a moment, so
 * that the scheduler commits several at once. */
static bool is_held(struct supervisor *s)
{
    if (!connection_has_frames(s->connection) || s->waiting_first == NULL) {
        s->held_since_ms = 0;
        return false;
    }
    if (s->held_since_ms == 0) {
        s->held_since_ms = uv_now(&s->loop);
        (void)uv_timer_start(&s->hold, on_hold_over, HOLD_MS, 0);
    }
    if (uv_now(&s->loop) - s->held_since_ms < HOLD_MS)
        return true;
    s->held_since_ms = 0;
    return false;
}

static void on_idle(uv_idle_t *idle)
{
    const struct supervisor *s = idle->data;

    if (!busypoll_goes_on(&s->busypoll))
        (void)uv_idle_stop(idle);
}

static void on_flush(uv_prepare_t *handle)
{
    struct supervisor *s = handle->data;

    supervisor_fill_slots(s);
    runner_flush_all(s);
    if (!is_held(s))
        connection_flush(s->connection);
    if (s->running == 0 && busypoll_end(&s->busypoll)) /* else the processors are theirs */
        (void)uv_idle_start(&s->idle, on_idle);
}

static void open_handles(struct supervisor *s)
{
    (void)uv_loop_init(&s->loop);
    s->loop.data = s;
    (void)uv_prepare_init(&s->loop, &s->flush);
    (void)uv_timer_init(&s->loop, &s->deadline);
    (void)uv_timer_init(&s->loop, &s->warm_up);
    (void)uv_timer_init(&s->loop, &s->drain);
    (void)uv_timer_init(&s->loop, &s->announce);
    (void)uv_timer_init(&s->loop, &s->hold);
    (void)uv_idle_init(&s->loop, &s->idle);
    (void)uv_signal_init(&s->loop, &s->on_child);
    (void)uv_signal_init(&s->loop, &s->on_term);
    (void)uv_signal_init(&s->loop, &s->on_int);
    s->busypoll.window_us = BUSYPOLL_US;
    s->idle.data = s->flush.data = s->deadline.data = s->warm_up.data = s->drain.data = s->announce.data = s;
    s->on_child.data = s->on_term.data = s->on_int.data = s;
    (void)uv_prepare_start(&s->flush, on_flush);
    (void)uv_signal_start(&s->on_child, on_child_signal, SIGCHLD);
    (void)uv_signal_start(&s->on_term, on_end_signal, SIGTERM);
    (void)uv_signal_start(&s->on_int, on_end_signal, SIGINT);
}

static bool supervisor_open(struct supervisor *s, struct err *err)
{
    const struct connection_handler handler = {
        .context = s,
        .connected = on_connected,
        .received = on_message,
        .disconnected = on_disconnected,
    };
    char *path;

    if (!runners_open(&s->runners, err))
        return false;
    if (!instance_open(&s->instance, s->options->state_folder, err)) {
        runners_close(&s->runners);
        return false;
    }
    if (!guard_start(&s->instance, &s->guard, &s->guard_fd, err) ||
        !folders_open(&s->folders, s->options->state_folder, s->instance.id, err)) {
        folders_close(&s->folders);
        instance_close(&s->instance);
        runners_close(&s->runners);
        return false;
    }
    reap_init();
    (void)signal(SIGPIPE, SIG_IGN);
    open_handles(s);
    runner_start_early(s);
    path = fs_join(s->options->state_folder, STATE_SCHEDULER_SOCKET);
    s->connection = connection_open(&s->loop, path, &handler);
    free(path);
    return true;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* The children that are left die with the worker; the guard sees to the rest. */
static void supervisor_close(struct supervisor *s)
{
    struct job *job;
    struct job *next;

    connection_flush(s->connection);
    connection_close(s->connection);
    runner_kill_all(s);
    HASH_ITER(hh, s->jobs, job, next)
    {
        job_free(job);
    }
    uv_walk(&s->loop, close_handle, NULL);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&s->loop);
    folders_close(&s->folders);
    instance_close(&s->instance);
    runners_close(&s->runners);
    (void)close(s->guard_fd);
}

int worker_run(struct worker_options *options)
{
    struct supervisor *s = mem_alloc(sizeof(*s));
    struct err err = {0};
    int code = 1;

    s->options = options;
    if (!supervisor_open(s, &err)) {
        log_error("worker_failed", "error=\"%s\"", err.message);
    } else {
        log_info("worker_started", "instance=%s slots=%lld", s->instance.id,
                 (long long)options->slots);
        (void)uv_run(&s->loop, UV_RUN_DEFAULT);
        code = s->exit_code;
        supervisor_close(s);
    }
    free(s);
    return code;
}
