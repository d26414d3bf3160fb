/* Busy polling: who is likely to get the next event within microseconds does not go to sleep. To
 * wake a processor that sleeps takes 5 to 50 us, on a virtual machine at the upper end, and a chain
 * of short tasks wakes one four times a step. Who polls yields the processor to all who could use
 * it, and polls only where the last wait was short as well: where events are far apart, nobody
 * polls for longer than one window after each burst of them. */
#ifndef MILLRACE_BASE_BUSYPOLL_H
#define MILLRACE_BASE_BUSYPOLL_H

#include <stdbool.h>
#include <stdint.h>

struct busypoll {
    int64_t window_us; /* waits shorter than that are likely to be followed by another */
    int64_t rested_us; /* monotonic: since when we have been waiting */
    bool is_soon;      /* the last event came within the window */
    bool is_handling;  /* of an event, or several */
};

/* An event has come, and its handling begins; it may begin again before it ends. */
void busypoll_begin(struct busypoll *busypoll);

/* All that came, if anything, was handled: from here on we wait. Whether to begin to poll. */
bool busypoll_end(struct busypoll *busypoll);

/* Whether to look for an event once more instead of sleeping until it comes; if so, others had the
 * processor meanwhile. */
bool busypoll_goes_on(const struct busypoll *busypoll);

#endif
