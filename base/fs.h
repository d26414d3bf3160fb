/* Files: whole-file reads, durable writes, folders. Every function names the path in its error. */
#ifndef MILLRACE_BASE_FS_H
#define MILLRACE_BASE_FS_H

#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

/* Appends a regular file's bytes to `out`; over `bytes_max` is ERR_LIMIT, a missing file
 * ERR_NOT_FOUND. */
bool fs_read_file(const char *path, size_t bytes_max, struct buf *out, struct err *err);

/* Writes a file so that either the old or the new content is there after a crash: temporary file
 * beside it, fsync, rename, fsync of the folder. */
bool fs_write_file(const char *path, struct str content, mode_t mode, struct err *err);

/* Makes the folder and its missing parents. */
bool fs_make_folders(const char *path, mode_t mode, struct err *err);

/* Writes all bytes to a descriptor; EINTR and short writes are handled. */
bool fs_write_all(int fd, const void *bytes, size_t len, struct err *err);

/* fsync of a file or folder by path. A failed fsync must not be retried: the caller gives up. */
bool fs_sync(const char *path, struct err *err);

/* Deletes a folder and all in it, without following symlinks; a missing one is success. */
bool fs_remove_tree(const char *path, struct err *err);

/* "a/b" from "a" and "b"; an absolute `name` is returned as it is. The caller frees it. */
char *fs_join(const char *folder, const char *name);

#endif
