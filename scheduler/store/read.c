#include "scheduler/store/read.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "millrace/messages.h"
#include "scheduler/store/query.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const int64_t snapshot_us_max = 2 * US_PER_SECOND;
static const int busy_ms = 1000;
static const int progress_steps = 10000; /* virtual machine steps between looks at the clock */

struct read {
    char *path;
    sqlite3 *db;
    dev_t device; /* of the file that is open: another one at the path is another state */
    ino_t inode;
    int64_t deadline_us; /* of the snapshot; 0 = none has begun */
};

struct read *read_new(const char *state_folder)
{
    struct read *read = mem_alloc(sizeof(*read));

    read->path = fs_join(state_folder, STATE_DATABASE);
    return read;
}

static void close_database(struct read *read)
{
    (void)sqlite3_close(read->db);
    read->db = NULL;
    read->deadline_us = 0;
}

void read_free(struct read *read)
{
    if (read == NULL)
        return;
    close_database(read);
    free(read->path);
    free(read);
}

static int past_deadline(void *context)
{
    const struct read *read = context;

    return read->deadline_us != 0 && clock_mono_us() > read->deadline_us;
}

static bool not_ready(struct err *err)
{
    return err_set(err, ERR_UNREACHABLE, "the scheduler has not made its database yet");
}

/* The schema comes in one transaction: its last table tells that it is all there. */
static bool has_schema(sqlite3 *db)
{
    static const char sql[] = "SELECT 1 FROM sqlite_schema WHERE name = 'pool'";
    sqlite3_stmt *statement = NULL;
    bool found = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
                 sqlite3_step(statement) == SQLITE_ROW;

    (void)sqlite3_finalize(statement);
    return found;
}

static bool open_database(struct read *read, const struct stat *found, struct err *err)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;

    if (sqlite3_open_v2(read->path, &db, flags, NULL) != SQLITE_OK) {
        err_set(err, ERR_UNREACHABLE, "%s: %s", read->path, sqlite3_errmsg(db));
        (void)sqlite3_close(db);
        return false;
    }
    (void)sqlite3_busy_timeout(db, busy_ms);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_exec(db,
                       "PRAGMA query_only = 1; PRAGMA wal_autocheckpoint = 0; "
                       "PRAGMA cache_size = -2048",
                       NULL, NULL, NULL);
    if (!has_schema(db)) {
        (void)sqlite3_close(db);
        return not_ready(err);
    }
    sqlite3_progress_handler(db, progress_steps, past_deadline, read);
    read->db = db;
    read->device = found->st_dev;
    read->inode = found->st_ino;
    return true;
}

bool read_fail(struct read *read, sqlite3 *db, struct err *err)
{
    switch (sqlite3_errcode(db) & 0xff) {
    case SQLITE_INTERRUPT:
        return err_set(err, ERR_TIMEOUT, "the query took over %d s: narrow it down",
                       (int)(snapshot_us_max / US_PER_SECOND));
    case SQLITE_BUSY:
    case SQLITE_CANTOPEN:
        return err_set(err, ERR_UNREACHABLE, "%s: %s", read->path, sqlite3_errmsg(db));
    default:
        return err_set(err, ERR_IO, "%s: %s", read->path, sqlite3_errmsg(db));
    }
}

sqlite3 *read_connection(struct read *read, struct err *err)
{
    struct stat found;

    if (read->deadline_us != 0)
        return read->db;
    if (stat(read->path, &found) != 0) {
        close_database(read);
        not_ready(err);
        return NULL;
    }
    if (read->db != NULL && (found.st_dev != read->device || found.st_ino != read->inode))
        close_database(read);
    if (read->db == NULL && !open_database(read, &found, err))
        return NULL;
    if (sqlite3_exec(read->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK) {
        read_fail(read, read->db, err);
        close_database(read);
        return NULL;
    }
    read->deadline_us = clock_mono_us() + snapshot_us_max;
    return read->db;
}

void read_end(struct read *read)
{
    if (read->deadline_us == 0)
        return;
    read->deadline_us = 0;
    if (sqlite3_exec(read->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        close_database(read);
}
