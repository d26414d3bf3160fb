/* heldclock: preloaded into `millrace scheduler` by live.py. The wall clock shows the time that the
 * script says, and what is due is held back until the script says `tick`.
 *
 *   LD_PRELOAD=libheldclock.so HELDCLOCK=FILE millrace scheduler …
 *
 * FILE is a struct held_clock in the machine's order. The monotonic clock, and with it every other
 * timer of the process, goes on as ever. The loop's own timer is the one that is made right after
 * its uv_prepare_t (loop_open in scheduler/loop.c). */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define NEVER_MS (UINT64_C(3600) * 1000)

struct held_clock {
    _Atomic int64_t now_us;
    _Atomic int32_t is_held; /* by the script */
    _Atomic int32_t is_due;  /* said by the loop, as it last set its timer */
};

static struct held_clock *held;
static const uv_timer_t *wakeup;
static bool prepare_is_new;
static bool is_starting;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("HELDCLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        void *map = mmap(NULL, sizeof(*held), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        held = map == MAP_FAILED ? NULL : map;
        (void)close(fd);
    }
    (void)unsetenv("LD_PRELOAD");
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    if (held == NULL || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return (int)syscall(SYS_clock_gettime, id, ret);
    int64_t now_us = atomic_load(&held->now_us);
    ret->tv_sec = now_us / 1000000;
    ret->tv_nsec = now_us % 1000000 * 1000;
    return 0;
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *handle)
{
    static int (*real)(uv_loop_t *, uv_prepare_t *);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "uv_prepare_init");
    prepare_is_new = true;
    return real(loop, handle);
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *handle)
{
    static int (*real)(uv_loop_t *, uv_timer_t *);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "uv_timer_init");
    if (prepare_is_new)
        wakeup = handle;
    prepare_is_new = false;
    return real(loop, handle);
}

int uv_timer_start(uv_timer_t *handle, uv_timer_cb callback, uint64_t delay_ms, uint64_t repeat_ms)
{
    static int (*real)(uv_timer_t *, uv_timer_cb, uint64_t, uint64_t);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "uv_timer_start");
    bool is_wakeup = held != NULL && handle == wakeup;
    bool is_due = delay_ms == 0;
    if (is_wakeup && is_due && atomic_load(&held->is_held))
        delay_ms = NEVER_MS;
    if (is_wakeup)
        atomic_store(&held->is_due, is_due);
    is_starting = true;
    int status = real(handle, callback, delay_ms, repeat_ms);
    is_starting = false;
    return status;
}

int uv_timer_stop(uv_timer_t *handle)
{
    static int (*real)(uv_timer_t *);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "uv_timer_stop");
    /* libuv itself stops a timer that it starts, or that has run out: that is not the loop's doing.
     * (Who calls can't be told by the return address: the loop's last call may be a jump.) */
    bool has_run_out =
        uv_is_active((uv_handle_t *)handle) && handle->timeout <= uv_now(handle->loop);
    if (held != NULL && handle == wakeup && !is_starting && !has_run_out)
        atomic_store(&held->is_due, 0);
    return real(handle);
}
