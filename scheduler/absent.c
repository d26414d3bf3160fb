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
#include <unistd.h>

#define POLL_MS 100

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
