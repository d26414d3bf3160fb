/* Publishing: what is visible at every moment, through kills, full disks, races and odd file
 * systems. The system calls that publishing is made of are defined here, in front of libc's, so
 * that the test can count them, fail them and kill the process at any of them. */
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int steps;            /* calls so far */
static int kill_at;          /* SIGKILL instead of this one; 0 = never */
static int full_at;          /* from this one on, writes fail with ENOSPC; 0 = never */
static bool no_flags;        /* renameat2 knows no flags, as on NFS */
static bool no_attic;        /* nothing can be moved to the attic */
static bool other_device;    /* … or the folders are on two file systems */
static const char *vanishes; /* this folder is deleted by somebody else just before we delete */

static void step(void)
{
    steps++;
    if (kill_at > 0 && steps == kill_at)
        (void)raise(SIGKILL);
}

int fsync(int fd)
{
    step();
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    step();
    if (no_attic && strstr(to, ".millrace/attic/") != NULL) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    step();
    if (other_device || (no_flags && flags != 0)) {
        errno = other_device ? EXDEV : EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
    step();
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int unlinkat(int fd, const char *path, int flags)
{
    const char *gone = vanishes;
    struct err ignored;

    step();
    vanishes = NULL;
    if (gone != NULL)
        (void)fs_remove_tree(gone, &ignored);
    return (int)syscall(SYS_unlinkat, fd, path, flags);
}

int rmdir(const char *path)
{
    step();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (fd > 2)
        step();
    if (fd > 2 && full_at > 0 && steps >= full_at) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, len);
}

static struct engine *engine;
static int64_t staging_us; /* of the attempts made */
static char folder[] = "/tmp/millrace-publish-XXXXXX";

static struct attempt make_attempt(const char *token)
{
    static json_t *options;

    if (options == NULL)
        options = json_pack("{s:s}", "a", "option");
    return (struct attempt){
        .dag_id = "d",
        .task_id = "t",
        .run_id = "r",
        .token = token,
        .try_number = 1,
        .map_index = -1,
        .options = options,
        .engine = engine,
        .outputs = json_object(),
        .staging_us = staging_us,
    };
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void write_staged(const struct publication *publication, const char *name, const char *text)
{
    char *path = fs_join(publication_folder(publication), name);

    write_text(path, text);
    free(path);
}

/* Publishes two text files of `text`; false with the error when that fails. */
static bool publish_text(const char *target, const char *token, const char *text, char version[17],
                         bool *ret_unchanged, struct err *err)
{
    struct attempt attempt = make_attempt(token);
    struct publication *publication = publication_begin(&attempt, target, err);
    bool ok = publication != NULL;

    if (ok) {
        write_staged(publication, "part-000.csv", text);
        write_staged(publication, "part-001.csv", text);
        ok = publication_add_file(publication, "part-000.csv", 1, err) &&
             publication_add_file(publication, "part-001.csv", 2, err) &&
             publication_commit(publication, ret_unchanged, err);
    }
    if (ok)
        (void)snprintf(version, 17, "%s", json_get_string(attempt.outputs, "version", ""));
    publication_free(publication);
    json_decref(attempt.outputs);
    return ok;
}

static void must_publish(const char *target, const char *text, char version[17])
{
    struct err err = {0};
    bool unchanged = false;

    if (!publish_text(target, "token", text, version, &unchanged, &err))
        fail_msg("%s", err.message);
}

static size_t count_entries(const char *path)
{
    DIR *entries = opendir(path);
    size_t count = 0;

    for (struct dirent *entry = NULL; entries != NULL && (entry = readdir(entries)) != NULL;)
        count += entry->d_name[0] != '.';
    if (entries != NULL)
        (void)closedir(entries);
    return count;
}

/* Reads what is visible at the target as a careful reader does. NULL when nothing is; else the
 * manifest, after checking that every file is whole and of one version. */
static json_t *visible(const char *target)
{
    struct err err = {0};
    char path[200];
    struct buf text = {0};

    (void)snprintf(path, sizeof(path), "%s/_manifest.json", target);
    if (!fs_read_file(path, 1 << 20, &text, &err))
        return NULL;
    json_t *manifest = json_parse(buf_str(&text), &err);
    assert_non_null(manifest);
    const json_t *files = json_object_get(manifest, "files");
    assert_int_equal(count_entries(target), json_array_size(files) + 1);
    struct buf first = {0};
    for (size_t i = 0; i < json_array_size(files); i++) {
        struct buf bytes = {0};
        (void)snprintf(path, sizeof(path), "%s/%s", target,
                       json_string_value(json_array_get(files, i)));
        assert_true(fs_read_file(path, 1 << 20, &bytes, &err));
        if (i == 0)
            buf_add_str(&first, buf_str(&bytes));
        assert_true(str_eq(buf_str(&first), buf_str(&bytes)));
        buf_release(&bytes);
    }
    buf_release(&first);
    buf_release(&text);
    return manifest;
}

static void assert_visible(const char *target, const char *version)
{
    json_t *manifest = visible(target);

    assert_non_null(manifest);
    assert_string_equal(json_get_string(manifest, "version", ""), version);
    json_decref(manifest);
}

static int set_up(void **state)
{
    (void)state;
    steps = kill_at = full_at = 0;
    no_flags = no_attic = other_device = false;
    return system("rm -rf lake lake.millrace lone lone.millrace deep") == 0 ? 0 : -1;
}

static void test_targets(void **state)
{
    static const struct {
        const char *target;
        const char *message; /* NULL = fine */
    } rows[] = {
        {"lake/events/dt=2026-01-01",         NULL               },
        {"./lake//events/dt=2026-01-01/",     NULL               },
        {"lake/events",                       NULL               },
        {"lone",                              NULL               },
        {"deep/../lake/events",               NULL               },
        {"lake/events/dt=2026-01-01/hour=07", NULL               },
        {"",                                  "names no dataset" },
        {"/",                                 "names no dataset" },
        {"..",                                "names no dataset" },
        {"dt=2026-01-01",                     "names no dataset" },
        {"lake/.hidden",                      "begins with '.'"  },
        {"lake/_tmp/dt=1",                    "begins with '_'"  },
        {"lake/a\nb",                         "control character"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        struct attempt attempt = make_attempt("t");
        assert_int_equal(set_up(NULL), 0);
        assert_true(fs_make_folders("deep", 0777, &err));
        struct publication *publication = publication_begin(&attempt, rows[i].target, &err);
        if ((publication != NULL) != (rows[i].message == NULL))
            fail_msg("%s: %s", rows[i].target, err.message);
        if (rows[i].message != NULL) {
            assert_int_equal(err.code, ERR_INVALID);
            assert_non_null(strstr(err.message, rows[i].message));
        }
        publication_free(publication);
        json_decref(attempt.outputs);
    }
}

static void test_new_partition(void **state)
{
    struct err err = {0};
    bool unchanged = true;
    struct attempt attempt = make_attempt("tok/en");
    struct publication *publication =
        publication_begin(&attempt, "lake/events/dt=2026-01-01", &err);

    (void)state;
    assert_non_null(publication);
    write_staged(publication, "part-000.csv", "x\n");
    assert_true(publication_add_file(publication, "part-000.csv", 7, &err));
    assert_false(publication_add_file(publication, "missing.csv", 7, &err));
    assert_false(publication_add_file(publication, "../x", 7, &err));
    assert_false(publication_add_file(publication, "x.json", 7, &err));
    publication_add_input(publication, json_pack("{s:s}", "path", "raw.csv"));
    (void)json_object_set_new(publication_content(publication), "counts",
                              json_pack("{s:i}", "rows_in", 9));
    assert_null(visible("lake/events/dt=2026-01-01"));
    assert_true(publication_commit(publication, &unchanged, &err));
    assert_false(unchanged);
    publication_free(publication);

    json_t *manifest = visible("lake/events/dt=2026-01-01");
    const json_t *content = json_object_get(manifest, "content");
    const char *version = json_get_string(manifest, "version", "");
    char name[64];
    assert_int_equal(strlen(version), 16);
    assert_string_equal(json_get_string(content, "dataset", ""), "lake/events");
    assert_string_equal(json_get_string(content, "partition", ""), "dt=2026-01-01");
    assert_int_equal(json_get_int(content, "rows", 0), 7);
    (void)snprintf(name, sizeof(name), "part-000-%s.csv", version);
    assert_string_equal(json_string_value(json_array_get(json_object_get(manifest, "files"), 0)),
                        name);
    assert_string_equal(json_get_string(attempt.outputs, "version", ""), version);
    assert_int_equal(json_get_int(attempt.outputs, "rows_out", 0), 7);
    assert_int_equal(json_get_int(attempt.outputs, "bytes", 0), 2);
    assert_string_equal(json_get_string(attempt.outputs, "manifest", ""),
                        "lake/events/dt=2026-01-01/_manifest.json");
    assert_int_equal(count_entries("lake.millrace/staging"), 0);
    assert_int_equal(count_entries("lake"), 1);
    json_decref(manifest);
    json_decref(attempt.outputs);
}

/* The same again changes nothing, not even who wrote it; other content replaces it and keeps the
 * old files for readers that hold them; a damaged partition is not "unchanged". */
static void test_again(void **state)
{
    struct err err = {0};
    bool unchanged = false;
    char first[17];
    char second[17];
    char path[200];
    struct stat before;
    struct stat after;

    (void)state;
    must_publish("lake/e/dt=1", "one\n", first);
    assert_int_equal(stat("lake/e/dt=1/_manifest.json", &before), 0);
    assert_true(publish_text("lake/e/dt=1", "t2", "one\n", second, &unchanged, &err));
    assert_true(unchanged);
    assert_string_equal(first, second);
    assert_int_equal(stat("lake/e/dt=1/_manifest.json", &after), 0);
    assert_true(before.st_ino == after.st_ino);

    int held = open("lake/e/dt=1", O_PATH | O_DIRECTORY | O_CLOEXEC);
    must_publish("lake/e/dt=1", "two\n", second);
    assert_string_not_equal(first, second);
    assert_visible("lake/e/dt=1", second);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/part-000-%s.csv", held, first);
    assert_int_equal(access(path, R_OK), 0);
    (void)close(held);
    assert_int_equal(count_entries("lake.millrace/attic"), 1);

    (void)snprintf(path, sizeof(path), "lake/e/dt=1/part-000-%s.csv", second);
    assert_int_equal(unlink(path), 0);
    assert_true(publish_text("lake/e/dt=1", "t3", "two\n", second, &unchanged, &err));
    assert_false(unchanged);
    assert_visible("lake/e/dt=1", second);
}

/* Folders that are not ours are never moved away. */
static void test_foreign_folders(void **state)
{
    struct err err = {0};
    bool unchanged = false;
    char version[17];

    (void)state;
    assert_true(fs_make_folders("lake/e/dt=1", 0777, &err));
    must_publish("lake/e/dt=1", "empty folders are fine", version);
    assert_true(fs_make_folders("lake/e/dt=2", 0777, &err));
    write_text("lake/e/dt=2/mine.txt", "precious");
    assert_false(publish_text("lake/e/dt=2", "t", "x", version, &unchanged, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.message, "is no published partition"));
    assert_int_equal(access("lake/e/dt=2/mine.txt", R_OK), 0);
    assert_false(publish_text("lake/e", "t", "x", version, &unchanged, &err));
    assert_non_null(strstr(err.message, "is no published partition"));
    assert_false(publish_text("lake/e/dt=1/hour=1", "t", "x", version, &unchanged, &err));
    assert_non_null(strstr(err.message, "a dataset of its own"));
    assert_int_equal(count_entries("lake.millrace/staging"), 0);
}

/* A dataset is published neither below another nor around one: the outer one's next version would
 * take the inner one away. */
static void test_nested(void **state)
{
    static const char *const inner[] = {"lake/grow/sub", "lake/grow/a/b/sub/dt=1",
                                        "lake/../lake/grow/sub", "lake/none/../grow/sub"};
    struct err err = {0};
    bool unchanged = false;
    char version[17];
    char other[17];
    char path[200];

    (void)state;
    assert_true(fs_make_folders("lake/none", 0777, &err));
    must_publish("lake/grow", "one\n", version);
    for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
        assert_false(publish_text(inner[i], "t", "x", other, &unchanged, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, "grow is published as a dataset of its own"));
    }
    (void)snprintf(path, sizeof(path), "%s/lake/grow/sub", folder);
    assert_false(publish_text(path, "t", "x", other, &unchanged, &err));
    assert_non_null(strstr(err.message, "a dataset of its own"));
    must_publish("lake/grow/../sub", "not below it\n", other);
    must_publish("lake/grown/sub", "nor this\n", other);

    /* One that is there all the same, from before it was refused. */
    assert_true(fs_make_folders("lake/grow/a/b", 0777, &err));
    assert_int_equal(rename("lake/sub", "lake/grow/a/b/sub"), 0);
    assert_false(publish_text("lake/grow", "t", "two\n", other, &unchanged, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.message, "lake/grow can't be replaced: lake/grow/a/b/sub below it"));
    assert_int_equal(access("lake/grow/a/b/sub/_manifest.json", R_OK), 0);
    assert_int_equal(rename("lake/grow/a", "lake/a"), 0);
    assert_visible("lake/grow", version);
    must_publish("lake/grow", "two\n", other);
    assert_visible("lake/grow", other);
}

/* Kills a publication at its n-th step, for every n, with `old` visible before (NULL = nothing).
 * `gaps` allows a moment without any version. */
static void sweep_kills(const char *old, bool gaps)
{
    char versions[2][17] = {"", ""};
    bool done = false;
    int n = 0;

    assert_int_equal(set_up(NULL), 0);
    must_publish("lake/e/dt=1", "new\n", versions[1]);
    while (!done && n < 500) {
        bool flags = no_flags;
        assert_int_equal(set_up(NULL), 0);
        if (old != NULL)
            must_publish("lake/e/dt=1", old, versions[0]);
        n++;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct err err = {0};
            bool unchanged = false;
            char version[17];
            steps = 0;
            kill_at = n;
            no_flags = gaps;
            bool ok = publish_text("lake/e/dt=1", "killed", "new\n", version, &unchanged, &err);
            _exit(ok ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        done = WIFEXITED(status);
        if (done)
            assert_int_equal(WEXITSTATUS(status), 0);
        json_t *manifest = visible("lake/e/dt=1");
        if (manifest == NULL)
            assert_true(old == NULL || gaps);
        else if (strcmp(json_get_string(manifest, "version", ""), versions[1]) != 0)
            assert_string_equal(json_get_string(manifest, "version", ""), versions[0]);
        json_decref(manifest);
        no_flags = gaps;
        must_publish("lake/e/dt=1", "new\n", versions[0]);
        assert_string_equal(versions[0], versions[1]);
        assert_visible("lake/e/dt=1", versions[1]);
        assert_int_equal(count_entries("lake.millrace/staging"), 0);
        assert_int_equal(count_entries("lake/e"), 1);
        no_flags = flags;
    }
    assert_true(done);
    assert_true(n > 15);
}

static void test_killed_anywhere(void **state)
{
    (void)state;
    sweep_kills(NULL, false);
    sweep_kills("old\n", false);
}

static void test_killed_without_exchange(void **state)
{
    (void)state;
    sweep_kills(NULL, true);
    sweep_kills("old\n", true);
}

static void test_without_exchange(void **state)
{
    char first[17];
    char second[17];

    (void)state;
    no_flags = true;
    must_publish("lake/e/dt=1", "one\n", first);
    must_publish("lake/e/dt=1", "two\n", second);
    assert_visible("lake/e/dt=1", second);
    assert_int_equal(count_entries("lake.millrace/attic"), 1);
}

/* The new version is there, the old one is still its readers', and nothing is lost or forgotten. */
static void test_attic_fails(void **state)
{
    struct err err = {0};
    bool unchanged = false;
    char first[17];
    char second[17];
    char path[200];

    (void)state;
    must_publish("lake/e/dt=1", "one\n", first);
    int held = open("lake/e/dt=1", O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/part-000-%s.csv", held, first);
    for (int i = 0; i < 2; i++) {
        no_attic = i == 0;
        bool ok = publish_text("lake/e/dt=1", "t", "two\n", second, &unchanged, &err);
        assert_int_equal(ok, !no_attic);
        if (no_attic)
            assert_non_null(strstr(err.message, "attic"));
        assert_int_equal(access(path, R_OK), 0);
        assert_int_equal(count_entries("lake.millrace/staging"), no_attic ? 1 : 0);
        assert_int_equal(count_entries("lake.millrace/attic"), no_attic ? 0 : 1);
    }
    assert_true(unchanged);
    assert_visible("lake/e/dt=1", second);
    (void)close(held);
}

static void test_other_device(void **state)
{
    struct err err = {0};
    bool unchanged = false;
    char version[17];

    (void)state;
    other_device = true;
    assert_false(publish_text("lake/e/dt=1", "t", "x", version, &unchanged, &err));
    assert_non_null(strstr(err.message, "different file systems"));
    assert_int_equal(count_entries("lake.millrace/staging"), 0);
}

/* A disk that is full from any moment on: a clear error, nothing staged is left, and what was
 * visible stays. */
static void test_full_disk(void **state)
{
    char old[17];
    int failed = 0;

    (void)state;
    for (int n = 1; n < 60; n++) {
        struct err err = {0};
        bool unchanged = false;
        assert_int_equal(set_up(NULL), 0);
        must_publish("lake/e/dt=1", "old\n", old);
        steps = 0;
        full_at = n;
        struct attempt attempt = make_attempt("full");
        struct publication *publication = publication_begin(&attempt, "lake/e/dt=1", &err);
        assert_non_null(publication);
        char *path = fs_join(publication_folder(publication), "part-000.csv");
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        bool ok = fs_write_all(fd, "new\n", 4, &err);
        (void)close(fd);
        free(path);
        ok = ok && publication_add_file(publication, "part-000.csv", 1, &err) &&
             publication_commit(publication, &unchanged, &err);
        publication_free(publication);
        json_decref(attempt.outputs);
        full_at = 0;
        if (!ok) {
            failed++;
            assert_non_null(strstr(err.message, "No space left on device"));
            assert_visible("lake/e/dt=1", old);
        }
        assert_int_equal(count_entries("lake.millrace/staging"), 0);
    }
    assert_true(failed >= 2);
}

static void test_full_disk_in_copy(void **state)
{
    struct err err = {0};
    struct attempt attempt = make_attempt("full");
    struct publication *publication = publication_begin(&attempt, "lake/e/dt=1", &err);
    struct buf sql = {0};

    (void)state;
    assert_non_null(publication);
    buf_printf(&sql, "COPY (SELECT i FROM range(100000) t(i)) TO '%s/part-000.parquet'",
               publication_folder(publication));
    full_at = 1;
    assert_false(engine_run(engine, buf_text(&sql), NULL, &err));
    full_at = 0;
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.message, "No space left on device"));
    publication_free(publication);
    assert_int_equal(count_entries("lake.millrace/staging"), 0);
    buf_release(&sql);
    json_decref(attempt.outputs);
}

/* A second attempt on one target never touches the staging folder of one that lives. */
static void test_live_staging_is_kept(void **state)
{
    struct err err = {0};
    bool unchanged = false;
    char version[17];
    struct attempt attempt = make_attempt("live");
    struct publication *live = publication_begin(&attempt, "lake/e/dt=1", &err);

    (void)state;
    assert_non_null(live);
    write_staged(live, "part-000.csv", "live\n");
    assert_true(fs_make_folders("lake.millrace/staging/e%2Fdt=1~dead/data", 0777, &err));
    assert_true(fs_make_folders("lake.millrace/staging/e%2Fdt=10~other/data", 0777, &err));
    must_publish("lake/e/dt=1", "other\n", version);
    assert_int_not_equal(access("lake.millrace/staging/e%2Fdt=1~dead", F_OK), 0);
    assert_int_equal(access("lake.millrace/staging/e%2Fdt=10~other", F_OK), 0);
    assert_true(publication_add_file(live, "part-000.csv", 1, &err));
    assert_true(publication_commit(live, &unchanged, &err));
    assert_visible("lake/e/dt=1", json_get_string(attempt.outputs, "version", ""));
    publication_free(live);
    json_decref(attempt.outputs);
}

/* An attempt that ends takes its staging folder away while the next one sweeps it. */
static void test_sweep_of_what_vanishes(void **state)
{
    static const char leaving[] = "lake.millrace/staging/e%2Fdt=1~leaving";
    struct err err = {0};
    char version[17];

    (void)state;
    assert_true(fs_make_folders("lake.millrace/staging/e%2Fdt=1~leaving/data/a/b", 0777, &err));
    vanishes = leaving;
    must_publish("lake/e/dt=1", "next\n", version);
    assert_null(vanishes);
    assert_int_not_equal(access(leaving, F_OK), 0);
    assert_visible("lake/e/dt=1", version);
}

static void test_attic_is_swept_by_age(void **state)
{
    struct err err = {0};
    char fresh[200];
    char old[200];
    char version[17];

    (void)state;
    (void)snprintf(fresh, sizeof(fresh), "lake.millrace/attic/%ld~e~1", (long)time(NULL) - 60);
    (void)snprintf(old, sizeof(old), "lake.millrace/attic/%ld~e~1", (long)time(NULL) - 4000);
    assert_true(fs_make_folders(fresh, 0777, &err));
    assert_true(fs_make_folders(old, 0777, &err));
    must_publish("lake/e/dt=1", "x", version);
    assert_int_equal(access(fresh, F_OK), 0);
    assert_int_not_equal(access(old, F_OK), 0);
}

/* What attempts on other targets left stays as long as the settings say, or for ever. */
static void test_staging_is_swept_by_age(void **state)
{
    static const char dead[] = "lake.millrace/staging/e%2Fdt=7~dead";
    const struct timespec times[2] = {{.tv_sec = time(NULL) - 4000}, {.tv_sec = time(NULL) - 4000}};
    struct err err = {0};
    char version[17];

    (void)state;
    assert_true(fs_make_folders("lake.millrace/staging/e%2Fdt=7~dead/data", 0777, &err));
    assert_int_equal(utimensat(AT_FDCWD, dead, times, 0), 0);
    must_publish("lake/e/dt=1", "x", version);
    staging_us = INT64_C(5000) * 1000000;
    must_publish("lake/e/dt=1", "y", version);
    assert_int_equal(access(dead, F_OK), 0);
    staging_us = INT64_C(3000) * 1000000;
    must_publish("lake/e/dt=1", "z", version);
    staging_us = 0;
    assert_int_not_equal(access(dead, F_OK), 0);
    assert_visible("lake/e/dt=1", version);
}

/* Publishes the rows of `query` as one Parquet file. */
static bool publish_query(const char *target, const char *query, int64_t rows, struct err *err)
{
    struct attempt attempt = make_attempt("q");
    struct publication *publication = publication_begin(&attempt, target, err);
    struct buf sql = {0};
    bool unchanged = false;
    int64_t written = 0;

    if (publication == NULL)
        return false;
    buf_printf(&sql, "COPY (%s) TO '%s/part-000.parquet' (FORMAT parquet, COMPRESSION zstd)", query,
               publication_folder(publication));
    bool ok =
        engine_run(engine, buf_text(&sql), &written, err) &&
        publication_add_file(publication, "part-000.parquet", rows < 0 ? written : rows, err) &&
        publication_describe_parquet(publication, err) &&
        publication_commit(publication, &unchanged, err);
    publication_free(publication);
    buf_release(&sql);
    json_decref(attempt.outputs);
    return ok;
}

static void must_publish_query(const char *target, const char *query)
{
    struct err err = {0};

    if (!publish_query(target, query, -1, &err))
        fail_msg("%s: %s", target, err.message);
}

static char *column_stats(const char *target, const char *column)
{
    json_t *manifest = visible(target);
    const json_t *columns = json_object_get(json_object_get(manifest, "content"), "columns");
    char *text = json_dumps(json_object_get(columns, column), JSON_COMPACT | JSON_SORT_KEYS);

    json_decref(manifest);
    return text;
}

static void test_describe(void **state)
{
    static const struct {
        const char *column;
        const char *stats;
    } rows[] = {
        {"i",    "{\"max\":\"9\",\"min\":\"-10\",\"nulls\":0}"                                },
        {"half", "{\"max\":\"8.5\",\"min\":\"-9.5\",\"nulls\":10}"                            },
        {"text", "{\"max\":\"9\",\"min\":\"-1\",\"nulls\":0}"                                 },
        {"none", "{\"nulls\":20}"                                                             },
        {"at",
         "{\"max\":\"2026-01-01 00:00:09+00\",\"min\":\"2025-12-31 23:59:50+00\",\"nulls\":0}"},
        {"list", "{\"nulls\":null}"                                                           },
        {"long", "{\"nulls\":0}"                                                              },
    };

    (void)state;
    must_publish_query(
        "lake/d/dt=1",
        "SELECT i, CASE WHEN i % 2 = 0 THEN i + 0.5 END AS half, i::VARCHAR AS text, "
        "NULL::INT AS none, TIMESTAMPTZ '2026-01-01 00:00:00Z' + to_seconds(i) AS at, "
        "[i] AS list, repeat('x', 100000) || i AS long FROM range(-10, 10) t(i)");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *stats = column_stats("lake/d/dt=1", rows[i].column);
        assert_string_equal(stats, rows[i].stats);
        free(stats);
    }
    must_publish_query("lake/d/dt=2", "SELECT 1 AS i WHERE false");
    char *stats = column_stats("lake/d/dt=2", "i");
    assert_string_equal(stats, "{\"nulls\":0}");
    free(stats);
}

/* The staged files are opened again before they are published. */
static void test_describe_refuses(void **state)
{
    struct err err = {0};

    (void)state;
    assert_false(publish_query("lake/d/dt=1", "SELECT 1 AS i", 2, &err));
    assert_non_null(strstr(err.message, "holds 1 rows where 2 were written"));
    assert_false(publish_query("lake/d/dt=1", "SELECT 1 AS file_index", 1, &err));
    assert_non_null(strstr(err.message, "file_index"));

    struct attempt attempt = make_attempt("q");
    struct publication *publication = publication_begin(&attempt, "lake/d/dt=1", &err);
    write_staged(publication, "part-000.parquet", "PAR1 this is not Parquet PAR1");
    assert_true(publication_add_file(publication, "part-000.parquet", 1, &err));
    assert_false(publication_describe_parquet(publication, &err));
    assert_non_null(strstr(err.message, "part-000.parquet"));
    publication_free(publication);
    json_decref(attempt.outputs);
    assert_null(visible("lake/d/dt=1"));
}

/* The first value of a query over the dataset at `path`, as text. */
static char *ask(const struct dataset *dataset, const char *select)
{
    struct err err = {0};
    struct buf sql = {0};

    buf_printf(&sql, "SELECT %s FROM ", select);
    dataset_add_source(dataset, &sql);
    struct engine_result *rows = engine_query(engine, buf_text(&sql), &err);
    if (rows == NULL || !engine_next(rows, &err))
        fail_msg("%s", err.message);
    char *text = mem_dup(engine_text(rows, 0).ptr, engine_text(rows, 0).len);
    engine_result_free(rows);
    buf_release(&sql);
    return text;
}

static void assert_answer(const char *path, const char *select, const char *want)
{
    struct err err = {0};
    struct dataset *dataset = dataset_open(path, &err);

    if (dataset == NULL)
        fail_msg("%s", err.message);
    char *got = ask(dataset, select);
    assert_string_equal(got, want);
    free(got);
    dataset_free(dataset);
}

static void test_read_partitions(void **state)
{
    (void)state;
    must_publish_query("lake/e/dt=2026-01-01", "SELECT 1 AS i, 'a' AS s");
    must_publish_query("lake/e/dt=2026-01-02", "SELECT unnest([2, 3]) AS i, 'b' AS s");
    must_publish_query("lake/e/dt=2026-01-03", "SELECT 9 AS i, 'c' AS s WHERE false");
    must_publish_query("lake/m/k=__HIVE_DEFAULT_PARTITION__/n=1", "SELECT 1 AS i");
    must_publish_query("lake/m/k=a%20b/n=07", "SELECT 2 AS i, 5 AS added");
    must_publish_query("lake/own/dt=2026-01-01", "SELECT 1 AS i, 'mine' AS dt");
    must_publish_query("lake/flat", "SELECT 42 AS i");

    assert_answer("lake/e", "string_agg(typeof(dt) || ' ' || dt || ' ' || i || s, ', ' ORDER BY i)",
                  "DATE 2026-01-01 1a, DATE 2026-01-02 2b, DATE 2026-01-02 3b");
    assert_answer("lake/e", "count(*) FILTER (dt = DATE '2026-01-02')", "2");
    assert_answer("lake/e", "array_agg(columns(*)) ", "[1, 2, 3]");
    assert_answer("lake/e/dt=2026-01-02", "array_agg(i)::VARCHAR", "[2, 3]");
    assert_answer("lake/e/dt=2026-01-03", "count(*)", "0");
    assert_answer("lake/m",
                  "string_agg(i || coalesce(k, 'null') || n || typeof(n) || "
                  "coalesce(added, 0), ', ' ORDER BY i)",
                  "1null1BIGINT0, 2a b7BIGINT5");
    assert_answer("lake/own", "dt", "mine");
    assert_answer("lake/flat", "i", "42");
}

static void test_read_nothing(void **state)
{
    struct err err = {0};

    (void)state;
    assert_null(dataset_open("lake/nothing", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "nothing is published at lake/nothing"));
    assert_true(fs_make_folders("lake/bad/dt=1", 0777, &err));
    write_text("lake/bad/dt=1/_manifest.json", "{\"version\": ");
    assert_null(dataset_open("lake/bad", &err));
    assert_non_null(strstr(err.message, "lake/bad/dt=1"));
}

/* An open dataset stays what it was, whatever is published meanwhile. */
static void test_read_is_one_version(void **state)
{
    struct err err = {0};

    (void)state;
    must_publish_query("lake/e/dt=1", "SELECT 1 AS i");
    struct dataset *dataset = dataset_open("lake/e", &err);
    must_publish_query("lake/e/dt=1", "SELECT 2 AS i");
    must_publish_query("lake/e/dt=2", "SELECT 3 AS i");
    char *got = ask(dataset, "array_agg(i)::VARCHAR");
    assert_string_equal(got, "[1]");
    free(got);
    dataset_free(dataset);
    assert_answer("lake/e", "array_agg(i)::VARCHAR", "[2, 3]");
}

static void test_many_partitions(void **state)
{
    struct err err = {0};
    char target[64];

    (void)state;
    for (int i = 0; i < 150; i++) {
        char query[64];
        (void)snprintf(target, sizeof(target), "lake/e/n=%d", i);
        (void)snprintf(query, sizeof(query), "SELECT %d AS i", i);
        must_publish_query(target, query);
    }
    assert_answer("lake/e", "count(*) || ' ' || count(*) FILTER (i = n) || ' ' || sum(n)",
                  "150 150 11175");
    json_t *before = dataset_manifests_before("lake/e/n=2", 3, &err);
    assert_int_equal(json_array_size(before), 3);
    const json_t *content = json_object_get(json_array_get(before, 0), "content");
    assert_string_equal(json_get_string(content, "partition", ""), "n=19"); /* name order */
    json_decref(before);
    before = dataset_manifests_before("lake/none/n=2", 3, &err);
    assert_int_equal(json_array_size(before), 0);
    json_decref(before);
}

/* A reader that goes on while versions are replaced sees each time one whole version. */
static void test_readers_during_publishes(void **state)
{
    char version[17];

    (void)state;
    must_publish("lake/e/dt=1", "0\n", version);
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) {
        for (int i = 1; i < 300; i++) {
            char text[16];
            (void)snprintf(text, sizeof(text), "%d\n", i);
            must_publish("lake/e/dt=1", text, version);
        }
        _exit(0);
    }
    int status = 0;
    int reads = 0;
    while (waitpid(writer, &status, WNOHANG) == 0) {
        struct err err = {0};
        struct dataset *dataset = dataset_open("lake/e/dt=1", &err);
        if (dataset == NULL)
            fail_msg("%s", err.message);
        dataset_free(dataset);
        reads++;
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(reads > 0);
}

static int open_all(void **state)
{
    struct err err = {0};

    (void)state;
    engine = engine_open(&err);
    if (engine == NULL || mkdtemp(folder) == NULL || chdir(folder) != 0)
        return -1;
    return 0;
}

static int close_all(void **state)
{
    struct err err = {0};

    (void)state;
    engine_close(engine);
    return chdir("/") == 0 && fs_remove_tree(folder, &err) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_targets, set_up),
        cmocka_unit_test_setup(test_new_partition, set_up),
        cmocka_unit_test_setup(test_again, set_up),
        cmocka_unit_test_setup(test_foreign_folders, set_up),
        cmocka_unit_test_setup(test_nested, set_up),
        cmocka_unit_test_setup(test_killed_anywhere, set_up),
        cmocka_unit_test_setup(test_killed_without_exchange, set_up),
        cmocka_unit_test_setup(test_without_exchange, set_up),
        cmocka_unit_test_setup(test_attic_fails, set_up),
        cmocka_unit_test_setup(test_other_device, set_up),
        cmocka_unit_test_setup(test_full_disk, set_up),
        cmocka_unit_test_setup(test_full_disk_in_copy, set_up),
        cmocka_unit_test_setup(test_live_staging_is_kept, set_up),
        cmocka_unit_test_setup(test_sweep_of_what_vanishes, set_up),
        cmocka_unit_test_setup(test_attic_is_swept_by_age, set_up),
        cmocka_unit_test_setup(test_staging_is_swept_by_age, set_up),
        cmocka_unit_test_setup(test_describe, set_up),
        cmocka_unit_test_setup(test_describe_refuses, set_up),
        cmocka_unit_test_setup(test_read_partitions, set_up),
        cmocka_unit_test_setup(test_read_nothing, set_up),
        cmocka_unit_test_setup(test_read_is_one_version, set_up),
        cmocka_unit_test_setup(test_many_partitions, set_up),
        cmocka_unit_test_setup(test_readers_during_publishes, set_up),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
