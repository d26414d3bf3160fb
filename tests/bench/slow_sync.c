/* For the benchmarks, by LD_PRELOAD: another disk. SYNC_DELAY_US is added to each sync; with
 * SYNC_OFF there are none, as with SQLite's synchronous=OFF. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef int (*sync_function)(int fd);

static int do_sync(const char *name, int fd)
{
    sync_function real = NULL;
    const char *delay = getenv("SYNC_DELAY_US");

    if (getenv("SYNC_OFF") != NULL)
        return 0;
    *(void **)&real = dlsym(RTLD_NEXT, name);
    int status = real(fd);
    if (delay != NULL) {
        long us = atol(delay);
        struct timespec pause = {us / 1000000, us % 1000000 * 1000};
        (void)nanosleep(&pause, NULL);
    }
    return status;
}

int fsync(int fd)
{
    return do_sync("fsync", fd);
}

int fdatasync(int fd)
{
    return do_sync("fdatasync", fd);
}
