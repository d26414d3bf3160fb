/* Cutting a split's rows into files of samples, by rows and bytes. */
#include "base/fs.h"
#include "base/mem.h"
#include "tasks/shard/shard.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FLUSH_BYTES ((size_t)1 << 20)

struct shard_file {
    int fd; /* -1 = none is open */
    char *path;
    struct buf pending;
    int64_t rows;
    int64_t bytes;
};

struct sample_writer {
    const struct shard_plan *plan;
    size_t split;
    struct publication *publication;
    struct sample_encoder *encoder;
    struct shard_file file;
    int64_t *rows; /* per finished shard */
    int64_t count; /* of finished shards */
};

void shard_name(const struct shard_plan *plan, size_t split, int64_t index, int64_t of,
                struct buf *out)
{
    const char *folder = plan->splits[split].name;
    const char *stem = *folder == '\0' ? "shard" : folder;

    if (*folder != '\0')
        buf_printf(out, "%s/", folder);
    switch (plan->format) {
    case FORMAT_WEBDATASET:
        buf_printf(out, "%s-%06" PRId64 ".tar", stem, index);
        return;
    case FORMAT_TFRECORD:
        buf_printf(out, "%s-%05" PRId64, stem, index);
        if (of >= 0)
            buf_printf(out, "-of-%05" PRId64, of);
        buf_add_text(out, ".tfrecord");
        return;
    case FORMAT_PARQUET:
        buf_printf(out, "part-%05" PRId64 ".parquet", index);
        return;
    }
}

static char *path_of(const struct sample_writer *writer, int64_t index, int64_t of)
{
    struct buf path = {0};

    buf_printf(&path, "%s/", publication_folder(writer->publication));
    shard_name(writer->plan, writer->split, index, of, &path);
    return buf_take(&path);
}

static bool file_flush(struct shard_file *file, struct err *err)
{
    struct str pending = buf_str(&file->pending);

    if (!fs_write_all(file->fd, pending.ptr, pending.len, err))
        return err_wrap(err, "write %s", file->path);
    file->bytes += (int64_t)pending.len;
    buf_clear(&file->pending);
    return true;
}

static bool file_open(struct sample_writer *writer, struct err *err)
{
    struct shard_file *file = &writer->file;

    file->path = path_of(writer, writer->count, -1);
    file->rows = 0;
    file->bytes = 0;
    file->fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return file->fd >= 0 || err_errno(err, "create %s", file->path);
}

static void file_abandon(struct shard_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    file->fd = -1;
    free(file->path);
    file->path = NULL;
    buf_release(&file->pending);
}

static bool file_finish(struct sample_writer *writer, struct err *err)
{
    struct shard_file *file = &writer->file;

    if (file->fd < 0)
        return true;
    encoder_add_end(writer->encoder, &file->pending);
    bool ok = file_flush(file, err);
    int fd = file->fd;
    file->fd = -1;
    if (close(fd) != 0 && ok)
        ok = err_errno(err, "close %s", file->path);
    writer->rows = mem_resize_array(writer->rows, (size_t)writer->count + 1, sizeof(int64_t));
    writer->rows[writer->count++] = file->rows;
    free(file->path);
    file->path = NULL;
    return ok;
}

static bool is_full(const struct sample_writer *writer, size_t next)
{
    const struct shard_file *file = &writer->file;
    int64_t size = file->bytes + (int64_t)(file->pending.len + next);

    return file->rows > 0 &&
           (file->rows >= writer->plan->rows_max || size > writer->plan->bytes_max);
}

static bool add_sample(struct sample_writer *writer, struct str sample, struct err *err)
{
    struct shard_file *file = &writer->file;

    if (file->fd >= 0 && is_full(writer, sample.len) && !file_finish(writer, err))
        return false;
    if (file->fd < 0 && !file_open(writer, err))
        return false;
    buf_add_str(&file->pending, sample);
    file->rows++;
    return file->pending.len < FLUSH_BYTES || file_flush(file, err);
}

static bool write_rows(struct sample_writer *writer, struct err *err)
{
    struct buf sql = {0};
    struct buf sample = {0};
    struct err problem = {0};

    buf_add_text(&sql, "SELECT ");
    encoder_add_columns(writer->encoder, &sql);
    buf_add_text(&sql, " FROM " SHARD_SCHEMA ".rows");
    splits_add_rows(writer->plan, writer->split, &sql);
    struct engine_result *rows =
        engine_query(writer->plan->attempt->engine, buf_text(&sql), &problem);
    bool ok = rows != NULL;
    while (ok && engine_next(rows, &problem)) {
        buf_clear(&sample);
        ok = encoder_add_row(writer->encoder, rows, &sample, &problem) &&
             add_sample(writer, buf_str(&sample), &problem);
    }
    ok = problem.code == ERR_NONE && file_finish(writer, &problem);
    engine_result_free(rows);
    buf_release(&sample);
    buf_release(&sql);
    if (!ok)
        *err = problem;
    return ok;
}

/* Only now is it known how many shards there are, which TFRecord names say. */
static bool add_files(struct sample_writer *writer, struct err *err)
{
    bool ok = true;

    for (int64_t i = 0; ok && i < writer->count; i++) {
        char *from = path_of(writer, i, -1);
        char *to = path_of(writer, i, writer->count);
        struct buf name = {0};
        shard_name(writer->plan, writer->split, i, writer->count, &name);
        if (rename(from, to) != 0)
            ok = err_errno(err, "rename %s to %s", from, to);
        ok = ok && publication_add_file(writer->publication, buf_text(&name), writer->rows[i], err);
        buf_release(&name);
        free(from);
        free(to);
    }
    return ok;
}

bool samples_write(struct shard_plan *plan, size_t split, struct publication *publication,
                   struct err *err)
{
    struct sample_writer writer = {
        .plan = plan, .split = split, .publication = publication, .file = {.fd = -1}};

    writer.encoder = encoder_new(plan, err);
    bool ok = writer.encoder != NULL && write_rows(&writer, err) && add_files(&writer, err);
    plan->splits[split].shards = writer.count;
    file_abandon(&writer.file);
    encoder_free(writer.encoder);
    free(writer.rows);
    return ok;
}
