#include "scheduler/store/pages.h"

#include "base/digest.h"
#include "base/mem.h"
#include "scheduler/store/gather.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SUM_BYTES 8
#define HEADER_BYTES 100
#define PAGE_BYTES_MIN 512
#define PAGE_BYTES_MAX 65536
#define HEADER_PAGE_SIZE 16 /* big-endian; 1 = 65536 */
#define HEADER_RESERVED 20

/* A file control of our own, which SQLite passes on: is the file checked? */
#define CONTROL_IS_CHECKED 0x4d4c01

/* The database's file; the WAL is gather.h's, all others are the real VFS's own. The real file follows it in memory. */
struct pages_file {
    sqlite3_file base;
    sqlite3_file *real;
    unsigned char *page; /* one page to write, with its sum */
    int page_bytes;      /* 0 = not known yet */
    bool is_checked;
};

static struct pages_file *of(sqlite3_file *file)
{
    return (struct pages_file *)file;
}

static const sqlite3_io_methods *real_methods(sqlite3_file *file)
{
    return of(file)->real->pMethods;
}

/* The first page's header tells the size of all, and how many bytes each has to spare. */
static void learn(struct pages_file *file, const unsigned char *header)
{
    int size = header[HEADER_PAGE_SIZE] << 8 | header[HEADER_PAGE_SIZE + 1];

    size = size == 1 ? PAGE_BYTES_MAX : size;
    if (memcmp(header, "SQLite format 3", 16) != 0 || size < PAGE_BYTES_MIN)
        return;
    if (size != file->page_bytes) {
        free(file->page);
        file->page = mem_alloc((size_t)size);
    }
    file->page_bytes = size;
    file->is_checked = header[HEADER_RESERVED] == SUM_BYTES;
}

static bool is_page(const struct pages_file *file, int bytes, int64_t offset)
{
    return file->is_checked && bytes == file->page_bytes && offset % bytes == 0;
}

/* Of the page and its place, so that a page written elsewhere is found too; never 0. */
static uint64_t sum_of(const void *page, int bytes, int64_t offset)
{
    struct str data = {page, (size_t)(bytes - SUM_BYTES)};
    uint64_t sum = digest_xxh3(data, (uint64_t)(offset / bytes));

    return sum == 0 ? 1 : sum;
}

static int on_close(sqlite3_file *file)
{
    free(of(file)->page);
    return real_methods(file)->xClose(of(file)->real);
}

static int on_read(sqlite3_file *file, void *out, int bytes, sqlite3_int64 offset)
{
    int status = real_methods(file)->xRead(of(file)->real, out, bytes, offset);
    uint64_t sum = 0;

    if (status != SQLITE_OK)
        return status;
    if (offset == 0 && bytes >= HEADER_BYTES)
        learn(of(file), out);
    if (!is_page(of(file), bytes, offset))
        return SQLITE_OK;
    memcpy(&sum, (const char *)out + bytes - SUM_BYTES, SUM_BYTES);
    return sum == 0 || sum == sum_of(out, bytes, offset) ? SQLITE_OK : SQLITE_IOERR_DATA;
}

static int on_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 offset)
{
    if (offset == 0 && bytes >= HEADER_BYTES)
        learn(of(file), data);
    if (!is_page(of(file), bytes, offset))
        return real_methods(file)->xWrite(of(file)->real, data, bytes, offset);
    uint64_t sum = sum_of(data, bytes, offset);
    memcpy(of(file)->page, data, (size_t)bytes - SUM_BYTES);
    memcpy(of(file)->page + bytes - SUM_BYTES, &sum, SUM_BYTES);
    return real_methods(file)->xWrite(of(file)->real, of(file)->page, bytes, offset);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real_methods(file)->xTruncate(of(file)->real, size);
}

static int on_sync(sqlite3_file *file, int flags)
{
    return real_methods(file)->xSync(of(file)->real, flags);
}

static int on_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    return real_methods(file)->xFileSize(of(file)->real, ret);
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
    if (op == CONTROL_IS_CHECKED) {
        *(bool *)arg = of(file)->is_checked;
        return SQLITE_OK;
    }
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

static int on_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    return real_methods(file)->xShmMap(of(file)->real, page, size, extend, ret);
}

static int on_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_methods(file)->xShmLock(of(file)->real, offset, n, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
    real_methods(file)->xShmBarrier(of(file)->real);
}

static int on_shm_unmap(sqlite3_file *file, int delete_file)
{
    return real_methods(file)->xShmUnmap(of(file)->real, delete_file);
}

/* Version 2: no memory-mapped reads, which would pass the check by. */
static const sqlite3_io_methods page_methods = {
    .iVersion = 2,
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
    .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock,
    .xShmBarrier = on_shm_barrier,
    .xShmUnmap = on_shm_unmap,
};

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret)
{
    sqlite3_vfs *real = vfs->pAppData;
    struct pages_file *own = of(file);

    if ((flags & SQLITE_OPEN_WAL) != 0)
        return gather_open(real, path, file, flags, ret);
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0)
        return real->xOpen(real, path, file, flags, ret);
    *own = (struct pages_file){.real = (sqlite3_file *)(own + 1)};
    int status = real->xOpen(real, path, own->real, flags, ret);
    if (status != SQLITE_OK)
        return status;
    assert(own->real->pMethods->iVersion >= 2);
    own->base.pMethods = &page_methods;
    return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *vfs, const char *path, int syncs)
{
    sqlite3_vfs *real = vfs->pAppData;

    return real->xDelete(real, path, syncs);
}

static int on_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
    sqlite3_vfs *real = vfs->pAppData;

    return real->xAccess(real, path, flags, ret);
}

static int on_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    sqlite3_vfs *real = vfs->pAppData;

    return real->xFullPathname(real, path, size, out);
}

/* Everything that has to do with files is ours; the rest is the real VFS's, which finds its own
 * pAppData not: the system's VFS looks at it in none of these. */
bool pages_register(struct err *err)
{
    /* Nobody asks SQLite how much memory it takes, and counting it takes a mutex for each piece.
     * Refused once SQLite is in use, which does no harm. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);

    if (sqlite3_vfs_find(PAGES_VFS) != NULL)
        return true;
    if (real == NULL)
        return err_set(err, ERR_FAILED, "SQLite has no file system");
    int own_bytes = (int)sizeof(struct pages_file) + real->szOsFile;
    int wal_bytes = gather_file_bytes(real);
    sqlite3_vfs *vfs = mem_alloc(sizeof(*vfs)); /* for the process's life */
    *vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = own_bytes > wal_bytes ? own_bytes : wal_bytes,
        .mxPathname = real->mxPathname,
        .zName = PAGES_VFS,
        .pAppData = real,
        .xOpen = on_open,
        .xDelete = on_delete,
        .xAccess = on_access,
        .xFullPathname = on_full_path,
        .xRandomness = real->xRandomness,
        .xSleep = real->xSleep,
        .xCurrentTime = real->xCurrentTime,
        .xGetLastError = real->xGetLastError,
    };
    return sqlite3_vfs_register(vfs, 0) == SQLITE_OK ||
           err_set(err, ERR_FAILED, "SQLite takes no file system of ours");
}

void pages_reserve(sqlite3 *db)
{
    int bytes = SUM_BYTES;

    (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &bytes);
}

bool pages_are_checked(sqlite3 *db)
{
    bool checked = false;

    return sqlite3_file_control(db, "main", CONTROL_IS_CHECKED, &checked) == SQLITE_OK && checked;
}

bool pages_are_damaged(sqlite3 *db)
{
    int code = sqlite3_extended_errcode(db);

    return code == SQLITE_IOERR_DATA || (code & 0xff) == SQLITE_CORRUPT ||
           (code & 0xff) == SQLITE_NOTADB;
}
