/* A binary heap of nodes that live inside other structs and know their place, so that any of them
 * can be taken out. Pure. */
#ifndef MILLRACE_CORE_HEAP_H
#define MILLRACE_CORE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    size_t place; /* 1-based; 0 = in no heap */
};

typedef bool (*heap_before)(const struct heap_node *a, const struct heap_node *b);

struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t capacity;
    heap_before before; /* a strict total order */
};

void heap_release(struct heap *heap);
void heap_push(struct heap *heap, struct heap_node *node); /* must be in no heap */
void heap_remove(struct heap *heap, struct heap_node *node);
void heap_changed(struct heap *heap, struct heap_node *node); /* its order may have changed */

/* The first node, or NULL. */
struct heap_node *heap_top(const struct heap *heap);

/* The struct of `type` whose `member` the node is. */
#define HEAP_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define HEAP_ENTRY_CONST(node, type, member)                                                       \
    ((const type *)(const void *)((const char *)(node)-offsetof(type, member)))

#endif
