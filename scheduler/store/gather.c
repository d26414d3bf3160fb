#include "scheduler/store/gather.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* SQLite's own file layer writes less than 128 KiB at a time. */
#define GATHER_BYTES 65536

/* The real file follows it in memory. */
struct gather_file {
    sqlite3_file base;
    sqlite3_file *real;
    char *bytes; /* not written yet */
    int len;
    sqlite3_int64 offset; /* where they belong */
};

static struct gather_file *of(sqlite3_file *file)
{
    return (struct gather_file *)file;
}

static const sqlite3_io_methods *real_methods(sqlite3_file *file)
{
    return of(file)->real->pMethods;
}

static int flush(sqlite3_file *file)
{
    struct gather_file *own = of(file);
    int len = own->len;

    own->len = 0;
    return len == 0 ? SQLITE_OK
                    : own->real->pMethods->xWrite(own->real, own->bytes, len, own->offset);
}

static int on_close(sqlite3_file *file)
{
    int written = flush(file);
    int closed = real_methods(file)->xClose(of(file)->real);

    free(of(file)->bytes);
    return written != SQLITE_OK ? written : closed;
}

static int on_read(sqlite3_file *file, void *out, int bytes, sqlite3_int64 offset)
{
    int status = flush(file);

    return status != SQLITE_OK ? status
                               : real_methods(file)->xRead(of(file)->real, out, bytes, offset);
}

static int on_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 offset)
{
    struct gather_file *own = of(file);
    bool follows = own->len > 0 && offset == own->offset + own->len;

    if (own->len > 0 && (!follows || own->len + bytes > GATHER_BYTES)) {
        int status = flush(file);
        if (status != SQLITE_OK)
            return status;
    }
    if (bytes > GATHER_BYTES)
        return real_methods(file)->xWrite(own->real, data, bytes, offset);
    if (own->len == 0)
        own->offset = offset;
    memcpy(own->bytes + own->len, data, (size_t)bytes);
    own->len += bytes;
    return SQLITE_OK;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int status = flush(file);

    return status != SQLITE_OK ? status : real_methods(file)->xTruncate(of(file)->real, size);
}

static int on_sync(sqlite3_file *file, int flags)
{
    int status = flush(file);

    return status != SQLITE_OK ? status : real_methods(file)->xSync(of(file)->real, flags);
}

static int on_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    int status = flush(file);

    return status != SQLITE_OK ? status : real_methods(file)->xFileSize(of(file)->real, ret);
}

static int on_lock(sqlite3_file *file, int level)
{
    return real_methods(file)->xLock(of(file)->real, level);
}

static int on_unlock(sqlite3_file *file, int level)
{
    return real_methods(file)->xUnlock(of(file)->real, level);
}

static int on_check_lock(sqlite3_file *file, int *ret)
{
    return real_methods(file)->xCheckReservedLock(of(file)->real, ret);
}

static int on_control(sqlite3_file *file, int op, void *arg)
{
    return real_methods(file)->xFileControl(of(file)->real, op, arg);
}

static int on_sector_size(sqlite3_file *file)
{
    return real_methods(file)->xSectorSize(of(file)->real);
}

static int on_characteristics(sqlite3_file *file)
{
    return real_methods(file)->xDeviceCharacteristics(of(file)->real);
}

static const sqlite3_io_methods gather_methods = {
    .iVersion = 1,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check_lock,
    .xFileControl = on_control,
    .xSectorSize = on_sector_size,
    .xDeviceCharacteristics = on_characteristics,
};

int gather_file_bytes(const sqlite3_vfs *below)
{
    return (int)sizeof(struct gather_file) + below->szOsFile;
}

int gather_open(sqlite3_vfs *below, const char *path, sqlite3_file *file, int flags, int *ret)
{
    struct gather_file *own = of(file);

    *own = (struct gather_file){.real = (sqlite3_file *)(own + 1)};
    int status = below->xOpen(below, path, own->real, flags, ret);
    if (status != SQLITE_OK)
        return status;
    own->bytes = mem_alloc(GATHER_BYTES);
    own->base.pMethods = &gather_methods;
    return SQLITE_OK;
}
