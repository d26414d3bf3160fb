/* States of runs and task instances, and the small enums that go with them. The names are those of
 * Airflow's API; the tables are states.def and enums.def. */
#ifndef MILLRACE_STATE_H
#define MILLRACE_STATE_H

#include "base/str.h"

enum run_state {
#define RUN_STATE(name, text, final) RUN_##name,
#include "millrace/states.def"
#undef RUN_STATE
    RUN_STATE_COUNT
};

enum task_state {
#define TASK_STATE(name, text, final, failed_like) TASK_##name,
#include "millrace/states.def"
#undef TASK_STATE
    TASK_STATE_COUNT
};

enum run_type {
#define RUN_TYPE(name, text) RUN_TYPE_##name,
#include "millrace/enums.def"
#undef RUN_TYPE
    RUN_TYPE_COUNT
};

enum triggered_by {
#define TRIGGERED_BY(name, text) TRIGGERED_BY_##name,
#include "millrace/enums.def"
#undef TRIGGERED_BY
    TRIGGERED_BY_COUNT
};

enum trigger_rule {
#define TRIGGER_RULE(name, text) TRIGGER_RULE_##name,
#include "millrace/enums.def"
#undef TRIGGER_RULE
    TRIGGER_RULE_COUNT
};

enum weight_rule {
#define WEIGHT_RULE(name, text) WEIGHT_RULE_##name,
#include "millrace/enums.def"
#undef WEIGHT_RULE
    WEIGHT_RULE_COUNT
};

enum reprocess {
#define REPROCESS(name, text) REPROCESS_##name,
#include "millrace/enums.def"
#undef REPROCESS
    REPROCESS_COUNT
};

/* What a backfill does when one of its runs fails. */
enum on_failure {
#define ON_FAILURE(name, text) ON_FAILURE_##name,
#include "millrace/enums.def"
#undef ON_FAILURE
    ON_FAILURE_COUNT
};

enum callback_event {
#define CALLBACK_EVENT(name, text) CALLBACK_EVENT_##name,
#include "millrace/enums.def"
#undef CALLBACK_EVENT
    CALLBACK_EVENT_COUNT
};

enum callback_state {
#define CALLBACK_STATE(name, text) CALLBACK_STATE_##name,
#include "millrace/enums.def"
#undef CALLBACK_STATE
    CALLBACK_STATE_COUNT
};

enum deadline_reference {
#define DEADLINE_REFERENCE(name, text) DEADLINE_REFERENCE_##name,
#include "millrace/enums.def"
#undef DEADLINE_REFERENCE
    DEADLINE_REFERENCE_COUNT
};

/* How an attempt ended, as the worker reports it and as the core judges it. */
enum outcome {
#define OUTCOME(name, text, retryable) OUTCOME_##name,
#include "millrace/enums.def"
#undef OUTCOME
    OUTCOME_COUNT
};

const char *run_state_name(enum run_state state);
const char *task_state_name(enum task_state state);
const char *run_type_name(enum run_type type);
const char *triggered_by_name(enum triggered_by by);
const char *trigger_rule_name(enum trigger_rule rule);
const char *weight_rule_name(enum weight_rule rule);
const char *reprocess_name(enum reprocess reprocess);
const char *on_failure_name(enum on_failure on_failure);
const char *outcome_name(enum outcome outcome);
const char *callback_event_name(enum callback_event event);
const char *callback_state_name(enum callback_state state);
const char *deadline_reference_name(enum deadline_reference reference);

/* Each parser returns false, and leaves *ret alone, for a name that is not in its table. */
bool run_state_parse(struct str name, enum run_state *ret);
bool task_state_parse(struct str name, enum task_state *ret);
bool run_type_parse(struct str name, enum run_type *ret);
bool triggered_by_parse(struct str name, enum triggered_by *ret);
bool trigger_rule_parse(struct str name, enum trigger_rule *ret);
bool weight_rule_parse(struct str name, enum weight_rule *ret);
bool reprocess_parse(struct str name, enum reprocess *ret);
bool on_failure_parse(struct str name, enum on_failure *ret);
bool outcome_parse(struct str name, enum outcome *ret);
bool callback_event_parse(struct str name, enum callback_event *ret);
bool callback_state_parse(struct str name, enum callback_state *ret);
bool deadline_reference_parse(struct str name, enum deadline_reference *ret);

bool run_state_is_final(enum run_state state);
bool task_state_is_final(enum task_state state);
bool task_state_is_failed(enum task_state state); /* failed or upstream_failed */
bool run_state_edge_is_legal(enum run_state from, enum run_state to);
bool task_state_edge_is_legal(enum task_state from, enum task_state to);
bool outcome_is_retryable(enum outcome outcome);

#endif
