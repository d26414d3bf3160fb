/* Starting the other processes of Millrace: found beside this executable, each in a session of its
 * own so that a terminal's signals reach only the parent. */
#ifndef MILLRACE_CLI_SPAWN_H
#define MILLRACE_CLI_SPAWN_H

#include "base/err.h"
#include "millrace/settings.h"

#include <uv.h>

#define SPAWN_ARGS_MAX 16

struct spawn {
    char *program;                    /* path */
    const char *args[SPAWN_ARGS_MAX]; /* ended by NULL; args[0] is the name shown by ps */
    const char *log_path;             /* stderr goes there, appended; NULL = our stderr */
};

/* The path of this executable, or of `name` beside it (in a build tree: beside its folder). The
 * caller frees it; NULL with what was looked for. */
char *spawn_self(struct err *err);
char *spawn_sibling(const char *name, struct err *err);

/* Starts it; `on_exit` is called on the loop. stdin is empty; stdout is our stdout, or with a log
 * the log too. */
bool spawn_start(uv_loop_t *loop, uv_process_t *process, const struct spawn *spawn,
                 uv_exit_cb on_exit, struct err *err);

/* The command line of a worker for these settings. Its numbers live in `numbers`. */
struct spawn_worker {
    struct spawn spawn;
    char slots[24];
    char memory[24];
    char staging[24]; /* seconds */
};
bool spawn_worker_init(struct spawn_worker *worker, const struct settings *settings,
                       struct err *err);

#endif
