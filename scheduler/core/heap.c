#include "scheduler/core/heap.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

void heap_release(struct heap *heap)
{
    free(heap->nodes);
    heap->nodes = NULL;
    heap->count = heap->capacity = 0;
}

static void put(struct heap *heap, size_t place, struct heap_node *node)
{
    heap->nodes[place - 1] = node;
    node->place = place;
}

static void sift_up(struct heap *heap, struct heap_node *node)
{
    size_t place = node->place;

    while (place > 1 && heap->before(node, heap->nodes[place / 2 - 1])) {
        put(heap, place, heap->nodes[place / 2 - 1]);
        place /= 2;
    }
    put(heap, place, node);
}

static void sift_down(struct heap *heap, struct heap_node *node)
{
    size_t place = node->place;

    while (place * 2 <= heap->count) {
        size_t child = place * 2;
        if (child < heap->count && heap->before(heap->nodes[child], heap->nodes[child - 1]))
            child++;
        if (!heap->before(heap->nodes[child - 1], node))
            break;
        put(heap, place, heap->nodes[child - 1]);
        place = child;
    }
    put(heap, place, node);
}

void heap_push(struct heap *heap, struct heap_node *node)
{
    assert(node->place == 0);
    if (heap->count == heap->capacity) {
        heap->capacity = mem_grow(heap->capacity, heap->count + 1);
        heap->nodes = mem_resize_array(heap->nodes, heap->capacity, sizeof(struct heap_node *));
    }
    heap->count++;
    put(heap, heap->count, node);
    sift_up(heap, node);
}

void heap_changed(struct heap *heap, struct heap_node *node)
{
    assert(node->place >= 1 && node->place <= heap->count);
    sift_up(heap, node);
    sift_down(heap, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    size_t place = node->place;

    assert(place >= 1 && place <= heap->count && heap->nodes[place - 1] == node);
    struct heap_node *last = heap->nodes[heap->count - 1];
    heap->count--;
    node->place = 0;
    if (last == node)
        return;
    put(heap, place, last);
    heap_changed(heap, last);
}

struct heap_node *heap_top(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}
