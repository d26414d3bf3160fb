/* killat: preloaded into a process, counts what it writes, syncs, sends, renames and removes, and
 * kills it with SIGKILL before the n-th.
 *
 *   LD_PRELOAD=libkillat.so KILLAT_COUNT=FILE [KILLAT=n] program …
 *
 * FILE holds the count, 8 bytes in the machine's order, and outlives the process. What is written
 * to stderr does not count. Programs that the process starts are not counted in. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic uint64_t *counter;
static uint64_t kill_at;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("KILLAT_COUNT");
    const char *at = getenv("KILLAT");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0 && ftruncate(fd, sizeof(*counter)) == 0) {
        void *map = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        counter = map == MAP_FAILED ? NULL : map;
    }
    if (fd >= 0)
        (void)close(fd);
    kill_at = at == NULL ? 0 : strtoull(at, NULL, 10);
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("KILLAT");
    (void)unsetenv("KILLAT_COUNT");
}

static void count(void)
{
    if (counter != NULL && atomic_fetch_add(counter, 1) + 1 == kill_at)
        (void)kill(getpid(), SIGKILL);
}

/* clang-format off */
#define WRAP(result, name, params, args, counts)                                                   \
    result name params                                                                             \
    {                                                                                              \
        static result(*real) params;                                                               \
        if (real == NULL)                                                                          \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                             \
        if (counts)                                                                                \
            count();                                                                               \
        return real args;                                                                          \
    }

WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), fd != STDERR_FILENO)
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), true)
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), true)
WRAP(ssize_t, writev, (int fd, const struct iovec *parts, int part_count), (fd, parts, part_count), true)
WRAP(int, fsync, (int fd), (fd), true)
WRAP(int, fdatasync, (int fd), (fd), true)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), true)
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size), true)
WRAP(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags), true)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), true)
WRAP(int, rename, (const char *from, const char *to), (from, to), true)
WRAP(int, unlink, (const char *path), (path), true)
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), true)
