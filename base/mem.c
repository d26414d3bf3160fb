#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_check(void *ptr, size_t size)
{
    if (ptr == NULL) {
        fprintf(stderr, "level=error event=out_of_memory bytes=%zu\n", size);
        abort();
    }
    return ptr;
}

static size_t mem_product(size_t count, size_t size)
{
    size_t bytes = 0;

    if (__builtin_mul_overflow(count, size, &bytes))
        mem_check(NULL, SIZE_MAX);
    return bytes == 0 ? 1 : bytes;
}

void *mem_alloc(size_t size)
{
    return mem_alloc_array(1, size);
}

void *mem_alloc_array(size_t count, size_t size)
{
    size_t bytes = mem_product(count, size);

    return mem_check(calloc(1, bytes), bytes);
}

void *mem_resize_array(void *old, size_t count, size_t size)
{
    size_t bytes = mem_product(count, size);

    return mem_check(realloc(old, bytes), bytes);
}

char *mem_dup(const char *bytes, size_t len)
{
    char *copy = mem_alloc(len + 1);

    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

char *mem_strdup(const char *text)
{
    return text == NULL ? NULL : mem_dup(text, strlen(text));
}

size_t mem_grow(size_t capacity, size_t need)
{
    size_t grown = capacity < 16 ? 16 : capacity;

    while (grown < need)
        grown *= 2;
    return grown;
}
