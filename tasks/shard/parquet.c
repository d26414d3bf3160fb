/* Parquet shards: one COPY each over a range of rows in order, since DuckDB's own cutting by size
 * is not the same every time. */
#include "base/json.h"
#include "tasks/shard/shard.h"

#include <inttypes.h>

/* Rows that fit a shard, going by the dataset's own files. */
static int64_t rows_per_shard(const struct shard_plan *plan)
{
    int64_t rows = plan->rows_max;
    double bytes = 0;
    double count = 0;

    if (plan->bytes_max == INT64_MAX)
        return rows;
    for (size_t i = 0; i < dataset_partition_count(plan->dataset); i++) {
        const json_t *content = json_object_get(dataset_manifest(plan->dataset, i), "content");
        const json_t *files = json_object_get(content, "files");
        for (size_t k = 0; k < json_array_size(files); k++)
            bytes += json_get_number(json_array_get(files, k), "bytes", 0);
        count += json_get_number(content, "rows", 0);
    }
    if (bytes <= 0 || count <= 0)
        return rows;
    double fit = (double)plan->bytes_max / (bytes / count);
    if (fit < 1)
        return 1;
    return fit < (double)rows ? (int64_t)fit : rows;
}

static bool make_sorted(const struct shard_plan *plan, size_t split, struct err *err)
{
    struct buf sql = {0};

    buf_add_text(&sql,
                 "CREATE OR REPLACE TABLE " SHARD_SCHEMA ".sorted AS SELECT row_number() OVER "
                 "() - 1 AS _n, ");
    for (size_t i = 0; i < plan->chosen_count; i++) {
        buf_printf(&sql, "%s_c%zu AS ", i == 0 ? "" : ", ", i);
        engine_add_identifier(&sql, str_from(plan->chosen[i].info->name));
    }
    buf_add_text(&sql, " FROM (SELECT * FROM " SHARD_SCHEMA ".rows");
    splits_add_rows(plan, split, &sql);
    buf_add_text(&sql, ")");
    bool ok = engine_run(plan->attempt->engine, buf_text(&sql), NULL, err);
    buf_release(&sql);
    return ok;
}

static bool write_one(const struct shard_plan *plan, int64_t from, int64_t to, const char *path,
                      struct err *err)
{
    struct buf sql = {0};
    int64_t rows = 0;

    buf_printf(&sql,
               "COPY (SELECT * EXCLUDE (_n) FROM " SHARD_SCHEMA ".sorted WHERE _n >= %" PRId64
               " AND _n < %" PRId64 " ORDER BY _n) TO ",
               from, to);
    engine_add_literal(&sql, str_from(path));
    buf_add_text(&sql, " (FORMAT parquet, COMPRESSION zstd)");
    bool ok = engine_run(plan->attempt->engine, buf_text(&sql), &rows, err);
    buf_release(&sql);
    if (ok && rows != to - from)
        return err_set(err, ERR_FAILED, "%s: %" PRId64 " rows were written instead of %" PRId64,
                       path, rows, to - from);
    return ok;
}

bool parquet_write(struct shard_plan *plan, size_t split, struct publication *publication,
                   struct err *err)
{
    int64_t total = plan->splits[split].rows;
    int64_t step = rows_per_shard(plan);
    bool ok = make_sorted(plan, split, err);

    for (int64_t from = 0; ok && from < total;) {
        int64_t to = total - from > step ? from + step : total;
        struct buf name = {0};
        struct buf path = {0};
        shard_name(plan, split, plan->splits[split].shards++, -1, &name);
        buf_printf(&path, "%s/%s", publication_folder(publication), buf_text(&name));
        ok = write_one(plan, from, to, buf_text(&path), err) &&
             publication_add_file(publication, buf_text(&name), to - from, err);
        buf_release(&name);
        buf_release(&path);
        from = to;
    }
    return ok;
}
