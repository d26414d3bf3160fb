/* What the compilers of expectations share: columns, arguments and the three counts of a
 * row-level rule. */
#ifndef MILLRACE_TASKS_VALIDATE_COMPILE_H
#define MILLRACE_TASKS_VALIDATE_COMPILE_H

#include "tasks/validate/catalogue.h"

struct compiled_column {
    const char *sql;  /* the quoted name */
    const char *text; /* as VARCHAR */
    const char *name;
    const char *type;
};

/* The column an argument names. False with GX's message when the data has no such column. */
bool rule_compile_column(const struct validation *v, const char *name, struct compiled_column *ret,
                         struct err *err);
bool rule_compile_column_of(const struct validation *v, const struct rule *rule,
                            struct compiled_column *ret, struct err *err);

const char *rule_string(const struct rule *rule, const char *key);
bool rule_flag(const struct rule *rule, const char *key);

/* A row-level rule: `considered` says which rows are looked at, `good` what must hold of them (NULL
 * counts as bad). Adds the metrics of the scan. Always true. */
bool rule_compile_rows(struct validation *v, struct rule *rule, const char *considered,
                       const char *good);

/* The same of a rule with a query of its own: rule->from is set, `bad` is said of its rows. */
bool rule_compile_query_rows(struct validation *v, struct rule *rule, const char *bad);

/* "(x >= 1) AND (x <= 5)" of the rule's bounds for an expression; a string is read as the type's
 * time. False when a bound can't be compared with the type. */
bool rule_compile_range(const struct validation *v, const struct rule *rule, const char *expression,
                        const char *type, const char **ret_sql, struct err *err);

/* "aggregate FILTER (WHERE condition)", or the bare aggregate. */
const char *rule_compile_filtered(const struct validation *v, const struct rule *rule,
                                  const char *aggregate);

#endif
