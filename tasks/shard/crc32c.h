/* CRC-32C (Castagnoli), the checksum of TFRecord: by the processor's instruction where there is
 * one, else eight bytes at a time by tables. */
#ifndef MILLRACE_TASKS_SHARD_CRC32C_H
#define MILLRACE_TASKS_SHARD_CRC32C_H

#include "base/str.h"

struct crc32c {
    bool use_instruction; /* may be set to false: the result is the same */
    uint32_t table[8][256];
};

void crc32c_init(struct crc32c *crc);
uint32_t crc32c_of(const struct crc32c *crc, struct str bytes);

/* The form TFRecord stores: rotated and offset, since CRCs of data that hold CRCs are weak. */
uint32_t crc32c_mask(uint32_t value);

#endif
