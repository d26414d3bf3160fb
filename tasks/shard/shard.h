/* What the files of tasks/shard share: the plan that the options become, and the writers.
 *
 * The dataset is read once into a table with each row's split; then every split is read in its
 * order and cut into files. */
#ifndef MILLRACE_TASKS_SHARD_SHARD_H
#define MILLRACE_TASKS_SHARD_SHARD_H

#include "millrace/attempt.h"
#include "tasks/engine/columns.h"
#include "tasks/publish/publish.h"

/* The schema of the task's own tables. */
#define SHARD_SCHEMA "millrace_shard"
#define SPLITS_MAX 32

enum shard_format { FORMAT_WEBDATASET, FORMAT_TFRECORD, FORMAT_PARQUET };
enum split_kind { SPLIT_NONE, SPLIT_TEMPORAL, SPLIT_HASH };

struct split {
    const char *name; /* also of its folder; "" = no folder */
    int64_t from_us;  /* temporal: inclusive, exclusive */
    int64_t to_us;
    int64_t bucket_from; /* hash: of 10,000 */
    int64_t bucket_to;
    int64_t rows;
    int64_t shards;
    json_t *facts; /* min_time, max_time, labels: for the manifest; owned */
};

struct shard_column {
    const struct column_info *info;
    const char *extension; /* webdataset: a member of its own */
};

struct shard_plan {
    const struct attempt *attempt;
    const char *path; /* of the dataset */
    struct dataset *dataset;
    struct buf from; /* SQL after FROM */
    struct columns columns;
    enum shard_format format;
    struct shard_column *chosen; /* in the order of `columns` */
    size_t chosen_count;
    const struct column_info **keys; /* of the sample */
    size_t key_count;
    const struct column_info **split_keys;
    size_t split_key_count;
    const struct column_info *time;  /* temporal */
    const struct column_info *label; /* may be NULL */
    enum split_kind kind;
    int64_t split_seed;
    int64_t gap_us;
    struct split splits[SPLITS_MAX];
    size_t split_count;
    bool is_shuffled;
    int64_t shuffle_seed;
    int64_t rows_max; /* per shard; INT64_MAX = no limit */
    int64_t bytes_max;
    int64_t rows_in;
    int64_t no_time; /* dropped */
    int64_t in_gap;
};

/* On failure, too, the plan is to be released. */
bool shard_plan_make(const struct attempt *attempt, struct shard_plan *plan, struct err *err);
void shard_plan_release(struct shard_plan *plan);

/* Fills plan->splits from the option `split`. */
bool splits_make(struct shard_plan *plan, struct err *err);

/* Reads the dataset into SHARD_SCHEMA.rows, counts each split's rows, and asserts what a split
 * promises: none empty, and in time order with the gap between them. */
bool splits_load(struct shard_plan *plan, struct err *err);

/* Appends " WHERE … ORDER BY …": the rows of a split in their order. */
void splits_add_rows(const struct shard_plan *plan, size_t split, struct buf *sql);

/* The name of a shard within the publication: "train/train-000001.tar". `of` < 0 = not known yet.
 */
void shard_name(const struct shard_plan *plan, size_t split, int64_t index, int64_t of,
                struct buf *out);

/* Write the shards of one split and add them to the publication. */
bool samples_write(struct shard_plan *plan, size_t split, struct publication *publication,
                   struct err *err);
bool parquet_write(struct shard_plan *plan, size_t split, struct publication *publication,
                   struct err *err);

/* How a format takes rows: the SELECT list, and one row's bytes. */
struct sample_encoder;

struct sample_encoder *encoder_new(const struct shard_plan *plan, struct err *err);
void encoder_free(struct sample_encoder *encoder);
void encoder_add_columns(const struct sample_encoder *encoder, struct buf *sql);
bool encoder_add_row(struct sample_encoder *encoder, struct engine_result *rows, struct buf *out,
                     struct err *err);

/* What ends a file. */
void encoder_add_end(const struct sample_encoder *encoder, struct buf *out);

#endif
