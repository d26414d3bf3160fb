/* All chance of a world comes from here: bytes out of a seeded generator, kept in segments (one for
 * the set-up, one per tick), so that a world can be replayed from them and made smaller: a tick's
 * bytes can be changed or taken out without moving those of any other. 0 is always the dullest
 * choice: no fault, the smallest number. */
#ifndef MILLRACE_SIM_DRAWS_H
#define MILLRACE_SIM_DRAWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct segment {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
};

struct draws {
    uint64_t state; /* of the generator */
    bool is_replay; /* bytes come from the segments; 0 when they are used up */
    struct segment *segments;
    size_t count;
    size_t capacity;
    size_t place; /* in the current segment, which is the last one begun */
    size_t current;
};

void draws_begin(struct draws *draws, uint64_t seed);
void draws_begin_replay(struct draws *draws); /* of the segments that are there */
void draws_copy(struct draws *to, const struct draws *from);
void draws_release(struct draws *draws);

/* The next segment; false in a replay that has no further one. */
bool draws_next(struct draws *draws);

/* A number below `below` (1 to 65536). */
uint32_t draw(struct draws *draws, uint32_t below);

/* lowest <= number <= highest */
uint32_t draw_between(struct draws *draws, uint32_t lowest, uint32_t highest);

/* True in `per_256` of 256 cases. */
bool draw_chance(struct draws *draws, uint32_t per_256);

#endif
