/* A growing byte buffer that is always NUL-terminated, for building text and frames. */
#ifndef MILLRACE_BASE_BUF_H
#define MILLRACE_BASE_BUF_H

#include "base/str.h"

#include <stdarg.h>

struct buf {
    char *ptr; /* NULL until the first byte */
    size_t len;
    size_t capacity;
};

void buf_release(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory */
void buf_reserve(struct buf *buf, size_t extra);
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_str(struct buf *buf, struct str s);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *buf, const char *format, ...);
__attribute__((format(printf, 2, 0))) void buf_vprintf(struct buf *buf, const char *format,
                                                       va_list args);

/* Removes the first `len` bytes. */
void buf_consume(struct buf *buf, size_t len);

/* The content as a borrowed view, valid until the next change. */
struct str buf_str(const struct buf *buf);

/* The content as a C string ("" when empty), valid until the next change. */
const char *buf_text(const struct buf *buf);

/* Hands the memory to the caller, who frees it; the buffer is empty afterwards. Never NULL. */
char *buf_take(struct buf *buf);

#endif
