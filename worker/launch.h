/* Launching a program: a vfork-class clone, so that the cost does not grow with the worker's size.
 * Or a copy of the worker itself, while that is young: it needs no program to be loaded.
 *
 * The child gets a process group of its own, default signals, no core files,
 * no_new_privs, SIGKILL when the worker dies, and no descriptor but those named here. */
#ifndef MILLRACE_WORKER_LAUNCH_H
#define MILLRACE_WORKER_LAUNCH_H

#include "base/err.h"

#include <sys/types.h>

/* The descriptor a runner finds its socket at. */
#define LAUNCH_SOCKET_FD 3

struct launch {
    const char *program; /* path, as launch_find() gives it */
    /* Instead of a program: what a copy of this process does. Only while there are no threads but
     * this one. */
    void (*copy)(void *context);
    void *context;
    char *const *argv;
    char *const *envp;
    const char *cwd; /* NULL = the worker's */
    int stdin_fd;
    int stdout_fd;
    int stderr_fd;
    int socket_fd; /* becomes LAUNCH_SOCKET_FD; -1 = none */
};

/* Starts the program. ERR_NOT_FOUND (no such program, interpreter or cwd), ERR_FORBIDDEN (not
 * executable, not a program) and ERR_INVALID (arguments too long) won't get better by another try;
 * ERR_IO (no memory, too many processes) may. The caller reaps the child. */
bool launch_start(const struct launch *launch, pid_t *ret_pid, struct err *err);

/* The path of a program: a name with a slash as it is, another one looked up in `path` (the PATH
 * of the environment it will have; may be NULL). ERR_NOT_FOUND names the program. The caller frees
 * it. */
char *launch_find(const char *name, const char *path, struct err *err);

#endif
