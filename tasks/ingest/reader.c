/* Bytes of a file, decompressed where its name says .gz or .zst, as a window that slides. */
#include "base/digest.h"
#include "base/mem.h"
#include "tasks/ingest/ingest.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)256 << 10)

struct reader {
    char *path;
    int fd;
    struct archive *archive; /* NULL: a plain file */
    struct sha256 *sha256;   /* of what was read so far; NULL: nobody asked */
    char *bytes;
    size_t start;
    size_t end;
    size_t capacity;
    bool at_end;
};

static bool is_compressed(const char *path)
{
    return str_ends(str_from(path), STR(".gz")) || str_ends(str_from(path), STR(".zst"));
}

static bool open_archive(struct reader *reader, struct err *err)
{
    struct archive_entry *entry = NULL;
    struct archive *archive = archive_read_new();

    reader->archive = archive;
    bool ok = archive != NULL && archive_read_support_filter_gzip(archive) == ARCHIVE_OK &&
              archive_read_support_filter_zstd(archive) == ARCHIVE_OK &&
              archive_read_support_format_raw(archive) == ARCHIVE_OK &&
              archive_read_support_format_empty(archive) == ARCHIVE_OK &&
              archive_read_open_fd(archive, reader->fd, CHUNK_BYTES) == ARCHIVE_OK;
    int status = ok ? archive_read_next_header(archive, &entry) : ARCHIVE_FATAL;
    if (status == ARCHIVE_OK)
        return true;
    if (status == ARCHIVE_EOF) {
        reader->at_end = true;
        return true;
    }
    return err_set(err, ERR_DATA, "%s: can't be decompressed: %s", reader->path,
                   archive == NULL ? "out of memory" : archive_error_string(archive));
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
    if (!is_compressed(path) || open_archive(reader, err))
        return reader;
    reader_close(reader);
    return NULL;
}

void reader_close(struct reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->archive != NULL)
        (void)archive_read_free(reader->archive);
    (void)close(reader->fd);
    if (reader->sha256 != NULL)
        sha256_end(reader->sha256, NULL);
    free(reader->bytes);
    free(reader->path);
    free(reader);
}

bool reader_hash(struct reader *reader)
{
    if (reader->archive != NULL)
        return false;
    reader->sha256 = sha256_begin();
    return true;
}

void reader_end_hash(struct reader *reader, char out[SHA256_HEX_SIZE])
{
    sha256_end(reader->sha256, out);
    reader->sha256 = NULL;
}

static ssize_t read_some(struct reader *reader, char *to, size_t len)
{
    ssize_t got = 0;

    if (reader->archive != NULL)
        return (ssize_t)archive_read_data(reader->archive, to, len);
    do
        got = read(reader->fd, to, len);
    while (got < 0 && errno == EINTR);
    return got;
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
    ssize_t got = read_some(reader, reader->bytes + reader->end, reader->capacity - reader->end);
    if (got < 0 && reader->archive != NULL)
        return err_set(err, ERR_DATA, "%s: can't be decompressed: %s", reader->path,
                       archive_error_string(reader->archive));
    if (got < 0)
        return err_errno(err, "read %s", reader->path);
    if (reader->sha256 != NULL)
        sha256_add(reader->sha256, (struct str){reader->bytes + reader->end, (size_t)got});
    reader->at_end = got == 0;
    reader->end += (size_t)got;
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
