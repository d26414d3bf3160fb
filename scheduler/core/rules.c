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
    if (v->failed > 0)
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
};

enum verdict rule_verdict(enum trigger_rule rule, const struct tally *tally,
                          uint32_t upstream_count)
{
    struct view v = {.u = upstream_count,
                     .success = tally->success,
                     .failed = tally->failed + tally->upstream_failed,
                     .only_failed = tally->failed,
                     .skipped = tally->skipped};

    /* A task without upstreams satisfies every rule. */
    if (upstream_count == 0)
        return VERDICT_RUN;
    v.done = v.success + v.failed + v.skipped == v.u;
    return judges[rule](&v);
}
