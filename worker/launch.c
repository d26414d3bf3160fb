#include "worker/launch.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES (64 * 1024)
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* What the child was doing when it failed. */
enum step { STEP_GROUP, STEP_PARENT, STEP_DESCRIPTORS, STEP_CWD, STEP_LIMITS, STEP_EXEC };

/* Shared with the child, which runs in our memory until it has exec'd. */
struct order {
    const struct launch *launch;
    pid_t parent;
    enum step step;
    int error; /* errno of a failed step */
};

static bool place_descriptor(int from, int to)
{
    if (from == to)
        return fcntl(from, F_SETFD, 0) == 0;
    return dup2(from, to) == to;
}

static bool place_descriptors(const struct launch *launch)
{
    unsigned first_closed = 3;

    if (!place_descriptor(launch->stdin_fd, 0) || !place_descriptor(launch->stdout_fd, 1) ||
        !place_descriptor(launch->stderr_fd, 2))
        return false;
    if (launch->socket_fd >= 0) {
        if (!place_descriptor(launch->socket_fd, LAUNCH_SOCKET_FD))
            return false;
        first_closed = LAUNCH_SOCKET_FD + 1;
    }
    /* All of ours are close-on-exec; this is for what a library may have opened without. A kernel
     * too old for the call leaves it at that. */
    (void)close_range(first_closed, ~0U, 0);
    return true;
}

/* Those that have a handler here, which must not run in the child, and those that somebody before
 * us may have chosen to ignore, which an exec would keep. (All 64 would be 64 calls.) */
static const int reset[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE, SIGALRM, SIGTERM, SIGCHLD,
                            SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ};

static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (size_t i = 0; i < sizeof(reset) / sizeof(reset[0]); i++)
        (void)sigaction(reset[i], &action, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int fail(struct order *order, enum step step)
{
    order->step = step;
    order->error = errno;
    _exit(127);
}

/* Runs in the worker's memory while the worker waits: only system calls, no allocation. */
__attribute__((no_sanitize("address", "undefined"))) static int child_main(void *context)
{
    struct order *order = context;
    const struct launch *launch = order->launch;
    struct rlimit no_core = {0};

    /* Not a session: the kernel would make a scheduling group for each, which costs more than all
     * the rest here. The worker gave its terminal up, so the child has none either. */
    if (setpgid(0, 0) < 0)
        return fail(order, STEP_GROUP);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != order->parent)
        return fail(order, STEP_PARENT);
    if (!place_descriptors(launch))
        return fail(order, STEP_DESCRIPTORS);
    if (launch->cwd != NULL && chdir(launch->cwd) < 0)
        return fail(order, STEP_CWD);
    if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(order, STEP_LIMITS);
    reset_signals();
    if (launch->copy != NULL)
        launch->copy(launch->context);
    (void)execve(launch->program, launch->argv, launch->envp);
    return fail(order, STEP_EXEC);
}

static bool exec_failed(const struct launch *launch, int error, struct err *err)
{
    const char *program = launch->program;
    struct stat status;

    switch (error) {
    case ENOENT:
    case ENOTDIR:
        /* A path is relative to the child's folder, so stat() may only be asked about a full one.
         */
        if (program[0] == '/' && stat(program, &status) == 0)
            return err_set(err, ERR_NOT_FOUND,
                           "can't run %s: the interpreter its first line names does not exist",
                           program);
        return err_set(err, ERR_NOT_FOUND, "can't run %s: there is no such program", program);
    case EACCES:
    case EPERM:
        return err_set(err, ERR_FORBIDDEN, "can't run %s: it is not executable (%s)", program,
                       strerror(error));
    case ENOEXEC:
        return err_set(err, ERR_FORBIDDEN,
                       "can't run %s: it is not a program; a script needs a first line such as "
                       "#!/bin/sh",
                       program);
    case E2BIG:
        return err_set(err, ERR_INVALID, "can't run %s: arguments and environment are too long",
                       program);
    default:
        errno = error;
        return err_errno(err, "can't run %s", program);
    }
}

static bool order_failed(const struct order *order, struct err *err)
{
    const struct launch *launch = order->launch;

    switch (order->step) {
    case STEP_EXEC:
        return exec_failed(launch, order->error, err);
    case STEP_CWD:
        return err_set(err, order->error == EACCES ? ERR_FORBIDDEN : ERR_NOT_FOUND,
                       "can't run %s in the folder %s: %s", launch->program, launch->cwd,
                       strerror(order->error));
    case STEP_PARENT:
        return err_set(err, ERR_IO, "can't run %s: the worker is ending", launch->program);
    case STEP_GROUP:
    case STEP_DESCRIPTORS:
    case STEP_LIMITS:
        break;
    }
    errno = order->error;
    return err_errno(err, "can't set up a process for %s", launch->program);
}

static pid_t start_program(struct order *order)
{
    char *stack = mem_alloc(STACK_BYTES);
    uintptr_t top = ((uintptr_t)stack + STACK_BYTES) & ~(uintptr_t)63;
    pid_t pid = clone(child_main, (void *)top, CLONE_VM | CLONE_VFORK | SIGCHLD, order);
    int error = errno;

    free(stack);
    errno = error;
    return pid;
}

/* Its set-up can fail as a program's can, but in memory of its own: it ends, which is all we see.
 */
static pid_t start_copy(struct order *order)
{
    pid_t pid = fork();

    if (pid == 0)
        (void)child_main(order);
    return pid;
}

bool launch_start(const struct launch *launch, pid_t *ret_pid, struct err *err)
{
    struct order order = {.launch = launch, .parent = getpid()};
    sigset_t all;
    sigset_t before;

    /* A signal handler of ours must not run in the child, which shares our memory. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = launch->copy != NULL ? start_copy(&order) : start_program(&order);
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        errno = error;
        return err_errno(err, "can't start a process for %s", launch->program);
    }
    if (order.error != 0) {
        int status;

        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
        return order_failed(&order, err);
    }
    *ret_pid = pid;
    return true;
}

static bool is_program(const char *path)
{
    struct stat status;

    return access(path, X_OK) == 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

char *launch_find(const char *name, const char *path, struct err *err)
{
    struct str folders = str_from(path == NULL ? DEFAULT_PATH : path);
    struct buf candidate = {0};

    if (name[0] == '\0') {
        (void)err_set(err, ERR_INVALID, "argv names no program: its first string is empty");
        return NULL;
    }
    if (strchr(name, '/') != NULL)
        return mem_strdup(name);
    while (folders.len > 0) {
        size_t end = str_find(folders, ':', 0);
        struct str folder = str_sub(folders, 0, end == SIZE_MAX ? folders.len : end);

        folders = end == SIZE_MAX ? (struct str){0} : str_sub(folders, end + 1, folders.len);
        /* Relative entries would depend on the folder of the attempt: a classic trap. */
        if (folder.len == 0 || folder.ptr[0] != '/')
            continue;
        buf_clear(&candidate);
        buf_printf(&candidate, "%.*s/%s", STR_ARG(folder), name);
        if (is_program(buf_text(&candidate)))
            return buf_take(&candidate);
    }
    buf_release(&candidate);
    (void)err_set(err, ERR_NOT_FOUND, "can't run %s: there is no such program in PATH (%s)", name,
                  path == NULL ? DEFAULT_PATH : path);
    return NULL;
}
