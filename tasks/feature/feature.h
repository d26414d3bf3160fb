/* What the files of tasks/feature share: the plan that the options become, and its SQL.
 *
 * How it is computed. Each source is read once into a narrow table of events: entity, time (_t, in
 * microseconds), the moment from which the event may be seen (_enter: its time, or its arrival if
 * that is later and availability is strict), and one column per distinct value. An event counts
 * for a row at instant T if _enter <= T and T < _t + window. So for what can be subtracted (counts,
 * exact sums) an event adds its value at _enter and takes it away at _t + window, and one running
 * sum per entity over these changes and the rows' instants, sorted, gives every window of every
 * feature at once, however skewed the entities are. What can't be subtracted (min, max, first,
 * last, distinct counts, floats, whose subtraction loses digits) comes from one range join. */
#ifndef MILLRACE_TASKS_FEATURE_FEATURE_H
#define MILLRACE_TASKS_FEATURE_FEATURE_H

#include "millrace/attempt.h"
#include "tasks/engine/columns.h"
#include "tasks/publish/publish.h"

/* The schema of the plan's own tables. */
#define FEATURE_SCHEMA "millrace_feature"

enum aggregate {
    AGGREGATE_COUNT,
    AGGREGATE_COUNT_DISTINCT,
    AGGREGATE_SUM,
    AGGREGATE_MEAN,
    AGGREGATE_MIN,
    AGGREGATE_MAX,
    AGGREGATE_FIRST,
    AGGREGATE_LAST,
    AGGREGATE_STDDEV,
    AGGREGATE_INVALID,
};

/* A table that is read: the spine or a source. */
struct input {
    const char *path; /* of the dataset; borrowed from the options */
    const char *time;
    struct dataset *dataset;
    struct buf from; /* SQL after FROM */
    struct columns columns;
    const struct column_info *time_column;
};

/* A distinct (column, where) of a source: one column _v<index> of its events. */
struct value {
    const struct column_info *column; /* NULL: 1 per event */
    const char *where;
};

/* A distinct (value, window) whose count and sum are running sums: _n<index> and _s<index>. */
struct cell {
    size_t value;
    int64_t window_us; /* 0 = all of the past */
};

struct feature_source {
    const char *name;
    struct input input;
    const char *where;
    const struct column_info *available; /* NULL unless availability is strict */
    struct value *values;
    size_t value_count;
    struct cell *cells;
    size_t cell_count;
    size_t joined_count; /* features of the range join */
};

struct feature {
    const char *name;
    size_t source;
    enum aggregate aggregate;
    const struct column_info *column; /* NULL: count of events */
    const char *where;
    int64_t window_us; /* 0 = all of the past */
    char *fallback;    /* SQL literal or NULL */
    char *type;        /* of the result */
    bool is_joined;    /* by the range join; else from cells */
    size_t value;
    size_t cell;
};

struct plan {
    const json_t *options;
    const char **entity;
    size_t entity_count;
    bool has_spine;
    struct input spine;
    const struct column_info **keep; /* of the spine */
    size_t keep_count;
    int64_t as_of_us; /* of a snapshot */
    bool strict;
    struct feature_source *sources;
    size_t source_count;
    struct feature *features;
    size_t feature_count;
};

/* The instants that rows have; of a snapshot, both are its own. */
struct span {
    int64_t min_us;
    int64_t max_us;
};

/* Opens the datasets and resolves every name against their columns. On failure, too, the plan is to
 * be released. */
bool plan_make(const struct attempt *attempt, struct plan *plan, struct err *err);
void plan_release(struct plan *plan);

/* The name of an aggregate in the DAG file, and back (AGGREGATE_INVALID for an unknown one). */
const char *aggregate_name(enum aggregate aggregate);
enum aggregate aggregate_from(const char *name);

/* The SQL of each step, appended. The spine's table is needed before the events' where there is a
 * spine (its span tells which events matter), and after them in a snapshot. */
void compile_spine(const struct plan *plan, struct buf *sql);
void compile_events(const struct plan *plan, size_t source, struct span span, struct buf *sql);
void compile_running(const struct plan *plan, size_t source, struct buf *sql);
void compile_joined(const struct plan *plan, size_t source, struct buf *sql);

/* The SELECT of the result, in its order. */
void compile_result(const struct plan *plan, struct buf *sql);

/* One row: rows, no_entity, no_time, filtered of a source as it was read. */
void compile_source_counts(const struct plan *plan, size_t source, struct buf *sql);

#endif
