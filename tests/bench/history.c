/* For the benchmarks: adds finished runs to the database of a state folder.
 *
 *     bench_history DATABASE SQL   runs the SQL as the store would, its pages with checksums */
#include "scheduler/store/pages.h"

#include <sqlite3.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    sqlite3 *db = NULL;
    char *message = NULL;

    if (argc != 3)
        return 2;
    struct err err = {0};
    if (!pages_register(&err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, PAGES_VFS) != SQLITE_OK ||
        sqlite3_exec(db, argv[2], NULL, NULL, &message) != SQLITE_OK) {
        (void)fprintf(stderr, "%s\n", message == NULL ? sqlite3_errmsg(db) : message);
        return 1;
    }
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
