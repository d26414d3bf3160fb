#include "worker/folder.h"

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "millrace/messages.h"
#include "worker/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

bool folders_open(struct folders *folders, const char *state_folder, const char *instance,
                  int64_t slots, struct err *err)
{
    struct buf path = {0};

    buf_printf(&path, "%s/workers/%s", state_folder, instance);
    folders->stock = buf_take(&path);
    folders->spare = mem_alloc_array((size_t)slots, sizeof(int64_t));
    return fs_make_folders(folders->stock, 0700, err);
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

static bool make_in_place(const char *path, struct err *err)
{
    char *temp = fs_join(path, FOLDER_TEMP);
    bool ok = fs_make_folders(temp, 0700, err);

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
           make_in_place(job->folder, err);
}

/* Whether a folder holds nothing, or nothing but `except`. */
static bool is_empty(const char *path, const char *except)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    bool empty = folder != NULL;

    while (empty && (entry = readdir(folder)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                (except != NULL && strcmp(entry->d_name, except) == 0);
    if (folder != NULL)
        (void)closedir(folder);
    return empty;
}

static bool move_to_stock(struct folders *folders, const char *path, int64_t slots)
{
    char *to;
    bool ok;

    if (folders->count == slots)
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
        (void)rmdir(job->folder);
    }
    free(temp);
    free(output);
}
