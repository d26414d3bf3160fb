#include "base/wire.h"

#include <assert.h>

#define PREFIX_BYTES 4

size_t wire_begin(struct buf *out)
{
    size_t start = out->len;

    buf_add(out, "\0\0\0\0", PREFIX_BYTES);
    return start;
}

void wire_end(struct buf *out, size_t start)
{
    size_t len = out->len - start - PREFIX_BYTES;

    assert(out->len >= start + PREFIX_BYTES && len <= WIRE_FRAME_BYTES_MAX);
    for (size_t i = 0; i < PREFIX_BYTES; i++)
        out->ptr[start + i] = (char)(len >> (8 * i) & 0xFF);
}

enum wire_status wire_next(struct str in, size_t *offset, struct str *ret_document)
{
    struct str rest = str_sub(in, *offset, in.len);
    size_t len = 0;

    if (rest.len < PREFIX_BYTES)
        return WIRE_MORE;
    for (size_t i = 0; i < PREFIX_BYTES; i++)
        len |= (size_t)(unsigned char)rest.ptr[i] << (8 * i);
    if (len > WIRE_FRAME_BYTES_MAX)
        return WIRE_BAD;
    if (rest.len - PREFIX_BYTES < len)
        return WIRE_MORE;
    *ret_document = str_sub(rest, PREFIX_BYTES, PREFIX_BYTES + len);
    *offset += PREFIX_BYTES + len;
    return WIRE_FRAME;
}
