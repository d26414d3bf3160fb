#include "worker/folder.h"

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "millrace/messages.h"
#include "worker/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The format's numbers are long long, unsigned and int; job_new() has checked their ranges. */
#define FORMAT_NUMBERS(job)                                                                        \
    (long long)(job)->run, (unsigned)(job)->task, (int)(job)->map_index,                           \
        (long long)(job)->try_number

char *folder_log_path(const struct job *job, const char *state_folder)
{
    struct buf path = {0};

    buf_printf(&path, "%s/" STATE_LOG_FORMAT, state_folder, FORMAT_NUMBERS(job));
    return buf_take(&path);
}

char *folder_path(const struct job *job, const char *name)
{
    return fs_join(job->folder, name);
}

/* Held while the folders of dead workers are taken, and while one is taken over. -1 = no lock. */
static int lock_owners(const struct folders *folders)
{
    char *copy = mem_strdup(folders->stock);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    free(copy);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
        continue;
    return fd;
}

static bool is_dead(const char *state_folder, const char *folder)
{
    char id[INSTANCE_ID_SIZE + 1] = "";
    char *owner = fs_join(folder, FOLDER_OWNER);
    ssize_t len = readlink(owner, id, sizeof(id) - 1);
    struct buf lock = {0};
    bool dead = false;

    /* The lock goes when all that the worker started has ended, and no other gets its id. */
    if (len == INSTANCE_ID_SIZE - 1 && strchr(id, '/') == NULL) {
        buf_printf(&lock, "%s/" STATE_WORKER_LOCK_FORMAT, state_folder, id);
        dead = access(buf_text(&lock), F_OK) < 0 && errno == ENOENT;
    }
    buf_release(&lock);
    free(owner);
    return dead;
}

/* Moves the temp folder into our stock, to be deleted without the lock. The owner's name goes last:
 * until then nobody can put another folder in this one's place. */
static void take_dead(struct folders *folders, const char *folder)
{
    static const char *const files[] = {FOLDER_OUTPUT, FOLDER_OWNER};
    char *temp = fs_join(folder, FOLDER_TEMP);
    struct buf to = {0};

    buf_printf(&to, "%s/dead-%lld", folders->stock, (long long)folders->dead);
    if (rename(temp, buf_text(&to)) == 0)
        folders->dead++;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *path = fs_join(folder, files[i]);
        (void)unlink(path);
        free(path);
    }
    (void)rmdir(folder);
    buf_release(&to);
    free(temp);
}

static void take_dead_of_run(struct folders *folders, const char *state_folder, const char *run)
{
    DIR *entries = opendir(run);
    const struct dirent *entry;
    int64_t before = folders->dead;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        char *folder = fs_join(run, entry->d_name);
        if (entry->d_name[0] != '.' && is_dead(state_folder, folder))
            take_dead(folders, folder);
        free(folder);
    }
    if (entries != NULL)
        (void)closedir(entries);
    if (folders->dead > before)
        (void)rmdir(run);
}

/* Temp folders of attempts whose worker was killed: nobody else removes them. */
static void remove_dead(struct folders *folders, const char *state_folder)
{
    char *attempts = fs_join(state_folder, "attempts");
    int lock = lock_owners(folders);
    DIR *runs = lock < 0 ? NULL : opendir(attempts);
    const struct dirent *entry;
    struct err err = {0};

    while (runs != NULL && (entry = readdir(runs)) != NULL) {
        char *run = fs_join(attempts, entry->d_name);
        if (entry->d_name[0] != '.')
            take_dead_of_run(folders, state_folder, run);
        free(run);
    }
    if (runs != NULL)
        (void)closedir(runs);
    if (lock >= 0)
        (void)close(lock);
    for (int64_t i = 0; i < folders->dead; i++) {
        struct buf path = {0};
        buf_printf(&path, "%s/dead-%lld", folders->stock, (long long)i);
        if (!fs_remove_tree(buf_text(&path), &err))
            log_warn("temp_left", "path=\"%s\" error=\"%s\"", buf_text(&path), err.message);
        buf_release(&path);
    }
    free(attempts);
}

bool folders_open(struct folders *folders, const char *state_folder, const char *instance,
                  struct err *err)
{
    struct buf path = {0};

    buf_printf(&path, "%s/workers/%s", state_folder, instance);
    folders->stock = buf_take(&path);
    folders->spare = mem_alloc_array(WORKER_SLOTS_MAX, sizeof(int64_t));
    if (!fs_make_folders(folders->stock, 0700, err))
        return false;
    remove_dead(folders, state_folder);
    return true;
}

void folders_close(struct folders *folders)
{
    struct err err = {0};

    if (folders->stock != NULL && !fs_remove_tree(folders->stock, &err))
        log_warn("stock_left", "error=\"%s\"", err.message);
    free(folders->stock);
    free(folders->spare);
}

static char *stock_path(const struct folders *folders, int64_t number)
{
    struct buf path = {0};

    buf_printf(&path, "%s/%lld", folders->stock, (long long)number);
    return buf_take(&path);
}

/* A run's folder goes when the worker turns to another run and nothing is in it. */
static void leave_last_run(struct supervisor *supervisor, int64_t run)
{
    struct folders *folders = &supervisor->folders;
    struct buf path = {0};

    if (folders->last_run != run && folders->last_run != 0) {
        buf_printf(&path, "%s/attempts/%lld", supervisor->options->state_folder,
                   (long long)folders->last_run);
        (void)rmdir(buf_text(&path));
        buf_release(&path);
    }
    folders->last_run = run;
}

/* Names the worker in the folder, once: the folder keeps the name in the stock. Where a file system
 * has no links the folder just stays when its worker is killed. */
static void set_owner(const struct folders *folders, const char *path, const char *instance)
{
    char *owner = fs_join(path, FOLDER_OWNER);

    if (symlink(instance, owner) < 0 && errno == EEXIST) {
        int lock = lock_owners(folders);

        (void)unlink(owner);
        if (symlink(instance, owner) < 0)
            log_debug("folder_without_owner", "folder=\"%s\"", path);
        if (lock >= 0)
            (void)close(lock);
    }
    free(owner);
}

static bool make_in_place(struct supervisor *supervisor, const char *path, struct err *err)
{
    char *temp = fs_join(path, FOLDER_TEMP);
    bool ok = fs_make_folders(path, 0700, err);

    if (ok)
        set_owner(&supervisor->folders, path, supervisor->instance.id);
    ok = ok && fs_make_folders(temp, 0700, err);
    free(temp);
    return ok;
}

/* Moves one of the stock to `path`; a missing folder of the run is made. */
static bool move_from_stock(struct folders *folders, const char *path, struct err *err)
{
    char *from = stock_path(folders, folders->spare[folders->count - 1]);
    bool ok = rename(from, path) == 0;

    if (!ok && errno == ENOENT) {
        char *copy = mem_strdup(path);

        ok = fs_make_folders(dirname(copy), 0700, err) && rename(from, path) == 0;
        free(copy);
    }
    /* What can't be moved is not tried again. */
    folders->count--;
    free(from);
    return ok;
}

bool folder_make(struct job *job, struct err *err)
{
    struct supervisor *supervisor = job->supervisor;
    struct buf path = {0};

    leave_last_run(supervisor, job->run);
    buf_printf(&path, "%s/" STATE_ATTEMPT_FORMAT, supervisor->options->state_folder,
               FORMAT_NUMBERS(job));
    free(job->folder);
    job->folder = buf_take(&path);
    return (supervisor->folders.count > 0 &&
            move_from_stock(&supervisor->folders, job->folder, err)) ||
           make_in_place(supervisor, job->folder, err);
}

/* Whether a folder holds nothing, or nothing but `except` and its owner's name. */
static bool is_empty(const char *path, const char *except)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    bool empty = folder != NULL;

    while (empty && (entry = readdir(folder)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                (except != NULL &&
                 (strcmp(entry->d_name, except) == 0 || strcmp(entry->d_name, FOLDER_OWNER) == 0));
    if (folder != NULL)
        (void)closedir(folder);
    return empty;
}

static bool move_to_stock(struct folders *folders, const char *path, int64_t slots)
{
    char *to;
    bool ok;

    if (folders->count >= slots)
        return false;
    to = stock_path(folders, folders->made);
    ok = rename(path, to) == 0;
    if (ok)
        folders->spare[folders->count++] = folders->made++;
    free(to);
    return ok;
}

void folder_remove(const struct job *job)
{
    struct supervisor *supervisor = job->supervisor;
    struct err err = {0};
    char *temp;
    char *output;

    if (job->folder == NULL)
        return;
    temp = folder_path(job, FOLDER_TEMP);
    output = folder_path(job, FOLDER_OUTPUT);
    (void)unlink(output);
    if (!is_empty(temp, NULL) || !is_empty(job->folder, FOLDER_TEMP) ||
        !move_to_stock(&supervisor->folders, job->folder, supervisor->options->slots)) {
        if (!fs_remove_tree(temp, &err))
            log_warn("temp_left", "path=\"%s\" error=\"%s\"", temp, err.message);
        char *owner = folder_path(job, FOLDER_OWNER);
        (void)unlink(owner);
        free(owner);
        (void)rmdir(job->folder);
    }
    free(temp);
    free(output);
}
