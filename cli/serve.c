/* millrace serve: the stateless parent of scheduler, web and worker. It restarts what dies, and
 * knows nothing that a restart of itself would lose. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/spawn.h"
#include "millrace/messages.h"
#include "scheduler/absent.h"
#include "scheduler/lock.h"
#include "scheduler/store/read.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACK_OFF_MS_MIN 100
#define BACK_OFF_MS_MAX 5000
#define LIVED_LONG_US (10 * US_PER_SECOND)
#define READY_LOOK_MS 10
#define WORKER_LOOK_MS 1000

/* How long an idle worker may take to end before serve goes without it. */
#define WORKER_WAIT_US (3 * US_PER_SECOND)

/* How long a second request is waited for while attempts go on: without it there would be nobody to
 * ask, since all else ends within milliseconds. */
#define SECOND_WAIT_US (5 * US_PER_SECOND)

/* What attempts get to end by themselves after a second request, before they are killed. */
#define ATTEMPTS_WAIT_US (3 * US_PER_SECOND / 2)
#define END_LOOK_MS 20

/* What comes sooner than this after a request is the same one: timeout(1) and other parents signal
 * their child and then its process group, and nobody meant to stop the attempts. */
#define SAME_REQUEST_US (US_PER_SECOND / 4)
#define SIGNAL_PAUSE_MS 30

enum role_kind { ROLE_SCHEDULER, ROLE_WEB, ROLE_WORKER, ROLE_COUNT };

static const char *const role_names[ROLE_COUNT] = {"scheduler", "web", "worker"};

struct serve;

struct role {
    struct serve *serve;
    enum role_kind kind;
    struct spawn spawn;
    uv_process_t process;
    uv_timer_t timer; /* until the next start */
    bool is_running;
    uint64_t back_off_ms;
    int64_t started_us;
};

/* From SERVE_STOPPING on scheduler and web are told to end; once they have, idle workers may end
 * (DRAINING) or a second request is waited for (LINGERING). Asked twice, serve is HURRIED, whatever
 * has ended by then, and KILLING what is left soon after. */
enum serve_phase {
    SERVE_STARTING,
    SERVE_READY,
    SERVE_STOPPING,
    SERVE_DRAINING,
    SERVE_LINGERING,
    SERVE_HURRIED,
    SERVE_KILLING,
    SERVE_LEAVING
};

struct serve {
    uv_loop_t loop;
    const struct settings *settings;
    struct role roles[ROLE_COUNT];
    struct spawn_worker worker;
    uv_signal_t signals[2];
    uv_timer_t look;
    enum serve_phase phase;
    int64_t phase_end_us; /* monotonic: of a phase after SERVE_STOPPING */
    int64_t started_us;
    int64_t asked_us; /* monotonic: the last request to stop; 0 = none */
    int exit_code;
    char parent[24];
    char port[24];
    char *self;
    char *address_path; /* web.json */
    char *socket_path;
    int lock_fd;
};

static void start_role(struct role *role);
static void advance_stop(struct serve *serve);

static void on_restart(uv_timer_t *timer)
{
    start_role(timer->data);
}

static void restart_later(struct role *role, uint64_t delay_ms)
{
    (void)uv_timer_start(&role->timer, on_restart, delay_ms, 0);
}

static void stop_all(struct serve *serve)
{
    serve->phase = SERVE_STOPPING;
    (void)uv_timer_stop(&serve->look);
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        (void)uv_timer_stop(&serve->roles[i].timer);
        if (i != ROLE_WORKER && serve->roles[i].is_running)
            (void)uv_process_kill(&serve->roles[i].process, SIGTERM);
    }
    advance_stop(serve);
}

/* What dies before everything was ready will not get better by itself: a port in use, a state
 * folder that another serve holds. Its own words are on stderr already. */
static bool is_hopeless(const struct serve *serve, const struct role *role, int64_t code)
{
    return serve->phase == SERVE_STARTING && role->kind != ROLE_WORKER && code > 0;
}

static void on_process_closed(uv_handle_t *handle)
{
    struct role *role = handle->data;
    struct serve *serve = role->serve;

    role->is_running = false;
    if (serve->phase >= SERVE_STOPPING) {
        advance_stop(serve);
        return;
    }
    if (clock_mono_us() - role->started_us > LIVED_LONG_US)
        role->back_off_ms = BACK_OFF_MS_MIN;
    restart_later(role, role->back_off_ms);
    role->back_off_ms *= 2;
    if (role->back_off_ms > BACK_OFF_MS_MAX)
        role->back_off_ms = BACK_OFF_MS_MAX;
}

static void on_role_exit(uv_process_t *process, int64_t code, int number)
{
    struct role *role = process->data;
    struct serve *serve = role->serve;

    if (serve->phase < SERVE_STOPPING) {
        log_warn("role_ended", "role=%s exit_code=%lld signal=%d", role_names[role->kind],
                 (long long)code, number);
        if (is_hopeless(serve, role, code)) {
            serve->exit_code = (int)code;
            stop_all(serve);
        }
    }
    uv_close((uv_handle_t *)process, on_process_closed);
}

static void start_role(struct role *role)
{
    struct serve *serve = role->serve;
    struct err err = {0};

    /* A worker of an earlier serve or run comes back by itself; a second one would double the
     * slots. */
    if (role->kind == ROLE_WORKER && workers_count_alive(serve->settings->state_folder) > 0) {
        restart_later(role, WORKER_LOOK_MS);
        return;
    }
    role->started_us = clock_mono_us();
    role->process.data = role;
    role->is_running = true;
    if (spawn_start(&serve->loop, &role->process, &role->spawn, on_role_exit, &err)) {
        log_debug("role_started", "role=%s pid=%d", role_names[role->kind],
                  uv_process_get_pid(&role->process));
        return;
    }
    log_error("start_failed", "role=%s error=\"%s\"", role_names[role->kind], err.message);
    uv_close((uv_handle_t *)&role->process, on_process_closed);
}

/* ---- the banner ---- */

static void print_banner(struct serve *serve, const char *url)
{
    struct read *read = read_new(serve->settings->state_folder);
    struct arena arena = {0};
    struct err err = {0};
    struct dag_row *dags = NULL;
    struct import_error_row *errors = NULL;
    struct read_page page = {.limit = 1};
    size_t dag_count = 0;
    size_t error_count = 0;
    int64_t error_total = 0;
    size_t loaded = 0;

    (void)read_dags(read, &arena, &dags, &dag_count, &err);
    (void)read_import_errors(read, &arena, NULL, &page, &errors, &error_count, &error_total, &err);
    for (size_t i = 0; i < dag_count; i++)
        loaded += !dags[i].is_stale;
    bool is_missing = false;
    (void)settings_check_dags_folder(serve->settings, &is_missing, &err);
    double seconds = (double)(clock_mono_us() - serve->started_us) / (double)US_PER_SECOND;
    printf("millrace " MILLRACE_VERSION "  ready in %.2f s\n", seconds);
    printf("  Page    %s/        API  %s/api/v2/\n", url, url);
    printf("  State   %s/" STATE_DATABASE "\n", serve->settings->state_folder);
    if (is_missing)
        printf("  DAGs    none: there is no folder %s yet; it is read once it appears",
               serve->settings->dags_folder);
    else
        printf("  DAGs    %zu loaded from %s", loaded, serve->settings->dags_folder);
    if (error_total > 0)
        printf(", %lld with errors  ->  millrace check %s", (long long)error_total,
               serve->settings->dags_folder);
    printf("\n");
    (void)fflush(stdout);
    read_free(read);
    arena_release(&arena);
}

/* Ready means: the socket is there, which comes after the commit of the DAGs that were read, and
 * web has written its address. */
static void on_look(uv_timer_t *timer)
{
    struct serve *serve = timer->data;
    struct buf text = {0};
    struct err err = {0};

    if (access(serve->socket_path, F_OK) == 0 &&
        fs_read_file(serve->address_path, 4096, &text, &err)) {
        json_t *document = json_parse(buf_str(&text), &err);
        const char *url = document == NULL ? NULL : json_get_string(document, "url", NULL);
        if (url != NULL) {
            serve->phase = SERVE_READY;
            (void)uv_timer_stop(timer);
            print_banner(serve, url);
        }
        json_decref(document);
    }
    buf_release(&text);
}

/* ---- stopping ---- */

/* Attempts that a worker has or may have. When the database can't be read there are none to tell
 * of: the worker is then told to end, which lets those that run end too. */
static bool has_attempts(const struct serve *serve)
{
    struct read *read = read_new(serve->settings->state_folder);
    struct arena arena = {0};
    struct err err = {0};
    struct task_count *counts = NULL;
    size_t count = 0;
    bool found = false;

    if (!read_live_task_counts(read, &arena, &counts, &count, &err))
        log_error("state_unreadable", "error=\"%s\"", err.message);
    for (size_t i = 0; i < count; i++)
        found = found || counts[i].state == TASK_QUEUED || counts[i].state == TASK_RUNNING;
    read_free(read);
    arena_release(&arena);
    return found;
}

static void leave(struct serve *serve)
{
    serve->phase = SERVE_LEAVING;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        if (!uv_is_closing((uv_handle_t *)&serve->roles[i].timer))
            uv_close((uv_handle_t *)&serve->roles[i].timer, NULL);
        /* A process that goes on is only not watched any more. */
        if (serve->roles[i].is_running && !uv_is_closing((uv_handle_t *)&serve->roles[i].process))
            uv_close((uv_handle_t *)&serve->roles[i].process, on_process_closed);
    }
    for (size_t i = 0; i < 2; i++)
        if (!uv_is_closing((uv_handle_t *)&serve->signals[i]))
            uv_close((uv_handle_t *)&serve->signals[i], NULL);
    if (!uv_is_closing((uv_handle_t *)&serve->look))
        uv_close((uv_handle_t *)&serve->look, NULL);
}

static bool has_ended(const struct serve *serve)
{
    return !serve->roles[ROLE_SCHEDULER].is_running && !serve->roles[ROLE_WEB].is_running &&
           workers_count_alive(serve->settings->state_folder) == 0;
}

static void kill_all(struct serve *serve)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (serve->roles[i].is_running)
            (void)uv_process_kill(&serve->roles[i].process, SIGKILL);
    (void)workers_signal(serve->settings->state_folder, SIGKILL);
}

static void on_end_look(uv_timer_t *timer);

static void enter(struct serve *serve, enum serve_phase phase, int64_t wait_us)
{
    serve->phase = phase;
    serve->phase_end_us = clock_mono_us() + wait_us;
    (void)uv_timer_start(&serve->look, on_end_look, END_LOOK_MS, END_LOOK_MS);
}

/* The end of the worker that an earlier serve started is seen by its lock alone. */
static void on_end_look(uv_timer_t *timer)
{
    struct serve *serve = timer->data;

    if (has_ended(serve)) {
        leave(serve);
    } else if (clock_mono_us() < serve->phase_end_us) {
        return;
    } else if (serve->phase == SERVE_HURRIED) {
        kill_all(serve);
        enter(serve, SERVE_KILLING, WORKER_WAIT_US);
    } else {
        leave(serve);
    }
}

/* Attempts go on in their worker, which keeps their results for the next scheduler, so that an
 * orderly stop loses no work. */
static void linger(struct serve *serve, pid_t worker)
{
    fprintf(stderr,
            "millrace: attempts are running: worker %ld goes on with them and hands their\n"
            "results to the next `millrace serve` (within ten minutes of their end)\n",
            (long)worker);
    if (serve->exit_code != 0) {
        leave(serve); /* it never got ready: nobody asked it to stop */
        return;
    }
    fprintf(stderr, "millrace: Ctrl-C or SIGTERM within %d s stops them too\n",
            (int)(SECOND_WAIT_US / US_PER_SECOND));
    enter(serve, SERVE_LINGERING, SECOND_WAIT_US);
}

/* Scheduler and web end first. Then a worker without attempts is told to end. */
static void advance_stop(struct serve *serve)
{
    const char *state_folder = serve->settings->state_folder;
    pid_t worker;

    if (serve->phase != SERVE_STOPPING || serve->roles[ROLE_SCHEDULER].is_running ||
        serve->roles[ROLE_WEB].is_running)
        return;
    if (workers_count_alive(state_folder) == 0) {
        leave(serve);
    } else if (has_attempts(serve) && (worker = workers_signal(state_folder, 0)) != 0) {
        linger(serve, worker);
    } else {
        (void)workers_signal(state_folder, SIGTERM);
        enter(serve, SERVE_DRAINING, WORKER_WAIT_US);
    }
}

/* Asked twice: the attempts are stopped too, also those in a worker of an earlier serve. Asked once
 * more: at once. */
static void hurry(struct serve *serve)
{
    const char *state_folder = serve->settings->state_folder;

    if (serve->phase >= SERVE_HURRIED) {
        serve->phase_end_us = 0;
        return;
    }
    fprintf(stderr, "millrace: stopping the attempts; the next `millrace serve` runs them again\n");
    (void)workers_signal(state_folder, SIGTERM);
    uv_sleep(SIGNAL_PAUSE_MS); /* two at once would become one */
    (void)workers_signal(state_folder, SIGTERM);
    enter(serve, SERVE_HURRIED, ATTEMPTS_WAIT_US);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct serve *serve = handle->data;
    int64_t now_us = clock_mono_us();

    (void)number;
    if (serve->asked_us != 0 && now_us - serve->asked_us < SAME_REQUEST_US)
        return;
    serve->asked_us = now_us;
    if (serve->phase < SERVE_STOPPING)
        stop_all(serve);
    else
        hurry(serve);
}

/* ---- set-up ---- */

struct serve_options {
    struct settings_override override;
    int64_t port;
    bool any_port;
};

static void set_roles(struct serve *serve, const struct serve_options *options)
{
    const struct settings *settings = serve->settings;
    struct spawn *scheduler = &serve->roles[ROLE_SCHEDULER].spawn;
    struct spawn *web = &serve->roles[ROLE_WEB].spawn;

    (void)snprintf(serve->parent, sizeof(serve->parent), "%ld", (long)getpid());
    (void)snprintf(serve->port, sizeof(serve->port), "%lld", (long long)settings->port);
    *scheduler = (struct spawn){
        .program = serve->self,
        .args = {"millrace", "scheduler", "--state", settings->state_folder, "--dags",
                 settings->dags_folder, "--slots", serve->worker.slots, "--parent", serve->parent},
    };
    *web = (struct spawn){
        .program = serve->self,
        .args = {"millrace", "web", "--state", settings->state_folder, "--dags",
                 settings->dags_folder, "--host", settings->host, "--parent", serve->parent,
                 options->any_port ? "--any-port" : "--port",
                 options->any_port ? NULL : serve->port},
    };
    serve->roles[ROLE_WORKER].spawn = serve->worker.spawn;
}

static void init_handles(struct serve *serve)
{
    static const int numbers[2] = {SIGTERM, SIGINT};

    (void)uv_loop_init(&serve->loop);
    (void)uv_timer_init(&serve->loop, &serve->look);
    serve->look.data = serve;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        struct role *role = &serve->roles[i];
        role->serve = serve;
        role->kind = (enum role_kind)i;
        role->back_off_ms = BACK_OFF_MS_MIN;
        (void)uv_timer_init(&serve->loop, &role->timer);
        role->timer.data = role;
    }
    for (size_t i = 0; i < 2; i++) {
        (void)uv_signal_init(&serve->loop, &serve->signals[i]);
        serve->signals[i].data = serve;
        (void)uv_signal_start(&serve->signals[i], on_signal, numbers[i]);
    }
}

/* What a killed server left behind must not look like ours. Another server that lives is found by
 * its lock, which lasts while its scheduler comes and goes; a `millrace run` by the scheduler's. */
static bool clear_leftovers(struct serve *serve, struct err *err)
{
    serve->lock_fd = lock_take(serve->settings->state_folder, STATE_SERVE_LOCK, err);
    if (serve->lock_fd < 0)
        return false;
    int scheduler = lock_take(serve->settings->state_folder, STATE_LOCK, err);
    if (scheduler < 0)
        return false;
    (void)unlink(serve->address_path);
    (void)unlink(serve->socket_path);
    lock_release(scheduler);
    return true;
}

static int serve_run(const struct settings *settings, const struct serve_options *options)
{
    struct serve serve = {.settings = settings, .started_us = clock_mono_us(), .lock_fd = -1};
    struct err err = {0};
    bool is_missing = false;

    serve.self = spawn_self(&err);
    bool ok = settings_check_dags_folder(settings, &is_missing, &err) && serve.self != NULL &&
              spawn_worker_init(&serve.worker, settings, &err) &&
              fs_make_folders(settings->state_folder, 0700, &err);
    serve.address_path = fs_join(settings->state_folder, STATE_WEB_ADDRESS);
    serve.socket_path = fs_join(settings->state_folder, STATE_SCHEDULER_SOCKET);
    if (!ok || !clear_leftovers(&serve, &err)) {
        serve.exit_code = command_fail(&err);
    } else {
        set_roles(&serve, options);
        init_handles(&serve);
        for (size_t i = 0; i < ROLE_COUNT; i++)
            start_role(&serve.roles[i]);
        (void)uv_timer_start(&serve.look, on_look, READY_LOOK_MS, READY_LOOK_MS);
        (void)uv_run(&serve.loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&serve.loop);
    }
    lock_release(serve.lock_fd);
    free(serve.worker.spawn.program);
    free(serve.self);
    free(serve.address_path);
    free(serve.socket_path);
    return serve.exit_code;
}

static int serve_main(int argc, char **argv)
{
    struct serve_options options = {0};
    struct settings settings = {0};
    struct err err = {0};
    const struct arg table[] = {
        {"state",    0,   ARG_TEXT, &options.override.state_folder},
        {"dags",     0,   ARG_TEXT, &options.override.dags_folder },
        {"host",     0,   ARG_TEXT, &options.override.host        },
        {"port",     'p', ARG_INT,  &options.port                 },
        {"any-port", 0,   ARG_FLAG, &options.any_port             },
        {"slots",    0,   ARG_INT,  &options.override.worker_slots},
    };
    int count = args_parse(&serve_command, table, sizeof(table) / sizeof(table[0]), argc, argv);

    if (count < 0)
        return err_exit_code(ERR_USAGE);
    if (count > 0)
        return command_usage_error(&serve_command, "it takes no arguments, only options");
    options.override.port = options.port;
    /* On a terminal the banner is what matters; a log file or journal gets every state change. */
    if (isatty(STDERR_FILENO))
        (void)setenv("MILLRACE_LOG", "warn", 0);
    log_init("serve");
    if (!settings_load(&options.override, &settings, &err))
        return command_fail(&err);
    int exit_code = serve_run(&settings, &options);
    settings_release(&settings);
    return exit_code;
}

const struct command serve_command = {
    .name = "serve",
    .summary = "Run scheduler, worker and web server, until stopped",
    .usage =
        "Usage: millrace serve [--dags DIR] [--state DIR] [--host ADDRESS] [--port N | "
        "--any-port]\n"
        "                      [--slots N]\n\n"
        "Watches the DAG folder, runs what is due, and serves the page and the REST API.\n\n"
        "  --dags DIR      the DAG files (default: dags beside millrace.yaml)\n"
        "  --state DIR     where everything is kept (default: .millrace beside millrace.yaml)\n"
        "  --host ADDRESS  a loopback address (default: 127.0.0.1)\n"
        "  --port N        the port (default: 8080); --any-port lets the system choose\n"
        "  --slots N       attempts at once (default: the number of processors)\n\n"
        "Ctrl-C or SIGTERM ends it. Attempts that run then go on in their worker, which hands the\n"
        "results to the next `millrace serve`; a second Ctrl-C or SIGTERM within five seconds\n"
        "stops them.\n",
    .goes_on = true,
    .run = serve_main,
};
