/* A rule: one expectation with its arguments, from the DAG file or from a suite; what it compiles
 * to; and what came of it. Rules live in the validation's arena. */
#ifndef MILLRACE_TASKS_VALIDATE_RULE_H
#define MILLRACE_TASKS_VALIDATE_RULE_H

#include "base/arena.h"
#include "base/err.h"

#include <jansson.h>

struct catalogue_entry;

enum severity { SEVERITY_CRITICAL, SEVERITY_WARNING, SEVERITY_INFO };

#define RULE_METRICS_MAX 6
#define RULE_VALUES_MAX 32

struct rule {
    const struct catalogue_entry *entry;
    json_t *kwargs; /* owned; arguments without severity, meta, id and description */
    enum severity severity;
    const json_t *meta;      /* owned through `source`; may be NULL */
    const char *id;          /* may be NULL */
    const char *description; /* may be NULL */
    json_t *source;          /* owned: what it was made of */
    double mostly;
    const char *condition; /* SQL; NULL = all rows */
    const char *subject;   /* what the rule is about: "user_id", "a, b", "" */

    /* Compiled: SQL expressions that are never NULL, and places in the scan. */
    const char *considered; /* which rows of the domain are looked at */
    const char *bad;        /* which of those fall short */
    const char *values[RULE_VALUES_MAX];
    size_t value_count;
    bool counts_missing; /* null and not-null rules don't, as in GX */
    bool distinct_only;  /* distinct rules: no values outside the set */
    bool distinct_all;   /* distinct rules: every member of the set */

    /* Rules of pass 2 alone. */
    const char *from;   /* FROM item with the columns that `bad` and `values` name */
    const char *weight; /* how many rows a row of it stands for; NULL = one */
    bool sorted;        /* its rows come in no fixed order, so samples are sorted */
    const char *query;  /* what the rule asks instead of the scan */

    size_t metrics[RULE_METRICS_MAX];
    size_t metric_count;
    const char *sql; /* what was asked, for the report; may be NULL */

    /* Outcome. */
    bool success;
    const char *exception; /* the expectation could not be judged; NULL = it was */
    const char *warning;   /* may be NULL */
    bool has_counts;
    int64_t elements;
    int64_t missing;
    int64_t unexpected;
    const char *samples;       /* JSON array; may be NULL */
    const char *sample_counts; /* JSON array; may be NULL */
    const char *observed;      /* JSON; NULL = no observed_value */
    const char *details;       /* JSON object; may be NULL */
    const char *summary;       /* "17 of 20000 rows" */
};

struct rules {
    struct rule **items;
    size_t count;
    size_t capacity;
    const char *suite_name; /* may be NULL */
};

/* Adds the rules of a task's `expectations` (checked by the option tables), or of a GX suite's
 * document. ERR_INVALID names the entry and what is wrong with it. */
bool rules_add_options(struct rules *rules, struct arena *arena, const json_t *expectations,
                       struct err *err);
bool rules_add_suite(struct rules *rules, struct arena *arena, const json_t *suite,
                     struct err *err);
void rules_release(struct rules *rules);

const char *severity_name(enum severity severity);

/* "expect_column_values_to_not_be_null(user_id)", in the arena. */
const char *rule_title(const struct rule *rule, struct arena *arena);

#endif
