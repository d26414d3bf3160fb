#include "base/fs.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_to_buf(int fd, const char *path, size_t bytes_max, struct buf *out,
                        struct err *err)
{
    size_t start = out->len;

    for (;;) {
        buf_reserve(out, 65536);
        ssize_t got = read(fd, out->ptr + out->len, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(err, "read %s", path);
        if (got == 0)
            return true;
        out->len += (size_t)got;
        out->ptr[out->len] = '\0';
        if (out->len - start > bytes_max)
            return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, bytes_max);
    }
}

bool fs_read_file(const char *path, size_t bytes_max, struct buf *out, struct err *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    if (fd < 0)
        return err_errno(err, "open %s", path);
    bool ok = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (!ok)
        err_set(err, ERR_IO, "%s is not a regular file", path);
    else
        ok = read_to_buf(fd, path, bytes_max, out, err);
    (void)close(fd);
    return ok;
}

bool fs_write_all(int fd, const void *bytes, size_t len, struct err *err)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_errno(err, "write");
        at += written;
        len -= (size_t)written;
    }
    return true;
}

static bool sync_parent(const char *path, struct err *err)
{
    char *copy = mem_strdup(path);
    bool ok = fs_sync(dirname(copy), err);

    free(copy);
    return ok;
}

bool fs_write_file(const char *path, struct str content, mode_t mode, struct err *err)
{
    struct buf temporary = {0};
    bool ok = false;

    buf_printf(&temporary, "%s.%ld.tmp", path, (long)getpid());
    const char *name = buf_text(&temporary);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        err_errno(err, "create %s", name);
        goto out;
    }
    ok = fs_write_all(fd, content.ptr, content.len, err) || err_wrap(err, "%s", name);
    if (ok && fsync(fd) != 0)
        ok = err_errno(err, "fsync %s", name);
    if (close(fd) != 0 && ok)
        ok = err_errno(err, "close %s", name);
    if (ok && rename(name, path) != 0)
        ok = err_errno(err, "rename %s to %s", name, path);
    if (!ok)
        (void)unlink(name);
    ok = ok && sync_parent(path, err);
out:
    buf_release(&temporary);
    return ok;
}

bool fs_make_folders(const char *path, mode_t mode, struct err *err)
{
    char *copy = mem_strdup(path);
    bool ok = true;

    for (char *at = copy + 1; ok && *copy != '\0'; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char saved = *at;
        *at = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            ok = err_errno(err, "make folder %s", copy);
        *at = saved;
        if (saved == '\0')
            break;
    }
    free(copy);
    return ok;
}

bool fs_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, "open %s", path);
    bool ok = fsync(fd) == 0;
    if (!ok)
        err_errno(err, "fsync %s", path);
    (void)close(fd);
    return ok;
}

/* Empties the folder behind `fd` (which it closes); depth is bounded by PATH_MAX-like nesting. */
static bool remove_entries(int fd, const char *path, int depth, struct err *err)
{
    DIR *folder = fdopendir(fd);
    bool ok = folder != NULL;

    if (!ok) {
        (void)close(fd);
        return err_errno(err, "open folder %s", path);
    }
    for (struct dirent *entry = NULL; ok && (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(folder), entry->d_name, 0) == 0)
            continue;
        if (errno != EISDIR && errno != EPERM) {
            ok = err_errno(err, "delete %s/%s", path, entry->d_name);
            break;
        }
        int child =
            openat(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0 || depth > 200)
            ok = err_errno(err, "open folder %s/%s", path, entry->d_name);
        else
            ok = remove_entries(child, path, depth + 1, err);
        if (ok && unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR) != 0)
            ok = err_errno(err, "delete folder %s/%s", path, entry->d_name);
    }
    (void)closedir(folder);
    return ok;
}

bool fs_remove_tree(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0)
        return err_errno(err, "open folder %s", path);
    if (!remove_entries(fd, path, 0, err))
        return false;
    if (rmdir(path) != 0 && errno != ENOENT)
        return err_errno(err, "delete folder %s", path);
    return true;
}

char *fs_join(const char *folder, const char *name)
{
    struct buf path = {0};

    if (name[0] != '/' && folder[0] != '\0' && strcmp(folder, ".") != 0)
        buf_printf(&path, "%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/");
    buf_add_text(&path, name);
    return buf_take(&path);
}
