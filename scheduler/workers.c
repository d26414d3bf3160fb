#include "scheduler/workers.h"

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
#include <unistd.h>

#define POLL_MS 100

struct workers {
    struct scheduler *scheduler;
    uv_timer_t poll;
    char **absent; /* instances */
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

size_t workers_count_alive(const char *state_folder)
{
    char *path = fs_join(state_folder, "workers");
    DIR *folder = opendir(path);
    size_t count = 0;

    for (struct dirent *entry = NULL; folder != NULL && (entry = readdir(folder)) != NULL;) {
        struct str name = str_from(entry->d_name);
        if (!str_ends(name, STR(".lock")))
            continue;
        char *instance = mem_dup(name.ptr, name.len - strlen(".lock"));
        if (str_is_id(str_from(instance)) && worker_is_alive(state_folder, instance))
            count++;
        free(instance);
    }
    if (folder != NULL)
        (void)closedir(folder);
    free(path);
    return count;
}

static void drop(struct workers *workers, size_t index)
{
    free(workers->absent[index]);
    workers->absent[index] = workers->absent[--workers->count];
}

static void on_poll(uv_timer_t *timer)
{
    struct workers *workers = timer->data;
    struct scheduler *scheduler = workers->scheduler;

    for (size_t i = workers->count; i-- > 0;) {
        if (worker_is_alive(scheduler->settings->state_folder, workers->absent[i]))
            continue;
        log_info("worker_gone", "worker=%s", workers->absent[i]);
        struct event *event = inbox_add(scheduler, EVENT_WORKER_GONE, NULL);
        event->as.worker_gone.instance = arena_strdup(&scheduler->turn_arena, workers->absent[i]);
        drop(workers, i);
    }
    if (workers->count > 0)
        (void)uv_timer_start(timer, on_poll, POLL_MS, 0);
}

void workers_expect(struct workers *workers, const char *instance)
{
    for (size_t i = 0; i < workers->count; i++)
        if (strcmp(workers->absent[i], instance) == 0)
            return;
    if (workers->count == workers->capacity) {
        workers->capacity = mem_grow(workers->capacity, workers->count + 1);
        workers->absent =
            mem_resize_array(workers->absent, workers->capacity, sizeof(*workers->absent));
    }
    workers->absent[workers->count++] = mem_strdup(instance);
    if (!workers->scheduler->is_stopping)
        (void)uv_timer_start(&workers->poll, on_poll, 0, 0);
}

void workers_returned(struct workers *workers, const char *instance)
{
    for (size_t i = workers->count; i-- > 0;)
        if (strcmp(workers->absent[i], instance) == 0)
            drop(workers, i);
}

struct workers *workers_open(struct scheduler *scheduler, struct err *err)
{
    struct workers *workers = mem_alloc(sizeof(*workers));
    char *folder = fs_join(scheduler->settings->state_folder, "workers");
    bool ok = fs_make_folders(folder, 0700, err);

    free(folder);
    if (!ok) {
        free(workers);
        return NULL;
    }
    workers->scheduler = scheduler;
    (void)uv_timer_init(scheduler->loop, &workers->poll);
    workers->poll.data = workers;
    handle_opened(scheduler);
    return workers;
}

static void on_closed(uv_handle_t *handle)
{
    struct workers *workers = handle->data;

    handle_closed(workers->scheduler);
}

void workers_close(struct workers *workers)
{
    uv_close((uv_handle_t *)&workers->poll, on_closed);
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    while (workers->count > 0)
        drop(workers, workers->count - 1);
    free(workers->absent);
    free(workers);
}
