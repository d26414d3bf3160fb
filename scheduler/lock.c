#include "scheduler/lock.h"

#include "base/fs.h"
#include "millrace/messages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

/* -1 when the file doesn't tell. */
static int64_t read_pid(int fd)
{
    char text[32] = {0};
    int64_t pid = 0;
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

    return got > 0 && str_to_int(str_trim(str_from(text)), &pid) && pid > 0 ? pid : -1;
}

static void describe_holder(int fd, const char *state_folder, struct err *err)
{
    int64_t pid = read_pid(fd);

    if (pid > 0)
        err_set(err, ERR_CONFLICT, "the state folder %s is in use by process %lld", state_folder,
                (long long)pid);
    else
        err_set(err, ERR_CONFLICT, "the state folder %s is in use by another process",
                state_folder);
}

static bool lock_file(int fd, const char *state_folder, struct err *err)
{
    char text[32];

    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            describe_holder(fd, state_folder, err);
        else
            err_errno(err, "lock %s/%s", state_folder, STATE_LOCK);
        return false;
    }
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0)
        return err_errno(err, "write %s/%s", state_folder, STATE_LOCK);
    return fs_write_all(fd, text, (size_t)len, err) ||
           err_wrap(err, "%s/%s", state_folder, STATE_LOCK);
}

int lock_take(const char *state_folder, struct err *err)
{
    if (!fs_make_folders(state_folder, 0700, err))
        return -1;
    char *path = fs_join(state_folder, STATE_LOCK);
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
        pid = read_pid(fd);
    (void)close(fd);
    return pid;
}
