/* The catalogue: every expectation with the functions that compile and judge it, from
 * tasks/validate/expectations.def. */
#ifndef MILLRACE_TASKS_VALIDATE_CATALOGUE_H
#define MILLRACE_TASKS_VALIDATE_CATALOGUE_H

#include "tasks/validate/validation.h"

struct catalogue_entry {
    const char *name;
    int pass; /* 0 = footer and manifest, 1 = in the one scan, 2 = a query of its own */

    /* Turns the arguments into SQL and metrics of the scan. False: the rule can't be judged, and
     * the message says why (an unknown column, a type that does not fit). */
    bool (*compile)(struct validation *v, struct rule *rule, struct err *err);

    /* Reads the metrics, asks what else it needs, and sets the outcome. */
    bool (*judge)(struct validation *v, struct rule *rule, struct err *err);
};

/* The entry of an expectation's name, or NULL. */
const struct catalogue_entry *catalogue_find(const char *name);

/* The functions by the names in expectations.def: rows.c has the row-level rules, aggregates.c what
 * sums up a column, queries.c the rules with a query of their own, table.c those about the table.
 */
#define EXPECT_NAMED(text, table, shape, compile, judge, pass, doc)                                \
    bool rule_compile_##compile(struct validation *v, struct rule *rule, struct err *err);
#include "tasks/validate/expectations.def"

bool judge_map(struct validation *v, struct rule *rule, struct err *err);
bool judge_range(struct validation *v, struct rule *rule, struct err *err);
bool judge_settled(struct validation *v, struct rule *rule, struct err *err);
bool judge_quantiles(struct validation *v, struct rule *rule, struct err *err);
bool judge_divergence(struct validation *v, struct rule *rule, struct err *err);
bool judge_distinct(struct validation *v, struct rule *rule, struct err *err);
bool judge_most_common(struct validation *v, struct rule *rule, struct err *err);
bool judge_other_count(struct validation *v, struct rule *rule, struct err *err);
bool judge_rows(struct validation *v, struct rule *rule, struct err *err);
bool judge_row_change(struct validation *v, struct rule *rule, struct err *err);

#endif
