#include "scheduler/lock.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/timefmt.h"
#include "millrace/messages.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define HOST_SIZE 65
#define LOOKS_MAX 5
#define LOOK_MS 10

/* What a holder writes into its lock file: "PID HOST SINCE". */
struct holder {
    int64_t pid; /* -1 = the file doesn't tell */
    char host[HOST_SIZE];
    char since[TIMEFMT_SIZE];
};

static struct holder read_holder(int fd)
{
    char text[160] = {0};
    struct holder holder = {.pid = -1};
    long long pid = 0;

    if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
        return holder;
    int count = sscanf(text, "%19lld %64s %39s", &pid, holder.host, holder.since);
    if (count >= 1 && pid > 0)
        holder.pid = pid;
    return holder;
}

/* What a host is called; gethostname() need not end a name that it cuts. */
static void own_host(char host[HOST_SIZE])
{
    if (gethostname(host, HOST_SIZE) != 0 || host[0] == '\0')
        (void)snprintf(host, HOST_SIZE, "localhost");
    host[HOST_SIZE - 1] = '\0';
}

/* Whether the file still names a former holder, or nobody yet: the real one is about to write. */
static bool is_stale(const struct holder *holder)
{
    char host[HOST_SIZE];

    own_host(host);
    return holder->pid < 0 ||
           (strcmp(holder->host, host) == 0 && kill((pid_t)holder->pid, 0) != 0 && errno == ESRCH);
}

static bool describe_holder(const struct holder *holder, const char *state_folder, struct err *err)
{
    if (is_stale(holder))
        return err_set(err, ERR_CONFLICT, "the state folder %s is in use by another process",
                       state_folder);
    if (holder->since[0] == '\0')
        return err_set(err, ERR_CONFLICT, "the state folder %s is in use by process %lld",
                       state_folder, (long long)holder->pid);
    return err_set(err, ERR_CONFLICT,
                   "the state folder %s is in use by process %lld on %s since %s", state_folder,
                   (long long)holder->pid, holder->host, holder->since);
}

/* A lock can be held for an instant by somebody who only looks (lock_holder()), and its file can
 * name the former holder until the new one has written: a few more looks tell. */
static bool take_lock(int fd, const char *state_folder, struct err *err)
{
    struct holder holder = {.pid = -1};

    for (int look = 0; look < LOOKS_MAX; look++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            return err_errno(err, "lock the state folder %s", state_folder);
        holder = read_holder(fd);
        if (!is_stale(&holder))
            break;
        (void)usleep(LOOK_MS * 1000);
    }
    return describe_holder(&holder, state_folder, err);
}

static bool lock_file(int fd, const char *state_folder, struct err *err)
{
    char text[160];
    char host[HOST_SIZE];
    char since[TIMEFMT_SIZE];

    if (!take_lock(fd, state_folder, err))
        return false;
    own_host(host);
    (void)timefmt_utc(clock_wall_us() / US_PER_SECOND * US_PER_SECOND, since);
    int len = snprintf(text, sizeof(text), "%ld %s %s\n", (long)getpid(), host, since);
    if (pwrite(fd, text, (size_t)len, 0) != len || ftruncate(fd, len) != 0)
        return err_errno(err, "write the lock of %s", state_folder);
    return true;
}

int lock_take(const char *state_folder, const char *name, struct err *err)
{
    if (!fs_make_folders(state_folder, 0700, err))
        return -1;
    char *path = fs_join(state_folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        err_errno(err, "open %s", path);
    free(path);
    if (fd >= 0 && !lock_file(fd, state_folder, err)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

void lock_release(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

int64_t lock_holder(const char *state_folder)
{
    char *path = fs_join(state_folder, STATE_LOCK);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int64_t pid = -1;

    free(path);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    /* A shared lock, let go at once by close(). */
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        pid = 0;
    else if (errno == EWOULDBLOCK)
        pid = read_holder(fd).pid;
    (void)close(fd);
    return pid;
}
