#include "scheduler/old_files.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folders of the state folder that have one per run; of STATE_LOG_FORMAT and
 * STATE_ATTEMPT_FORMAT. */
static const char *const kinds[] = {"logs", "attempts"};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))
#define DEPTH_MAX 32

static void add_run(struct old_files *files, int64_t run)
{
    if (files->run_count == files->run_capacity) {
        files->run_capacity = mem_grow(files->run_capacity, files->run_count + 1);
        files->runs = mem_resize_array(files->runs, files->run_capacity, sizeof(*files->runs));
    }
    files->runs[files->run_count++] = run;
}

void old_files_list(struct old_files *files, const char *state_folder)
{
    files->run_count = 0;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        char *path = fs_join(state_folder, kinds[i]);
        DIR *folder = opendir(path);
        for (struct dirent *entry = NULL; folder != NULL && (entry = readdir(folder)) != NULL;) {
            int64_t run = 0;
            if (str_to_int(str_from(entry->d_name), &run) && run > 0)
                add_run(files, run);
        }
        if (folder != NULL)
            (void)closedir(folder);
        free(path);
    }
}

void old_files_due(struct old_files *files, int64_t run, int64_t before_us)
{
    assert(files->due_count < OLD_FILES_DUE_MAX);
    files->due[files->due_count].run = run;
    files->due[files->due_count++].before_us = before_us;
}

static bool is_old(const struct stat *status, int64_t before_us)
{
    return status->st_mtim.tv_sec * INT64_C(1000000) + status->st_mtim.tv_nsec / 1000 < before_us;
}

/* By descriptors, and without following links: what a task put there leads nowhere else. Takes over
 * the descriptor. */
static void empty_folder(struct old_files *files, int fd, int64_t before_us, int depth)
{
    DIR *folder = fdopendir(fd);
    struct stat status;

    if (folder == NULL) {
        (void)close(fd);
        return;
    }
    for (struct dirent *entry = NULL; (entry = readdir(folder)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(status.st_mode)) {
            int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below >= 0 && depth < DEPTH_MAX)
                empty_folder(files, below, before_us, depth + 1);
            else if (below >= 0)
                (void)close(below);
            (void)unlinkat(fd, name, AT_REMOVEDIR);
        } else if (is_old(&status, before_us)) {
            files->removed += unlinkat(fd, name, 0) == 0;
        }
    }
    (void)closedir(folder);
}

void old_files_remove(struct old_files *files, const char *state_folder)
{
    for (size_t i = 0; i < files->due_count * KIND_COUNT; i++) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s/%lld", state_folder, kinds[i % KIND_COUNT],
                   (long long)files->due[i / KIND_COUNT].run);
        int fd = open(buf_text(&path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            empty_folder(files, fd, files->due[i / KIND_COUNT].before_us, 0);
            (void)rmdir(buf_text(&path));
        }
        buf_release(&path);
    }
}

void old_files_release(struct old_files *files)
{
    free(files->runs);
    *files = (struct old_files){0};
}
