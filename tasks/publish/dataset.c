/* Reading published datasets: folders held by descriptor, so that what is read is one version. */
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTITION_DEPTH_MAX 8

struct held {
    int fd;     /* O_PATH, of the partition's folder */
    char *name; /* relative to the path that was opened: "dt=2026-01-01"; "" = that path itself */
    json_t *manifest;
};

struct dataset {
    struct held *items;
    size_t count;
};

/* Every partition of a long history costs a descriptor: use what the system allows. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int open_folder(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && errno == EMFILE) {
        raise_descriptor_limit();
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    return fd;
}

json_t *manifest_read(const char *folder, struct err *err)
{
    char *path = fs_join(folder, MANIFEST_NAME);
    struct buf text = {0};
    json_t *manifest = NULL;

    if (fs_read_file(path, MANIFEST_BYTES_MAX, &text, err)) {
        manifest = json_parse(buf_str(&text), err);
        if (manifest == NULL)
            err_wrap(err, "%s", path);
    }
    buf_release(&text);
    free(path);
    return manifest;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct listing {
    char **names;
    size_t count;
};

static bool list_below(const char *root, const char *relative, int depth, struct listing *listing,
                       struct err *err);

static bool visit(const char *root, const char *relative, const char *entry, int depth,
                  struct listing *listing, struct err *err)
{
    struct buf name = {0};
    struct buf manifest = {0};
    bool ok = true;

    buf_printf(&name, "%s%s%s", relative, *relative == '\0' ? "" : "/", entry);
    buf_printf(&manifest, "%s/%s/" MANIFEST_NAME, root, buf_text(&name));
    if (access(buf_text(&manifest), F_OK) == 0) {
        listing->names =
            mem_resize_array(listing->names, listing->count + 1, sizeof(*listing->names));
        listing->names[listing->count++] = mem_strdup(buf_text(&name));
    } else {
        ok = list_below(root, buf_text(&name), depth + 1, listing, err);
    }
    buf_release(&manifest);
    buf_release(&name);
    return ok;
}

static bool list_below(const char *root, const char *relative, int depth, struct listing *listing,
                       struct err *err)
{
    char *path = fs_join(root, relative);
    DIR *folder = depth > PARTITION_DEPTH_MAX ? NULL : opendir(path);
    bool ok = folder != NULL || errno == ENOTDIR || errno == ENOENT ||
              depth > PARTITION_DEPTH_MAX || err_errno(err, "open folder %s", path);

    for (struct dirent *entry = NULL; ok && folder != NULL && (entry = readdir(folder)) != NULL;)
        if (target_is_partition(str_from(entry->d_name)) && entry->d_name[0] != '.')
            ok = visit(root, relative, entry->d_name, depth, listing, err);
    if (folder != NULL)
        (void)closedir(folder);
    free(path);
    return ok;
}

bool partitions_list(const char *root, char ***ret_names, size_t *ret_count, struct err *err)
{
    struct listing listing = {0};
    char *manifest = fs_join(root, MANIFEST_NAME);
    bool ok = true;

    if (access(manifest, F_OK) == 0) {
        listing.names = mem_alloc_array(1, sizeof(*listing.names));
        listing.names[listing.count++] = mem_strdup("");
    } else {
        ok = list_below(root, "", 0, &listing, err);
    }
    free(manifest);
    if (!ok) {
        partitions_free(listing.names, listing.count);
        return false;
    }
    if (listing.count > 0)
        qsort(listing.names, listing.count, sizeof(*listing.names), compare_names);
    *ret_names = listing.names;
    *ret_count = listing.count;
    return true;
}

void partitions_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static bool hold(struct dataset *dataset, const char *root, const char *name, struct err *err)
{
    struct held *held = &dataset->items[dataset->count];
    char *path = fs_join(root, name);
    char proc[64];

    held->fd = open_folder(path);
    if (held->fd < 0) {
        err_errno(err, "open folder %s", path);
        free(path);
        return false;
    }
    (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", held->fd);
    held->manifest = manifest_read(proc, err);
    if (held->manifest == NULL) {
        (void)close(held->fd);
        err_wrap(err, "read partition %s", path);
        free(path);
        return false;
    }
    held->name = mem_strdup(name);
    dataset->count++;
    free(path);
    return true;
}

struct dataset *dataset_open(const char *path, struct err *err)
{
    char **names = NULL;
    size_t count = 0;

    if (!partitions_list(path, &names, &count, err))
        return NULL;
    if (count == 0) {
        err_set(err, ERR_NOT_FOUND, "nothing is published at %s", path);
        partitions_free(names, count);
        return NULL;
    }
    struct dataset *dataset = mem_alloc(sizeof(*dataset));
    dataset->items = mem_alloc_array(count, sizeof(*dataset->items));
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = hold(dataset, path, names[i], err);
    partitions_free(names, count);
    if (ok)
        return dataset;
    dataset_free(dataset);
    return NULL;
}

void dataset_free(struct dataset *dataset)
{
    if (dataset == NULL)
        return;
    for (size_t i = 0; i < dataset->count; i++) {
        (void)close(dataset->items[i].fd);
        json_decref(dataset->items[i].manifest);
        free(dataset->items[i].name);
    }
    free(dataset->items);
    free(dataset);
}

size_t dataset_partition_count(const struct dataset *dataset)
{
    return dataset->count;
}

const json_t *dataset_manifest(const struct dataset *dataset, size_t partition)
{
    return dataset->items[partition].manifest;
}

static const char *fingerprint_of(const struct held *held)
{
    const json_t *content = json_object_get(held->manifest, "content");

    return json_get_string(json_object_get(content, "schema"), "fingerprint", "");
}

static bool has_column(const struct dataset *dataset, struct str name)
{
    for (size_t i = 0; i < dataset->count; i++) {
        const json_t *content = json_object_get(dataset->items[i].manifest, "content");
        const char *column = NULL;
        json_t *value = NULL;
        json_object_foreach(json_object_get(content, "columns"), column,
                            value) if (strlen(column) == name.len &&
                                       strncasecmp(column, name.ptr, name.len) == 0) return true;
    }
    return false;
}

/* The n-th "key=value" of a partition's name; false when it has no more. */
static bool key_at(const char *name, size_t n, struct str *ret_key, struct str *ret_value)
{
    struct str rest = str_from(name);

    for (size_t at = 0; at < rest.len; n--) {
        size_t end = str_find(rest, '/', at);
        end = end == SIZE_MAX ? rest.len : end;
        if (n == 0) {
            struct str part = str_sub(rest, at, end);
            size_t equals = str_find(part, '=', 0);
            *ret_key = str_sub(part, 0, equals);
            *ret_value = str_sub(part, equals + 1, part.len);
            return true;
        }
        at = end + 1;
    }
    return false;
}

static bool value_is_null(struct str value)
{
    return str_is(value, "__HIVE_DEFAULT_PARTITION__");
}

static bool value_is_date(struct str value)
{
    int64_t us = 0;
    bool offset = false;

    return value.len == 10 && timefmt_parse(value, &us, &offset);
}

static bool value_is_int(struct str value)
{
    int64_t number = 0;

    return str_to_int(value, &number);
}

/* The type all values of the n-th key can take, as Hive readers guess it. */
static const char *key_type(const struct dataset *dataset, size_t n)
{
    bool dates = true;
    bool ints = true;
    struct str key = {0};
    struct str value = {0};

    for (size_t i = 0; i < dataset->count; i++) {
        if (!key_at(dataset->items[i].name, n, &key, &value) || value_is_null(value))
            continue;
        dates = dates && value_is_date(value);
        ints = ints && value_is_int(value);
    }
    if (dates)
        return "DATE";
    return ints ? "BIGINT" : "VARCHAR";
}

/* A partition's value as it was before it became a folder's name (%3A and the like). */
static void add_value(struct str value, struct buf *sql)
{
    struct buf plain = {0};

    for (size_t i = 0; i < value.len; i++) {
        unsigned byte = 0;
        if (value.ptr[i] == '%' && i + 2 < value.len &&
            sscanf(value.ptr + i + 1, "%2x", &byte) == 1 && byte > 0) {
            buf_add_char(&plain, (char)byte);
            i += 2;
        } else {
            buf_add_char(&plain, value.ptr[i]);
        }
    }
    engine_add_literal(sql, buf_str(&plain));
    buf_release(&plain);
}

/* [value, …]: one per file, in the order in which add_files() lists the files. */
static void add_key_values(const struct dataset *dataset, size_t n, struct buf *sql)
{
    const char *separator = "";
    struct str key = {0};
    struct str value = {0};

    buf_add_char(sql, '[');
    for (size_t i = 0; i < dataset->count; i++) {
        const json_t *files = json_object_get(dataset->items[i].manifest, "files");
        bool known = key_at(dataset->items[i].name, n, &key, &value) && !value_is_null(value);
        size_t at = 0;
        json_t *file = NULL;
        json_array_foreach(files, at, file)
        {
            if (!str_ends(str_from(json_string_value(file)), STR(".parquet")))
                continue;
            buf_add_text(sql, separator);
            separator = ", ";
            if (known)
                add_value(value, sql);
            else
                buf_add_text(sql, "NULL");
        }
    }
    buf_add_char(sql, ']');
}

static void add_files(const struct dataset *dataset, struct buf *sql)
{
    const char *separator = "";

    buf_add_char(sql, '[');
    for (size_t i = 0; i < dataset->count; i++) {
        const json_t *files = json_object_get(dataset->items[i].manifest, "files");
        size_t at = 0;
        json_t *file = NULL;
        json_array_foreach(files, at, file)
        {
            struct buf path = {0};
            if (!str_ends(str_from(json_string_value(file)), STR(".parquet")))
                continue;
            buf_printf(&path, "/proc/self/fd/%d/%s", dataset->items[i].fd, json_string_value(file));
            buf_add_text(sql, separator);
            separator = ", ";
            engine_add_literal(sql, buf_str(&path));
            buf_release(&path);
        }
    }
    buf_add_char(sql, ']');
}

static void add_read(const struct dataset *dataset, struct buf *sql)
{
    bool same = true;

    for (size_t i = 1; i < dataset->count; i++)
        same = same &&
               strcmp(fingerprint_of(&dataset->items[i]), fingerprint_of(&dataset->items[0])) == 0;
    buf_add_text(sql, "read_parquet(");
    add_files(dataset, sql);
    buf_printf(sql, ", hive_partitioning = false%s)", same ? "" : ", union_by_name = true");
}

/* The paths under /proc carry no keys, and one SELECT per partition would cost a plan node each: a
 * constant list of values indexed by the scan's file number costs nothing measurable per row. */
void dataset_add_source(const struct dataset *dataset, struct buf *sql)
{
    struct str key = {0};
    struct str value = {0};

    if (!key_at(dataset->items[0].name, 0, &key, &value)) {
        add_read(dataset, sql);
        return;
    }
    buf_add_text(sql, "(SELECT *");
    for (size_t n = 0; key_at(dataset->items[0].name, n, &key, &value); n++) {
        if (has_column(dataset, key))
            continue;
        buf_add_text(sql, ", (");
        add_key_values(dataset, n, sql);
        buf_printf(sql, "::%s[])[file_index::BIGINT + 1] AS ", key_type(dataset, n));
        engine_add_identifier(sql, key);
    }
    buf_add_text(sql, " FROM ");
    add_read(dataset, sql);
    buf_add_char(sql, ')');
}

static json_t *input_record(const struct held *held)
{
    const json_t *content = json_object_get(held->manifest, "content");

    return json_pack("{s:s, s:s, s:s}", "dataset", json_get_string(content, "dataset", ""),
                     "partition", json_get_string(content, "partition", ""), "version",
                     json_get_string(held->manifest, "version", ""));
}

void dataset_add_inputs(const struct dataset *dataset, struct publication *publication)
{
    for (size_t i = 0; i < dataset->count; i++)
        publication_add_input(publication, input_record(&dataset->items[i]));
}

void dataset_list_inputs(const struct dataset *dataset, json_t *list)
{
    for (size_t i = 0; i < dataset->count; i++)
        (void)json_array_append_new(list, input_record(&dataset->items[i]));
}

json_t *dataset_manifests_before(const char *partition_path, size_t count, struct err *err)
{
    struct target target = {0};
    char **names = NULL;
    size_t name_count = 0;

    if (!target_parse(partition_path, &target, err))
        return NULL;
    json_t *manifests = json_array();
    bool ok = partitions_list(target.dataset, &names, &name_count, err);
    for (size_t i = name_count; ok && i > 0 && json_array_size(manifests) < count; i--) {
        if (strcmp(names[i - 1], target.partition) >= 0)
            continue;
        char *folder = fs_join(target.dataset, names[i - 1]);
        json_t *manifest = manifest_read(folder, err);
        free(folder);
        ok = manifest != NULL;
        if (ok)
            (void)json_array_append_new(manifests, manifest);
    }
    partitions_free(names, name_count);
    target_release(&target);
    if (ok)
        return manifests;
    json_decref(manifests);
    return NULL;
}
