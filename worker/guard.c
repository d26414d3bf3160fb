#include "worker/guard.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "worker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAUSE_US_MIN (2 * US_PER_MS)
#define PAUSE_US_MAX US_PER_SECOND

struct hunt {
    char mark[sizeof(GUARD_VARIABLE) + 1 + INSTANCE_ID_SIZE];
    bool found;
};

static void kill_if_marked(void *context, pid_t pid)
{
    struct hunt *hunt = context;

    if (pid != getpid() && process_kill_marked(pid, hunt->mark))
        hunt->found = true;
}

/* Until two looks in a row find none of ours: a process in the middle of an exec shows no mark for
 * an instant. One that can't die (it waits for a disk) keeps the guard, and with it the lock. */
static void kill_all_marked(struct hunt *hunt)
{
    int64_t pause_us = PAUSE_US_MIN;

    for (int clean_looks = 0;;) {
        hunt->found = false;
        process_all(kill_if_marked, hunt);
        clean_looks = hunt->found ? 0 : clean_looks + 1;
        if (clean_looks == 2)
            return;
        (void)usleep((useconds_t)pause_us);
        pause_us = pause_us * 2 > PAUSE_US_MAX ? PAUSE_US_MAX : pause_us * 2;
    }
}

/* The lock file goes last: while it is there, it names what else is to be removed. */
static void remove_files(const struct instance *instance)
{
    struct err err = {0};
    char *stock = mem_dup(instance->lock_path, strlen(instance->lock_path) - strlen(".lock"));

    (void)fs_remove_tree(stock, &err);
    (void)unlink(instance->lock_path);
    free(stock);
}

/* Signals are blocked until here: a Ctrl-C for the worker must not end a guard that has not got so
 * far as to ignore it. `mask` is what they were before. */
__attribute__((noreturn)) static void guard_main(const struct instance *instance, int fd,
                                                 const sigset_t *mask)
{
    struct hunt hunt = {0};
    char byte;

    (void)setsid();
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)prctl(PR_SET_NAME, "millrace-guard");
    /* Whoever waits for the end of the worker's output must not wait for the guard. */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i < 3; i++)
        (void)dup2(null, i);
    (void)snprintf(hunt.mark, sizeof(hunt.mark), "%s=%s", GUARD_VARIABLE, instance->id);
    while (read(fd, &byte, 1) < 0 && errno == EINTR)
        continue;
    kill_all_marked(&hunt);
    remove_files(instance);
    _exit(0);
}

bool guard_start(const struct instance *instance, pid_t *ret_pid, int *ret_fd, struct err *err)
{
    int ends[2];
    sigset_t all;
    sigset_t mask;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, "a pipe for the guard");
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &mask);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[1]);
        guard_main(instance, ends[0], &mask);
    }
    int error = errno;
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    (void)close(ends[0]);
    if (pid < 0) {
        (void)close(ends[1]);
        errno = error;
        return err_errno(err, "start the guard");
    }
    *ret_pid = pid;
    *ret_fd = ends[1];
    return true;
}
