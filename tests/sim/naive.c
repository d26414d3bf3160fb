/* The trigger rules once more, read off the states of all upstreams, as the table in the notes on
 * Airflow says them. Shares nothing with scheduler/core/rules.c. */
#include "tests/sim/naive.h"

struct counts {
    uint32_t all;
    uint32_t ended;
    uint32_t succeeded;
    uint32_t failed;
    uint32_t upstream_failed;
    uint32_t skipped;
};

static struct counts count_states(const enum task_state *upstreams, uint32_t count)
{
    struct counts c = {0};

    for (uint32_t i = 0; i < count; i++) {
        if (upstreams[i] == TASK_REMOVED)
            continue; /* nothing to wait for */
        c.all++;
        c.ended += task_state_is_final(upstreams[i]);
        c.succeeded += upstreams[i] == TASK_SUCCESS;
        c.failed += upstreams[i] == TASK_FAILED;
        c.upstream_failed += upstreams[i] == TASK_UPSTREAM_FAILED;
        c.skipped += upstreams[i] == TASK_SKIPPED;
    }
    return c;
}

/* What can be said before all upstreams have ended; WAIT if nothing. */
static enum naive_verdict early(enum trigger_rule rule, const struct counts *c)
{
    bool any_failed = c->failed + c->upstream_failed > 0;

    switch (rule) {
    case TRIGGER_RULE_ALWAYS:
        return NAIVE_RUN;
    case TRIGGER_RULE_ONE_SUCCESS:
        return c->succeeded > 0 ? NAIVE_RUN : NAIVE_WAIT;
    case TRIGGER_RULE_ONE_FAILED:
        return any_failed ? NAIVE_RUN : NAIVE_WAIT;
    case TRIGGER_RULE_ONE_DONE:
        return c->succeeded + c->failed > 0 ? NAIVE_RUN : NAIVE_WAIT;
    case TRIGGER_RULE_ALL_SUCCESS:
        return any_failed ? NAIVE_UPSTREAM_FAILED : c->skipped > 0 ? NAIVE_SKIP : NAIVE_WAIT;
    case TRIGGER_RULE_ALL_FAILED:
        return c->succeeded + c->skipped > 0 ? NAIVE_SKIP : NAIVE_WAIT;
    case TRIGGER_RULE_ALL_SKIPPED:
        return c->succeeded > 0 || any_failed ? NAIVE_SKIP : NAIVE_WAIT;
    case TRIGGER_RULE_NONE_FAILED:
    case TRIGGER_RULE_NONE_FAILED_MIN_ONE_SUCCESS:
        return any_failed ? NAIVE_UPSTREAM_FAILED : NAIVE_WAIT;
    case TRIGGER_RULE_NONE_SKIPPED:
    case TRIGGER_RULE_ALL_DONE_MIN_ONE_SUCCESS:
        return c->skipped > 0 ? NAIVE_SKIP : NAIVE_WAIT;
    case TRIGGER_RULE_ALL_DONE:
    case TRIGGER_RULE_ALL_DONE_SETUP_SUCCESS: /* no world has setups */
    case TRIGGER_RULE_COUNT:
        break;
    }
    return NAIVE_WAIT;
}

/* All upstreams have ended, and nothing could be said before. */
static enum naive_verdict late(enum trigger_rule rule, const struct counts *c)
{
    switch (rule) {
    case TRIGGER_RULE_ONE_SUCCESS:
        return c->skipped == c->all ? NAIVE_SKIP : NAIVE_UPSTREAM_FAILED;
    case TRIGGER_RULE_ONE_FAILED:
    case TRIGGER_RULE_ONE_DONE:
        return NAIVE_SKIP;
    case TRIGGER_RULE_NONE_FAILED_MIN_ONE_SUCCESS:
        return c->succeeded > 0 ? NAIVE_RUN : NAIVE_SKIP;
    case TRIGGER_RULE_ALL_DONE_MIN_ONE_SUCCESS:
        return c->succeeded > 0 ? NAIVE_RUN : NAIVE_UPSTREAM_FAILED;
    case TRIGGER_RULE_ALL_SUCCESS:
    case TRIGGER_RULE_ALL_FAILED:
    case TRIGGER_RULE_ALL_DONE:
    case TRIGGER_RULE_ALL_DONE_SETUP_SUCCESS:
    case TRIGGER_RULE_ALL_SKIPPED:
    case TRIGGER_RULE_NONE_FAILED:
    case TRIGGER_RULE_NONE_SKIPPED:
    case TRIGGER_RULE_ALWAYS:
    case TRIGGER_RULE_COUNT:
        break;
    }
    return NAIVE_RUN;
}

enum naive_verdict naive_rule(enum trigger_rule rule, const enum task_state *upstreams,
                              uint32_t count)
{
    struct counts c = count_states(upstreams, count);

    if (c.all == 0)
        return NAIVE_RUN;
    enum naive_verdict verdict = early(rule, &c);
    return verdict != NAIVE_WAIT || c.ended < c.all ? verdict : late(rule, &c);
}

bool naive_is_early(enum trigger_rule rule)
{
    return rule == TRIGGER_RULE_ALWAYS || rule == TRIGGER_RULE_ONE_SUCCESS ||
           rule == TRIGGER_RULE_ONE_FAILED || rule == TRIGGER_RULE_ONE_DONE;
}
