#include "worker/reap.h"

#include "base/log.h"
#include "worker/command.h"
#include "worker/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* How often a job waits for a process without any environment to show one. */
#define LOOKS_AT_BLANK_MAX 3

struct search {
    struct job *job;
    char *mark;   /* NAME=token of the job's environment */
    bool is_last; /* no other job runs that an unmarked orphan could belong to */
    bool found;
};

void reap_init(void)
{
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        log_warn("no_subreaper", "error=\"%s\"", strerror(errno));
}

static struct child *find_child(struct supervisor *supervisor, pid_t pid)
{
    struct child *child = NULL;

    HASH_FIND(hh, supervisor->children, &pid, sizeof(pid), child);
    return child;
}

static void child_exited(struct supervisor *supervisor, struct child *child, int status)
{
    HASH_DELETE(hh, supervisor->children, child);
    if (child->runner != NULL)
        runner_exited(child->runner, status);
    else
        command_exited(child->job, status);
}

static void stranger_exited(struct supervisor *supervisor, pid_t pid)
{
    struct job *job;
    struct job *next;

    if (pid == supervisor->guard) {
        log_error("guard_lost",
                  "pid=%d effect=\"if the worker is killed now, what its attempts "
                  "started may outlive it\"",
                  (int)pid);
        supervisor->guard = 0;
        return;
    }
    /* A leftover has ended; it may have been the last of its job. */
    HASH_ITER(hh, supervisor->jobs, job, next)
    {
        if (job->state == JOB_CLEARING && reap_clear(job))
            job_handle(job, JOB_CLEARED);
    }
}

void reap_children(struct supervisor *supervisor)
{
    for (;;) {
        siginfo_t info = {0};
        int status = 0;

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        struct child *child = find_child(supervisor, info.si_pid);
        if (child == NULL && supervisor->launching > 0)
            return; /* perhaps one whose launch we have not heard of yet: it is looked at then */
        if (child != NULL)
            (void)kill(-info.si_pid, SIGKILL);
        (void)waitpid(info.si_pid, &status, 0);
        if (child != NULL)
            child_exited(supervisor, child, status);
        else
            stranger_exited(supervisor, info.si_pid);
    }
}

static void kill_if_left(void *context, pid_t pid)
{
    struct search *search = context;
    struct supervisor *supervisor = search->job->supervisor;

    if (pid == supervisor->guard || find_child(supervisor, pid) != NULL)
        return;
    enum process_mark mark = process_look(pid, search->mark);
    if (mark == PROCESS_MARKED) {
        search->found = true;
        (void)kill(pid, SIGKILL);
        return;
    }
    /* One that is ending shows no mark any more, and may be about to leave us children of its own:
     * look again when it is reaped. One in the middle of an exec shows none yet. */
    if (process_is_ending(pid) ||
        (mark == PROCESS_BLANK && search->job->looks < LOOKS_AT_BLANK_MAX)) {
        search->found = true;
        return;
    }
    /* An orphan that hides whose it is (a cleared environment, or one we can't read) is killed once
     * no other job can have made it. It does not hold this job up. */
    if (search->is_last)
        (void)kill(pid, SIGKILL);
}

bool reap_clear(struct job *job)
{
    struct buf mark = {0};
    struct search search = {.job = job, .is_last = job->supervisor->running <= 1};

    buf_printf(&mark, "%s=%s", COMMAND_TOKEN_VARIABLE, job->token);
    search.mark = mark.ptr;
    job->looks++;
    process_children(kill_if_left, &search);
    buf_release(&mark);
    if (job->group > 0 && process_group_lives(job->group)) {
        (void)kill(-job->group, SIGKILL);
        search.found = true;
    } else {
        job->group = 0; /* an empty group's number may become somebody else's */
    }
    return !search.found;
}
