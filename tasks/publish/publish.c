/* One publication: from an empty staging folder to a partition in its place. */
#include "tasks/publish/publish.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/internal.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct publication {
    const struct attempt *attempt;
    struct target target;
    char *stage;  /* lock and data; NULL once it is gone */
    char *folder; /* stage/data */
    int lock_fd;
    bool holds_old; /* the folder is an old version's now, which readers may hold */
    json_t *content;
    json_t *files;
    json_t *inputs;
};

struct publication *publication_begin(const struct attempt *attempt, const char *target,
                                      struct err *err)
{
    struct target parsed = {0};
    int lock_fd = -1;

    if (!target_parse(target, &parsed, err))
        return NULL;
    char *stage = work_stage(&parsed, attempt->token, &lock_fd, err);
    if (stage == NULL) {
        err_wrap(err, "stage %s", target);
        target_release(&parsed);
        return NULL;
    }
    struct publication *publication = mem_alloc(sizeof(*publication));
    publication->attempt = attempt;
    publication->target = parsed;
    publication->stage = stage;
    publication->folder = fs_join(stage, "data");
    publication->lock_fd = lock_fd;
    publication->content = json_object();
    publication->files = json_array();
    publication->inputs = json_array();
    return publication;
}

const char *publication_folder(const struct publication *publication)
{
    return publication->folder;
}

json_t *publication_content(struct publication *publication)
{
    return publication->content;
}

char *publication_side_target(const struct publication *publication, const char *kind)
{
    const struct target *target = &publication->target;
    const char *slash = strrchr(target->dataset, '/');
    struct buf path = {0};

    buf_printf(&path, "%s/%s/%s", target->work, kind, slash == NULL ? target->dataset : slash + 1);
    if (target->partition[0] != '\0')
        buf_printf(&path, "/%s", target->partition);
    return buf_take(&path);
}

void publication_add_input(struct publication *publication, json_t *input)
{
    (void)json_array_append_new(publication->inputs, input);
}

/* The staging folder goes first, then its lock: a sweeper in between finds nothing to do. */
static void drop_stage(struct publication *publication)
{
    struct err ignored;

    if (publication->stage != NULL && !publication->holds_old)
        (void)fs_remove_tree(publication->stage, &ignored);
    free(publication->stage);
    publication->stage = NULL;
    if (publication->lock_fd >= 0)
        (void)close(publication->lock_fd);
    publication->lock_fd = -1;
}

void publication_free(struct publication *publication)
{
    if (publication == NULL)
        return;
    drop_stage(publication);
    free(publication->folder);
    target_release(&publication->target);
    json_decref(publication->content);
    json_decref(publication->files);
    json_decref(publication->inputs);
    free(publication);
}

static bool check_name(const char *name, struct err *err)
{
    if (name[0] == '\0' || name[0] == '/' || name[0] == '_' || strstr(name, "..") != NULL)
        return err_set(err, ERR_FAILED, "'%s' can't be the name of a file of a dataset", name);
    if (str_ends(str_from(name), STR(".json")))
        return err_set(err, ERR_FAILED,
                       "'%s': data files may not end in .json, which only manifests do", name);
    return true;
}

bool publication_add_file(struct publication *publication, const char *name, int64_t rows,
                          struct err *err)
{
    char sha256[SHA256_HEX_SIZE];
    int64_t bytes = 0;

    if (!check_name(name, err))
        return false;
    char *path = fs_join(publication->folder, name);
    bool ok = digest_sha256_file(path, sha256, &bytes, err) && fs_sync(path, err);
    free(path);
    if (!ok)
        return false;
    json_t *file =
        json_pack("{s:s, s:I, s:s}", "path", name, "bytes", (json_int_t)bytes, "sha256", sha256);
    if (rows >= 0)
        (void)json_object_set_new(file, "rows", json_integer(rows));
    (void)json_array_append_new(publication->files, file);
    return true;
}

static bool is_parquet(const json_t *file)
{
    return str_ends(str_from(json_get_string(file, "path", "")), STR(".parquet"));
}

static bool check_rows(const struct publication *publication, const json_t *rows, struct err *err)
{
    size_t i = 0;
    size_t at = 0;
    json_t *file = NULL;

    json_array_foreach(publication->files, i, file)
    {
        if (!is_parquet(file))
            continue;
        int64_t footer = json_integer_value(json_array_get(rows, at++));
        int64_t added = json_get_int(file, "rows", footer);
        if (footer != added)
            return err_set(err, ERR_DATA, "%s holds %lld rows where %lld were written",
                           json_get_string(file, "path", ""), (long long)footer, (long long)added);
    }
    return true;
}

/* A root's partition keys are put beside the virtual column that tells files apart; a real column
 * of that name would hide it. */
static bool check_columns(const struct publication *publication, struct err *err)
{
    const json_t *columns = json_object_get(publication->content, "columns");

    if (publication->target.partition[0] == '\0' || json_object_get(columns, "file_index") == NULL)
        return true;
    return err_set(err, ERR_INVALID,
                   "a partitioned dataset can't have a column named file_index: rename it");
}

bool publication_describe_parquet(struct publication *publication, struct err *err)
{
    json_t *paths = json_array();
    json_t *rows = json_array();
    size_t i = 0;
    json_t *file = NULL;

    json_array_foreach(publication->files, i, file)
    {
        char *path = fs_join(publication->folder, json_get_string(file, "path", ""));
        if (is_parquet(file))
            (void)json_array_append_new(paths, json_string(path));
        free(path);
    }
    bool ok = json_array_size(paths) > 0 ||
              err_set(err, ERR_FAILED, "there is no Parquet file to describe");
    ok = ok &&
         describe_parquet(publication->attempt->engine, paths, publication->content, rows, err) &&
         check_rows(publication, rows, err) && check_columns(publication, err);
    json_decref(paths);
    json_decref(rows);
    return ok;
}

static int64_t sum_of(const json_t *files, const char *key)
{
    int64_t sum = 0;
    size_t i = 0;
    json_t *file = NULL;

    json_array_foreach(files, i, file) sum += json_get_int(file, key, 0);
    return sum;
}

static void fill_content(struct publication *publication, char version[SHA256_HEX_SIZE])
{
    json_t *content = publication->content;
    struct buf text = {0};
    char options[SHA256_HEX_SIZE];

    json_dump_canonical(publication->attempt->options, &text);
    digest_sha256_hex(buf_str(&text), options);
    (void)json_object_set_new(content, "dataset", json_string(publication->target.dataset));
    (void)json_object_set_new(content, "partition", json_string(publication->target.partition));
    (void)json_object_set_new(content, "options_sha256", json_string(options));
    (void)json_object_set_new(content, "rows", json_integer(sum_of(publication->files, "rows")));
    (void)json_object_set(content, "files", publication->files);
    (void)json_object_set(content, "inputs", publication->inputs);
    buf_clear(&text);
    json_dump_canonical(content, &text);
    digest_sha256_hex(buf_str(&text), version);
    version[VERSION_HEX] = '\0';
    buf_release(&text);
}

void publish_add_name(const char *name, const char *version, struct buf *out)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash == NULL ? name : slash + 1;
    const char *dot = strchr(base, '.');
    size_t stem = dot == NULL ? strlen(name) : (size_t)(dot - name);

    buf_printf(out, "%.*s-%s%s", (int)stem, name, version, dot == NULL ? "" : dot);
}

/* Gives the staged files their published names; returns those, in order. */
static json_t *rename_files(struct publication *publication, const char *version, struct err *err)
{
    json_t *names = json_array();
    size_t i = 0;
    json_t *file = NULL;
    bool ok = true;

    json_array_foreach(publication->files, i, file)
    {
        struct buf name = {0};
        publish_add_name(json_get_string(file, "path", ""), version, &name);
        char *from = fs_join(publication->folder, json_get_string(file, "path", ""));
        char *to = fs_join(publication->folder, buf_text(&name));
        ok = ok && (rename(from, to) == 0 || err_errno(err, "rename %s to %s", from, to));
        (void)json_array_append_new(names, json_string(buf_text(&name)));
        free(from);
        free(to);
        buf_release(&name);
    }
    if (ok)
        return names;
    json_decref(names);
    return NULL;
}

static json_t *make_written(const struct attempt *attempt)
{
    char at[TIMEFMT_SIZE];
    char name[128] = "";
    char recipe[SHA256_HEX_SIZE];

    (void)gethostname(name, sizeof(name) - 1);
    json_t *written = json_pack(
        "{s:s?, s:s?, s:s?, s:I, s:I, s:s, s:s, s:s, s:s}", "dag_id", attempt->dag_id, "task_id",
        attempt->task_id, "run_id", attempt->run_id, "try_number", (json_int_t)attempt->try_number,
        "map_index", (json_int_t)attempt->map_index, "at", timefmt_utc(clock_wall_us(), at), "host",
        name, "millrace", MILLRACE_VERSION, "duckdb", ENGINE_DUCKDB_VERSION);
    if (attempt->kind != NULL) {
        recipe_digest(attempt, recipe);
        (void)json_object_set_new(written, "recipe", json_string(recipe));
        (void)json_object_set(written, "outputs", attempt->outputs);
    }
    return written;
}

static bool write_synced(const char *path, struct str text, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (fd < 0)
        return err_errno(err, "create %s", path);
    bool ok = fs_write_all(fd, text.ptr, text.len, err) || err_wrap(err, "%s", path);
    if (ok && fsync(fd) != 0)
        ok = err_errno(err, "fsync %s", path);
    if (close(fd) != 0 && ok)
        ok = err_errno(err, "close %s", path);
    return ok;
}

/* The manifest is the last file of a staged version: where there is one, everything is. */
static bool write_manifest(struct publication *publication, const char *version, struct err *err)
{
    json_t *names = rename_files(publication, version, err);

    if (names == NULL)
        return false;
    json_t *manifest = json_pack("{s:i, s:s, s:O, s:o, s:o}", "format", 1, "version", version,
                                 "content", publication->content, "files", names, "written",
                                 make_written(publication->attempt));
    char *text = json_dumps(manifest, JSON_INDENT(1) | JSON_SORT_KEYS);
    char *path = fs_join(publication->folder, MANIFEST_NAME);
    bool ok = text != NULL || err_set(err, ERR_FAILED, "the manifest of %s can't be written",
                                      publication->target.path);
    ok = ok && write_synced(path, str_from(text), err) &&
         work_sync_folders(publication->folder, err);
    free(path);
    free(text);
    json_decref(manifest);
    return ok;
}

bool manifest_files_are_there(const char *folder, const json_t *manifest)
{
    const json_t *files = json_object_get(json_object_get(manifest, "content"), "files");
    const json_t *names = json_object_get(manifest, "files");
    size_t i = 0;
    json_t *file = NULL;

    if (json_array_size(files) != json_array_size(names))
        return false;
    json_array_foreach(files, i, file)
    {
        const char *name = json_string_value(json_array_get(names, i));
        char *path = fs_join(folder, name == NULL ? "" : name);
        struct stat status;
        bool same = stat(path, &status) == 0 && status.st_size == json_get_int(file, "bytes", -1);
        free(path);
        if (!same)
            return false;
    }
    return true;
}

static bool is_published(const struct publication *publication, const char *version)
{
    struct err ignored;
    json_t *manifest = manifest_read(publication->target.path, &ignored);
    bool same = manifest != NULL &&
                strcmp(json_get_string(manifest, "version", ""), version) == 0 &&
                recipe_is_of(publication->attempt, manifest) &&
                manifest_files_are_there(publication->target.path, manifest);

    json_decref(manifest);
    return same;
}

/* Makes the folders above the target; those that are new are made durable in their parents. */
static bool make_parents(const struct target *target, struct err *err)
{
    char *copy = mem_strdup(target->path);
    char *parent = mem_strdup(dirname(copy));
    struct stat status;
    bool ok = true;

    if (lstat(parent, &status) != 0) {
        ok = fs_make_folders(parent, 0777, err);
        for (char *slash = strrchr(parent, '/'); ok && slash != NULL && slash != parent;
             slash = strrchr(parent, '/')) {
            *slash = '\0';
            ok = fs_sync(parent, err);
        }
    }
    free(parent);
    free(copy);
    return ok;
}

static bool sync_parent(const char *path, struct err *err)
{
    char *copy = mem_strdup(path);
    bool ok = fs_sync(dirname(copy), err);

    free(copy);
    return ok;
}

/* Under the lake's lock. */
static bool put_locked(struct publication *publication, const char *version, bool *ret_unchanged,
                       struct err *err)
{
    const struct target *target = &publication->target;

    if (is_published(publication, version)) {
        *ret_unchanged = true;
        return true;
    }
    if (!place_check(target, err) || !make_parents(target, err) ||
        !work_put(target, publication->folder, &publication->holds_old, err))
        return false;
    work_sweep_attic(target->work, ATTIC_RETENTION_US);
    if (publication->attempt->staging_us > 0)
        work_sweep_staging(target->work, publication->attempt->staging_us);
    *ret_unchanged = false;
    return true;
}

static bool put_in_place(struct publication *publication, const char *version, bool *ret_unchanged,
                         struct err *err)
{
    int lock = work_lock(publication->target.work, err);
    if (lock < 0)
        return false;
    bool ok = put_locked(publication, version, ret_unchanged, err);
    (void)close(lock);
    return ok && sync_parent(publication->target.path, err);
}

static void fill_outputs(const struct publication *publication, const char *version)
{
    json_t *outputs = publication->attempt->outputs;
    char *manifest = fs_join(publication->target.path, MANIFEST_NAME);

    (void)json_object_set_new(outputs, "dataset", json_string(publication->target.dataset));
    (void)json_object_set_new(outputs, "partition", json_string(publication->target.partition));
    (void)json_object_set_new(outputs, "version", json_string(version));
    (void)json_object_set_new(outputs, "rows_out",
                              json_integer(sum_of(publication->files, "rows")));
    (void)json_object_set_new(outputs, "files",
                              json_integer((json_int_t)json_array_size(publication->files)));
    (void)json_object_set_new(outputs, "bytes", json_integer(sum_of(publication->files, "bytes")));
    (void)json_object_set_new(outputs, "manifest", json_string(manifest));
    free(manifest);
}

bool publication_commit(struct publication *publication, bool *ret_unchanged, struct err *err)
{
    char version[SHA256_HEX_SIZE];
    bool unchanged = false;

    fill_content(publication, version);
    fill_outputs(publication, version);
    if (!write_manifest(publication, version, err) ||
        !put_in_place(publication, version, &unchanged, err))
        return err_wrap(err, "publish %s", publication->target.path);
    (void)json_object_set_new(publication->attempt->outputs, "unchanged", json_boolean(unchanged));
    datasets_note(publication->attempt, publication->content, version);
    drop_stage(publication);
    *ret_unchanged = unchanged;
    return true;
}
