/* Whether a target may be published where it is: what is there must be ours, and no published
 * dataset may hold another. */
#include "base/fs.h"
#include "base/mem.h"
#include "tasks/publish/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that is there but was not published is somebody's data: it is never put aside. */
static bool check_place(const struct target *target, struct err *err)
{
    char *manifest = fs_join(target->path, MANIFEST_NAME);
    struct stat status;
    bool ok = true;

    if (lstat(target->path, &status) == 0 && access(manifest, F_OK) != 0 &&
        rmdir(target->path) != 0)
        ok = err_set(err, ERR_INVALID,
                     "%s is there but is no published partition (it has no " MANIFEST_NAME
                     "): it is left alone; move it away or choose another target",
                     target->path);
    free(manifest);
    return ok;
}

static bool has_manifest(const char *folder)
{
    char *manifest = fs_join(folder, MANIFEST_NAME);
    bool has = access(manifest, F_OK) == 0;

    free(manifest);
    return has;
}

/* Takes the last component off; "" above "a", "/" above "/a". False at the top. */
static bool step_up(char *path)
{
    char *slash = strrchr(path, '/');

    if (path[0] == '\0' || strcmp(path, "/") == 0)
        return false;
    if (slash == path)
        slash[1] = '\0';
    else
        *(slash == NULL ? path : slash) = '\0';
    return true;
}

/* No folder above the target, up to the base folder or for absolute targets to the root, may itself
 * be published: its next version would take the target away. ".." is taken for the component before
 * it, as the file system does where no link is in between. */
static bool check_parents(const struct target *target, struct err *err)
{
    char *path = mem_strdup(target->path);
    size_t ups = 0;
    bool ok = true;

    while (ok && path[0] != '\0') {
        bool up = str_ends(str_from(path), STR("/..")) || strcmp(path, "..") == 0;
        if (!step_up(path))
            break;
        if (up)
            ups++;
        else if (ups > 0)
            ups--;
        else if (path[0] != '\0' && has_manifest(path))
            ok = err_set(err, ERR_INVALID,
                         "%s is published as a dataset of its own, and its next version would take "
                         "what is below it away: %s must be somewhere else",
                         path, target->path);
    }
    free(path);
    return ok;
}

static bool is_folder(const struct dirent *entry, const char *path)
{
    struct stat status;

    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return false;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* A published version holds no other: to replace it would put those in the attic. */
static bool check_children(const char *folder, const char *target, struct err *err)
{
    DIR *entries = opendir(folder);
    bool ok = entries != NULL || errno == ENOENT || err_errno(err, "open folder %s", folder);

    for (struct dirent *entry = NULL;
         ok && entries != NULL && (entry = readdir(entries)) != NULL;) {
        char *path = fs_join(folder, entry->d_name);
        if (is_folder(entry, path)) {
            if (has_manifest(path))
                ok = err_set(err, ERR_INVALID,
                             "%s can't be replaced: %s below it is published as a dataset of its "
                             "own; move that away or choose another target",
                             target, path);
            ok = ok && check_children(path, target, err);
        }
        free(path);
    }
    if (entries != NULL)
        (void)closedir(entries);
    return ok;
}

bool place_check(const struct target *target, struct err *err)
{
    return check_parents(target, err) && check_place(target, err) &&
           check_children(target->path, target->path, err);
}
