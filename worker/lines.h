/* Lines out of a byte stream: bytes come in pieces of any size, whole lines go out. Pure. */
#ifndef MILLRACE_WORKER_LINES_H
#define MILLRACE_WORKER_LINES_H

#include "base/buf.h"

/* A longer line is cut into pieces of this size. */
#define LINES_BYTES_MAX 65536

struct lines {
    struct buf partial; /* the line that has not ended yet */
};

/* Gets each line without its line end; `line` is valid during the call. */
typedef void (*lines_sink)(void *context, struct str line);

void lines_feed(struct lines *lines, struct str bytes, lines_sink sink, void *context);

/* Gives out what is left of a last line without a line end, if anything. */
void lines_flush(struct lines *lines, lines_sink sink, void *context);

void lines_release(struct lines *lines);

#endif
