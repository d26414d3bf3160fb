#include "scheduler/files.h"

#include "base/fs.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 8
#define FILES_MAX 20000

static struct file_mark make_mark(const struct stat *status)
{
    int64_t ns = (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec;

    return (struct file_mark){
        .size = status->st_size, .mtime_us = ns / 1000, .mtime_ns = ns, .inode = status->st_ino};
}

bool file_mark_get(const char *path, struct file_mark *ret)
{
    struct stat status;

    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    *ret = make_mark(&status);
    return true;
}

bool file_mark_equal(const struct file_mark *a, const struct file_mark *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->inode == b->inode;
}

static void add_file(struct file_list *list, const char *name, const struct stat *status)
{
    if (list->count == list->capacity) {
        list->capacity = mem_grow(list->capacity, list->count + 1);
        list->files = mem_resize_array(list->files, list->capacity, sizeof(*list->files));
    }
    list->files[list->count++] = (struct file_entry){mem_strdup(name), make_mark(status)};
}

static void add_folder(struct file_list *list, const char *path)
{
    if (list->folder_count == list->folder_capacity) {
        list->folder_capacity = mem_grow(list->folder_capacity, list->folder_count + 1);
        list->folders =
            mem_resize_array(list->folders, list->folder_capacity, sizeof(*list->folders));
    }
    list->folders[list->folder_count++] = mem_strdup(path);
}

static bool is_dag_file(const char *name)
{
    struct str text = str_from(name);

    return (str_ends(text, STR(".yaml")) || str_ends(text, STR(".yml"))) &&
           !str_is(text, "millrace.yaml");
}

static bool walk(const char *path, const char *prefix, int depth, struct file_list *list,
                 struct err *err);

static bool visit(const char *path, const char *prefix, const char *name, int depth,
                  struct file_list *list, struct err *err)
{
    struct stat status;
    char *full = fs_join(path, name);
    char *relative = *prefix == '\0' ? mem_strdup(name) : fs_join(prefix, name);
    bool ok = true;

    /* What vanishes between readdir and stat is seen by the next scan. */
    if (stat(full, &status) == 0) {
        if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX)
            ok = walk(full, relative, depth + 1, list, err);
        else if (S_ISREG(status.st_mode) && is_dag_file(name) && list->count < FILES_MAX)
            add_file(list, relative, &status);
    }
    free(full);
    free(relative);
    return ok;
}

static bool walk(const char *path, const char *prefix, int depth, struct file_list *list,
                 struct err *err)
{
    DIR *folder = opendir(path);
    bool ok = true;

    if (folder == NULL && errno == ENOENT)
        return true;
    if (folder == NULL)
        return err_errno(err, "open folder %s", path);
    add_folder(list, path);
    for (struct dirent *entry = NULL; ok && (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.')
            ok = visit(path, prefix, entry->d_name, depth, list, err);
    (void)closedir(folder);
    return ok;
}

static int compare(const void *a, const void *b)
{
    const struct file_entry *left = a;
    const struct file_entry *right = b;

    return strcmp(left->name, right->name);
}

bool file_list_read(const char *folder, struct file_list *list, struct err *err)
{
    if (!walk(folder, "", 0, list, err))
        return false;
    if (list->count > 0)
        qsort(list->files, list->count, sizeof(*list->files), compare);
    return true;
}

void file_list_release(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->files[i].name);
    for (size_t i = 0; i < list->folder_count; i++)
        free(list->folders[i]);
    free(list->files);
    free(list->folders);
    *list = (struct file_list){0};
}
