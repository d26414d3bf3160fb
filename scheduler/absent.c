#include "scheduler/absent.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "millrace/messages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POLL_MS 100

/* What the kernel calls a worker's process: its program's name, of which it keeps 15 bytes. */
#define WORKER_NAME "millrace-worker"

struct absent {
    struct scheduler *scheduler;
    uv_timer_t poll;
    char **instances;
    size_t count;
    size_t capacity;
};

bool worker_is_alive(const char *state_folder, const char *instance)
{
    struct buf path = {0};
    bool alive = false;

    buf_printf(&path, "%s/" STATE_WORKER_LOCK_FORMAT, state_folder, instance);
    int fd = open(buf_text(&path), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        /* Only a missing file proves anything. */
        alive = errno != ENOENT;
    } else {
        alive = flock(fd, LOCK_EX | LOCK_NB) != 0;
        if (!alive)
            (void)unlink(buf_text(&path));
        (void)close(fd);
    }
    buf_release(&path);
    return alive;
}

typedef void (*alive_visit)(void *context, const char *lock_path);

static void visit_alive(const char *state_folder, alive_visit visit, void *context)
{
    char *path = fs_join(state_folder, "workers");
    DIR *folder = opendir(path);

    for (struct dirent *entry = NULL; folder != NULL && (entry = readdir(folder)) != NULL;) {
        struct str name = str_from(entry->d_name);
        if (!str_ends(name, STR(".lock")))
            continue;
        char *instance = mem_dup(name.ptr, name.len - strlen(".lock"));
        char *lock_path = fs_join(path, entry->d_name);
        if (str_is_id(str_from(instance)) && worker_is_alive(state_folder, instance))
            visit(context, lock_path);
        free(lock_path);
        free(instance);
    }
    if (folder != NULL)
        (void)closedir(folder);
    free(path);
}

static void count_one(void *context, const char *lock_path)
{
    (void)lock_path;
    ++*(size_t *)context;
}

size_t workers_count_alive(const char *state_folder)
{
    size_t count = 0;

    visit_alive(state_folder, count_one, &count);
    return count;
}

/* A worker writes its pid into its lock file; 0 = the file doesn't tell. */
static pid_t read_pid(const char *lock_path)
{
    struct buf text = {0};
    struct err ignored = {0};
    int64_t pid = 0;

    if (fs_read_file(lock_path, 32, &text, &ignored) &&
        (!str_to_int(str_trim(buf_str(&text)), &pid) || pid <= 1 || pid > INT32_MAX))
        pid = 0;
    buf_release(&text);
    return (pid_t)pid;
}

/* The lock outlives its worker for as long as the guard has attempts to kill, and the pid may be a
 * stranger's by then. */
static bool is_worker(pid_t pid)
{
    struct buf path = {0};
    struct buf name = {0};
    struct err ignored = {0};

    buf_printf(&path, "/proc/%ld/comm", (long)pid);
    bool ok = fs_read_file(buf_text(&path), 32, &name, &ignored) &&
              strcmp(buf_text(&name), WORKER_NAME "\n") == 0;
    buf_release(&path);
    buf_release(&name);
    return ok;
}

struct signalling {
    int number;
    pid_t reached;
};

/* By a pidfd, so that check and signal go to the same process. */
static void signal_one(void *context, const char *lock_path)
{
    struct signalling *signalling = context;
    pid_t pid = read_pid(lock_path);
    int fd = pid == 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd < 0)
        return;
    if (is_worker(pid) && syscall(SYS_pidfd_send_signal, fd, signalling->number, NULL, 0) == 0)
        signalling->reached = pid;
    (void)close(fd);
}

pid_t workers_signal(const char *state_folder, int number)
{
    struct signalling signalling = {.number = number};

    visit_alive(state_folder, signal_one, &signalling);
    return signalling.reached;
}

static void drop(struct absent *absent, size_t index)
{
    free(absent->instances[index]);
    absent->instances[index] = absent->instances[--absent->count];
}

static void on_poll(uv_timer_t *timer)
{
    struct absent *absent = timer->data;
    struct scheduler *scheduler = absent->scheduler;

    for (size_t i = absent->count; i-- > 0;) {
        if (worker_is_alive(scheduler->settings->state_folder, absent->instances[i]))
            continue;
        log_info("worker_gone", "worker=%s", absent->instances[i]);
        struct event *event = inbox_add(scheduler, EVENT_WORKER_GONE, NULL);
        event->as.worker_gone.instance = arena_strdup(&scheduler->turn_arena, absent->instances[i]);
        drop(absent, i);
    }
    if (absent->count > 0)
        (void)uv_timer_start(timer, on_poll, POLL_MS, 0);
}

void absent_expect(struct absent *absent, const char *instance)
{
    for (size_t i = 0; i < absent->count; i++)
        if (strcmp(absent->instances[i], instance) == 0)
            return;
    if (absent->count == absent->capacity) {
        absent->capacity = mem_grow(absent->capacity, absent->count + 1);
        absent->instances =
            mem_resize_array(absent->instances, absent->capacity, sizeof(*absent->instances));
    }
    absent->instances[absent->count++] = mem_strdup(instance);
    if (!absent->scheduler->is_stopping)
        (void)uv_timer_start(&absent->poll, on_poll, 0, 0);
}

void absent_returned(struct absent *absent, const char *instance)
{
    for (size_t i = absent->count; i-- > 0;)
        if (strcmp(absent->instances[i], instance) == 0)
            drop(absent, i);
}

struct absent *absent_open(struct scheduler *scheduler, struct err *err)
{
    struct absent *absent = mem_alloc(sizeof(*absent));
    char *folder = fs_join(scheduler->settings->state_folder, "workers");
    bool ok = fs_make_folders(folder, 0700, err);

    free(folder);
    if (!ok) {
        free(absent);
        return NULL;
    }
    absent->scheduler = scheduler;
    (void)uv_timer_init(scheduler->loop, &absent->poll);
    absent->poll.data = absent;
    handle_opened(scheduler);
    return absent;
}

static void on_closed(uv_handle_t *handle)
{
    struct absent *absent = handle->data;

    handle_closed(absent->scheduler);
}

void absent_close(struct absent *absent)
{
    uv_close((uv_handle_t *)&absent->poll, on_closed);
}

void absent_free(struct absent *absent)
{
    if (absent == NULL)
        return;
    while (absent->count > 0)
        drop(absent, absent->count - 1);
    free(absent->instances);
    free(absent);
}
