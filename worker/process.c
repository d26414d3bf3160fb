#include "worker/process.h"

#include "base/buf.h"
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/linux/sched.h: the process is on its way out. Part of the kernel's interface since /proc
 * shows the flags. */
#define PF_EXITING 0x4UL

/* Reads a file of /proc to its end; false where it is not there or not ours to read. */
static bool read_proc(const char *path, struct buf *out)
{
    char piece[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd < 0)
        return false;
    while ((n = read(fd, piece, sizeof(piece))) > 0)
        buf_add(out, piece, (size_t)n);
    (void)close(fd);
    return n == 0;
}

/* What /proc/PID/stat says after the name: state, parent and, six fields on, the kernel's flags. */
struct stat_fields {
    char state;
    long parent;
    unsigned long flags;
};

static bool read_stat(pid_t pid, struct stat_fields *ret)
{
    char path[64];
    struct buf text = {0};
    bool ok = false;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_proc(path, &text)) {
        /* The name stands in parentheses and may hold anything, so look from the end. */
        const char *after = strrchr(buf_text(&text), ')');

        ok = after != NULL && sscanf(after + 1, " %c %ld %*d %*d %*d %*d %lu", &ret->state,
                                     &ret->parent, &ret->flags) == 3;
    }
    buf_release(&text);
    return ok;
}

bool process_is_ending(pid_t pid)
{
    struct stat_fields fields;

    return !read_stat(pid, &fields) || fields.state == 'Z' || fields.state == 'X' ||
           (fields.flags & PF_EXITING) != 0;
}

void process_all(process_visit visit, void *context)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;

    if (proc == NULL)
        return;
    while ((entry = readdir(proc)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);

        if (*end == '\0' && pid > 0)
            visit(context, (pid_t)pid);
    }
    (void)closedir(proc);
}

struct filter {
    process_visit visit;
    void *context;
};

static void visit_if_child(void *context, pid_t pid)
{
    const struct filter *filter = context;

    struct stat_fields fields;

    if (read_stat(pid, &fields) && fields.parent == getpid())
        filter->visit(filter->context, pid);
}

void process_children(process_visit visit, void *context)
{
    struct buf text = {0};
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    if (read_proc(path, &text)) {
        const char *at = buf_text(&text);
        char *end;

        for (long pid = strtol(at, &end, 10); end != at; pid = strtol(at, &end, 10)) {
            visit(context, (pid_t)pid);
            at = end;
        }
    } else {
        process_all(visit_if_child, &(struct filter){visit, context});
    }
    buf_release(&text);
}

enum process_mark process_look(pid_t pid, const char *entry)
{
    char path[64];
    struct buf text = {0};
    size_t len = strlen(entry);
    enum process_mark mark = PROCESS_BLANK;

    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    if (read_proc(path, &text))
        for (size_t at = 0; mark != PROCESS_MARKED && at < text.len;) {
            struct str one = str_from(text.ptr + at);

            mark = one.len == len && memcmp(one.ptr, entry, len) == 0 ? PROCESS_MARKED
                                                                      : PROCESS_UNMARKED;
            at += one.len + 1;
        }
    buf_release(&text);
    return mark;
}

bool process_kill_marked(pid_t pid, const char *entry)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool sent;

    if (fd < 0)
        return false;
    sent = process_look(pid, entry) == PROCESS_MARKED &&
           syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    (void)close(fd);
    return sent;
}

bool process_group_lives(pid_t group)
{
    return kill(-group, 0) == 0 || errno == EPERM;
}
