#include "scheduler/core/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct item {
    struct heap_node node;
    uint32_t key;
    uint32_t order;
};

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct item *x = HEAP_ENTRY_CONST(a, struct item, node);
    const struct item *y = HEAP_ENTRY_CONST(b, struct item, node);

    return x->key != y->key ? x->key < y->key : x->order < y->order;
}

/* Pushes, removals from the middle and changes at random, against a plain search for the least. */
static void test_random(void **state)
{
    struct heap heap = {.before = is_before};
    struct item items[64] = {
        {{0}, 0, 0}
    };
    uint32_t seed = 7;

    (void)state;
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        struct item *item = &items[(seed >> 8) % 64];
        uint32_t key = (seed >> 16) % 100;
        item->order = (uint32_t)(item - items);
        if (item->node.place == 0) {
            item->key = key;
            heap_push(&heap, &item->node);
        } else if (seed % 2 == 0) {
            heap_remove(&heap, &item->node);
        } else {
            item->key = key;
            heap_changed(&heap, &item->node);
        }
        const struct item *least = NULL;
        for (size_t i = 0; i < 64; i++)
            if (items[i].node.place != 0 &&
                (least == NULL || is_before(&items[i].node, &least->node)))
                least = &items[i];
        assert_ptr_equal(heap_top(&heap), least == NULL ? NULL : &least->node);
    }
    heap_release(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
