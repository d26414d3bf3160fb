#include "worker/instance.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "millrace/messages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_SUFFIX ".lock"

static bool make_id(char id[INSTANCE_ID_SIZE], struct err *err)
{
    unsigned char bytes[(INSTANCE_ID_SIZE - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_errno(err, "no random bytes for the worker's id");
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* Removes a worker's lock file and its stock of folders, if nobody holds the lock. */
static void remove_if_stale(const char *folder, const char *name)
{
    struct err err = {0};
    char *path = fs_join(folder, name);
    char *stock = mem_dup(path, strlen(path) - strlen(LOCK_SUFFIX));
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            (void)fs_remove_tree(stock, &err);
            (void)unlink(path);
        }
        (void)close(fd);
    }
    free(stock);
    free(path);
}

/* A stock whose lock file is gone already: a worker makes the lock first, so this one is dead. */
static void remove_lone_stock(const char *folder, const char *name)
{
    struct err err = {0};
    struct buf lock = {0};
    char *stock = fs_join(folder, name);

    buf_printf(&lock, "%s%s", stock, LOCK_SUFFIX);
    if (access(buf_text(&lock), F_OK) < 0 && errno == ENOENT)
        (void)fs_remove_tree(stock, &err);
    buf_release(&lock);
    free(stock);
}

static void remove_stale(const char *folder)
{
    DIR *entries = opendir(folder);
    const struct dirent *entry;

    if (entries == NULL)
        return;
    while ((entry = readdir(entries)) != NULL)
        if (str_ends(str_from(entry->d_name), STR(LOCK_SUFFIX)))
            remove_if_stale(folder, entry->d_name);
        else if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            remove_lone_stock(folder, entry->d_name);
    (void)closedir(entries);
}

/* Whoever wants to signal this worker finds its pid in the lock file. It is no part of the proof of
 * life: without it the worker only can't be told to end by `millrace serve`. */
static void write_pid(int fd)
{
    (void)dprintf(fd, "%ld\n", (long)getpid());
}

/* Another worker's clean-up may remove our file between its creation and its lock: then the name
 * no longer leads to what we hold, and we make it anew. */
static bool take_lock(struct instance *instance, struct err *err)
{
    for (;;) {
        struct stat held;
        struct stat named;
        int fd = open(instance->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
            return err_errno(err, "%s", instance->lock_path);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 &&
            stat(instance->lock_path, &named) == 0 && held.st_ino == named.st_ino) {
            write_pid(fd);
            instance->lock_fd = fd;
            return true;
        }
        (void)close(fd);
    }
}

bool instance_open(struct instance *instance, const char *state_folder, struct err *err)
{
    char *folder = fs_join(state_folder, "workers");
    struct buf name = {0};
    bool ok = make_id(instance->id, err) && fs_make_folders(folder, 0700, err);

    if (ok) {
        remove_stale(folder);
        buf_printf(&name, STATE_WORKER_LOCK_FORMAT, instance->id);
        instance->lock_path = fs_join(state_folder, buf_text(&name));
        ok = take_lock(instance, err);
    }
    if (!ok) {
        free(instance->lock_path);
        instance->lock_path = NULL;
    }
    buf_release(&name);
    free(folder);
    return ok;
}

void instance_close(struct instance *instance)
{
    (void)close(instance->lock_fd);
    free(instance->lock_path);
}
