#include "scheduler/store/migrate.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

extern const char store_migration_1[];
extern const char store_migration_2[];
extern const char store_migration_3[];
extern const char store_migration_4[];
extern const char store_migration_5[];
extern const char store_migration_6[];
extern const char store_migration_7[];
extern const char store_migration_8[];
extern const char store_migration_9[];
extern const char store_migration_10[];
extern const char store_migration_11[];

const char *const *store_migrations(size_t *ret_count)
{
    static const char *const migrations[] = {
        store_migration_1, store_migration_2,  store_migration_3,  store_migration_4,
        store_migration_5, store_migration_6,  store_migration_7,  store_migration_8,
        store_migration_9, store_migration_10, store_migration_11,
    };

    *ret_count = sizeof(migrations) / sizeof(migrations[0]);
    return migrations;
}

static bool read_number(sqlite3 *db, const char *sql, int64_t *ret, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    bool ok = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
              sqlite3_step(stmt) == SQLITE_ROW;

    if (ok)
        *ret = sqlite3_column_int64(stmt, 0);
    else
        err_set(err, ERR_IO, "%s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
    return ok;
}

/* VACUUM INTO writes a consistent copy in one go; it is synced before the migration starts. */
static bool back_up(sqlite3 *db, const char *path, size_t version, struct err *err)
{
    struct buf copy = {0};
    sqlite3_stmt *stmt = NULL;

    buf_printf(&copy, "%s.before-%zu", path, version);
    bool ok = unlink(buf_text(&copy)) == 0 || errno == ENOENT;
    if (!ok)
        err_errno(err, "remove %s", buf_text(&copy));
    if (ok) {
        ok = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &stmt, NULL) == SQLITE_OK &&
             sqlite3_bind_text(stmt, 1, buf_text(&copy), -1, SQLITE_STATIC) == SQLITE_OK &&
             sqlite3_step(stmt) == SQLITE_DONE;
        if (!ok)
            err_set(err, ERR_IO, "back up to %s before the migration: %s", buf_text(&copy),
                    sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(stmt);
    ok = ok && fs_sync(buf_text(&copy), err);
    buf_release(&copy);
    return ok;
}

static bool execute(sqlite3 *db, const char *sql, struct err *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    return err_set(err, ERR_IO, "%s", sqlite3_errmsg(db));
}

/* The migrations `first` to `last`, in one transaction. */
static bool apply(sqlite3 *db, const char *const *migrations, size_t first, size_t last,
                  struct err *err)
{
    struct buf mark = {0};

    buf_printf(&mark, "PRAGMA user_version = %zu; PRAGMA application_id = %d; COMMIT", last,
               STORE_APPLICATION_ID);
    bool ok = execute(db, "BEGIN IMMEDIATE", err);
    for (size_t number = first; ok && number <= last; number++)
        ok = execute(db, migrations[number - 1], err) || err_wrap(err, "migration %zu", number);
    ok = ok && execute(db, buf_text(&mark), err);
    buf_release(&mark);
    if (!ok)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

static bool check_identity(sqlite3 *db, const char *path, size_t count, int64_t *ret_version,
                           struct err *err)
{
    int64_t application = 0;
    int64_t tables = 0;

    if (!read_number(db, "SELECT count(*) FROM sqlite_schema", &tables, err) ||
        !read_number(db, "PRAGMA application_id", &application, err) ||
        !read_number(db, "PRAGMA user_version", ret_version, err))
        return err_wrap(err, "%s cannot be read as a database; move it away, or restore a backup",
                        path);
    if (tables > 0 && application != STORE_APPLICATION_ID)
        return err_set(err, ERR_INVALID,
                       "%s is a database of another program; name another state folder (--state)",
                       path);
    if (*ret_version > (int64_t)count)
        return err_set(err, ERR_INVALID,
                       "%s was written by a newer Millrace (schema %lld, this program knows %zu); "
                       "use that version, or another state folder (--state)",
                       path, (long long)*ret_version, count);
    return true;
}

bool store_migrate(sqlite3 *db, const char *path, const char *const *migrations, size_t count,
                   struct err *err)
{
    int64_t version = 0;

    if (!check_identity(db, path, count, &version, err))
        return false;
    if (version > 0 && version < (int64_t)count && !back_up(db, path, count, err))
        return false;
    /* A new database is made at once; one that holds something goes from version to version. */
    if (version == 0)
        return apply(db, migrations, 1, count, err) || err_wrap(err, "%s", path);
    for (size_t number = (size_t)version + 1; number <= count; number++)
        if (!apply(db, migrations, number, number, err))
            return err_wrap(err, "%s", path);
    return true;
}
