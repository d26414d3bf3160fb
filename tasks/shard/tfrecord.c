#include "tasks/shard/tfrecord.h"

#include <string.h>

#define FIELD_1_BYTES '\x0A' /* protobuf: field 1, length-delimited */
#define FIELD_2_BYTES '\x12'

static void add_u32(struct buf *out, uint32_t value)
{
    char bytes[4];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(value >> (8 * i));
    buf_add(out, bytes, sizeof(bytes));
}

void tfrecord_add(const struct crc32c *crc, struct buf *out, struct str data)
{
    char length[8];

    for (size_t i = 0; i < sizeof(length); i++)
        length[i] = (char)((uint64_t)data.len >> (8 * i));
    buf_add(out, length, sizeof(length));
    add_u32(out, crc32c_mask(crc32c_of(crc, (struct str){length, sizeof(length)})));
    buf_add_str(out, data);
    add_u32(out, crc32c_mask(crc32c_of(crc, data)));
}

static void add_varint(struct buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_add_char(out, (char)(value | 0x80));
    buf_add_char(out, (char)value);
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;

    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

/* A length-delimited field with a tag of one byte. */
static void add_field(struct buf *out, char tag, struct str content)
{
    buf_add_char(out, tag);
    add_varint(out, content.len);
    buf_add_str(out, content);
}

static size_t field_size(size_t content)
{
    return 1 + varint_size(content) + content;
}

void example_add_bytes(struct buf *values, struct str bytes)
{
    add_field(values, FIELD_1_BYTES, bytes);
}

void example_add_float(struct buf *values, float value)
{
    uint32_t bits = 0;

    memcpy(&bits, &value, sizeof(bits));
    add_u32(values, bits);
}

void example_add_int(struct buf *values, int64_t value)
{
    add_varint(values, (uint64_t)value);
}

/* Numbers are packed into one field 1; bytes are a field 1 each already. */
void example_add_feature(struct buf *features, struct str key, enum feature_kind kind,
                         struct str values)
{
    size_t list = kind == FEATURE_BYTES || values.len == 0 ? values.len : field_size(values.len);
    size_t feature = field_size(list);
    size_t entry = field_size(key.len) + field_size(feature);

    buf_add_char(features, FIELD_1_BYTES);
    add_varint(features, entry);
    add_field(features, FIELD_1_BYTES, key);
    buf_add_char(features, FIELD_2_BYTES);
    add_varint(features, feature);
    buf_add_char(features, (char)((unsigned)kind << 3 | 2));
    add_varint(features, list);
    if (kind == FEATURE_BYTES || values.len == 0)
        buf_add_str(features, values);
    else
        add_field(features, FIELD_1_BYTES, values);
}

void example_finish(struct buf *out, struct str features)
{
    add_field(out, FIELD_1_BYTES, features);
}
