/* A commit's writes to the WAL gathered into one: SQLite writes a frame as its header of 24 bytes
 * and its page, so that a small commit is ten calls of the system and more, which take longer than
 * all that SQLite does for it.
 *
 * What is gathered reaches the file before a sync, and before anything else is asked of it. Only
 * for synchronous=FULL: there a commit syncs the WAL before other processes are told of its frames.
 * An error of a write is told by the sync, that is, still before the commit has happened. */
#ifndef MILLRACE_STORE_GATHER_H
#define MILLRACE_STORE_GATHER_H

#include <sqlite3.h>

/* How much memory a file of gather_open() needs, with one of the VFS below. */
int gather_file_bytes(const sqlite3_vfs *below);

/* As xOpen of a VFS, over the one `below`. */
int gather_open(sqlite3_vfs *below, const char *path, sqlite3_file *file, int flags, int *ret);

#endif
