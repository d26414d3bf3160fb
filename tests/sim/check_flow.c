/* Invariants of the way that runs take: trigger rules, branches, conditions and mapping. */
#include "tests/sim/sim.h"

#include <string.h>

/* Not because the run ends early, or a person says so. */
static bool is_by_rule(const struct task_row *row)
{
    static const char *const others[] = {"upstream_failed:", "branch:", "when:", "expand:"};
    enum trigger_rule rule;
    struct str reason = str_from(row->reason);

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (str_starts(reason, str_from(others[i])))
            return true;
    return trigger_rule_parse(str_sub(reason, 0, str_find(reason, ':', 0)), &rule);
}

static const char *fate_name(enum naive_verdict verdict)
{
    static const char *const names[] = {"wait", "run", "be skipped", "be upstream_failed", "fail"};

    return names[verdict];
}

static enum naive_verdict way_of(const struct task_row *row)
{
    switch (row->state) {
    case TASK_SCHEDULED:
    case TASK_DEFERRED:
        return NAIVE_RUN;
    case TASK_SKIPPED:
        return is_by_rule(row) ? NAIVE_SKIP : NAIVE_WAIT;
    case TASK_UPSTREAM_FAILED:
        return NAIVE_UPSTREAM_FAILED;
    case TASK_FAILED:
        return is_by_rule(row) ? NAIVE_FAIL : NAIVE_WAIT;
    case TASK_NONE:
    case TASK_QUEUED:
    case TASK_RUNNING:
    case TASK_SUCCESS:
    case TASK_UP_FOR_RETRY:
    case TASK_UP_FOR_RESCHEDULE:
    case TASK_REMOVED:
    case TASK_RESTARTING:
    case TASK_STATE_COUNT:
        break;
    }
    return NAIVE_WAIT;
}

/* An instance is there for an item, or its item is gone. */
static void check_has_item(struct sim *sim, const struct stored_run *run,
                           const struct task_row *before, const struct task_row *row)
{
    bool leaves = row->state == TASK_REMOVED;
    bool returns = before->state == TASK_REMOVED && row->state == TASK_NONE;

    if (row->map_index < 0 || !(leaves || returns) ||
        !str_starts(str_from(row->reason), STR("expand:")))
        return;
    uint32_t count = look_fate(sim, run, row->task).count;
    if (leaves == ((uint32_t)row->map_index < count))
        sim_fail(sim, "I1: run %lld: %s[%d] is %s, its list calls for %u", (long long)row->run,
                 row->task_id, row->map_index, leaves ? "removed" : "there again", count);
}

/* I1: a task that waits starts, or ends without a start, only as its trigger rule, the branches
 * before it, its condition and its lists say of what has been committed. */
void check_way(struct sim *sim, const struct stored_run *run, const struct task_row *before,
               const struct task_row *row)
{
    enum naive_verdict way = way_of(row);

    check_has_item(sim, run, before, row);
    if (before->state != TASK_NONE || way == NAIVE_WAIT)
        return;
    /* A change may free a task from the run before, and then change its upstreams: all at once. */
    if (way == NAIVE_RUN && sim->has_past && sim->cause != NULL && loop_is_change(sim->cause))
        return;
    struct look_fate fate = look_fate(sim, run, row->task);
    for (size_t told = sim->ended_count; way != fate.verdict && told-- > 0;)
        fate = look_fate_then(sim, run, row->task, told);
    if (way != fate.verdict)
        sim_fail(sim, "I1: run %lld: %s becomes %s (%s), and by %s should %s", (long long)row->run,
                 row->task_id, task_state_name(row->state),
                 row->reason == NULL ? "no reason" : row->reason,
                 fate.verdict == fate.by_rule ? "its rule and branches" : "its condition and lists",
                 fate_name(fate.verdict));
    if (way == NAIVE_RUN && (row->map_index >= 0) != (fate.count > 0))
        sim_fail(sim, "I1: run %lld: %s is scheduled %s", (long long)row->run, row->task_id,
                 fate.count > 0 ? "before it is mapped" : "as if it were mapped");
    if (way == NAIVE_RUN && row->map_index >= 0 && (uint32_t)row->map_index >= fate.count)
        sim_fail(sim, "I1: run %lld: %s[%d] is scheduled, its list calls for %u",
                 (long long)row->run, row->task_id, row->map_index, fate.count);
}

/* A mapped task has an instance for each item of its lists. */
void check_expand(struct sim *sim, const struct decision_expand *expand)
{
    const struct stored_run *run = rows_run(&sim->rows, expand->row.run);
    struct look_fate fate = look_fate(sim, run, expand->row.task);

    if (fate.verdict != NAIVE_RUN || expand->count != fate.count)
        sim_fail(sim, "I1: run %lld: %s becomes %u instances, its lists call for %u (it should %s)",
                 (long long)expand->row.run, expand->row.task_id, expand->count, fate.count,
                 fate_name(fate.verdict));
}

/* A branch succeeds when it can choose, and fails otherwise. */
void check_branch(struct sim *sim, const struct attempt_row *row)
{
    const struct stored_run *run = rows_run(&sim->rows, row->run);
    const struct event *cause = sim->cause;

    if (run->dag->tasks[row->task].branch == NULL || row->ended_at_us == 0 ||
        row->stop_reason != NULL || cause == NULL || cause->kind != EVENT_ATTEMPT_ENDED ||
        strcmp(cause->as.attempt_ended.token, row->token) != 0 ||
        cause->as.attempt_ended.outcome != OUTCOME_SUCCESS)
        return;
    bool can = look_can_choose(sim, run, row->task, cause->as.attempt_ended.outputs);
    if (can != (row->state == TASK_SUCCESS))
        sim_fail(sim, "I1: run %lld: branch %u ends as %s, and can%s choose", (long long)row->run,
                 row->task, task_state_name(row->state), can ? "" : "not");
}
