/* A checked DAG: what a DAG file says, as plain immutable data. scheduler/dagfile makes it; core,
 * store, web and CLI read it. */
#ifndef MILLRACE_DAG_H
#define MILLRACE_DAG_H

#include "base/arena.h"
#include "base/condition.h"
#include "millrace/state.h"
#include "millrace/task_kind.h"

#include <jansson.h>

struct zone; /* scheduler/core/zone.h */
struct cron; /* scheduler/core/cron.h */

enum schedule_kind {
    SCHEDULE_NONE,
    SCHEDULE_CRON,
    SCHEDULE_EVERY,
    SCHEDULE_ONCE,
    SCHEDULE_CONTINUOUS, /* the next run as soon as the last has ended */
    SCHEDULE_ASSETS,     /* when assets have been updated */
};

/* The condition of an asset schedule: a tree in prefix order. */
enum asset_node_kind { ASSET_IS_NEW, ASSET_ALL, ASSET_ANY };

struct asset_node {
    enum asset_node_kind kind;
    uint32_t asset; /* ASSET_IS_NEW: index in schedule.assets */
    uint32_t size;  /* nodes of this subtree, itself included */
};

struct schedule {
    enum schedule_kind kind;
    const char *text;        /* as written: "0 2 * * *", "@daily", "every 15m"; NULL for none */
    const struct cron *cron; /* SCHEDULE_CRON */
    int64_t every_us;        /* SCHEDULE_EVERY */

    /* SCHEDULE_ASSETS */
    const char *const *assets; /* the names in the condition, each once */
    uint32_t asset_count;
    const struct asset_node *condition;
    bool per_partition; /* a run for each partition that all it needs was updated of */
};

/* How a task waits for something outside of its DAG (sensors). */
enum wait_kind {
    WAIT_NONE,
    WAIT_POKE,     /* short attempts look again and again */
    WAIT_TIME,     /* an instant: a timer, no attempt */
    WAIT_EXTERNAL, /* a run of another DAG, or a task of it: the core is told, no attempt */
};

struct dag_wait {
    enum wait_kind kind;
    int64_t poke_interval_us;
    int64_t max_wait_us; /* the longest pause that backing off reaches; 0 = a day */
    int64_t timeout_us;  /* over all tries; 0 = none */
    bool backs_off;      /* the pauses grow */
    bool is_soft;        /* what would fail it skips it */
};

/* One way to go on: the first whose condition is true is chosen. */
struct branch_choice {
    const struct condition *when; /* NULL = else */
    const uint32_t *targets;      /* task indices, of direct downstreams */
    uint32_t target_count;
};

/* Direct downstreams of a branch that lead to another one, which then goes on as well. */
struct branch_detour {
    const uint32_t *through; /* task indices */
    uint32_t count;
};

struct branch {
    const struct branch_choice *choices;
    uint32_t choice_count;
    const char *output;            /* or: the task's output that names those that go on */
    struct branch_detour *detours; /* one per direct downstream */
};

/* Callbacks by event: a list of {webhook: {…}} and {command: {…}} with their options, templates not
 * yet rendered; NULL = none. */
struct dag_callbacks {
    const json_t *of[CALLBACK_EVENT_COUNT];
};

/* A run that is not over by then: callbacks are told of it. */
struct dag_deadline {
    enum deadline_reference reference;
    int64_t interval_us; /* after the reference */
    const json_t *callbacks;
};

#define DAG_DEADLINES_MAX 16

struct dag_task {
    const char *task_id;
    const struct task_kind *kind;
    enum task_class class;
    struct dag_wait wait;
    const json_t *options; /* of `with`: defaults filled in, templates not yet rendered */
    const json_t *env;     /* `env`: an object of strings, templates allowed; NULL = none */
    struct dag_callbacks callbacks;
    const char *doc; /* may be NULL */
    const char *owner;

    const struct condition *when; /* NULL = none */
    const struct branch *branch;  /* NULL = none: all downstreams go on */
    bool is_after_branch;         /* a direct upstream has a branch */

    /* `expand`: name → list, or template of one; an instance per combination. NULL = not mapped. */
    const json_t *expand;
    int64_t max_map_length; /* more instances are a failure */

    const uint32_t *upstream; /* task indices, ascending */
    uint32_t upstream_count;
    const uint32_t *downstream;
    uint32_t downstream_count;
    enum trigger_rule trigger_rule;
    bool is_setup;
    bool is_teardown;            /* the run's state does not depend on it … */
    bool on_failure_fail_dagrun; /* … unless this says so */
    uint32_t upstream_setups;    /* by dag_derive(), as are the next */
    uint32_t guard_count;        /* setups further up that must have succeeded for it to run */
    const uint32_t *guarded;     /* of a setup: the tasks that it is one of those for */
    uint32_t guarded_count;

    int64_t retries;
    const int64_t *retry_exit_codes; /* of a command: others fail at once; none given = all retry */
    size_t retry_exit_code_count;
    int64_t retry_delay_us;
    double retry_backoff;         /* multiplier of retry_exponential_backoff; 0 = off */
    int64_t max_retry_delay_us;   /* 0 = only the general cap of a day */
    int64_t execution_timeout_us; /* 0 = none */

    bool depends_on_past;     /* itself must have gone well in the run before */
    bool wait_for_downstream; /* … and its direct downstreams; implies the former */

    int64_t max_active_tis_per_dag;    /* active instances in all runs; 0 = no limit */
    int64_t max_active_tis_per_dagrun; /* in one run; 0 = no limit */

    const char *pool; /* "default_pool" */
    int64_t pool_slots;
    int64_t priority_weight; /* as written */
    enum weight_rule weight_rule;
    int64_t priority_weight_total; /* own + what the weight rule adds, clamped to int32 */
    const char *const *outlets;    /* assets that its success updates … */
    uint32_t outlet_count;
    bool updates_target; /* … or, where it names none, the dataset that it publishes */
    bool cache;          /* an unchanged output may stand for the work */
    bool outputs_used;   /* some template of the DAG reads tasks.<this>.outputs */
    uint32_t line;       /* where the task begins in the file */
};

/* Of the DAG's tasks. */
struct dag_span {
    uint32_t first;
    uint32_t count;
};

/* Tasks under a common name, those of the groups in it too: they stand together. */
struct dag_group {
    const char *group_id;
    struct dag_span tasks;
};

struct dag {
    struct arena arena; /* owns all of this */
    uint32_t references;

    const char *dag_id;
    const char *description; /* may be NULL */
    const char *doc;         /* may be NULL */
    const char *owner;
    const char *const *tags; /* sorted */
    size_t tag_count;

    const char *file;  /* relative to the DAG folder, or as given to `run` */
    struct str source; /* the whole file */
    char hash[65];     /* SHA-256 of the source, hexadecimal */

    struct schedule schedule;
    const char *timezone; /* "UTC" */
    const struct zone *zone;
    int64_t start_date_us; /* 0 = none */
    int64_t end_date_us;   /* 0 = none; no tick after it */
    bool catchup;          /* all intervals since start_date; else the newest complete one only */
    bool paused_upon_creation;
    int64_t max_active_runs;
    int64_t max_active_tasks;
    bool fail_fast;            /* a task that fails for good ends the run's other work */
    int64_t dagrun_timeout_us; /* from the run's start; 0 = none */
    int64_t max_failed_in_row; /* max_consecutive_failed_dag_runs; 0 = no limit */
    bool looks_back;           /* a task depends on past */
    bool waits_for_downstream; /* … and one on its downstreams there */
    bool only_teardowns;       /* none of its tasks counts for the run's state by rule: all do */
    const json_t *params;      /* object: name → default value */
    const json_t *param_types; /* object: name → declared type's name; NULL = none declared */

    struct dag_callbacks callbacks; /* of its runs */
    struct dag_deadline *deadlines;
    uint32_t deadline_count; /* at most DAG_DEADLINES_MAX */

    struct dag_task *tasks; /* in file order */
    uint32_t task_count;
    struct dag_group *groups; /* a group before those in it; no id is a task's too */
    uint32_t group_count;
};

/* The reference count of a DAG version, which its maker sets to 1; dag_unref() accepts NULL and
 * frees at zero: it drops one reference of `params`, of `param_types` and of each task's `options`,
 * `env` and `expand`, then releases the arena, in which the struct itself lies. In
 * scheduler/core/dag.c. */
struct dag *dag_ref(struct dag *dag);
void dag_unref(struct dag *dag);

/* Fills in what follows from the tasks' flags and edges; once, when those stand. Its cost is the
 * number of setups times the size of the graph. In scheduler/core/setups.c. */
void dag_derive(struct dag *dag);

/* The index of a task, or UINT32_MAX. */
uint32_t dag_find_task(const struct dag *dag, struct str task_id);

/* What a name stands for where both are allowed: a task, or those of a group; none has count 0. */
struct dag_span dag_find(const struct dag *dag, struct str name);

/* The index of one that stood at `place` in a version, where it mostly still stands. */
uint32_t dag_find_task_near(const struct dag *dag, uint32_t place, struct str task_id);

#endif
