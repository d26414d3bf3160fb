/* upgrade: a database of schema 1, opened by the program of today, and killed at every write of the
 * backup and of each migration.
 *
 * Whatever the moment, what is found is the schema of some version as a whole, with all rows, and
 * the next start brings it to the newest. */
#include "tests/crash/faultfs.h"
#include "tests/crash/machine.h"
#include "tests/crash/scratch.h"

#include "base/buf.h"
#include "base/fs.h"
#include "scheduler/store/migrate.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOLDEN "tests/crash/schema_1.sql"
#define VERSIONS_MAX 64

/* What schema 1 had; later columns and tables may come beside it. */
static const char *const tables[][2] = {
    {"dag",           "dag_id, file, is_paused, is_stale, version_id, last_tick, next_start, next_end" },
    {"version",       "id, dag_id, number, hash, file, source, created_at"                             },
    {"run",
     "id, dag_id, run_id, version_id, run_type, state, triggered_by, logical_date, "
     "interval_start, interval_end, run_after, started_at, ended_at, backfill_id, conf, note"          },
    {"task_instance",
     "run, task, map_index, task_id, state, try_number, max_tries, started_at, reason"                 },
    {"attempt",       "run, task, map_index, try_number, token, state, worker, pid, rendered, outputs" },
    {"transition",    "seq, at, run, task, map_index, try_number, from_state, to_state, reason"        },
    {"backfill",      "id, dag_id, from_date, to_date, reprocess, max_active_runs, cursor, total, made"},
    {"import_error",  "file, at, report, findings"                                                     },
    {"idempotency",   "key, body_hash, status, response"                                               },
    {"pool",          "name, slots, description"                                                       },
};

static char folder[200];
static char path[256];
static struct buf golden;
static struct buf golden_rows;
static struct buf schemas[VERSIONS_MAX]; /* by number of migrations */

static sqlite3 *open_at(const char *name)
{
    sqlite3 *db = NULL;
    int status = sqlite3_open(name, &db);

    assert(status == SQLITE_OK);
    return db;
}

static void add_rows(sqlite3 *db, const char *sql, struct buf *out)
{
    sqlite3_stmt *stmt = NULL;
    int status = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (status != SQLITE_OK)
        buf_printf(out, "%s\n", sqlite3_errmsg(db));
    while (status == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(stmt); i++)
            buf_printf(out, "|%s", (const char *)sqlite3_column_text(stmt, i));
        buf_add_char(out, '\n');
    }
    (void)sqlite3_finalize(stmt);
}

static void read_old_rows(sqlite3 *db, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        char sql[400];
        (void)snprintf(sql, sizeof(sql), "SELECT %s FROM \"%s\"", tables[i][1], tables[i][0]);
        add_rows(db, sql, out);
    }
}

static void read_schema(sqlite3 *db, struct buf *out)
{
    buf_clear(out);
    add_rows(db, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name", out);
}

static void execute(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) == SQLITE_OK)
        return;
    printf("%s\n", message);
    exit(1);
}

static void learn_schemas(size_t count)
{
    const char *const *migrations = store_migrations(&count);
    sqlite3 *db = open_at(":memory:");

    execute(db, buf_text(&golden));
    read_old_rows(db, &golden_rows);
    for (size_t i = 1; i <= count; i++) {
        if (i > 1)
            execute(db, migrations[i - 1]);
        read_schema(db, &schemas[i]);
    }
    (void)sqlite3_close(db);
}

static void lay_out(void)
{
    struct err err = {0};
    bool ok = fs_remove_tree(folder, &err) && fs_make_folders(folder, 0700, &err);

    assert(ok);
    sqlite3 *db = open_at(path);
    execute(db, buf_text(&golden));
    (void)sqlite3_close(db);
}

/* Opens it in a process that ends at the n-th write; whether it came to its end before. */
static bool open_and_die(int64_t n)
{
    int status = 0;
    pid_t child = fork();

    assert(child >= 0);
    if (child == 0) {
        struct fault_plan plan = {.exit_at = n};
        struct err err = {0};
        uint64_t rows = 0;
        faultfs_forget();
        faultfs_plan(&plan);
        bool ok = state_fingerprint(folder, &rows, &err);
        if (!ok)
            printf("write %lld: %s\n", (long long)n, err.message);
        (void)fflush(stdout);
        _exit(ok ? 1 : 2);
    }
    (void)waitpid(child, &status, 0);
    assert(WIFEXITED(status) && WEXITSTATUS(status) != 2);
    return WEXITSTATUS(status) == 1;
}

/* As the killed process left it: one version's schema, no half of one. */
static bool check_left(int64_t n)
{
    sqlite3 *db = open_at(path);
    struct buf version = {0};
    struct buf schema = {0};
    struct buf rows = {0};

    add_rows(db, "PRAGMA user_version", &version);
    read_schema(db, &schema);
    read_old_rows(db, &rows);
    size_t number = strtoul(buf_text(&version) + 1, NULL, 10);
    bool ok = number >= 1 && number < VERSIONS_MAX &&
              strcmp(buf_text(&schema), buf_text(&schemas[number])) == 0 &&
              strcmp(buf_text(&rows), buf_text(&golden_rows)) == 0;
    if (!ok)
        printf("killed at write %lld: version %zu does not have its schema, or rows are gone\n",
               (long long)n, number);
    /* The next start must find the files as they were: nothing is checkpointed here. */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_close(db);
    buf_release(&version);
    buf_release(&schema);
    buf_release(&rows);
    return ok;
}

/* The next start brings it to the newest, and the backup holds the rows. */
static bool check_opened(int64_t n, size_t count)
{
    char backup[300];
    struct buf rows = {0};
    bool ok = open_and_die(0) && check_left(n);

    (void)snprintf(backup, sizeof(backup), "%s.before-%zu", path, count);
    if (n == 0 && access(backup, F_OK) != 0)
        ok = false;
    if (access(backup, F_OK) == 0) {
        sqlite3 *db = open_at(backup);
        read_old_rows(db, &rows);
        ok = ok && strcmp(buf_text(&rows), buf_text(&golden_rows)) == 0;
        (void)sqlite3_close(db);
    }
    if (!ok)
        printf("killed at write %lld: the next start fails, or the backup is incomplete\n",
               (long long)n);
    buf_release(&rows);
    return ok;
}

int main(void)
{
    struct err err = {0};
    size_t count = 0;
    int64_t n = 0;
    bool fine = true;

    (void)store_migrations(&count);
    assert(count < VERSIONS_MAX);
    if (!fs_read_file(GOLDEN, 1024 * 1024, &golden, &err)) {
        printf("%s\n", err.message);
        return 1;
    }
    scratch_make(folder, sizeof(folder) - 8);
    faultfs_install(folder);
    (void)snprintf(folder + strlen(folder), 8, "/state");
    (void)snprintf(path, sizeof(path), "%s/state.db", folder);
    learn_schemas(count);
    lay_out();
    fine = check_opened(0, count);
    for (bool done = false; fine && !done;) {
        lay_out();
        done = open_and_die(++n);
        fine = check_left(n) && check_opened(n, count);
    }
    scratch_remove();
    printf("schema 1 to %zu, killed at %lld writes: %s\n", count, (long long)n,
           fine ? "well" : "wrong");
    return fine ? 0 : 1;
}
