/* What a task knows of those it waits for: counters, which each of them changes once when it ends,
 * and takes back when it is cleared. */
#include "scheduler/core/parts.h"

/* Setups are counted by themselves too, for their teardowns. */
static void count_upstream(struct tally *tally, const struct task *from, enum task_state state,
                           uint32_t by)
{
    bool is_setup = task_spec(from)->is_setup;

    switch (state) {
    case TASK_SUCCESS:
        tally->success += by;
        tally->setup_success += is_setup ? by : 0;
        break;
    case TASK_FAILED:
        tally->failed += by;
        tally->setup_failed += is_setup ? by : 0;
        break;
    case TASK_UPSTREAM_FAILED:
        tally->upstream_failed += by;
        tally->setup_failed += is_setup ? by : 0;
        break;
    case TASK_SKIPPED:
        tally->skipped += PLANTED(SKIPS_NOT_COUNTED) ? 0 : by;
        break;
    case TASK_REMOVED: /* no longer among those that are waited for */
    case TASK_NONE:
    case TASK_SCHEDULED:
    case TASK_QUEUED:
    case TASK_RUNNING:
    case TASK_UP_FOR_RETRY:
    case TASK_UP_FOR_RESCHEDULE:
    case TASK_DEFERRED:
    case TASK_RESTARTING:
    case TASK_STATE_COUNT:
        break;
    }
}

static void count_guard(struct tally *tally, enum task_state state, uint32_t by)
{
    if (task_state_is_failed(state))
        tally->guard_failed += by;
    else if (state == TASK_SKIPPED)
        tally->guard_skipped += by;
    else if (state == TASK_SUCCESS)
        tally->guard_success += by;
}

void tally_spread(const struct task *task, enum task_state state, int by)
{
    const struct dag_task *spec = task_spec(task);
    struct task *tasks = task->run->tasks;

    if (task_node(task)->is_outside)
        return;
    for (uint32_t i = 0; i < spec->downstream_count; i++)
        count_upstream(&tasks[spec->downstream[i]].tally, task, state, (uint32_t)by);
    for (uint32_t i = 0; i < spec->guarded_count; i++)
        count_guard(&tasks[spec->guarded[i]].tally, state, (uint32_t)by);
}

void tally_expect(const struct task *task, uint32_t more)
{
    const struct dag_task *spec = task_spec(task);
    struct task *tasks = task->run->tasks;

    if (task_node(task)->is_outside)
        return;
    for (uint32_t i = 0; i < spec->downstream_count; i++)
        tasks[spec->downstream[i]].upstream_total += more;
    for (uint32_t i = 0; i < spec->guarded_count; i++)
        tasks[spec->guarded[i]].guard_total += more;
}
