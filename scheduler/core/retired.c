/* What has ended within a turn: kept until the turn's decisions, which borrow its strings, have
 * been cleared. An empty list of decisions at the begin of a step tells of that. */
#include "base/mem.h"
#include "scheduler/core/parts.h"

static struct retired *add(struct core *core)
{
    if (core->retired_count == core->retired_capacity) {
        core->retired_capacity = mem_grow(core->retired_capacity, core->retired_count + 1);
        core->retired =
            mem_resize_array(core->retired, core->retired_capacity, sizeof(struct retired));
    }
    struct retired *retired = &core->retired[core->retired_count++];
    *retired = (struct retired){0};
    return retired;
}

void retire_attempt(struct core *core, struct attempt_live *attempt)
{
    add(core)->attempt = attempt;
}

void retire_run(struct core *core, struct run *run)
{
    add(core)->run = run;
}

void retire_dag(struct core *core, struct dag *dag)
{
    add(core)->dag = dag;
}

void retire_backfill(struct core *core, struct backfill *backfill)
{
    add(core)->backfill = backfill;
}

void unretire_backfill(struct core *core, struct backfill *backfill)
{
    backfill->is_retired = false;
    for (size_t i = 0; i < core->retired_count; i++)
        if (core->retired[i].backfill == backfill)
            core->retired[i].backfill = NULL;
}

void retired_free(struct core *core)
{
    for (size_t i = 0; i < core->retired_count; i++) {
        struct retired *retired = &core->retired[i];
        if (retired->attempt != NULL)
            attempts_free(retired->attempt);
        if (retired->run != NULL)
            run_free(core, retired->run);
        if (retired->backfill != NULL)
            backfill_free(core, retired->backfill);
        dag_unref(retired->dag);
    }
    core->retired_count = 0;
}
