/* Runs by what others know them by: row id, name, and logical date. By the latter two they are
 * found until the turn is over, because what the store was asked before the step may not know them
 * yet. */
#include "scheduler/core/parts.h"

struct run *runs_find(const struct core *core, int64_t id)
{
    struct run *run = NULL;

    HASH_FIND(hh, core->runs, &id, sizeof(id), run);
    return run;
}

static char *make_key(struct arena *arena, const char *dag_id, const char *name)
{
    return arena_printf(arena, "%s/%s", dag_id, name);
}

static char *make_date_key(struct arena *arena, const char *dag_id, int64_t date_us)
{
    return arena_printf(arena, "%s/%lld", dag_id, (long long)date_us);
}

bool run_known_by_name(const struct core *core, const char *dag_id, const char *run_id)
{
    struct run *run = NULL;
    struct arena arena = {0};
    const char *key = make_key(&arena, dag_id, run_id);

    HASH_FIND(hh_name, core->run_names, key, strlen(key), run);
    arena_release(&arena);
    return run != NULL;
}

bool run_known_by_date(const struct core *core, const char *dag_id, int64_t logical_date_us)
{
    struct run *run = NULL;
    struct arena arena = {0};
    const char *key = make_date_key(&arena, dag_id, logical_date_us);

    HASH_FIND(hh_date, core->run_dates, key, strlen(key), run);
    arena_release(&arena);
    return run != NULL;
}

/* A run that is processed again takes its names over from one that ended in this very turn. */
void run_names_add(struct core *core, struct run *run)
{
    struct run *old = NULL;

    run->name_key = make_key(&run->arena, run->row.dag_id, run->row.run_id);
    HASH_FIND(hh_name, core->run_names, run->name_key, strlen(run->name_key), old);
    if (old != NULL)
        HASH_DELETE(hh_name, core->run_names, old);
    HASH_ADD_KEYPTR(hh_name, core->run_names, run->name_key, strlen(run->name_key), run);
    if (run->row.logical_date_us == 0)
        return;
    run->date_key = make_date_key(&run->arena, run->row.dag_id, run->row.logical_date_us);
    HASH_FIND(hh_date, core->run_dates, run->date_key, strlen(run->date_key), old);
    if (old != NULL)
        HASH_DELETE(hh_date, core->run_dates, old);
    HASH_ADD_KEYPTR(hh_date, core->run_dates, run->date_key, strlen(run->date_key), run);
}

void run_names_remove(struct core *core, struct run *run)
{
    struct run *indexed = NULL;

    HASH_FIND(hh_name, core->run_names, run->name_key, strlen(run->name_key), indexed);
    if (indexed == run)
        HASH_DELETE(hh_name, core->run_names, run);
    if (run->date_key != NULL) {
        HASH_FIND(hh_date, core->run_dates, run->date_key, strlen(run->date_key), indexed);
        if (indexed == run)
            HASH_DELETE(hh_date, core->run_dates, run);
    }
}
