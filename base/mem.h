/* Memory from the heap, with one policy for failure: the process says so and ends.
 *
 * Every process of Millrace recovers from disk at start, and nothing is acted on before it is
 * committed, so ending at once is the one answer to an exhausted heap that can't half-apply
 * anything. Callers therefore never see NULL. Sizes that come from outside are limited where they
 * are read (frames, bodies, files), not here. */
#ifndef MILLRACE_BASE_MEM_H
#define MILLRACE_BASE_MEM_H

#include <stddef.h>

/* Zeroed memory of `size` bytes; the caller frees it with free(). A size of 0 gives a valid
 * pointer. */
void *mem_alloc(size_t size);

/* Zeroed array; the product is checked for overflow. */
void *mem_alloc_array(size_t count, size_t size);

/* Grows or shrinks `old` (may be NULL) to count * size bytes; new bytes are not zeroed. */
void *mem_resize_array(void *old, size_t count, size_t size);

/* A NUL-terminated copy of `len` bytes. */
char *mem_dup(const char *bytes, size_t len);

/* A copy of a C string; NULL stays NULL. */
char *mem_strdup(const char *text);

/* The capacity to grow to so that `need` items fit, doubling from `capacity`. */
size_t mem_grow(size_t capacity, size_t need);

#endif
