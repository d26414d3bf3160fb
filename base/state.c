#include "millrace/state.h"

#include <assert.h>

#define TABLE_LOOKUP(prefix, COUNT)                                                                \
    const char *prefix##_name(enum prefix value)                                                   \
    {                                                                                              \
        assert((unsigned)value < COUNT);                                                           \
        return prefix##_names[value];                                                              \
    }                                                                                              \
    bool prefix##_parse(struct str name, enum prefix *ret)                                         \
    {                                                                                              \
        for (unsigned i = 0; i < COUNT; i++) {                                                     \
            if (str_is(name, prefix##_names[i])) {                                                 \
                *ret = (enum prefix)i;                                                             \
                return true;                                                                       \
            }                                                                                      \
        }                                                                                          \
        return false;                                                                              \
    }

static const char *const run_state_names[] = {
#define RUN_STATE(name, text, final) text,
#include "millrace/states.def"
#undef RUN_STATE
};
static const char *const task_state_names[] = {
#define TASK_STATE(name, text, final, failed_like) text,
#include "millrace/states.def"
#undef TASK_STATE
};
static const char *const run_type_names[] = {
#define RUN_TYPE(name, text) text,
#include "millrace/enums.def"
#undef RUN_TYPE
};
static const char *const triggered_by_names[] = {
#define TRIGGERED_BY(name, text) text,
#include "millrace/enums.def"
#undef TRIGGERED_BY
};
static const char *const trigger_rule_names[] = {
#define TRIGGER_RULE(name, text) text,
#include "millrace/enums.def"
#undef TRIGGER_RULE
};
static const char *const weight_rule_names[] = {
#define WEIGHT_RULE(name, text) text,
#include "millrace/enums.def"
#undef WEIGHT_RULE
};
static const char *const reprocess_names[] = {
#define REPROCESS(name, text) text,
#include "millrace/enums.def"
#undef REPROCESS
};
static const char *const on_failure_names[] = {
#define ON_FAILURE(name, text) text,
#include "millrace/enums.def"
#undef ON_FAILURE
};
static const char *const callback_event_names[] = {
#define CALLBACK_EVENT(name, text) text,
#include "millrace/enums.def"
#undef CALLBACK_EVENT
};
static const char *const callback_state_names[] = {
#define CALLBACK_STATE(name, text) text,
#include "millrace/enums.def"
#undef CALLBACK_STATE
};
static const char *const deadline_reference_names[] = {
#define DEADLINE_REFERENCE(name, text) text,
#include "millrace/enums.def"
#undef DEADLINE_REFERENCE
};
static const char *const outcome_names[] = {
#define OUTCOME(name, text, retryable) text,
#include "millrace/enums.def"
#undef OUTCOME
};

TABLE_LOOKUP(run_state, RUN_STATE_COUNT)
TABLE_LOOKUP(task_state, TASK_STATE_COUNT)
TABLE_LOOKUP(run_type, RUN_TYPE_COUNT)
TABLE_LOOKUP(triggered_by, TRIGGERED_BY_COUNT)
TABLE_LOOKUP(trigger_rule, TRIGGER_RULE_COUNT)
TABLE_LOOKUP(weight_rule, WEIGHT_RULE_COUNT)
TABLE_LOOKUP(reprocess, REPROCESS_COUNT)
TABLE_LOOKUP(on_failure, ON_FAILURE_COUNT)
TABLE_LOOKUP(outcome, OUTCOME_COUNT)
TABLE_LOOKUP(callback_event, CALLBACK_EVENT_COUNT)
TABLE_LOOKUP(callback_state, CALLBACK_STATE_COUNT)
TABLE_LOOKUP(deadline_reference, DEADLINE_REFERENCE_COUNT)

bool run_state_is_final(enum run_state state)
{
    static const bool final_states[] = {
#define RUN_STATE(name, text, final) final,
#include "millrace/states.def"
#undef RUN_STATE
    };
    return final_states[state];
}

bool task_state_is_final(enum task_state state)
{
    static const bool final_states[] = {
#define TASK_STATE(name, text, final, failed_like) final,
#include "millrace/states.def"
#undef TASK_STATE
    };
    return final_states[state];
}

bool task_state_is_failed(enum task_state state)
{
    static const bool failed_states[] = {
#define TASK_STATE(name, text, final, failed_like) failed_like,
#include "millrace/states.def"
#undef TASK_STATE
    };
    return failed_states[state];
}

bool run_state_edge_is_legal(enum run_state from, enum run_state to)
{
    static const bool edges[RUN_STATE_COUNT][RUN_STATE_COUNT] = {
#define RUN_EDGE(a, b) [RUN_##a][RUN_##b] = true,
#include "millrace/states.def"
#undef RUN_EDGE
    };
    return edges[from][to];
}

bool task_state_edge_is_legal(enum task_state from, enum task_state to)
{
    static const bool edges[TASK_STATE_COUNT][TASK_STATE_COUNT] = {
#define TASK_EDGE(a, b) [TASK_##a][TASK_##b] = true,
#include "millrace/states.def"
#undef TASK_EDGE
    };
    return edges[from][to];
}

bool outcome_is_retryable(enum outcome outcome)
{
    static const bool retryable[] = {
#define OUTCOME(name, text, can_retry) can_retry,
#include "millrace/enums.def"
#undef OUTCOME
    };
    return retryable[outcome];
}
