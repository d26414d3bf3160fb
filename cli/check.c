/* millrace check: all findings of DAG files and folders of them. */
#include "cli/args.h"
#include "cli/command.h"

#include "base/fs.h"
#include "base/jw.h"
#include "base/mem.h"
#include "scheduler/dagfile/codes.h"
#include "scheduler/dagfile/dagfile.h"
#include "scheduler/dagfile/report.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#define DEPTH_MAX 32

/* A dag_id and the file it was first seen in. */
struct seen_id {
    const char *dag_id;
    const char *file;
    UT_hash_handle hh;
};

struct paths {
    char **items;
    size_t count;
    size_t capacity;
};

struct checking {
    struct settings settings;
    struct arena arena;
    struct seen_id *seen;
    bool as_json;
    struct buf text; /* of all findings */
    struct buf json;
    struct jw writer;
    size_t files;
    size_t errors;
    size_t bad_files;
};

static void paths_add(struct paths *paths, char *path)
{
    if (paths->count == paths->capacity) {
        paths->capacity = mem_grow(paths->capacity, paths->count + 1);
        paths->items = mem_resize_array(paths->items, paths->capacity, sizeof(char *));
    }
    paths->items[paths->count++] = path;
}

static bool is_yaml(const char *name)
{
    struct str s = str_from(name);

    return str_ends(s, STR(".yaml")) || str_ends(s, STR(".yml"));
}

/* Adds the DAG files of a folder and its folders; hidden ones are passed over. */
static bool walk(struct paths *paths, const char *folder, int depth, struct err *err)
{
    DIR *dir = opendir(folder);
    bool fine = true;

    if (dir == NULL)
        return err_errno(err, "%s", folder);
    for (const struct dirent *entry = readdir(dir); fine && entry != NULL; entry = readdir(dir)) {
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        char *path = fs_join(folder, entry->d_name);
        bool known = stat(path, &status) == 0;
        if (known && S_ISDIR(status.st_mode) && depth < DEPTH_MAX)
            fine = walk(paths, path, depth + 1, err);
        if (known && S_ISREG(status.st_mode) && is_yaml(path))
            paths_add(paths, path);
        else
            free(path);
    }
    (void)closedir(dir);
    return fine;
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static bool collect(struct paths *paths, const char *path, struct err *err)
{
    struct stat status;
    size_t first = paths->count;

    if (stat(path, &status) != 0)
        return err_errno(err, "%s", path);
    if (!S_ISDIR(status.st_mode)) {
        paths_add(paths, mem_strdup(path));
        return true;
    }
    if (!walk(paths, path, 0, err))
        return false;
    if (paths->count > first)
        qsort(paths->items + first, paths->count - first, sizeof(char *), compare_paths);
    return true;
}

static struct position place_of_id(struct str source)
{
    struct position at = {1, 1, 1};

    for (size_t from = 0; from < source.len; at.line++) {
        size_t end = str_find(source, '\n', from);
        struct str line = str_sub(source, from, end == SIZE_MAX ? source.len : end);
        if (str_starts(line, STR("dag_id:"))) {
            at.length = 6;
            return at;
        }
        from += line.len + 1;
    }
    return (struct position){1, 1, 1};
}

static void check_unique(struct checking *c, const struct dag *dag, const char *file,
                         struct diags *diags)
{
    struct seen_id *seen = NULL;

    HASH_FIND_STR(c->seen, dag->dag_id, seen);
    if (seen != NULL && strcmp(seen->file, file) != 0) {
        diag_add(diags, MR(DUPLICATE_DAG_ID), place_of_id(dag->source), "choose another dag_id",
                 "the dag_id `%s` is that of %s too", dag->dag_id, seen->file);
        return;
    }
    if (seen != NULL)
        return;
    seen = arena_alloc(&c->arena, sizeof(*seen));
    seen->dag_id = arena_strdup(&c->arena, dag->dag_id);
    seen->file = arena_strdup(&c->arena, file);
    HASH_ADD_KEYPTR(hh, c->seen, seen->dag_id, strlen(seen->dag_id), seen);
}

static void write_file(struct checking *c, const char *path, struct str source,
                       const struct diags *diags)
{
    jw_begin_object(&c->writer);
    jw_kv_string(&c->writer, "file", path);
    jw_key(&c->writer, "findings");
    report_json(path, diags, &c->writer);
    jw_end_object(&c->writer);
    if (diags->count > 0 && c->text.len > 0)
        buf_add_char(&c->text, '\n');
    report_text(path, source, diags, &c->text);
}

static void check_file(struct checking *c, const char *path)
{
    struct arena arena = {0};
    struct diags diags = {.arena = &arena};
    struct buf source = {0};
    struct dagfile_input input = {
        .file = path, .pools = c->settings.pools, .pool_count = c->settings.pool_count};
    struct dag *dag = dagfile_load(path, &input, &source, &diags);

    if (dag != NULL)
        check_unique(c, dag, path, &diags);
    write_file(c, path, buf_str(&source), &diags);
    c->files++;
    c->errors += diags.error_count;
    c->bad_files += diags.error_count > 0;
    dag_unref(dag);
    buf_release(&source);
    diags_release(&diags);
    arena_release(&arena);
}

static int print_result(struct checking *c)
{
    if (c->as_json) {
        (void)fwrite(buf_text(&c->json), 1, c->json.len, stdout);
        (void)putchar('\n');
    } else {
        (void)fwrite(buf_text(&c->text), 1, c->text.len, stdout);
        if (c->errors > 0)
            fprintf(stderr, "\n%zu finding%s in %zu of %zu file%s\n", c->errors,
                    c->errors == 1 ? "" : "s", c->bad_files, c->files, c->files == 1 ? "" : "s");
        else
            fprintf(stderr, "%zu file%s checked: no findings\n", c->files,
                    c->files == 1 ? "" : "s");
    }
    return err_exit_code(c->errors > 0 ? ERR_FINDINGS : ERR_NONE);
}

static int check_all(struct checking *c, const struct paths *paths)
{
    c->writer = (struct jw){.out = &c->json};
    jw_begin_object(&c->writer);
    jw_key(&c->writer, "files");
    jw_begin_array(&c->writer);
    for (size_t i = 0; i < paths->count; i++)
        check_file(c, paths->items[i]);
    jw_end_array(&c->writer);
    jw_kv_int(&c->writer, "errors", (int64_t)c->errors);
    jw_end_object(&c->writer);
    return print_result(c);
}

static bool collect_all(struct checking *c, struct paths *paths, int count, char **argv,
                        struct err *err)
{
    if (!settings_load(NULL, &c->settings, err))
        return false;
    if (count == 0)
        return collect(paths, c->settings.dags_folder, err);
    for (int i = 1; i <= count; i++)
        if (!collect(paths, argv[i], err))
            return false;
    return true;
}

static int run(int argc, char **argv)
{
    const char *output = "text";
    const struct arg table[] = {
        {"output", 'o', ARG_TEXT, &output}
    };
    struct checking c = {0};
    struct paths paths = {0};
    struct err err = {0};
    int count = args_parse(&check_command, table, 1, argc, argv);

    if (count < 0)
        return err_exit_code(ERR_USAGE);
    if (strcmp(output, "text") != 0 && strcmp(output, "json") != 0)
        return command_usage_error(&check_command, "--output is text or json, not `%s`", output);
    c.as_json = strcmp(output, "json") == 0;
    int code = err_exit_code(ERR_USAGE);
    if (collect_all(&c, &paths, count, argv, &err))
        code = check_all(&c, &paths);
    else
        (void)command_fail(&err);
    for (size_t i = 0; i < paths.count; i++)
        free(paths.items[i]);
    free(paths.items);
    HASH_CLEAR(hh, c.seen);
    buf_release(&c.text);
    buf_release(&c.json);
    arena_release(&c.arena);
    settings_release(&c.settings);
    return code;
}

const struct command check_command = {
    .name = "check",
    .summary = "Check DAG files and print all findings",
    .usage = "Usage: millrace check [PATH…] [-o text|json]\n\n"
             "Checks DAG files, and all *.yaml and *.yml files of folders; without PATH those of\n"
             "the DAG folder. Exit code 0: no errors, 5: findings, 2: wrong usage or no such "
             "path.\n\n"
             "  -o, --output FORMAT   text (default) or json\n\n"
             "Example: millrace check dags/\n",
    .run = run,
};
