/* millrace run without a server: the scheduler in this process, and a worker beside it. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/run.h"
#include "cli/spawn.h"
#include "scheduler/absent.h"
#include "scheduler/scheduler.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 100
#define IDLE_POLLS_MAX 5 /* without anything left that could happen */
#define SUPERVISE_MS 200

/* How long workers that an earlier run left behind get to come back. */
#define RETURN_US (3 * US_PER_SECOND)

/* A worker that dies this young does not work at all; so many of them are given up on. */
#define YOUNG_US (2 * US_PER_SECOND)
#define YOUNG_DEATHS_MAX 5

#define LOG_TAIL_BYTES 4096

#define WORKER_END_MS 3000
#define WORKER_INTERRUPTED_MS 1500
#define SIGNAL_PAUSE_MS 30
#define SIGNAL_COUNT 4

struct local {
    const struct run_plan *plan;
    uv_loop_t loop;
    struct scheduler *scheduler;
    struct follow follow;
    uv_timer_t poll;
    uv_timer_t supervise;
    uv_timer_t kill;
    uv_signal_t signals[SIGNAL_COUNT];
    struct spawn_worker worker;
    uv_process_t process;
    char *log_path;
    bool is_worker_running;
    int64_t worker_started_us;
    int64_t worker_next_us; /* not before */
    int64_t alone_since_us; /* no worker connected since; 0 = one is */
    int young_deaths;
    int idle_polls;
    bool is_resumed; /* what is followed began in an earlier process */
    bool is_retried; /* its failed runs were made again, since nothing else could go on */
    bool is_finishing;
    int exit_code;
};

static void finish(struct local *local, int exit_code);

static void fail(struct local *local, const struct err *err)
{
    if (local->is_finishing)
        return;
    progress_clear(&local->follow.progress);
    finish(local, command_fail(err));
}

/* ---- the worker ---- */

static void on_process_closed(uv_handle_t *handle)
{
    struct local *local = handle->data;

    local->is_worker_running = false;
    if (local->is_finishing && !uv_is_closing((uv_handle_t *)&local->kill))
        uv_close((uv_handle_t *)&local->kill, NULL);
}

/* What the worker's log says of an error at its end; "" where it says nothing. */
static void read_last_error(const char *path, struct buf *ret)
{
    static const char mark[] = " error=\"";
    char tail[LOG_TAIL_BYTES + 1];
    FILE *log = fopen(path, "re");

    if (log == NULL)
        return;
    if (fseek(log, -LOG_TAIL_BYTES, SEEK_END) != 0)
        rewind(log); /* it is shorter */
    tail[fread(tail, 1, LOG_TAIL_BYTES, log)] = '\0';
    (void)fclose(log);
    const char *last = NULL;
    for (const char *at = tail; (at = strstr(at, mark)) != NULL; at++)
        last = at + strlen(mark);
    if (last != NULL)
        buf_printf(ret, ": %.*s", (int)strcspn(last, "\"\n"), last);
}

static void give_up_worker(struct local *local)
{
    struct buf reason = {0};
    struct err err = {0};

    read_last_error(local->log_path, &reason);
    err_set(&err, ERR_FAILED, "the worker does not stay alive%s; its log: %s", buf_text(&reason),
            local->log_path);
    buf_release(&reason);
    fail(local, &err);
}

static void on_worker_exit(uv_process_t *process, int64_t code, int number)
{
    struct local *local = process->data;
    int64_t now_us = clock_mono_us();

    uv_close((uv_handle_t *)process, on_process_closed);
    if (local->is_finishing)
        return;
    /* A worker that somebody killed did not fail by itself: it is not counted. */
    bool is_young = number != SIGKILL && now_us - local->worker_started_us < YOUNG_US;
    local->young_deaths = is_young ? local->young_deaths + 1 : 0;
    local->worker_next_us = now_us + local->young_deaths * 200 * US_PER_MS;
    progress_clear(&local->follow.progress);
    if (local->young_deaths >= YOUNG_DEATHS_MAX) {
        give_up_worker(local);
        return;
    }
    fprintf(stderr, "millrace: the worker ended (exit code %lld, signal %d): starting another\n",
            (long long)code, number);
}

static bool start_worker(struct local *local, struct err *err)
{
    local->process.data = local;
    local->is_worker_running = true;
    local->worker_started_us = clock_mono_us();
    if (spawn_start(&local->loop, &local->process, &local->worker.spawn, on_worker_exit, err))
        return true;
    uv_close((uv_handle_t *)&local->process, on_process_closed);
    return false;
}

/* The worker takes as long to start as the store to open and the run to be made: both at once. One
 * that can't be started is tried again, and told of, by supervise(). */
static void on_owned(void *context)
{
    struct local *local = context;
    struct err ignored = {0};

    if (workers_count_alive(local->plan->settings->state_folder) == 0)
        (void)start_worker(local, &ignored);
}

/* Starts a worker when there is none. Those of an earlier run hold their locks and come back by
 * themselves; they are waited for, but not for ever. */
static void supervise(struct local *local)
{
    int64_t now_us = clock_mono_us();

    if (local->is_finishing || local->is_worker_running)
        return;
    if (scheduler_worker_count(local->scheduler) > 0) {
        local->alone_since_us = 0;
        return;
    }
    if (local->alone_since_us == 0)
        local->alone_since_us = now_us;
    bool is_due = workers_count_alive(local->plan->settings->state_folder) == 0 ||
                  now_us - local->alone_since_us > RETURN_US;
    struct err err = {0};
    if (is_due && now_us >= local->worker_next_us && !start_worker(local, &err))
        fail(local, &err);
}

static void on_supervise(uv_timer_t *timer)
{
    supervise(timer->data);
}

/* ---- the run ---- */

static void on_reply(void *context, const struct decision_reply *reply)
{
    struct local *local = context;

    if (reply->err != NULL)
        fail(local, reply->err);
    else if (local->plan->is_backfill)
        follow_backfill(&local->follow, reply->row, local->follow.seq);
    else
        follow_run(&local->follow, reply->row, local->follow.seq);
}

static void on_unpaused(void *context, const struct decision_reply *reply)
{
    if (reply->err != NULL)
        fail(context, reply->err);
}

static void start_new(struct local *local)
{
    json_t *command = run_command_document(local->plan);

    local->is_resumed = false;
    local->follow.seq = follow_last_seq(&local->follow);
    scheduler_submit(local->scheduler, command, on_reply, local);
    json_decref(command);
}

static void start_or_resume(struct local *local)
{
    bool is_paused = false;
    int64_t id = run_find_unfinished(local->follow.read, local->plan, true, &is_paused);
    int64_t seq = follow_last_seq(&local->follow);

    if (local->plan->begun != 0)
        id = local->plan->begun;

    if (id == 0) {
        start_new(local);
        return;
    }
    local->is_resumed = true;
    fprintf(stderr, "going on with the %s that was interrupted\n",
            local->plan->is_backfill ? "range" : "run");
    if (!local->plan->is_backfill) {
        follow_run(&local->follow, id, seq);
        return;
    }
    follow_backfill(&local->follow, id, seq);
    if (is_paused) {
        json_t *command = json_pack("{s:s, s:I, s:s}", "command", "backfill_control", "backfill",
                                    (json_int_t)id, "action", "unpause");
        scheduler_submit(local->scheduler, command, on_unpaused, local);
        json_decref(command);
    }
}

/* Tasks that wait for a past that has failed, or for a run that nobody makes, would keep us for
 * ever. */
static bool is_stuck(struct local *local)
{
    local->idle_polls = scheduler_is_idle(local->scheduler) ? local->idle_polls + 1 : 0;
    return local->idle_polls >= IDLE_POLLS_MAX;
}

static void end_stuck(struct local *local)
{
    progress_clear(&local->follow.progress);
    fprintf(stderr, "error: nothing can go on: what has not ended waits for a run before it that "
                    "failed, or for one of another DAG\n");
    follow_tell_waiting(&local->follow);
    fprintf(stderr,
            "  = help: mend what failed, then give the same command again: it runs what failed "
            "anew and goes on; or `millrace serve`, and clear or mark it there (`millrace runs "
            "clear`, `millrace tasks mark`)\n");
    finish(local, err_exit_code(ERR_RUN_FAILED));
}

static void on_retried(void *context, const struct decision_reply *reply)
{
    if (reply->err != NULL)
        end_stuck(context);
}

/* A range that an earlier command left stuck goes on with what failed in it, which may be mended by
 * now: without a server nobody could clear it. */
static bool retry_failed(struct local *local)
{
    struct follow *follow = &local->follow;

    if (!local->is_resumed || local->is_retried || follow->backfill == 0 ||
        follow->counts.failed == 0 || local->plan->reprocess == REPROCESS_NONE ||
        local->plan->reprocess == REPROCESS_MISSING)
        return false;
    local->is_retried = true;
    local->idle_polls = 0;
    fprintf(stderr, "running again what failed\n");
    json_t *command = json_pack("{s:s, s:I, s:s}", "command", "backfill_control", "backfill",
                                (json_int_t)follow->backfill, "action", "retry");
    scheduler_submit(local->scheduler, command, on_retried, local);
    json_decref(command);
    return true;
}

static void on_poll(uv_timer_t *timer)
{
    struct local *local = timer->data;
    struct follow *follow = &local->follow;
    struct err err = {0};

    if (local->is_finishing)
        return;
    if (!follow_poll(follow, &err)) {
        fail(local, &err);
        return;
    }
    if (follow->run == 0 && follow->backfill == 0)
        return;
    if (!follow->has_ended) {
        if (is_stuck(local) && !retry_failed(local))
            end_stuck(local);
        return;
    }
    /* What is to be told of the run is tried once; what fails is left to the next scheduler. */
    if (scheduler_has_fresh_callbacks(local->scheduler))
        return;
    if (local->is_resumed && follow->has_failed) {
        /* The interruption may have been all that failed: what failed is run again. */
        fprintf(stderr, "running again what failed\n");
        follow->run = follow->backfill = 0;
        start_new(local);
        return;
    }
    follow_tell_callbacks(follow);
    follow_summary(follow, stdout);
    finish(local, follow->has_failed ? err_exit_code(ERR_RUN_FAILED) : 0);
}

/* The end is looked for at once when a commit holds one, so that short runs end fast. */
static void on_committed(void *context, const struct decisions *committed)
{
    struct local *local = context;

    if (local->is_finishing || local->scheduler == NULL)
        return;
    for (size_t i = 0; i < committed->count; i++) {
        const struct decision *decision = &committed->items[i];
        bool is_end =
            (decision->kind == DECIDE_RUN && run_state_is_final(decision->as.run.row.state)) ||
            (decision->kind == DECIDE_BACKFILL && decision->as.backfill.completed_at_us != 0);
        if (is_end) {
            (void)uv_timer_start(&local->poll, on_poll, 0, POLL_MS);
            return;
        }
    }
}

static void on_ended(void *context, const struct err *why)
{
    struct local *local = context;

    if (why->code != ERR_NONE && local->scheduler != NULL)
        fail(local, why);
}

/* ---- the end ---- */

static void on_kill(uv_timer_t *timer)
{
    struct local *local = timer->data;

    if (local->is_worker_running)
        (void)uv_process_kill(&local->process, SIGKILL);
}

/* What we follow is over, but another `millrace run` has given us work that is not: it goes on with
 * it, and the worker hands the results to it. */
static bool has_work_of_others(const struct local *local)
{
    return local->follow.has_ended && scheduler_has_attempts(local->scheduler);
}

static void tell_worker_to_end(struct local *local, int exit_code)
{
    scheduler_signal_workers(local->scheduler, SIGTERM);
    if (exit_code == RUN_INTERRUPTED) {
        /* The second one stops its attempts; the pause keeps the two from becoming one. */
        uv_sleep(SIGNAL_PAUSE_MS);
        scheduler_signal_workers(local->scheduler, SIGTERM);
        scheduler_give_back(local->scheduler);
    }
    if (local->is_worker_running && scheduler_worker_count(local->scheduler) == 0)
        (void)uv_process_kill(&local->process, SIGTERM);
}

/* The worker is told to end, which takes no time when it is idle. */
static void finish(struct local *local, int exit_code)
{
    if (local->is_finishing)
        return;
    local->is_finishing = true;
    local->exit_code = exit_code;
    bool is_left = exit_code != RUN_INTERRUPTED && has_work_of_others(local);
    if (!is_left)
        tell_worker_to_end(local, exit_code);
    else if (local->is_worker_running && !uv_is_closing((uv_handle_t *)&local->process))
        uv_close((uv_handle_t *)&local->process, on_process_closed);
    scheduler_stop(local->scheduler);
    uv_close((uv_handle_t *)&local->poll, NULL);
    uv_close((uv_handle_t *)&local->supervise, NULL);
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        uv_close((uv_handle_t *)&local->signals[i], NULL);
    if (local->is_worker_running && !is_left)
        (void)uv_timer_start(&local->kill, on_kill,
                             exit_code == RUN_INTERRUPTED ? WORKER_INTERRUPTED_MS : WORKER_END_MS,
                             0);
    else if (!uv_is_closing((uv_handle_t *)&local->kill))
        uv_close((uv_handle_t *)&local->kill, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct local *local = handle->data;

    (void)number;
    progress_clear(&local->follow.progress);
    fprintf(stderr, "interrupted: attempts are stopped, what has ended is kept; the same command "
                    "goes on from here\n");
    finish(local, RUN_INTERRUPTED);
}

/* What was started by nohup(1) goes on when its terminal goes. */
static bool is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void init_handles(struct local *local)
{
    static const int numbers[SIGNAL_COUNT] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    uv_timer_t *timers[] = {&local->poll, &local->supervise, &local->kill};

    (void)uv_loop_init(&local->loop);
    for (size_t i = 0; i < 3; i++) {
        (void)uv_timer_init(&local->loop, timers[i]);
        timers[i]->data = local;
    }
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        (void)uv_signal_init(&local->loop, &local->signals[i]);
        local->signals[i].data = local;
        if (!is_ignored(numbers[i]))
            (void)uv_signal_start(&local->signals[i], on_signal, numbers[i]);
    }
}

static void close_handles(struct local *local)
{
    uv_close((uv_handle_t *)&local->poll, NULL);
    uv_close((uv_handle_t *)&local->supervise, NULL);
    uv_close((uv_handle_t *)&local->kill, NULL);
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        uv_close((uv_handle_t *)&local->signals[i], NULL);
}

static void run_loop(struct local *local)
{
    follow_init(&local->follow, local->plan->settings->state_folder, local->plan->dag->dag_id);
    supervise(local);
    if (!local->is_finishing)
        start_or_resume(local);
    if (!local->is_finishing) {
        (void)uv_timer_start(&local->poll, on_poll, POLL_MS, POLL_MS);
        (void)uv_timer_start(&local->supervise, on_supervise, SUPERVISE_MS, SUPERVISE_MS);
    }
    (void)uv_run(&local->loop, UV_RUN_DEFAULT);
    follow_release(&local->follow);
}

int run_local(const struct run_plan *plan, struct err *err)
{
    struct local local = {.plan = plan};
    struct scheduler_options options = {
        .settings = plan->settings,
        .only_dag = plan->dag,
        .owned = on_owned,
        .observe = on_committed,
        .observe_context = &local,
        .ended = on_ended,
    };

    if (!spawn_worker_init(&local.worker, plan->settings, err))
        return command_fail(err);
    local.log_path = fs_join(plan->settings->state_folder, "worker.log");
    local.worker.spawn.log_path = local.log_path;
    init_handles(&local);
    local.scheduler = scheduler_open(&local.loop, &options, err);
    if (local.scheduler != NULL) {
        run_loop(&local);
    } else {
        local.exit_code = err->code == ERR_CONFLICT ? -1 : command_fail(err);
        local.is_finishing = true;
        if (local.is_worker_running)
            (void)uv_process_kill(&local.process, SIGTERM);
        close_handles(&local);
        (void)uv_run(&local.loop, UV_RUN_DEFAULT);
    }
    scheduler_free(local.scheduler);
    (void)uv_loop_close(&local.loop);
    free(local.worker.spawn.program);
    free(local.log_path);
    return local.exit_code;
}
