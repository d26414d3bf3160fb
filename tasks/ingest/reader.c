/* Bytes of a file, decompressed where its name says .gz or .zst, as a window that slides. Packed
 * data is read to its last check sum: damage, a missing end and foreign bytes are errors. */
#include "base/digest.h"
#include "base/mem.h"
#include "tasks/ingest/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK_BYTES ((size_t)256 << 10)
#define MAGIC_BYTES 4
#define GZIP_ONLY (15 + 16) /* window bits: the largest window, and no header but gzip's */

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

/* What is read from a packed file and not yet unpacked. Such a file is one or more members (zstd
 * calls them frames), one right behind the other. */
struct packed {
    enum packing packing;
    z_stream gzip;
    ZSTD_DStream *zstd;
    unsigned char *bytes;
    size_t start;
    size_t end;
    bool at_end;    /* of the file */
    bool inside;    /* a member has begun and not ended */
    bool had_first; /* a member has begun */
};

struct reader {
    char *path;
    int fd;
    struct packed packed;
    struct sha256 *sha256; /* of what was read so far; NULL: nobody asked */
    char *bytes;
    size_t start;
    size_t end;
    size_t capacity;
    bool at_end;
};

static enum packing packing_of(const char *path)
{
    if (str_ends(str_from(path), STR(".gz")))
        return PACKING_GZIP;
    return str_ends(str_from(path), STR(".zst")) ? PACKING_ZSTD : PACKING_NONE;
}

static const char *packing_name(enum packing packing)
{
    switch (packing) {
    case PACKING_NONE:
        return "plain";
    case PACKING_GZIP:
        return "gzip";
    case PACKING_ZSTD:
        return "zstd";
    }
    abort();
}

static bool open_packed(struct reader *reader, struct err *err)
{
    struct packed *packed = &reader->packed;

    packed->packing = packing_of(reader->path);
    switch (packed->packing) {
    case PACKING_NONE:
        return true;
    case PACKING_GZIP:
        if (inflateInit2(&packed->gzip, GZIP_ONLY) == Z_OK)
            break;
        packed->packing = PACKING_NONE; /* so that nothing is there to end */
        return err_set(err, ERR_LIMIT, "%s: no memory to decompress it", reader->path);
    case PACKING_ZSTD:
        packed->zstd = ZSTD_createDStream();
        if (packed->zstd != NULL)
            break;
        return err_set(err, ERR_LIMIT, "%s: no memory to decompress it", reader->path);
    }
    packed->bytes = mem_alloc(CHUNK_BYTES);
    return true;
}

static void close_packed(struct packed *packed)
{
    if (packed->packing == PACKING_GZIP)
        (void)inflateEnd(&packed->gzip);
    (void)ZSTD_freeDStream(packed->zstd);
    free(packed->bytes);
}

struct reader *reader_open(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        err_errno(err, "open %s", path);
        return NULL;
    }
    struct reader *reader = mem_alloc(sizeof(*reader));
    reader->path = mem_strdup(path);
    reader->fd = fd;
    if (open_packed(reader, err))
        return reader;
    reader_close(reader);
    return NULL;
}

void reader_close(struct reader *reader)
{
    if (reader == NULL)
        return;
    close_packed(&reader->packed);
    (void)close(reader->fd);
    if (reader->sha256 != NULL)
        sha256_end(reader->sha256, NULL);
    free(reader->bytes);
    free(reader->path);
    free(reader);
}

bool reader_hash(struct reader *reader)
{
    if (reader->packed.packing != PACKING_NONE)
        return false;
    reader->sha256 = sha256_begin();
    return true;
}

void reader_end_hash(struct reader *reader, char out[SHA256_HEX_SIZE])
{
    sha256_end(reader->sha256, out);
    reader->sha256 = NULL;
}

static bool read_file(struct reader *reader, void *to, size_t len, size_t *ret_got, struct err *err)
{
    ssize_t got = 0;

    do
        got = read(reader->fd, to, len);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_errno(err, "read %s", reader->path);
    *ret_got = (size_t)got;
    return true;
}

/* Reads on until a magic number is there in any case, or the file ends. */
static bool fill_packed(struct reader *reader, struct err *err)
{
    struct packed *packed = &reader->packed;
    size_t got = 0;

    while (!packed->at_end && packed->end - packed->start < MAGIC_BYTES) {
        memmove(packed->bytes, packed->bytes + packed->start, packed->end - packed->start);
        packed->end -= packed->start;
        packed->start = 0;
        if (!read_file(reader, packed->bytes + packed->end, CHUNK_BYTES - packed->end, &got, err))
            return false;
        packed->at_end = got == 0;
        packed->end += got;
    }
    return true;
}

/* Zstd's frames may be such that hold other programs' notes and are skipped. */
static bool is_magic(enum packing packing, const unsigned char *bytes, size_t len)
{
    if (packing == PACKING_GZIP)
        return len >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B;
    return len >= MAGIC_BYTES &&
           (memcmp(bytes, "\x28\xB5\x2F\xFD", 4) == 0 ||
            ((bytes[0] & 0xF0) == 0x50 && memcmp(bytes + 1, "\x2A\x4D\x18", 3) == 0));
}

static bool begin_member(struct reader *reader, struct err *err)
{
    struct packed *packed = &reader->packed;
    const char *name = packing_name(packed->packing);
    size_t len = packed->end - packed->start;

    if (len == 0)
        return err_set(err, ERR_DATA, "%s is empty, not even %s (is it still being written?)",
                       reader->path, name);
    if (!is_magic(packed->packing, packed->bytes + packed->start, len) && packed->had_first)
        return err_set(err, ERR_DATA,
                       "%s: behind the end of its %s data there are other bytes; get the file "
                       "again, or pack it again",
                       reader->path, name);
    if (!is_magic(packed->packing, packed->bytes + packed->start, len))
        return err_set(err, ERR_DATA,
                       "%s is named %s but is not %s; give it the name that fits, or pack it",
                       reader->path, packed->packing == PACKING_GZIP ? ".gz" : ".zst", name);
    packed->inside = true;
    packed->had_first = true;
    return true;
}

static bool fail_damaged(const struct reader *reader, const char *reason, struct err *err)
{
    return err_set(err, ERR_DATA,
                   "%s is damaged: its %s data can't be decompressed: %s; get the "
                   "file again",
                   reader->path, packing_name(reader->packed.packing), reason);
}

static bool unpack_gzip(struct reader *reader, char *to, size_t len, size_t *ret_got,
                        struct err *err)
{
    struct packed *packed = &reader->packed;
    z_stream *gzip = &packed->gzip;
    uInt room = len > CHUNK_BYTES ? (uInt)CHUNK_BYTES : (uInt)len;

    gzip->next_in = packed->bytes + packed->start;
    gzip->avail_in = (uInt)(packed->end - packed->start);
    gzip->next_out = (unsigned char *)to;
    gzip->avail_out = room;
    int status = inflate(gzip, Z_NO_FLUSH);
    packed->start = packed->end - gzip->avail_in;
    *ret_got = room - gzip->avail_out;
    if (status == Z_STREAM_END) {
        packed->inside = false;
        status = inflateReset(gzip);
    }
    if (status == Z_OK || status == Z_BUF_ERROR)
        return true;
    return fail_damaged(reader, gzip->msg != NULL ? gzip->msg : zError(status), err);
}

static bool unpack_zstd(struct reader *reader, char *to, size_t len, size_t *ret_got,
                        struct err *err)
{
    struct packed *packed = &reader->packed;
    ZSTD_inBuffer in = {packed->bytes, packed->end, packed->start};
    ZSTD_outBuffer out = {to, len, 0};

    size_t status = ZSTD_decompressStream(packed->zstd, &out, &in);
    packed->start = in.pos;
    *ret_got = out.pos;
    if (ZSTD_isError(status))
        return fail_damaged(reader, ZSTD_getErrorName(status), err);
    packed->inside = status != 0;
    return true;
}

/* *ret_got is 0 at the end only. */
static bool read_packed(struct reader *reader, char *to, size_t len, size_t *ret_got,
                        struct err *err)
{
    struct packed *packed = &reader->packed;
    size_t got = 0;

    while (got == 0) {
        if (!fill_packed(reader, err))
            return false;
        bool drained = packed->at_end && packed->start == packed->end;
        if (drained && !packed->inside && packed->had_first)
            break;
        if (!packed->inside && !begin_member(reader, err))
            return false;
        /* Even without more bytes to read there may be some to hand out. */
        if (!(packed->packing == PACKING_GZIP ? unpack_gzip(reader, to, len, &got, err)
                                              : unpack_zstd(reader, to, len, &got, err)))
            return false;
        if (drained && packed->inside && got == 0)
            return err_set(err, ERR_DATA,
                           "%s is cut short: its %s data does not end; get the whole file (is it "
                           "still being written?)",
                           reader->path, packing_name(packed->packing));
    }
    *ret_got = got;
    return true;
}

bool reader_fill(struct reader *reader, struct err *err)
{
    if (reader->at_end)
        return true;
    if (reader->start > 0) {
        memmove(reader->bytes, reader->bytes + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    if (reader->capacity - reader->end < CHUNK_BYTES) {
        reader->capacity = mem_grow(reader->capacity, reader->end + CHUNK_BYTES);
        reader->bytes = mem_resize_array(reader->bytes, reader->capacity, 1);
    }
    char *to = reader->bytes + reader->end;
    size_t room = reader->capacity - reader->end;
    size_t got = 0;
    if (!(reader->packed.packing == PACKING_NONE ? read_file(reader, to, room, &got, err)
                                                 : read_packed(reader, to, room, &got, err)))
        return false;
    if (reader->sha256 != NULL)
        sha256_add(reader->sha256, (struct str){to, got});
    reader->at_end = got == 0;
    reader->end += got;
    return true;
}

bool reader_at_end(const struct reader *reader)
{
    return reader->at_end;
}

struct str reader_window(const struct reader *reader)
{
    return (struct str){reader->bytes + reader->start, reader->end - reader->start};
}

void reader_consume(struct reader *reader, size_t len)
{
    reader->start += len;
}

bool reader_skip_bom(struct reader *reader, const char *path, struct err *err)
{
    while (!reader->at_end && reader_window(reader).len < 3)
        if (!reader_fill(reader, err))
            return false;
    struct str window = reader_window(reader);
    if (str_starts(window, STR("\xEF\xBB\xBF")))
        reader_consume(reader, 3);
    if (str_starts(window, STR("\xFF\xFE")) || str_starts(window, STR("\xFE\xFF")))
        return err_set(err, ERR_INVALID, "%s is UTF-16; convert it to UTF-8 first", path);
    return true;
}
