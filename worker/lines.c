#include "worker/lines.h"

/* "\r\n" ends a line as "\n" does: programs ported from elsewhere write it. */
static struct str without_cr(struct str line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* Adds to the partial line, giving out full pieces of it. */
static void keep(struct lines *lines, struct str bytes, lines_sink sink, void *context)
{
    while (lines->partial.len + bytes.len > LINES_BYTES_MAX) {
        size_t room = LINES_BYTES_MAX - lines->partial.len;

        buf_add(&lines->partial, bytes.ptr, room);
        bytes = str_sub(bytes, room, bytes.len);
        sink(context, buf_str(&lines->partial));
        buf_clear(&lines->partial);
    }
    buf_add_str(&lines->partial, bytes);
}

void lines_feed(struct lines *lines, struct str bytes, lines_sink sink, void *context)
{
    for (;;) {
        size_t end = str_find(bytes, '\n', 0);

        if (end == SIZE_MAX) {
            keep(lines, bytes, sink, context);
            return;
        }
        struct str line = str_sub(bytes, 0, end);
        if (lines->partial.len > 0 || line.len > LINES_BYTES_MAX) {
            keep(lines, line, sink, context);
            sink(context, without_cr(buf_str(&lines->partial)));
            buf_clear(&lines->partial);
        } else {
            sink(context, without_cr(line));
        }
        bytes = str_sub(bytes, end + 1, bytes.len);
    }
}

void lines_flush(struct lines *lines, lines_sink sink, void *context)
{
    if (lines->partial.len > 0)
        sink(context, without_cr(buf_str(&lines->partial)));
    buf_clear(&lines->partial);
}

void lines_release(struct lines *lines)
{
    buf_release(&lines->partial);
}
