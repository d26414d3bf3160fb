/* Migrations: numbered SQL texts that bring an older database to the schema of this program. Each
 * runs in one transaction that also raises PRAGMA user_version, so a crash repeats it or not. */
#ifndef MILLRACE_STORE_MIGRATE_H
#define MILLRACE_STORE_MIGRATE_H

#include "base/err.h"

#include <sqlite3.h>
#include <stddef.h>

/* "MLRC": how a database of ours is told from any other SQLite file. */
#define STORE_APPLICATION_ID 0x4d4c5243

/* The migrations of this program, oldest first; number i + 1 at index i. */
const char *const *store_migrations(size_t *ret_count);

/* Brings the database at `path` from its user_version to `count`. A database that has a schema
 * already is first copied to <path>.before-<count>. Refuses a newer schema and foreign files. */
bool store_migrate(sqlite3 *db, const char *path, const char *const *migrations, size_t count,
                   struct err *err);

#endif
