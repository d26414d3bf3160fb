#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_release(struct buf *buf)
{
    free(buf->ptr);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    if (buf->ptr != NULL)
        buf->ptr[0] = '\0';
}

void buf_reserve(struct buf *buf, size_t extra)
{
    size_t need = buf->len + extra + 1;

    assert(need > buf->len);
    if (need <= buf->capacity)
        return;
    buf->capacity = mem_grow(buf->capacity, need);
    buf->ptr = mem_resize_array(buf->ptr, buf->capacity, 1);
    buf->ptr[buf->len] = '\0';
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    buf_reserve(buf, len);
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
    buf->ptr[buf->len] = '\0';
}

void buf_add_str(struct buf *buf, struct str s)
{
    buf_add(buf, s.ptr, s.len);
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;

    va_copy(again, args);
    buf_reserve(buf, 128);
    int len = vsnprintf(buf->ptr + buf->len, buf->capacity - buf->len, format, args);
    assert(len >= 0);
    if ((size_t)len >= buf->capacity - buf->len) {
        buf_reserve(buf, (size_t)len);
        (void)vsnprintf(buf->ptr + buf->len, buf->capacity - buf->len, format, again);
    }
    va_end(again);
    buf->len += (size_t)len;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_consume(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    if (len == 0)
        return;
    buf->len -= len;
    memmove(buf->ptr, buf->ptr + len, buf->len);
    buf->ptr[buf->len] = '\0';
}

struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->ptr, buf->len};
}

const char *buf_text(const struct buf *buf)
{
    return buf->ptr == NULL ? "" : buf->ptr;
}

char *buf_take(struct buf *buf)
{
    buf_reserve(buf, 0);
    char *ptr = buf->ptr;
    *buf = (struct buf){0};
    return ptr;
}
