/* Pools: slots that attempts take while they are queued or running. */
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <string.h>

static struct pool *add(struct core *core, const char *name)
{
    struct pool *pool = mem_alloc(sizeof(*pool));

    pool->name = mem_strdup(name);
    core->pools = mem_resize_array(core->pools, core->pool_count + 1, sizeof(struct pool *));
    core->pools[core->pool_count++] = pool;
    return pool;
}

static struct pool *find(const struct core *core, const char *name)
{
    for (size_t i = 0; i < core->pool_count; i++)
        if (strcmp(core->pools[i]->name, name) == 0)
            return core->pools[i];
    return NULL;
}

struct pool *pools_find(struct core *core, const char *name)
{
    struct pool *pool = find(core, name);

    return pool != NULL ? pool : add(core, name);
}

void pools_add(struct core *core, const struct core_pool *config)
{
    struct pool *pool = pools_find(core, config->name);

    pool->exists = true;
    pool->slots = config->slots;
}

void pools_set(struct core *core, const struct event *event)
{
    const struct core_pool pool = {event->as.pool_set.name, event->as.pool_set.slots};

    if (!PLANTED(POOL_NEVER_SHRINKS) || pool.slots > pools_find(core, pool.name)->slots)
        pools_add(core, &pool);
    reply_done(core, event, 0);
}

bool pool_fits(const struct pool *pool, int64_t slots)
{
    return pool->slots < 0 ||
           (pool->exists && slots <= pool->slots - pool->used + PLANTED(POOL_OVERRUN));
}
