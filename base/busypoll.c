#include "base/busypoll.h"

#include "base/clock.h"

#include <sched.h>

static bool is_within(const struct busypoll *busypoll)
{
    return clock_mono_us() - busypoll->rested_us <= busypoll->window_us;
}

void busypoll_begin(struct busypoll *busypoll)
{
    if (busypoll->is_handling)
        return;
    busypoll->is_handling = true;
    busypoll->is_soon = is_within(busypoll);
}

bool busypoll_end(struct busypoll *busypoll)
{
    if (!busypoll->is_handling)
        return false;
    busypoll->is_handling = false;
    busypoll->rested_us = clock_mono_us();
    return busypoll->is_soon;
}

bool busypoll_goes_on(const struct busypoll *busypoll)
{
    if (!busypoll->is_soon || !is_within(busypoll))
        return false;
    (void)sched_yield();
    return true;
}
