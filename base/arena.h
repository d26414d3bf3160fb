/* Arenas: memory whose pieces share one lifetime (a DAG version, a run, a request, a turn). */
#ifndef MILLRACE_BASE_ARENA_H
#define MILLRACE_BASE_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* the first is being filled */
    size_t used;                /* of its bytes */
};

/* Zeroed memory that lives until arena_release(); never NULL. Aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);

/* NUL-terminated copies that live in the arena. */
char *arena_strdup(struct arena *arena, const char *text); /* NULL stays NULL */
struct str arena_str(struct arena *arena, struct str s);
__attribute__((format(printf, 2, 3))) char *arena_printf(struct arena *arena, const char *format,
                                                         ...);

/* Frees all of it; the arena is empty and usable afterwards. */
void arena_release(struct arena *arena);

#endif
