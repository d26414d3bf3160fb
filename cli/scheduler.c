/* The scheduler's process, as `millrace serve` starts it. */
#include "scheduler/scheduler.h"

#include "base/log.h"
#include "cli/args.h"
#include "cli/command.h"
#include "millrace/settings.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

struct daemon {
    uv_loop_t loop;
    uv_signal_t signals[2];
    struct scheduler *scheduler;
    bool has_parent;
    int exit_code;
};

static void stop(struct daemon *daemon)
{
    if (daemon->scheduler != NULL)
        scheduler_stop(daemon->scheduler);
    for (size_t i = 0; i < 2; i++)
        if (!uv_is_closing((uv_handle_t *)&daemon->signals[i]))
            uv_close((uv_handle_t *)&daemon->signals[i], NULL);
}

/* A failed commit, or the command `stop`. */
static void on_ended(void *context, const struct err *why)
{
    struct daemon *daemon = context;

    daemon->exit_code = why->code == ERR_NONE ? 0 : err_exit_code(why->code);
    stop(daemon);
}

/* An orderly end of `serve`: workers without attempts end too, also those of an earlier `serve`.
 * The others go on and hand over what they have to the next scheduler. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;

    log_info("stopping", "signal=%d", number);
    if (daemon->has_parent && !scheduler_has_attempts(daemon->scheduler))
        scheduler_signal_workers(daemon->scheduler, SIGTERM);
    stop(daemon);
}

static int run_daemon(const struct settings *settings, bool has_parent)
{
    struct daemon daemon = {.has_parent = has_parent};
    struct err err = {0};
    struct scheduler_options options = {
        .settings = settings, .observe_context = &daemon, .ended = on_ended};
    static const int numbers[2] = {SIGTERM, SIGINT};

    (void)uv_loop_init(&daemon.loop);
    for (size_t i = 0; i < 2; i++) {
        (void)uv_signal_init(&daemon.loop, &daemon.signals[i]);
        daemon.signals[i].data = &daemon;
        (void)uv_signal_start(&daemon.signals[i], on_signal, numbers[i]);
    }
    daemon.scheduler = scheduler_open(&daemon.loop, &options, &err);
    if (daemon.scheduler == NULL)
        daemon.exit_code = command_fail(&err);
    else
        log_info("ready", "state=\"%s\" pid=%ld", settings->state_folder, (long)getpid());
    if (daemon.scheduler == NULL)
        stop(&daemon);
    (void)uv_run(&daemon.loop, UV_RUN_DEFAULT);
    scheduler_free(daemon.scheduler);
    (void)uv_loop_close(&daemon.loop);
    return daemon.exit_code;
}

/* Ends with `serve`: the signal comes when the parent's thread is gone, and the check covers a
 * parent that went before. */
static bool bind_to_parent(int64_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == (pid_t)parent;
}

static int scheduler_main(int argc, char **argv)
{
    struct settings_override override = {0};
    struct settings settings = {0};
    struct err err = {0};
    int64_t parent = 0;
    bool is_missing = false;
    const struct arg table[] = {
        {"state",  0, ARG_TEXT, &override.state_folder},
        {"dags",   0, ARG_TEXT, &override.dags_folder },
        {"slots",  0, ARG_INT,  &override.worker_slots},
        {"parent", 0, ARG_INT,  &parent               },
    };
    int count = args_parse(&scheduler_command, table, 4, argc, argv);

    if (count < 0)
        return err_exit_code(ERR_USAGE);
    if (count > 0)
        return command_usage_error(&scheduler_command, "`%s` is not expected", argv[1]);
    log_init("scheduler");
    if (parent != 0 && !bind_to_parent(parent))
        return err_exit_code(ERR_FAILED);
    if (!settings_load(&override, &settings, &err))
        return command_fail(&err);
    /* `serve` has looked at the folder when it started: what is gone since may come back. */
    if (parent == 0 && !settings_check_dags_folder(&settings, &is_missing, &err)) {
        settings_release(&settings);
        return command_fail(&err);
    }
    int exit_code = run_daemon(&settings, parent != 0);
    settings_release(&settings);
    return exit_code;
}

const struct command scheduler_command = {
    .name = "scheduler",
    .summary = "decide and write (started by serve)",
    .usage = "Usage: millrace scheduler [--state DIR] [--dags DIR] [--slots N] [--parent PID]\n\n"
             "The role of `millrace serve` that decides when runs start and keeps their state.\n"
             "SIGTERM or SIGINT ends it in order; attempts go on in their workers.\n",
    .hidden = true,
    .goes_on = true,
    .run = scheduler_main,
};
