#include "scheduler/store/mark.h"
#include "scheduler/store/migrate.h"
#include "scheduler/store/pages.h"
#include "scheduler/store/statements.h"

#include "base/fs.h"
#include "base/mem.h"
#include "millrace/messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* A database up to this size is read through by quick_check at every start; a larger one would
 * delay recovery by seconds, and its damaged pages are found when they are read. */
#define QUICK_CHECK_BYTES_MAX (64 * 1024 * 1024)

static const char *const statement_texts[] = {
#define STATEMENT(name, sql) sql,
#include "scheduler/store/statements.def"
#undef STATEMENT
};

static int on_wal(void *context, sqlite3 *db, const char *name, int pages)
{
    struct store *store = context;

    (void)db;
    (void)name;
    store->wal_pages = pages;
    store->wal_frames = pages;
    return SQLITE_OK;
}

static bool fail(struct store *store, const char *doing, struct err *err)
{
    store->is_broken = true;
    if (pages_are_damaged(store->db))
        return err_set(err, ERR_IO,
                       "%s is damaged (%s: %s): move state.db* away and restore a backup, see "
                       "docs/operations.md",
                       store->path, doing, sqlite3_errmsg(store->db));
    return err_set(err, ERR_IO, "%s: %s: %s", store->path, doing, sqlite3_errmsg(store->db));
}

static bool open_database(struct store *store, struct err *err)
{
    static const char set_up[] = "PRAGMA busy_timeout = 5000;"
                                 "PRAGMA journal_mode = WAL;"
                                 "PRAGMA synchronous = FULL;"
                                 "PRAGMA wal_autocheckpoint = 0;"
                                 "PRAGMA mmap_size = 0;"
                                 "PRAGMA temp_store = MEMORY;"
                                 "PRAGMA trusted_schema = OFF;"
                                 "PRAGMA cache_size = -8192;";
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    if (!pages_register(err))
        return false;
    if (sqlite3_open_v2(store->path, &store->db, flags, PAGES_VFS) != SQLITE_OK)
        return fail(store, "open", err);
    pages_reserve(store->db);
    (void)sqlite3_extended_result_codes(store->db, 1);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (sqlite3_exec(store->db, set_up, NULL, NULL, NULL) != SQLITE_OK)
        return fail(store, "cannot be used as a database; move it away, or restore a backup", err);
    return true;
}

static bool check_pages(struct store *store, struct err *err)
{
    struct stat status;
    sqlite3_stmt *stmt = NULL;

    if (stat(store->path, &status) != 0)
        return err_errno(err, "stat %s", store->path);
    if (status.st_size > QUICK_CHECK_BYTES_MAX)
        return true;
    bool ok =
        sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW;
    const char *verdict = ok ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (!ok)
        fail(store, "check", err);
    else if (verdict == NULL || strcmp(verdict, "ok") != 0)
        ok = err_set(err, ERR_IO, "%s is damaged (%s); restore a backup, or move it away",
                     store->path, verdict == NULL ? "no verdict" : verdict);
    (void)sqlite3_finalize(stmt);
    return ok;
}

/* What an earlier process left in the WAL goes into the database at once. When its last sync had
 * failed, the system may hold pages of the WAL that never reach the disk although every later sync
 * says so; commits after them would be lost with them. Written anew, they can be relied on. */
static bool empty_wal(struct store *store, struct err *err)
{
    int status = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);

    /* Busy: somebody reads; then what is there was read from a WAL in use, and is on the disk. */
    return status == SQLITE_OK || status == SQLITE_BUSY || fail(store, "checkpoint", err);
}

static bool prepare_all(struct store *store, struct err *err)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(store->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->statements[i], NULL) != SQLITE_OK)
            return fail(store, statement_texts[i], err);
    return true;
}

static bool meta_get(struct store *store, const char *key, struct arena *arena, char **ret,
                     struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_META_GET);
    bool row = false;

    bind_text(&bind, key);
    bool ok = bind_step(&bind, &row, err);
    if (ok && row) {
        struct columns columns = {.stmt = bind.stmt, .arena = arena};
        *ret = column_text(&columns);
    }
    bind_end(&bind);
    return ok;
}

static bool meta_put(struct store *store, const char *key, const char *value, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_META_PUT);

    bind_text(&bind, key);
    bind_text(&bind, value);
    return bind_run(&bind, err);
}

static bool make_instance(char out[17], struct err *err)
{
    unsigned char bytes[8];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_errno(err, "getrandom");
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

static bool run_simple(struct store *store, enum statement statement, struct err *err)
{
    struct bind bind = bind_begin(store, statement);

    return bind_run(&bind, err);
}

/* A database that has less than was committed. */
static bool check_mark(struct store *store, struct arena *arena, const char *instance,
                       int64_t epoch, struct err *err)
{
    const char *path = arena_printf(arena, "%s" STATE_MARK_SUFFIX, store->path);
    struct mark mark;

    store->mark_fd = mark_open(path, &mark, err);
    if (store->mark_fd < 0)
        return false;
    bool is_new = instance == NULL;
    if (mark.instance[0] == '\0' || (!is_new && strcmp(mark.instance, instance) != 0) ||
        (!is_new && mark.epoch <= (uint64_t)epoch && mark.seq <= store->last_seq))
        return true;
    return err_set(
        err, ERR_IO,
        "%s ends at transition %lld, but %lld were committed: it is an older one, or its "
        "WAL (state.db-wal) is lost or damaged. Move state.db* away and restore a "
        "backup; to go on with what is there, remove %s",
        store->path, (long long)store->last_seq, (long long)mark.seq, path);
}

void store_set_mark(const struct store *store)
{
    struct mark mark = {.epoch = store->identity.epoch, .seq = store->last_seq};

    memcpy(mark.instance, store->instance, sizeof(mark.instance));
    mark_write(store->mark_fd, &mark);
}

/* Whether pages have checksums is kept where a damaged header can't deny it. */
static bool check_checksums(struct store *store, struct arena *arena, bool is_new, struct err *err)
{
    char *sums = NULL;
    /* Known only now: the first page of a young database can be in the WAL alone. */
    bool is_checked = pages_are_checked(store->db);

    if (is_new)
        return !is_checked || meta_put(store, "page_checksums", "yes", err);
    if (!meta_get(store, "page_checksums", arena, &sums, err))
        return false;
    return sums == NULL || is_checked ||
           err_set(err, ERR_IO,
                   "%s is damaged (its header): move state.db* away and restore a backup, see "
                   "docs/operations.md",
                   store->path);
}

/* The instance is made once; the epoch rises at every open, in the same transaction. */
static bool raise_epoch(struct store *store, struct arena *arena, struct err *err)
{
    char *instance = NULL;
    char *epoch = NULL;
    int64_t number = 0;

    if (!run_simple(store, STATEMENT_BEGIN, err) ||
        !meta_get(store, "instance", arena, &instance, err) ||
        !meta_get(store, "epoch", arena, &epoch, err))
        return false;
    if (instance == NULL || strlen(instance) != sizeof(store->instance) - 1) {
        if (!make_instance(store->instance, err) ||
            !meta_put(store, "instance", store->instance, err))
            return false;
    } else {
        memcpy(store->instance, instance, sizeof(store->instance));
    }
    if (epoch != NULL && !str_to_int(str_from(epoch), &number))
        return err_set(err, ERR_IO, "%s: the epoch `%s` is no number", store->path, epoch);
    if (!check_checksums(store, arena, instance == NULL, err) ||
        !check_mark(store, arena, instance, number, err))
        return false;
    store->identity.epoch = (uint64_t)number + 1;
    store->identity.instance = store->instance;
    const char *raised = arena_printf(arena, "%lld", (long long)number + 1);
    return meta_put(store, "epoch", raised, err) && run_simple(store, STATEMENT_COMMIT, err);
}

static bool load_last_ids(struct store *store, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_LAST_IDS);
    bool row = false;
    bool ok = bind_step(&bind, &row, err);

    if (ok && row) {
        struct columns columns = {.stmt = bind.stmt};
        store->identity.last_version_id = column_int(&columns);
        store->identity.last_run_id = column_int(&columns);
        store->identity.last_backfill_id = column_int(&columns);
        store->last_seq = column_int(&columns);
        store->identity.last_asset_event_id = column_int(&columns);
        store->identity.last_callback_id = column_int(&columns);
    }
    bind_end(&bind);
    return ok;
}

struct store *store_open(const char *state_folder, struct err *err)
{
    struct store *store = mem_alloc(sizeof(*store));
    struct arena arena = {0};
    size_t count = 0;
    const char *const *migrations = store_migrations(&count);

    store->path = fs_join(state_folder, STATE_DATABASE);
    store->mark_fd = -1;
    bool ok = fs_make_folders(state_folder, 0700, err) && open_database(store, err) &&
              check_pages(store, err) && empty_wal(store, err) &&
              store_migrate(store->db, store->path, migrations, count, err) &&
              prepare_all(store, err) && load_last_ids(store, err) &&
              raise_epoch(store, &arena, err);
    if (ok) {
        (void)sqlite3_wal_hook(store->db, on_wal, store);
        store_set_mark(store);
    }
    arena_release(&arena);
    if (!ok) {
        store->is_broken = true;
        store_close(store);
        return NULL;
    }
    return store;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    /* Closing would checkpoint, that is, sync again what could not be synced. */
    if (store->is_broken && store->db != NULL)
        (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        (void)sqlite3_finalize(store->statements[i]);
    (void)sqlite3_close(store->db);
    if (store->mark_fd >= 0)
        (void)close(store->mark_fd);
    for (size_t i = 0; i < store->put_count; i++)
        for (size_t k = 0; k < sizeof(store->puts[i].texts) / sizeof(char *); k++)
            free(store->puts[i].texts[k]);
    free(store->puts);
    free(store->path);
    free(store);
}

struct store_identity store_identity(const struct store *store)
{
    return store->identity;
}

int64_t store_last_seq(const struct store *store)
{
    return store->last_seq;
}

int64_t store_wal_pages(const struct store *store)
{
    return store->wal_pages;
}

bool store_checkpoint(struct store *store, struct err *err)
{
    int left = 0;
    int done = 0;
    int status =
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &left, &done);

    if (status != SQLITE_OK && status != SQLITE_BUSY)
        return fail(store, "checkpoint", err);
    /* Pages that a reader still needs are left for the next time. */
    store->wal_pages = left - done;
    return true;
}
