/* Encoders: how a row becomes a WebDataset sample or a tf.train.Example. encoder.c chooses per
 * column how it is read and written; webdataset.c and examples.c write. */
#ifndef MILLRACE_TASKS_SHARD_ENCODER_H
#define MILLRACE_TASKS_SHARD_ENCODER_H

#include "tasks/shard/crc32c.h"
#include "tasks/shard/shard.h"

enum encoding {
    ENCODE_BOOL,
    ENCODE_INT,
    ENCODE_DECIMAL,
    ENCODE_FLOAT,
    ENCODE_TIME, /* read as microseconds since 1970 */
    ENCODE_TEXT,
    ENCODE_BLOB,
    ENCODE_NESTED, /* read as JSON text */
    ENCODE_INTS,   /* lists, read as JSON text */
    ENCODE_FLOATS,
    ENCODE_TEXTS,
};

struct encoder_column {
    const char *name;      /* of the column */
    const char *extension; /* webdataset: a member of its own; NULL = in the .json */
    const char *type;
    enum encoding encoding;
    size_t chosen; /* index in plan->chosen */
};

struct sample_encoder {
    const struct shard_plan *plan;
    struct encoder_column *columns; /* in the order of the SELECT list, after the key */
    size_t count;
    int64_t row; /* in the split, from 0 */
    struct crc32c crc;
    struct buf scratch;
    struct buf values;
    struct buf name;
};

bool webdataset_add_row(struct sample_encoder *encoder, struct engine_result *rows, struct buf *out,
                        struct err *err);
bool examples_add_row(struct sample_encoder *encoder, struct engine_result *rows, struct buf *out,
                      struct err *err);

/* The column's place in a row: the key stands before all. */
#define ENCODER_FIRST 1

#endif
