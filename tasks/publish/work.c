/* The work folders beside a lake: staging, attic, and the renames between them and the lake.
 *
 *   <lake>.millrace/lock                       held for sweeps and renames
 *   <lake>.millrace/staging/<slug>~<token>/    one attempt's: `lock` (held while it lives), `data/`
 *   <lake>.millrace/attic/<seconds>~<slug>~<n> replaced versions, by the time they were replaced
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "tasks/publish/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *text_of(const char *format, ...)
{
    struct buf text = {0};
    va_list args;

    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    return buf_take(&text);
}

/* Opens a lock file and takes it; with `wait` false EWOULDBLOCK is ERR_CONFLICT. */
static int lock_file(const char *path, bool wait, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (fd < 0) {
        err_errno(err, "open %s", path);
        return -1;
    }
    while (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno == EWOULDBLOCK)
            err_set(err, ERR_CONFLICT, "%s is held", path);
        else
            err_errno(err, "lock %s", path);
        (void)close(fd);
        return -1;
    }
    return fd;
}

int work_lock(const char *work, struct err *err)
{
    if (!fs_make_folders(work, 0777, err))
        return -1;
    char *path = text_of("%s/lock", work);
    int fd = lock_file(path, true, err);
    free(path);
    return fd;
}

/* Names of a folder's entries that begin with `prefix`, sorted by nobody; NULL-terminated. */
static char **list_names(const char *folder, const char *prefix)
{
    DIR *entries = opendir(folder);
    char **names = mem_alloc_array(1, sizeof(*names));
    size_t count = 0;

    for (struct dirent *entry = NULL; entries != NULL && (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        names = mem_resize_array(names, count + 2, sizeof(*names));
        names[count++] = mem_strdup(entry->d_name);
        names[count] = NULL;
    }
    if (entries != NULL)
        (void)closedir(entries);
    return names;
}

static void free_names(char **names)
{
    for (size_t i = 0; names[i] != NULL; i++)
        free(names[i]);
    free(names);
}

bool work_to_attic(const struct target *target, const char *folder, struct err *err)
{
    char *attic = text_of("%s/attic", target->work);
    bool ok = fs_make_folders(attic, 0777, err);
    bool moved = false;

    for (int n = 1; ok && !moved; n++) {
        char *path = text_of("%s/%" PRId64 "~%s~%d", attic, clock_wall_us() / US_PER_SECOND,
                             target->slug, n);
        struct stat status;
        if (lstat(path, &status) != 0) {
            moved = rename(folder, path) == 0 || errno == ENOENT;
            ok = moved || err_errno(err, "move %s to %s", folder, path);
        }
        free(path);
    }
    free(attic);
    return ok;
}

void work_sweep_attic(const char *work, int64_t retention_us)
{
    char *attic = text_of("%s/attic", work);
    char **names = list_names(attic, "");
    int64_t limit = (clock_wall_us() - retention_us) / US_PER_SECOND;

    for (size_t i = 0; names[i] != NULL; i++) {
        struct str name = str_from(names[i]);
        size_t end = str_find(name, '~', 0);
        int64_t seconds = 0;
        struct err ignored;
        if (end == SIZE_MAX || !str_to_int(str_sub(name, 0, end), &seconds) || seconds > limit)
            continue;
        char *path = text_of("%s/%s", attic, names[i]);
        (void)fs_remove_tree(path, &ignored);
        free(path);
    }
    free_names(names);
    free(attic);
}

/* A dead attempt's folder that holds a whole version may be one that readers still hold (killed
 * between the exchange and the move to the attic), so it goes there too. */
static void sweep_one(const struct target *target, const char *folder)
{
    char *data = text_of("%s/data", folder);
    char *manifest = text_of("%s/" MANIFEST_NAME, data);
    struct stat status;
    struct err ignored;

    if (lstat(manifest, &status) != 0 || work_to_attic(target, data, &ignored))
        (void)fs_remove_tree(folder, &ignored);
    free(manifest);
    free(data);
}

/* Failures are not errors: an attempt that is just ending takes its folder away by itself, and for
 * the rest the next sweep tries again. */
static void sweep_dead(const struct target *target, const char *staging)
{
    char *prefix = text_of("%s~", target->slug);
    char **names = list_names(staging, prefix);

    for (size_t i = 0; names[i] != NULL; i++) {
        char *folder = text_of("%s/%s", staging, names[i]);
        char *path = text_of("%s/lock", folder);
        struct err held;
        int fd = lock_file(path, false, &held);
        if (fd >= 0) {
            sweep_one(target, folder);
            (void)close(fd);
        }
        free(path);
        free(folder);
    }
    free_names(names);
    free(prefix);
}

void work_sweep_staging(const char *work, int64_t kept_us)
{
    char *staging = text_of("%s/staging", work);
    char **names = list_names(staging, "");
    int64_t limit = (clock_wall_us() - kept_us) / US_PER_SECOND;

    for (size_t i = 0; names[i] != NULL; i++) {
        char *folder = text_of("%s/%s", staging, names[i]);
        char *path = text_of("%s/lock", folder);
        struct target target = {.work = mem_strdup(work)};
        struct stat status;
        struct err held;
        target.slug = mem_dup(names[i], strcspn(names[i], "~"));
        int fd = lstat(folder, &status) == 0 && status.st_mtim.tv_sec <= limit
                     ? lock_file(path, false, &held)
                     : -1;
        if (fd >= 0) {
            sweep_one(&target, folder);
            (void)close(fd);
        }
        target_release(&target);
        free(path);
        free(folder);
    }
    free_names(names);
    free(staging);
}

/* A token as part of a file name; what is not plain becomes '_'. */
static char *clean_token(const char *token)
{
    char *clean = mem_strdup(token == NULL || *token == '\0' ? "attempt" : token);

    for (char *at = clean; *at != '\0'; at++)
        if (*at == '/' || *at == '~')
            *at = '_';
    if (strlen(clean) > 80)
        clean[80] = '\0';
    return clean;
}

static char *make_stage(const struct target *target, const char *staging, const char *token,
                        struct err *err)
{
    char *clean = clean_token(token);
    char *folder = NULL;

    for (int n = 1; n < 1000; n++) {
        folder = n == 1 ? text_of("%s/%s~%s", staging, target->slug, clean)
                        : text_of("%s/%s~%s~%d", staging, target->slug, clean, n);
        if (mkdir(folder, 0777) == 0)
            break;
        bool exists = errno == EEXIST;
        if (!exists)
            err_errno(err, "make folder %s", folder);
        free(folder);
        folder = NULL;
        if (!exists)
            break;
        err_set(err, ERR_CONFLICT, "%s holds too many folders of one attempt", staging);
    }
    free(clean);
    return folder;
}

static bool fill_stage(const char *folder, int *ret_lock_fd, struct err *err)
{
    char *lock = text_of("%s/lock", folder);
    char *data = text_of("%s/data", folder);
    int fd = lock_file(lock, false, err);
    bool ok = fd >= 0;

    if (ok && mkdir(data, 0777) != 0) {
        ok = err_errno(err, "make folder %s", data);
        (void)close(fd);
    }
    if (ok)
        *ret_lock_fd = fd;
    free(lock);
    free(data);
    return ok;
}

char *work_stage(const struct target *target, const char *token, int *ret_lock_fd, struct err *err)
{
    int lock = work_lock(target->work, err);
    if (lock < 0)
        return NULL;
    char *staging = text_of("%s/staging", target->work);
    char *folder = NULL;

    if (fs_make_folders(staging, 0777, err)) {
        sweep_dead(target, staging);
        folder = make_stage(target, staging, token, err);
    }
    if (folder != NULL && !fill_stage(folder, ret_lock_fd, err)) {
        struct err ignored;
        (void)fs_remove_tree(folder, &ignored);
        free(folder);
        folder = NULL;
    }
    (void)close(lock);
    free(staging);
    return folder;
}

/* File systems without RENAME_EXCHANGE (NFS, some overlay and FUSE ones): the old version steps
 * aside first. For that moment a reader finds no partition, never a mixture; if we are killed right
 * then, the retry of this attempt puts the new version there. */
static bool replace_in_two(const struct target *target, const char *staged, struct err *err)
{
    if (!work_to_attic(target, target->path, err))
        return false;
    if (rename(staged, target->path) == 0)
        return true;
    return err_errno(err, "move %s to %s", staged, target->path);
}

bool work_put(const struct target *target, const char *staged, bool *ret_holds_old, struct err *err)
{
    *ret_holds_old = false;
    if (renameat2(AT_FDCWD, staged, AT_FDCWD, target->path, RENAME_NOREPLACE) == 0)
        return true;
    /* EEXIST: replace what is there. EINVAL, ENOSYS: the file system has no such flags. */
    if (errno == EEXIST &&
        renameat2(AT_FDCWD, staged, AT_FDCWD, target->path, RENAME_EXCHANGE) == 0) {
        *ret_holds_old = !work_to_attic(target, staged, err);
        return !*ret_holds_old;
    }
    if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP)
        return replace_in_two(target, staged, err);
    if (errno == EXDEV)
        return err_set(err, ERR_IO,
                       "%s and %s are on different file systems, so the dataset can't be put in "
                       "place by one rename: move the lake one folder down",
                       target->work, target->path);
    return err_errno(err, "move %s to %s", staged, target->path);
}

bool work_sync_folders(const char *path, struct err *err)
{
    DIR *entries = opendir(path);
    bool ok = entries != NULL || err_errno(err, "open folder %s", path);

    for (struct dirent *entry = NULL; ok && (entry = readdir(entries)) != NULL;) {
        if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0)
            continue;
        char *child = text_of("%s/%s", path, entry->d_name);
        ok = work_sync_folders(child, err);
        free(child);
    }
    if (ok && fsync(dirfd(entries)) != 0)
        ok = err_errno(err, "fsync %s", path);
    if (entries != NULL)
        (void)closedir(entries);
    return ok;
}
