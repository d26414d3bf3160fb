/* One validation: a table, the rules, and the scan that answers most of them at once.
 *
 * Nothing here knows of attempts or of how datasets are published: tasks/validate/run.c brings the
 * FROM item and what else a rule may ask for. */
#ifndef MILLRACE_TASKS_VALIDATE_VALIDATION_H
#define MILLRACE_TASKS_VALIDATE_VALIDATION_H

#include "base/buf.h"
#include "tasks/engine/engine.h"
#include "tasks/validate/rule.h"

/* The name of the view over the dataset. */
#define VALIDATION_BATCH "millrace_batch"

/* Samples of what was unexpected, and members of a listed set: at most this many. */
#define VALIDATION_SAMPLES 20

struct validation_column {
    const char *name;
    const char *type;
};

/* An expression of the scan, and its value once the scan has run. */
struct validation_metric {
    const char *sql;
    bool is_null;
    int64_t integer;
    const char *json;
};

/* Appends the FROM item of another dataset to `sql`; it stays readable until the validation ends.
 * `context` is validation.context. */
typedef bool (*validation_open_other)(void *context, const char *path, struct buf *sql,
                                      struct err *err);

struct validation {
    struct arena *arena; /* borrowed */
    struct engine *engine;
    struct rules *rules;
    int64_t as_of_us;      /* the end of the data interval; 0 = none */
    const json_t *history; /* manifests of earlier partitions, newest first; NULL = none */
    validation_open_other open_other; /* may be NULL */
    void *context;
    double valid_rows_pct; /* of `sla`; < 0 = none */

    struct validation_column *columns;
    size_t column_count;
    struct validation_metric *metrics;
    size_t metric_count;
    size_t metric_capacity;

    /* Outcome. */
    int64_t rows;
    int64_t valid_rows; /* rows that meet every row-level rule of the scan; with sla only */
    bool sla_success;
    size_t successful;
    size_t failed;          /* of any severity */
    size_t failed_critical; /* of severity critical */
};

/* Makes the view over `from_item` and reads its columns. */
bool validation_open(struct validation *v, const char *from_item, struct err *err);

/* Judges every rule. Fails only where no rule can be judged at all (the data can't be read); a rule
 * that can't be judged has failed and carries its exception. */
bool validation_run(struct validation *v, struct err *err);
void validation_release(struct validation *v);

/* The column, by exact name and then as SQL compares names; NULL when there is none. */
const struct validation_column *validation_find_column(const struct validation *v,
                                                       const char *name);

/* Adds an expression to the scan, once for equal texts; returns its place. */
size_t validation_add_metric(struct validation *v, const char *sql);

/* FROM and WHERE of a rule's rows: " FROM … WHERE (condition) AND (considered)". */
const char *validation_rows_of(const struct validation *v, const struct rule *rule);

#endif
