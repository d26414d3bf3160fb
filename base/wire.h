/* The wire protocol's framing: 4 bytes of length (little-endian, without themselves), then one JSON
 * document. What the documents say stands in include/millrace/messages.h. Pure: bytes in, frames
 * out; sockets belong to the loops. */
#ifndef MILLRACE_BASE_WIRE_H
#define MILLRACE_BASE_WIRE_H

#include "base/buf.h"
#include "base/err.h"

#define WIRE_FRAME_BYTES_MAX (16u * 1024 * 1024)

/* Reserves the length prefix in `out` and returns the offset to hand to wire_end() once the
 * document has been appended. */
size_t wire_begin(struct buf *out);
void wire_end(struct buf *out, size_t start);

enum wire_status { WIRE_FRAME, WIRE_MORE, WIRE_BAD };

/* Looks for the next frame in `in`, starting at *offset. WIRE_FRAME: `ret_document` borrows the
 * document from `in`, and *offset moves past it. WIRE_MORE: bytes are missing. WIRE_BAD: the length
 * is over the limit; the connection must be closed. */
enum wire_status wire_next(struct str in, size_t *offset, struct str *ret_document);

#endif
