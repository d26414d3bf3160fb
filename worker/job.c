#include "worker/job.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "millrace/messages.h"
#include "worker/command.h"
#include "worker/folder.h"
#include "worker/reap.h"
#include "worker/supervisor.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_US (5 * US_PER_SECOND)
#define KILL_AGAIN_US (10 * US_PER_SECOND)
/* Of a light job without a timeout of its own: it must not hold its place for ever. */
#define LIGHT_TIMEOUT_US (5 * US_PER_MINUTE)
#define CLEAR_AGAIN_US (100 * US_PER_MS)

typedef void (*job_action)(struct job *job);

const char *job_state_name(enum job_state state)
{
    static const char *const names[JOB_STATE_COUNT] = {
        "waiting", "launching", "running", "stopping", "killing", "clearing", "ended"};
    return names[state];
}

void job_judge(struct job *job, enum outcome outcome, const char *format, ...)
{
    struct buf reason = {0};
    va_list args;

    if (job->is_judged)
        return;
    va_start(args, format);
    buf_vprintf(&reason, format, args);
    va_end(args);
    job->is_judged = true;
    job->outcome = outcome;
    job->reason = reason.len == 0 ? NULL : buf_take(&reason);
    buf_release(&reason);
}

/* Whether it takes one of the worker's slots: it has a process of its own. */
static bool takes_slot(const struct job *job)
{
    return !job->is_callback && (job->class == TASK_CLASS_DATA || job->class == TASK_CLASS_COMMAND);
}

static void set_deadline(struct job *job, int64_t from_now_us)
{
    job->deadline_us = from_now_us == 0 ? 0 : clock_mono_us() + from_now_us;
    if (from_now_us != 0)
        supervisor_arm(job->supervisor, job->deadline_us);
}

static void add_object(struct jw *w, const char *key, const json_t *object)
{
    struct buf text = {0};

    if (object == NULL)
        return;
    json_dump_canonical(object, &text);
    jw_kv_raw(w, key, buf_text(&text));
    buf_release(&text);
}

/* Nothing but when: a success of a program says its exit code too. */
static bool is_short(const struct job *job)
{
    return job->outcome == OUTCOME_SUCCESS && job->exit_code < 0 && job->signal == 0 &&
           job->reason == NULL && job->outputs == NULL && job->datasets == NULL;
}

static void build_done(struct job *job)
{
    struct jw w = {.out = &job->ended};

    job->is_short = true;
    jw_begin_array(&w);
    jw_string(&w, job->token);
    jw_int(&w, job->started_at_us);
    jw_int(&w, job->ended_at_us);
    jw_end_array(&w);
}

static void build_ended(struct job *job)
{
    struct jw w = {.out = &job->ended};

    if (is_short(job)) {
        build_done(job);
        return;
    }

    jw_begin_object(&w);
    jw_kv_string(&w, "token", job->token);
    jw_kv_string(&w, "outcome", outcome_name(job->outcome));
    jw_kv_int(&w, "started_at", job->started_at_us);
    jw_kv_int(&w, "ended_at", job->ended_at_us);
    if (job->exit_code >= 0)
        jw_kv_int(&w, "exit_code", job->exit_code);
    if (job->signal != 0)
        jw_kv_int(&w, "signal", job->signal);
    if (job->reason != NULL)
        jw_kv_string(&w, "reason", job->reason);
    if (job->outcome == OUTCOME_SUCCESS) {
        add_object(&w, "outputs", job->outputs);
        add_object(&w, "datasets", job->datasets);
    }
    jw_end_object(&w);
}

/* Keeps the result and lets go of everything else. */
static void end(struct job *job)
{
    struct supervisor *supervisor = job->supervisor;
    bool had_slot = job->state != JOB_WAITING && takes_slot(job);

    assert(job->is_judged);
    job->state = JOB_ENDED;
    job->deadline_us = 0;
    job->ended_at_us = clock_wall_us();
    supervisor->last_ended_us = clock_mono_us();
    build_ended(job);
    json_decref(job->start);
    json_decref(job->outputs);
    json_decref(job->datasets);
    job->start = NULL;
    job->outputs = job->datasets = NULL;
    job->runner = NULL;
    supervisor_send_ended(supervisor, job);
    if (had_slot) {
        supervisor->running--;
        supervisor_fill_slots(supervisor);
    }
}

static void note_end(struct job *job)
{
    struct buf took = {0};
    int64_t us = clock_mono_us() - job->started_mono_us;

    buf_printf(&took, "%lld.%03llds", (long long)(us / US_PER_SECOND),
               (long long)(us % US_PER_SECOND / US_PER_MS));
    attempt_log_note(&job->log, "%s after %s%s%s", outcome_name(job->outcome), buf_text(&took),
                     job->reason == NULL ? "" : ": ", job->reason == NULL ? "" : job->reason);
    buf_release(&took);
}

static void on_cleared(struct job *job)
{
    if (job->child != NULL)
        child_drain(job->child);
    attempt_log_flush(&job->log);
    note_end(job);
    child_free(job->child);
    job->child = NULL;
    attempt_log_close(&job->log);
    folder_remove(job);
    end(job);
}

static void begin_running(struct job *job)
{
    set_deadline(job, job->timeout_us);
    supervisor_announce(job->supervisor);
}

/* A light job has no process of its own to wait for, and nothing to clear. */
static void finish_light(struct job *job)
{
    runner_release_light(job);
    attempt_log_flush(&job->log);
    note_end(job);
    attempt_log_close(&job->log);
    end(job);
}

static void on_finished(struct job *job)
{
    if (job->class == TASK_CLASS_LIGHT)
        finish_light(job);
    else
        end(job);
}

static void on_start(struct job *job)
{
    struct supervisor *supervisor = job->supervisor;
    char *path;
    bool ok;

    job->state = JOB_RUNNING;
    job->started_at_us = clock_wall_us();
    job->started_mono_us = clock_mono_us();
    if (job->class == TASK_CLASS_SHARED) {
        set_deadline(job, job->timeout_us);
        if (!runner_start_shared(job))
            end(job);
        return;
    }
    path = folder_log_path(job, supervisor->options->state_folder);
    attempt_log_open(&job->log, path);
    free(path);
    if (job->class == TASK_CLASS_LIGHT) {
        set_deadline(job, job->timeout_us != 0 ? job->timeout_us : LIGHT_TIMEOUT_US);
        if (!runner_start_light(job))
            finish_light(job);
        return;
    }
    supervisor->running += takes_slot(job);
    if (job->class == TASK_CLASS_DATA) {
        ok = runner_start_job(job);
    } else {
        job->state = JOB_LAUNCHING;
        ok = command_start(job);
    }
    if (!ok)
        on_cleared(job);
    else if (job->state == JOB_RUNNING)
        begin_running(job);
}

static void on_exited(struct job *job)
{
    job->state = JOB_CLEARING;
    job->runner = NULL;
    if (reap_clear(job))
        on_cleared(job);
    else
        set_deadline(job, CLEAR_AGAIN_US);
}

/* Something the attempt left can't be found dead yet: look again. A process that can't die keeps
 * the slot, since nothing else may run in its place. */
static void on_clear_again(struct job *job)
{
    if (reap_clear(job))
        on_cleared(job);
    else
        set_deadline(job, CLEAR_AGAIN_US);
}

static void send_term(struct job *job)
{
    if (job->class == TASK_CLASS_SHARED) {
        end(job); /* the runner's answer will find nobody */
        return;
    }
    if (job->class == TASK_CLASS_LIGHT) {
        runner_kill_light(job);
        finish_light(job);
        return;
    }
    attempt_log_note(&job->log, "stopping: %s", job->reason == NULL ? "" : job->reason);
    job->state = JOB_STOPPING;
    /* A stopped process takes SIGTERM only after it goes on. */
    (void)kill(-job->group, SIGTERM);
    (void)kill(-job->group, SIGCONT);
    set_deadline(job, GRACE_US);
}

static void on_launched(struct job *job)
{
    job->state = JOB_RUNNING;
    if (job->is_judged)
        send_term(job);
    else
        begin_running(job);
}

static void on_timeout(struct job *job)
{
    struct buf limit = {0};

    duration_format(job->timeout_us != 0 ? job->timeout_us : LIGHT_TIMEOUT_US, &limit);
    job_judge(job, OUTCOME_TIMEOUT, "timeout after %s", buf_text(&limit));
    buf_release(&limit);
    send_term(job);
}

static void on_grace_over(struct job *job)
{
    attempt_log_note(&job->log, "SIGTERM did not end it in 5s: killing it");
    job->state = JOB_KILLING;
    (void)kill(-job->group, SIGKILL);
    set_deadline(job, KILL_AGAIN_US);
}

static void on_unkillable(struct job *job)
{
    log_error("unkillable", "token=%s pid=%d effect=\"its slot stays taken\"", job->token,
              (int)job->group);
    (void)kill(-job->group, SIGKILL);
    set_deadline(job, KILL_AGAIN_US);
}

/* NULL: the event means nothing in that state. */
static const job_action actions[JOB_STATE_COUNT][JOB_EVENT_COUNT] = {
    [JOB_WAITING][JOB_START] = on_start,           [JOB_WAITING][JOB_STOP] = end,
    [JOB_LAUNCHING][JOB_LAUNCHED] = on_launched,   [JOB_LAUNCHING][JOB_FAILED] = on_cleared,
    [JOB_RUNNING][JOB_STOP] = send_term,           [JOB_RUNNING][JOB_DEADLINE] = on_timeout,
    [JOB_RUNNING][JOB_EXITED] = on_exited,         [JOB_RUNNING][JOB_FINISHED] = on_finished,
    [JOB_STOPPING][JOB_DEADLINE] = on_grace_over,  [JOB_STOPPING][JOB_EXITED] = on_exited,
    [JOB_KILLING][JOB_DEADLINE] = on_unkillable,   [JOB_KILLING][JOB_EXITED] = on_exited,
    [JOB_CLEARING][JOB_DEADLINE] = on_clear_again, [JOB_CLEARING][JOB_CLEARED] = on_cleared,
};

void job_handle(struct job *job, enum job_event event)
{
    job_action action = actions[job->state][event];

    log_debug("job", "token=%s state=%s event=%d", job->token, job_state_name(job->state),
              (int)event);
    if (action != NULL)
        action(job);
}

int64_t job_check_deadlines(struct supervisor *supervisor, int64_t now_us)
{
    int64_t next_us = 0;
    struct job *job;
    struct job *after;

    HASH_ITER(hh, supervisor->jobs, job, after)
    {
        if (job->deadline_us != 0 && job->deadline_us <= now_us)
            job_handle(job, JOB_DEADLINE);
        if (job->deadline_us != 0 && (next_us == 0 || job->deadline_us < next_us))
            next_us = job->deadline_us;
    }
    return next_us;
}

struct job *job_find(struct supervisor *supervisor, const char *token)
{
    struct job *job = NULL;

    HASH_FIND_STR(supervisor->jobs, token, job);
    return job;
}

static bool check_numbers(const struct job *job, struct err *err)
{
    if (job->run < 1 || job->task < 0 || job->task > UINT32_MAX ||
        job->map_index < (job->is_callback ? -2 : -1) || job->map_index > INT32_MAX ||
        job->try_number < 1 || job->timeout_us < 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "a start whose run, task, map_index, try_number or "
                       "timeout is missing or out of range");
    return true;
}

/* The attempt's document says all of itself. */
static void add_run(json_t *attempt, json_t *start)
{
    const char *key;
    json_t *value;

    json_object_foreach(start, key, value)
    {
        if (strcmp(key, "attempts") != 0)
            (void)json_object_set(attempt, key, value);
    }
}

struct job *job_new(struct supervisor *supervisor, json_t *start, json_t *attempt, struct err *err)
{
    static const struct task_kind unknown = {.name = "unknown", .class = TASK_CLASS_COMMAND};
    static const struct task_kind webhook = {.name = "webhook", .class = TASK_CLASS_LIGHT};
    const char *token = json_get_string(attempt, "token", "");
    const char *name = json_get_string(attempt, "task_kind", "");
    struct job *job = mem_alloc(sizeof(*job));

    job->run = json_get_int(start, "run", 0);
    job->task = json_get_int(attempt, "task", -1);
    job->map_index = json_get_int(attempt, "map_index", -1);
    job->try_number = json_get_int(attempt, "try_number", 0);
    job->timeout_us = json_get_int(attempt, "timeout", 0);
    job->is_callback = json_get_int(attempt, "callback", 0) > 0;
    if (token[0] == '\0') {
        (void)err_set(err, ERR_BAD_REQUEST, "a start without a token");
        free(job);
        return NULL;
    }
    if (!check_numbers(job, err)) {
        free(job);
        return NULL;
    }
    job->supervisor = supervisor;
    job->token = mem_strdup(token);
    job->start = json_incref(attempt);
    job->kind = job->is_callback && strcmp(name, webhook.name) == 0
                    ? &webhook
                    : task_kind_find(str_from(name));
    job->class = job->kind == NULL
                     ? TASK_CLASS_COMMAND
                     : task_kind_class(job->kind, json_object_get(attempt, "options"));
    job->exit_code = -1;
    job->log.fd = -1;
    if (job->kind == NULL) {
        job->kind = &unknown;
        job_judge(job, OUTCOME_FATAL, "this worker has no task kind %s", name);
    }
    if (job->class != TASK_CLASS_SHARED)
        add_run(attempt, start);
    HASH_ADD_KEYPTR(hh, supervisor->jobs, job->token, strlen(job->token), job);
    return job;
}

void job_free(struct job *job)
{
    HASH_DELETE(hh, job->supervisor->jobs, job);
    if (job->order != NULL)
        job->order->job = NULL;
    child_free(job->child);
    attempt_log_close(&job->log);
    json_decref(job->start);
    json_decref(job->outputs);
    json_decref(job->datasets);
    buf_release(&job->ended);
    free(job->folder);
    free(job->reason);
    free(job->token);
    free(job);
}
