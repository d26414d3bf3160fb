#include "scheduler/store/latest.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

/* A change that reads or replaces rows of many tasks at once: what comes before it must be written
 * before it. */
static bool is_barrier(enum decision_kind kind)
{
    return kind == DECIDE_RUN_RESET || kind == DECIDE_EXPAND;
}

static size_t hash(int64_t run, uint32_t task, int32_t map_index)
{
    uint64_t key = (uint64_t)run * 0x9E3779B97F4A7C15u;

    key = (key ^ task) * 0xC2B2AE3D27D4EB4Fu;
    key = (key ^ (uint32_t)map_index) * 0x9E3779B97F4A7C15u;
    return (size_t)(key ^ key >> 32);
}

/* The slot of this task instance, or the free one where it belongs. */
static uint32_t *find_slot(const struct latest *latest, int64_t run, uint32_t task,
                           int32_t map_index)
{
    size_t at = hash(run, task, map_index) & latest->mask;

    for (; latest->slots[at] != 0; at = (at + 1) & latest->mask) {
        const struct task_row *row = &latest->first[latest->slots[at] - 1].as.task.row;
        if (row->run == run && row->task == task && row->map_index == map_index)
            break;
    }
    return &latest->slots[at];
}

static void note(struct latest *latest, size_t place)
{
    const struct task_row *row = &latest->first[place].as.task.row;
    uint32_t *slot = find_slot(latest, row->run, row->task, row->map_index);

    if (*slot != 0)
        latest->is_done[*slot - 1] = true;
    *slot = (uint32_t)place + 1;
}

void latest_find(struct latest *latest, const struct decisions *decisions)
{
    size_t slots = SLOTS_MIN;

    while (slots < 2 * decisions->count)
        slots *= 2;
    *latest = (struct latest){
        .first = decisions->items,
        .is_done = mem_alloc_array(decisions->count, sizeof(bool)),
        .slots = mem_alloc_array(slots, sizeof(uint32_t)),
        .mask = slots - 1,
        .is_whole = true,
    };
    for (size_t i = 0; i < decisions->count; i++) {
        if (decisions->items[i].kind == DECIDE_TASK) {
            note(latest, i);
        } else if (is_barrier(decisions->items[i].kind)) {
            memset(latest->slots, 0, slots * sizeof(uint32_t));
            latest->is_whole = false;
        }
    }
}

void latest_release(struct latest *latest)
{
    free(latest->is_done);
    free(latest->slots);
}

bool latest_is_done(const struct latest *latest, const struct decision *decision)
{
    return latest->is_done[decision - latest->first];
}

const struct task_row *latest_take(struct latest *latest, int64_t run, uint32_t task)
{
    if (!latest->is_whole)
        return NULL;
    uint32_t slot = *find_slot(latest, run, task, -1);
    if (slot == 0)
        return NULL;
    latest->is_done[slot - 1] = true;
    return &latest->first[slot - 1].as.task.row;
}
