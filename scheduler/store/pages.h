/* Pages with checksums: a SQLite VFS that puts a checksum into the last bytes of every page of the
 * database as it is written, and checks it as it is read. SQLite itself would take most flipped
 * bits for data; the WAL has checksums of its own.
 *
 * A page whose checksum bytes are all zero was written by another program (VACUUM leaves them so)
 * and is not checked. Databases made without room for checksums stay as they are. */
#ifndef MILLRACE_STORE_PAGES_H
#define MILLRACE_STORE_PAGES_H

#include "base/err.h"

#include <sqlite3.h>

#define PAGES_VFS "millrace-pages"

/* Registers the VFS over the default one, once per process. */
bool pages_register(struct err *err);

/* Asks for room in a database that has no pages yet. */
void pages_reserve(sqlite3 *db);

/* Whether the database has room for checksums, so that its pages are checked. */
bool pages_are_checked(sqlite3 *db);

/* Whether what failed last on the connection failed because of a damaged page. */
bool pages_are_damaged(sqlite3 *db);

#endif
