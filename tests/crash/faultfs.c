#include "tests/crash/faultfs.h"

#include <assert.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512
#define NAMES_MAX 16
#define INODES_MAX 64 /* that a name may stand for */

struct bytes {
    unsigned char *ptr;
    size_t len;
    size_t capacity;
};

/* A write since the last sync, or (data NULL) a truncation to `offset`. */
struct change {
    int64_t offset;
    size_t len;
    unsigned char *data;
};

struct inode {
    struct bytes durable;
    struct change *changes;
    size_t count;
    size_t capacity;
};

/* The inodes a name may stand for after a cut, from the durable one on; NULL = no such file. */
struct name {
    char *path;
    struct inode *inodes[INODES_MAX];
    size_t count;
};

struct file {
    sqlite3_file base;
    struct inode *inode; /* NULL: not below the folder */
    sqlite3_file *real;
    bool syncs_folder; /* a journal or WAL since it was opened, as SQLite's own file layer has it */
};

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    char folder[512];
    const char *protected;
    struct fault_plan plan;
    struct name names[NAMES_MAX];
    size_t name_count;
    int64_t changes;
    int64_t calls[FAULT_CALL_COUNT];
    bool is_cut;
    bool has_failed;
    uint64_t random;
} fs;

static uint64_t chance(uint64_t below)
{
    fs.random ^= fs.random << 13;
    fs.random ^= fs.random >> 7;
    fs.random ^= fs.random << 17;
    return (fs.random >> 16) % below;
}

static void *need(void *ptr)
{
    assert(ptr != NULL);
    return ptr;
}

/* ---- what a disk holds ---- */

static void bytes_resize(struct bytes *bytes, size_t len)
{
    if (len > bytes->capacity) {
        bytes->capacity = len * 2;
        bytes->ptr = need(realloc(bytes->ptr, bytes->capacity));
    }
    if (len > bytes->len)
        memset(bytes->ptr + bytes->len, 0, len - bytes->len);
    bytes->len = len;
}

static void bytes_write(struct bytes *bytes, int64_t offset, const unsigned char *data, size_t len)
{
    if (len == 0)
        return;
    if (bytes->len < (size_t)offset + len)
        bytes_resize(bytes, (size_t)offset + len);
    memcpy(bytes->ptr + offset, data, len);
}

static void apply_change(struct bytes *bytes, const struct change *change)
{
    if (change->data == NULL)
        bytes_resize(bytes, (size_t)change->offset);
    else
        bytes_write(bytes, change->offset, change->data, change->len);
}

/* The sectors of a write that reached the disk, one by one; some as garbage. */
static void tear_change(struct bytes *bytes, const struct change *change)
{
    unsigned char garbage[SECTOR];

    if (change->data == NULL) {
        if (chance(2) == 0)
            apply_change(bytes, change);
        return;
    }
    for (size_t at = 0; at < change->len;) {
        size_t len = SECTOR - (size_t)(change->offset + (int64_t)at) % SECTOR;
        len = len > change->len - at ? change->len - at : len;
        uint64_t dice = chance(16);
        for (size_t i = 0; dice == 10 && i < len; i++)
            garbage[i] = (unsigned char)chance(256);
        if (dice < 10)
            bytes_write(bytes, change->offset + (int64_t)at, change->data + at, len);
        else if (dice == 10)
            bytes_write(bytes, change->offset + (int64_t)at, garbage, len);
        at += len;
    }
}

static void clear_changes(struct inode *inode)
{
    for (size_t i = 0; i < inode->count; i++)
        free(inode->changes[i].data);
    inode->count = 0;
}

static void add_change(struct inode *inode, const void *data, size_t len, int64_t offset)
{
    if (inode->count == inode->capacity) {
        inode->capacity = inode->capacity == 0 ? 64 : inode->capacity * 2;
        inode->changes = need(realloc(inode->changes, inode->capacity * sizeof(struct change)));
    }
    struct change *change = &inode->changes[inode->count++];
    *change = (struct change){.offset = offset, .len = len};
    if (data != NULL) {
        change->data = need(malloc(len == 0 ? 1 : len));
        memcpy(change->data, data, len);
    }
}

static void free_inode(struct inode *inode)
{
    if (inode == NULL)
        return;
    clear_changes(inode);
    free(inode->changes);
    free(inode->durable.ptr);
    free(inode);
}

/* Each inode stands in one name's list, once. */
static void keep_last(struct name *name)
{
    struct inode *last = name->inodes[name->count - 1];

    for (size_t i = 0; i + 1 < name->count; i++)
        if (name->inodes[i] != last)
            free_inode(name->inodes[i]);
    name->inodes[0] = last;
    name->count = 1;
}

static void sync_folder(void)
{
    for (size_t i = 0; i < fs.name_count; i++)
        keep_last(&fs.names[i]);
}

static void push_inode(struct name *name, struct inode *inode)
{
    assert(name->count < INODES_MAX);
    name->inodes[name->count++] = inode;
}

static struct name *find_name(const char *path)
{
    for (size_t i = 0; i < fs.name_count; i++)
        if (strcmp(fs.names[i].path, path) == 0)
            return &fs.names[i];
    return NULL;
}

static struct name *get_name(const char *path)
{
    struct name *name = find_name(path);

    if (name != NULL)
        return name;
    assert(fs.name_count < NAMES_MAX);
    name = &fs.names[fs.name_count++];
    *name = (struct name){.path = need(strdup(path)), .count = 1};
    return name;
}

/* A new inode; what the file holds already counts as durable. */
static struct inode *make_inode(const char *path)
{
    struct inode *inode = need(calloc(1, sizeof(*inode)));
    FILE *stream = fopen(path, "rb");
    unsigned char buffer[4096];
    size_t got = 0;

    while (stream != NULL && (got = fread(buffer, 1, sizeof(buffer), stream)) > 0)
        bytes_write(&inode->durable, (int64_t)inode->durable.len, buffer, got);
    if (stream != NULL)
        (void)fclose(stream);
    return inode;
}

/* ---- faults ---- */

static int fault(enum fault_call call)
{
    if (fs.is_cut)
        return SQLITE_IOERR;
    int64_t number = ++fs.calls[call];
    if (fs.plan.fail_at == 0 || fs.plan.fail_call != call)
        return SQLITE_OK;
    if (number != fs.plan.fail_at && !(fs.plan.fail_on && number > fs.plan.fail_at))
        return SQLITE_OK;
    fs.has_failed = true;
    return fs.plan.code;
}

/* Counts what changes the disk; the power may go before it does. */
static int change_fault(enum fault_call call)
{
    int status = fault(call);

    if (status != SQLITE_OK)
        return status;
    fs.changes++;
    if (fs.changes == fs.plan.exit_at)
        _exit(0);
    if (fs.changes == fs.plan.cut_at) {
        fs.is_cut = true;
        return SQLITE_IOERR;
    }
    return SQLITE_OK;
}

/* ---- files ---- */

static struct file *of(sqlite3_file *file)
{
    return (struct file *)file;
}

static int file_close(sqlite3_file *file)
{
    int status = of(file)->real->pMethods->xClose(of(file)->real);

    free(of(file)->real);
    return status;
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 offset)
{
    int status = of(file)->inode == NULL ? SQLITE_OK : fault(FAULT_READ);

    return status != SQLITE_OK ? status
                               : of(file)->real->pMethods->xRead(of(file)->real, out, len, offset);
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    struct inode *inode = of(file)->inode;
    int status = inode == NULL ? SQLITE_OK : change_fault(FAULT_WRITE);

    /* The write during which the power goes may have reached the disk in part. */
    if (inode != NULL && (status == SQLITE_OK || (fs.is_cut && fs.changes == fs.plan.cut_at)))
        add_change(inode, data, (size_t)len, offset);
    return status != SQLITE_OK
               ? status
               : of(file)->real->pMethods->xWrite(of(file)->real, data, len, offset);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct inode *inode = of(file)->inode;
    int status = inode == NULL ? SQLITE_OK : change_fault(FAULT_TRUNCATE);

    if (inode != NULL && status == SQLITE_OK)
        add_change(inode, NULL, 0, size);
    return status != SQLITE_OK ? status : of(file)->real->pMethods->xTruncate(of(file)->real, size);
}

/* A sync that fails has lost what it should have written: the system believes it clean from then
 * on, and a later sync says nothing of it. */
static int file_sync(sqlite3_file *file, int flags)
{
    struct inode *inode = of(file)->inode;

    if (inode == NULL)
        return of(file)->real->pMethods->xSync(of(file)->real, flags);
    int status = change_fault(FAULT_SYNC);
    if (status != SQLITE_OK) {
        if (!fs.is_cut)
            clear_changes(inode);
        return status;
    }
    if (fs.plan.sync_lies)
        return SQLITE_OK;
    for (size_t i = 0; i < inode->count; i++)
        apply_change(&inode->durable, &inode->changes[i]);
    clear_changes(inode);
    if (of(file)->syncs_folder)
        sync_folder();
    of(file)->syncs_folder = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    int status = of(file)->inode == NULL ? SQLITE_OK : fault(FAULT_SIZE);

    return status != SQLITE_OK ? status : of(file)->real->pMethods->xFileSize(of(file)->real, ret);
}

static int file_lock(sqlite3_file *file, int level)
{
    int status = of(file)->inode == NULL ? SQLITE_OK : fault(FAULT_LOCK);

    return status != SQLITE_OK ? status : of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int file_check_lock(sqlite3_file *file, int *ret)
{
    return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, ret);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    return of(file)->real->pMethods->xFileControl(of(file)->real, op, arg);
}

static int file_sector_size(sqlite3_file *file)
{
    return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int file_characteristics(sqlite3_file *file)
{
    return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

static int file_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    int status = of(file)->inode == NULL ? SQLITE_OK : fault(FAULT_SHM_MAP);

    return status != SQLITE_OK
               ? status
               : of(file)->real->pMethods->xShmMap(of(file)->real, page, size, extend, ret);
}

static int file_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return of(file)->real->pMethods->xShmLock(of(file)->real, offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    of(file)->real->pMethods->xShmBarrier(of(file)->real);
}

static int file_shm_unmap(sqlite3_file *file, int delete)
{
    return of(file)->real->pMethods->xShmUnmap(of(file)->real, delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no memory-mapped reads */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the file system ---- */

static bool is_ours(const char *path)
{
    return path != NULL && strncmp(path, fs.folder, strlen(fs.folder)) == 0 &&
           (fs.protected == NULL || strstr(path, fs.protected) == NULL);
}

static struct inode *inode_of(const char *path)
{
    bool exists = access(path, F_OK) == 0;
    struct name *name = find_name(path);

    if (name == NULL) {
        name = get_name(path);
        if (exists)
            name->inodes[0] = make_inode(path);
    }
    if (name->inodes[name->count - 1] == NULL)
        push_inode(name, make_inode(path));
    return name->inodes[name->count - 1];
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret)
{
    struct file *own = of(file);

    (void)vfs;
    *own = (struct file){0};
    int status = is_ours(path) ? fault(FAULT_OPEN) : SQLITE_OK;
    if (status != SQLITE_OK)
        return status == SQLITE_FULL || status == SQLITE_IOERR ? SQLITE_CANTOPEN : status;
    if (is_ours(path) && (flags & SQLITE_OPEN_CREATE) != 0)
        own->inode = inode_of(path);
    else if (is_ours(path) && access(path, F_OK) == 0)
        own->inode = inode_of(path);
    own->syncs_folder = (flags & SQLITE_OPEN_CREATE) != 0 &&
                        (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    own->real = need(calloc(1, (size_t)fs.real->szOsFile));
    status = fs.real->xOpen(fs.real, path, own->real, flags, ret);
    if (status != SQLITE_OK) {
        free(own->real);
        return status;
    }
    own->base.pMethods = &methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int syncs)
{
    struct name *name = NULL;

    (void)vfs;
    if (is_ours(path)) {
        int status = change_fault(FAULT_DELETE);
        if (status != SQLITE_OK)
            return status;
        name = find_name(path);
        if (name != NULL && name->inodes[name->count - 1] != NULL)
            push_inode(name, NULL);
        if (syncs != 0 && !fs.plan.sync_lies)
            sync_folder();
    }
    return fs.real->xDelete(fs.real, path, syncs);
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
    (void)vfs;
    return fs.real->xAccess(fs.real, path, flags, ret);
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    (void)vfs;
    return fs.real->xFullPathname(fs.real, path, size, out);
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    for (int i = 0; i < size; i++)
        out[i] = (char)chance(256);
    return size;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return fs.real->xSleep(fs.real, us);
}

static int vfs_time(sqlite3_vfs *vfs, double *ret)
{
    (void)vfs;
    return fs.real->xCurrentTime(fs.real, ret);
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    return fs.real->xGetLastError(fs.real, size, out);
}

void faultfs_install(const char *folder)
{
    assert(fs.real == NULL && strlen(folder) < sizeof(fs.folder));
    /* SQLite takes these as long as it is not in use: one thread needs no mutexes. */
    int status = sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    assert(status == SQLITE_OK);
    status = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    assert(status == SQLITE_OK);
    fs.real = sqlite3_vfs_find(NULL);
    fs.random = 1;
    memcpy(fs.folder, folder, strlen(folder) + 1);
    fs.vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct file),
        .mxPathname = fs.real->mxPathname,
        .zName = "fault",
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_last_error,
    };
    status = sqlite3_vfs_register(&fs.vfs, 1);
    assert(status == SQLITE_OK);
}

void faultfs_protect(const char *part)
{
    fs.protected = part;
}

void faultfs_plan(const struct fault_plan *plan)
{
    fs.plan = *plan;
    fs.changes = 0;
    fs.has_failed = false;
    memset(fs.calls, 0, sizeof(fs.calls));
}

void faultfs_forget(void)
{
    for (size_t i = 0; i < fs.name_count; i++) {
        struct name *name = &fs.names[i];
        keep_last(name);
        free_inode(name->inodes[0]);
        free(name->path);
    }
    fs.name_count = 0;
    fs.is_cut = false;
}

void faultfs_seed(uint64_t seed)
{
    fs.random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
}

bool faultfs_is_cut(void)
{
    return fs.is_cut;
}

bool faultfs_has_failed(void)
{
    return fs.has_failed;
}

int64_t faultfs_changes(void)
{
    return fs.changes;
}

int64_t faultfs_calls(enum fault_call call)
{
    return fs.calls[call];
}

const char *faultfs_call_name(enum fault_call call)
{
    static const char *const names[] = {"open", "read",   "write", "sync",   "truncate",
                                        "size", "delete", "lock",  "shm_map"};

    return names[call];
}

/* ---- after a cut ---- */

static void settle_changes(struct inode *inode, enum cut_mode mode)
{
    size_t prefix = inode->count == 0 ? 0 : (size_t)chance(inode->count + 1);

    for (size_t i = 0; i < inode->count; i++) {
        const struct change *change = &inode->changes[i];
        if (mode == CUT_TEARS)
            tear_change(&inode->durable, change);
        else if (mode == CUT_KEEPS_ALL || (mode == CUT_KEEPS_PREFIX && i < prefix) ||
                 (mode == CUT_KEEPS_SOME && chance(2) == 0))
            apply_change(&inode->durable, change);
    }
    clear_changes(inode);
}

static void write_image(const char *path, const struct bytes *bytes)
{
    FILE *stream = need(fopen(path, "wb"));
    size_t put = bytes->len == 0 ? 0 : fwrite(bytes->ptr, 1, bytes->len, stream);

    assert(put == bytes->len);
    int status = fclose(stream);
    assert(status == 0);
}

static void settle_name(struct name *name, enum cut_mode mode)
{
    char shm[600];
    size_t pick = mode == CUT_DROPS_ALL   ? 0
                  : mode == CUT_KEEPS_ALL ? name->count - 1
                                          : (size_t)chance(name->count);

    struct inode *inode = name->inodes[pick];
    for (size_t i = 0; i < name->count; i++)
        if (name->inodes[i] != inode)
            free_inode(name->inodes[i]);
    name->inodes[0] = inode;
    name->count = 1;
    (void)unlink(name->path);
    if (inode != NULL) {
        settle_changes(inode, mode);
        write_image(name->path, &inode->durable);
    }
    (void)snprintf(shm, sizeof(shm), "%s-shm", name->path);
    (void)unlink(shm);
}

void faultfs_power_up(enum cut_mode mode)
{
    for (size_t i = 0; i < fs.name_count; i++)
        settle_name(&fs.names[i], mode);
    fs.is_cut = false;
}
