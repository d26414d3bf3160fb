/* Airflow's trigger rules, early decisions included: each is judged from the tally of a task's
 * upstreams, whenever one of them ends. */
#include "scheduler/core/parts.h"

/* One judge per rule. `u` = number of upstreams, done = all of them have ended. Every judge decides
 * once all are done, so a run can't get stuck. */
struct view {
    uint32_t u;
    uint32_t success;
    uint32_t failed;      /* failed and upstream_failed */
    uint32_t only_failed; /* without upstream_failed */
    uint32_t skipped;
    const struct task *task;
    uint32_t setup_success;
    uint32_t setup_failed;
    bool done;
};

typedef enum verdict (*judge)(const struct view *v);

static enum verdict all_success(const struct view *v)
{
    if (v->failed > 0)
        return VERDICT_UPSTREAM_FAILED;
    if (v->skipped > 0)
        return VERDICT_SKIP;
    return v->done ? VERDICT_RUN : VERDICT_WAIT;
}

static enum verdict all_failed(const struct view *v)
{
    if (v->success > 0 || v->skipped > 0)
        return VERDICT_SKIP;
    return v->done ? VERDICT_RUN : VERDICT_WAIT;
}

static enum verdict all_done(const struct view *v)
{
    return v->done ? VERDICT_RUN : VERDICT_WAIT;
}

static enum verdict all_done_min_one_success(const struct view *v)
{
    if (v->skipped > 0)
        return VERDICT_SKIP;
    if (!v->done)
        return VERDICT_WAIT;
    return v->success > 0 ? VERDICT_RUN : VERDICT_UPSTREAM_FAILED;
}

static enum verdict all_skipped(const struct view *v)
{
    if (v->success > 0 || v->failed > 0)
        return VERDICT_SKIP;
    return v->done ? VERDICT_RUN : VERDICT_WAIT;
}

static enum verdict one_success(const struct view *v)
{
    if (v->success > 0)
        return VERDICT_RUN;
    if (!v->done)
        return VERDICT_WAIT;
    return v->skipped == v->u ? VERDICT_SKIP : VERDICT_UPSTREAM_FAILED;
}

static enum verdict one_failed(const struct view *v)
{
    if (v->failed > 0)
        return VERDICT_RUN;
    return v->done ? VERDICT_SKIP : VERDICT_WAIT;
}

static enum verdict one_done(const struct view *v)
{
    if (v->success + v->only_failed > 0)
        return VERDICT_RUN;
    return v->done ? VERDICT_SKIP : VERDICT_WAIT;
}

static enum verdict none_failed(const struct view *v)
{
    if (v->failed > 0)
        return VERDICT_UPSTREAM_FAILED;
    return v->done ? VERDICT_RUN : VERDICT_WAIT;
}

static enum verdict none_failed_min_one_success(const struct view *v)
{
    if ((PLANTED(UPSTREAM_FAILED_OVERLOOKED) ? v->only_failed : v->failed) > 0)
        return VERDICT_UPSTREAM_FAILED;
    if (!v->done)
        return VERDICT_WAIT;
    return v->success > 0 ? VERDICT_RUN : VERDICT_SKIP;
}

static enum verdict none_skipped(const struct view *v)
{
    if (v->skipped > 0)
        return VERDICT_SKIP;
    return v->done ? VERDICT_RUN : VERDICT_WAIT;
}

static enum verdict always(const struct view *v)
{
    (void)v;
    return VERDICT_RUN;
}

/* Setups that are no part of the run's backfill are not asked for. */
static bool has_setups(const struct task *task)
{
    const struct dag_task *spec = task_spec(task);
    const struct run *run = task->run;

    for (uint32_t i = 0; i < spec->upstream_count && spec->upstream_setups > 0; i++)
        if (run->dag->tasks[spec->upstream[i]].is_setup &&
            !run->tasks[spec->upstream[i]].is_outside)
            return true;
    return false;
}

/* That of a teardown: it undoes what at least one of its setups has done. */
static enum verdict all_done_setup_success(const struct view *v)
{
    if (!v->done)
        return VERDICT_WAIT;
    if (v->setup_success > 0 || !has_setups(v->task))
        return VERDICT_RUN;
    return v->setup_failed == 0 ? VERDICT_SKIP : VERDICT_UPSTREAM_FAILED;
}

static const judge judges[TRIGGER_RULE_COUNT] = {
    [TRIGGER_RULE_ALL_SUCCESS] = all_success,
    [TRIGGER_RULE_ALL_FAILED] = all_failed,
    [TRIGGER_RULE_ALL_DONE] = all_done,
    [TRIGGER_RULE_ALL_DONE_MIN_ONE_SUCCESS] = all_done_min_one_success,
    [TRIGGER_RULE_ALL_SKIPPED] = all_skipped,
    [TRIGGER_RULE_ONE_SUCCESS] = one_success,
    [TRIGGER_RULE_ONE_FAILED] = one_failed,
    [TRIGGER_RULE_ONE_DONE] = one_done,
    [TRIGGER_RULE_NONE_FAILED] = none_failed,
    [TRIGGER_RULE_NONE_FAILED_MIN_ONE_SUCCESS] = none_failed_min_one_success,
    [TRIGGER_RULE_NONE_SKIPPED] = none_skipped,
    [TRIGGER_RULE_ALWAYS] = always,
    [TRIGGER_RULE_ALL_DONE_SETUP_SUCCESS] = all_done_setup_success,
};

static enum verdict judge_upstreams(const struct task *task)
{
    const struct tally *tally = &task->tally;
    struct view v = {.u = task->upstream_total,
                     .success = tally->success,
                     .failed = tally->failed + tally->upstream_failed,
                     .only_failed = tally->failed,
                     .skipped = tally->skipped,
                     .task = task,
                     .setup_success = tally->setup_success,
                     .setup_failed = tally->setup_failed};

    /* A task without upstreams satisfies every rule. */
    if (v.u == 0)
        return VERDICT_RUN;
    v.done = v.success + v.failed + v.skipped + PLANTED(WRONG_DEPENDENCY_TEST) >= v.u;
    return judges[task_spec(task)->trigger_rule](&v);
}

enum verdict rule_verdict(const struct task *node)
{
    if (node->tally.guard_failed > 0)
        return VERDICT_UPSTREAM_FAILED;
    if (node->tally.guard_skipped > 0)
        return VERDICT_SKIP;
    enum verdict verdict = judge_upstreams(node);
    bool is_guarded = node->tally.guard_success < node->guard_total;
    return verdict == VERDICT_RUN && is_guarded ? VERDICT_WAIT : verdict;
}
