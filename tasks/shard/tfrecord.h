/* TFRecord framing and tf.train.Example, written by hand: the whole of protobuf that it needs is
 * varints and lengths. Pure: appends to a buffer. */
#ifndef MILLRACE_TASKS_SHARD_TFRECORD_H
#define MILLRACE_TASKS_SHARD_TFRECORD_H

#include "base/buf.h"
#include "tasks/shard/crc32c.h"

/* Appends one record: length, its CRC, the data, their CRC. */
void tfrecord_add(const struct crc32c *crc, struct buf *out, struct str data);

enum feature_kind { FEATURE_BYTES = 1, FEATURE_FLOATS = 2, FEATURE_INTS = 3 }; /* field numbers */

/* Append one value of a Feature in its encoded form. */
void example_add_bytes(struct buf *values, struct str bytes);
void example_add_float(struct buf *values, float value);
void example_add_int(struct buf *values, int64_t value);

/* Appends one entry of the Features map to `features`: `values` as the functions above made them.
 * The caller adds keys in sorted order. */
void example_add_feature(struct buf *features, struct str key, enum feature_kind kind,
                         struct str values);

/* Appends the Example around the entries. */
void example_finish(struct buf *out, struct str features);

#endif
