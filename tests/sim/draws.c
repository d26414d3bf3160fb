#include "tests/sim/draws.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static struct segment *append(struct draws *draws)
{
    if (draws->count == draws->capacity) {
        size_t capacity = mem_grow(draws->capacity, draws->count + 1);
        draws->segments = mem_resize_array(draws->segments, capacity, sizeof(*draws->segments));
        memset(draws->segments + draws->capacity, 0,
               (capacity - draws->capacity) * sizeof(*draws->segments));
        draws->capacity = capacity;
    }
    struct segment *segment = &draws->segments[draws->count++];
    segment->count = 0;
    return segment;
}

void draws_begin(struct draws *draws, uint64_t seed)
{
    draws->state = seed * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(0x632BE59BD9B4E019);
    draws->is_replay = false;
    draws->count = draws->place = draws->current = 0;
    (void)append(draws);
}

void draws_begin_replay(struct draws *draws)
{
    draws->is_replay = true;
    draws->place = draws->current = 0;
}

void draws_copy(struct draws *to, const struct draws *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        struct segment *segment = append(to);
        if (segment->capacity < from->segments[i].count) {
            segment->capacity = from->segments[i].count;
            segment->bytes = mem_resize_array(segment->bytes, segment->capacity, 1);
        }
        segment->count = from->segments[i].count;
        if (segment->count > 0)
            memcpy(segment->bytes, from->segments[i].bytes, segment->count);
    }
    to->is_replay = true;
}

void draws_release(struct draws *draws)
{
    for (size_t i = 0; i < draws->capacity; i++)
        free(draws->segments[i].bytes);
    free(draws->segments);
    *draws = (struct draws){0};
}

bool draws_next(struct draws *draws)
{
    draws->place = 0;
    draws->current++;
    if (!draws->is_replay)
        (void)append(draws);
    return draws->current < draws->count;
}

/* splitmix64 */
static uint64_t generate(struct draws *draws)
{
    uint64_t z = (draws->state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint32_t next_byte(struct draws *draws)
{
    if (draws->current >= draws->count)
        return 0;
    struct segment *segment = &draws->segments[draws->current];
    if (draws->is_replay)
        return draws->place < segment->count ? segment->bytes[draws->place++] : 0;
    if (segment->count == segment->capacity) {
        segment->capacity = mem_grow(segment->capacity, segment->count + 1);
        segment->bytes = mem_resize_array(segment->bytes, segment->capacity, 1);
    }
    uint8_t byte = (uint8_t)generate(draws);
    segment->bytes[segment->count++] = byte;
    return byte;
}

uint32_t draw(struct draws *draws, uint32_t below)
{
    if (below <= 1)
        return 0;
    if (below <= 256)
        return next_byte(draws) % below;
    uint32_t high = next_byte(draws);
    return (high << 8 | next_byte(draws)) % below;
}

uint32_t draw_between(struct draws *draws, uint32_t lowest, uint32_t highest)
{
    return lowest + draw(draws, highest - lowest + 1);
}

bool draw_chance(struct draws *draws, uint32_t per_256)
{
    return per_256 > 0 && next_byte(draws) >= 256 - per_256;
}
