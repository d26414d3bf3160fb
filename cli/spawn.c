#include "cli/spawn.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char *spawn_self(struct err *err)
{
    char *path = realpath("/proc/self/exe", NULL);

    if (path == NULL)
        err_errno(err, "find this executable");
    return path;
}

char *spawn_sibling(const char *name, struct err *err)
{
    static const char *const places[] = {"", "/../worker", "/../libexec/millrace"};
    char *self = spawn_self(err);

    if (self == NULL)
        return NULL;
    const char *folder = dirname(self);
    struct buf path = {0};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        buf_clear(&path);
        buf_printf(&path, "%s%s/%s", folder, places[i], name);
        if (access(buf_text(&path), X_OK) == 0) {
            free(self);
            return buf_take(&path);
        }
    }
    err_set(err, ERR_NOT_FOUND, "%s is not in %s: install it beside millrace", name, folder);
    buf_release(&path);
    free(self);
    return NULL;
}

static int open_log(const char *path)
{
    return path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

bool spawn_start(uv_loop_t *loop, uv_process_t *process, const struct spawn *spawn,
                 uv_exit_cb on_exit, struct err *err)
{
    char *args[SPAWN_ARGS_MAX + 1] = {NULL};
    int log = open_log(spawn->log_path);
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE                        },
        { .flags = UV_INHERIT_FD, .data.fd = log >= 0 ? log : STDOUT_FILENO},
        { .flags = UV_INHERIT_FD, .data.fd = log >= 0 ? log : STDERR_FILENO},
    };
    uv_process_options_t options = {
        .file = spawn->program,
        .args = args,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
        .exit_cb = on_exit,
    };

    if (spawn->log_path != NULL && log < 0)
        return err_errno(err, "open %s", spawn->log_path);
    /* libuv wants its argv writable; it only passes it to execvp. */
    for (size_t i = 0; spawn->args[i] != NULL; i++)
        args[i] = mem_strdup(spawn->args[i]);
    int status = uv_spawn(loop, process, &options);
    for (size_t i = 0; args[i] != NULL; i++)
        free(args[i]);
    if (log >= 0)
        (void)close(log);
    return status == 0 ||
           err_set(err, ERR_FAILED, "start %s: %s", spawn->program, uv_strerror(status));
}

bool spawn_worker_init(struct spawn_worker *worker, const struct settings *settings,
                       struct err *err)
{
    char *program = spawn_sibling("millrace-worker", err);

    if (program == NULL)
        return false;
    (void)snprintf(worker->slots, sizeof(worker->slots), "%lld", (long long)settings->worker_slots);
    (void)snprintf(worker->memory, sizeof(worker->memory), "%lld",
                   (long long)settings->memory_bytes);
    (void)snprintf(worker->staging, sizeof(worker->staging), "%lld",
                   (long long)(settings->retention.staging_us / US_PER_SECOND));
    worker->spawn = (struct spawn){
        .program = program,
        .args = {"millrace-worker", "--state", settings->state_folder, "--base",
                 settings->base_folder, "--slots", worker->slots, "--memory", worker->memory,
                 "--staging", worker->staging, "--managed"},
    };
    return true;
}
