/* The files of the DAG folder and its subfolders: names and marks by which a change shows. */
#ifndef MILLRACE_SCHEDULER_FILES_H
#define MILLRACE_SCHEDULER_FILES_H

#include "base/err.h"

#include <stddef.h>

/* What changes when a file does. */
struct file_mark {
    int64_t size;
    int64_t mtime_us;
    int64_t mtime_ns;
    uint64_t inode;
};

struct file_entry {
    char *name; /* relative to the folder */
    struct file_mark mark;
};

struct file_list {
    struct file_entry *files;
    size_t count;
    size_t capacity;
    char **folders; /* full paths, the top one first */
    size_t folder_count;
    size_t folder_capacity;
};

/* False when it is no regular file. */
bool file_mark_get(const char *path, struct file_mark *ret);
bool file_mark_equal(const struct file_mark *a, const struct file_mark *b);

/* All *.yaml and *.yml below `folder`, without hidden ones and millrace.yaml. A missing folder is
 * an empty list. */
bool file_list_read(const char *folder, struct file_list *list, struct err *err);
void file_list_release(struct file_list *list);

#endif
