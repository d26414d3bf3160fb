#include "scheduler/store/reserve.h"

#define FRAME_BYTES (4096 + 24)

/* A commit of a turn with some hundred changes takes less than this. */
#define AHEAD_BYTES ((int64_t)64 * FRAME_BYTES)

/* How much is filled at once: little for the few commits of a small run, then more. */
#define CHUNK_BYTES_MIN ((int64_t)128 * 1024)
#define CHUNK_BYTES_MAX ((int64_t)1024 * 1024)

/* SQLite's own file layer writes less than 128 KiB at a time. */
#define PIECE_BYTES 65536

static void fill(sqlite3_file *file, int64_t from, int64_t bytes)
{
    static const char zeros[PIECE_BYTES];
    int status = SQLITE_OK;

    for (int64_t done = 0; done < bytes && status == SQLITE_OK; done += PIECE_BYTES) {
        int64_t piece = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;
        status = file->pMethods->xWrite(file, zeros, (int)piece, from + done);
    }
}

void reserve_ahead(struct store *store)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    int64_t until = store->wal_frames * FRAME_BYTES + AHEAD_BYTES;

    if (until <= store->wal_reserved)
        return;
    if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL ||
        file->pMethods->xFileSize(file, &size) != SQLITE_OK)
        return;
    if (size < until) {
        int64_t chunk = size < CHUNK_BYTES_MIN   ? CHUNK_BYTES_MIN
                        : size < CHUNK_BYTES_MAX ? size
                                                 : CHUNK_BYTES_MAX;
        if (chunk < until - size)
            chunk = until - size;
        fill(file, size, chunk);
        size += chunk;
    }
    store->wal_reserved = size;
}
