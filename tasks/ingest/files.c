/* Which files are read, and whether they stayed what they were. */
#include "base/mem.h"
#include "tasks/ingest/ingest.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *file_type_of(const char *path)
{
    static const char *const types[] = {"csv", "tsv", "txt", "ndjson", "jsonl", "json", "parquet"};
    struct str name = str_from(path);

    if (str_ends(name, STR(".gz")))
        name.len -= 3;
    else if (str_ends(name, STR(".zst")))
        name.len -= 4;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct str type = str_from(types[i]);
        if (name.len > type.len && name.ptr[name.len - type.len - 1] == '.' && str_ends(name, type))
            return types[i];
    }
    return "";
}

/* glob() calls this for a folder that it can't read; the details wait in errno. */
static int on_glob_error(const char *path, int error)
{
    if (error == ENOTDIR)
        return 0;
    (void)fprintf(stderr, "ingest: can't read folder %s: %s\n", path, strerror(error));
    errno = error;
    return 1;
}

static void add_file(struct ingest *ingest, const char *path)
{
    ingest->files = mem_resize_array(ingest->files, ingest->file_count + 1, sizeof(*ingest->files));
    ingest->files[ingest->file_count++] =
        (struct ingest_file){.path = arena_strdup(&ingest->arena, path)};
}

static bool list_pattern(struct ingest *ingest, const char *pattern, struct err *err)
{
    glob_t found = {0};
    int status = 0;

    errno = 0;
    status = glob(pattern, GLOB_ERR | GLOB_BRACE, on_glob_error, &found);
    if (status == GLOB_ABORTED)
        return err_errno(err, "list the files of %s", pattern);
    if (status == GLOB_NOSPACE)
        return err_set(err, ERR_LIMIT, "list the files of %s: out of memory", pattern);
    for (size_t i = 0; status == 0 && i < found.gl_pathc; i++)
        add_file(ingest, found.gl_pathv[i]);
    globfree(&found);
    return true;
}

static bool check_file(struct ingest_file *file, struct err *err)
{
    if (stat(file->path, &file->before) != 0)
        return err_errno(err, "%s", file->path);
    if (S_ISDIR(file->before.st_mode))
        return err_set(err, ERR_INVALID, "%s is a folder; to read its files write %s/*.csv",
                       file->path, file->path);
    if (!S_ISREG(file->before.st_mode))
        return err_set(err, ERR_INVALID, "%s is not a regular file", file->path);
    return true;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct ingest_file *)a)->path, ((const struct ingest_file *)b)->path);
}

static bool drop_doubles(struct ingest *ingest)
{
    size_t kept = 0;

    qsort(ingest->files, ingest->file_count, sizeof(*ingest->files), compare_files);
    for (size_t i = 0; i < ingest->file_count; i++)
        if (kept == 0 || strcmp(ingest->files[kept - 1].path, ingest->files[i].path) != 0)
            ingest->files[kept++] = ingest->files[i];
    ingest->file_count = kept;
    return true;
}

bool files_list(struct ingest *ingest, struct err *err)
{
    const json_t *source = json_object_get(ingest->attempt->options, "source");
    const json_t *paths = json_is_object(source) ? json_object_get(source, "path") : source;
    size_t count = json_is_array(paths) ? json_array_size(paths) : 1;

    for (size_t i = 0; i < count; i++) {
        const char *pattern =
            json_string_value(json_is_array(paths) ? json_array_get(paths, i) : paths);
        size_t before = ingest->file_count;
        if (pattern == NULL || *pattern == '\0')
            return err_set(err, ERR_INVALID, "source has no path");
        if (!list_pattern(ingest, pattern, err))
            return false;
        if (ingest->file_count == before)
            return err_set(err, ERR_NOT_FOUND, "no file matches %s", pattern);
    }
    for (size_t i = 0; i < ingest->file_count; i++)
        if (!check_file(&ingest->files[i], err))
            return false;
    return drop_doubles(ingest);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool files_are_unchanged(const struct ingest *ingest, struct err *err)
{
    for (size_t i = 0; i < ingest->file_count; i++) {
        const struct ingest_file *file = &ingest->files[i];
        struct stat now;
        if (stat(file->path, &now) != 0)
            return err_errno(err, "%s disappeared while it was read", file->path);
        if (now.st_size != file->before.st_size || now.st_ino != file->before.st_ino ||
            !same_time(now.st_mtim, file->before.st_mtim))
            return err_set(err, ERR_DATA,
                           "%s changed while it was read (%lld bytes before, %lld now): it is "
                           "probably still being written",
                           file->path, (long long)file->before.st_size, (long long)now.st_size);
    }
    return true;
}
