#include "base/arena.h"

#include "base/mem.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Blocks double from the first to the last of these: many arenas hold a few strings, some much. */
#define BLOCK_BYTES_MIN 256u
#define BLOCK_BYTES_MAX 32768u

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    alignas(max_align_t) char bytes[];
};

static struct arena_block *block_new(size_t capacity, struct arena_block *next)
{
    struct arena_block *block = mem_alloc(sizeof(*block) + capacity);

    block->capacity = capacity;
    block->next = next;
    return block;
}

static size_t next_capacity(const struct arena *arena)
{
    if (arena->blocks == NULL)
        return BLOCK_BYTES_MIN;
    size_t capacity = 2 * arena->blocks->capacity;
    return capacity < BLOCK_BYTES_MAX ? capacity : BLOCK_BYTES_MAX;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t align = alignof(max_align_t);
    size_t start = (arena->used + align - 1) / align * align;

    assert(size < SIZE_MAX / 2);
    if (arena->blocks == NULL || start + size > arena->blocks->capacity) {
        size_t capacity = next_capacity(arena);
        if (arena->blocks != NULL && size > capacity / 2) {
            /* A block of its own, behind the one that is being filled. */
            arena->blocks->next = block_new(size, arena->blocks->next);
            return arena->blocks->next->bytes;
        }
        arena->blocks = block_new(size > capacity ? size : capacity, arena->blocks);
        start = 0;
    }
    arena->used = start + size;
    return arena->blocks->bytes + start;
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    size_t bytes = 0;
    bool overflow = __builtin_mul_overflow(count, size, &bytes);

    assert(!overflow);
    return arena_alloc(arena, bytes);
}

char *arena_strdup(struct arena *arena, const char *text)
{
    if (text == NULL)
        return NULL;
    size_t size = strlen(text) + 1;
    return memcpy(arena_alloc(arena, size), text, size);
}

struct str arena_str(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return (struct str){copy, s.len};
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    char *text = arena_alloc(arena, (size_t)len + 1);
    va_start(args, format);
    (void)vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

void arena_release(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}
