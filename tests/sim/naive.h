/* What the rules say, worked out from scratch: of the states of all upstreams, of the texts of
 * conditions and lists, and of the outputs that there are. Shares nothing with scheduler/core. The
 * invariants ask here with the rows, the reference model with its own states. */
#ifndef MILLRACE_SIM_NAIVE_H
#define MILLRACE_SIM_NAIVE_H

#include "millrace/dag.h"

enum naive_verdict { NAIVE_WAIT, NAIVE_RUN, NAIVE_SKIP, NAIVE_UPSTREAM_FAILED, NAIVE_FAIL };

/* naive.c: a trigger rule read off the states of all upstreams. */
enum naive_verdict naive_rule(enum trigger_rule rule, const enum task_state *upstreams,
                              uint32_t count);
/* Whether the rule may hold before all upstreams have ended. */
bool naive_is_early(enum trigger_rule rule);

/* What tasks.T.outputs stand for: nothing, those of one attempt, or those of all instances that
 * have some. */
enum naive_kind { NAIVE_MISSING, NAIVE_ONE, NAIVE_MANY };

struct naive_output {
    enum naive_kind kind;
    const char *text; /* NAIVE_ONE: as outputs_draw() makes it */
    uint32_t count;   /* NAIVE_MANY */
};

/* A run as its rules see it. */
struct naive_run {
    const struct dag *dag;
    const char *conf; /* NULL = none */
    void *context;
    struct naive_output (*output)(void *context, uint32_t task);
    bool (*has_succeeded)(void *context, uint32_t task);
};

/* naive_flow.c, of what tests/sim/dags_flow.c writes. */
/* False: the branch can't choose. Else `ret` has a bit for each task that goes on. */
bool naive_choice(const struct naive_run *run, uint32_t task, uint64_t *ret);
bool naive_is_branched_off(const struct naive_run *run, uint32_t task);
/* What becomes of a task that its trigger rule lets run: RUN, SKIP or FAIL; with RUN, `ret_count`
 * is how many instances it has, 0 if it is not mapped. */
enum naive_verdict naive_start(const struct naive_run *run, uint32_t task, uint32_t *ret_count);

/* What a run's dates are counted from. */
struct naive_dates {
    const struct dag *dag;
    int64_t logical_date_us; /* 0 = none, as are the next two */
    int64_t interval_start_us;
    int64_t interval_end_us;
    int64_t run_after_us;
};

/* naive_waits.c, of what tests/sim/dags_waits.c writes. */
/* The instant that a sensor waits for which began to at `since_us`. */
int64_t naive_instant(const struct naive_dates *dates, const json_t *options, int64_t since_us);

/* The run, or the task of it, that a sensor waits for; borrowed from its options. */
struct naive_external {
    const char *dag_id;
    const char *task_id; /* "" = the run as a whole */
    int64_t date_us;
    const json_t *allowed;
    const json_t *failed;
};
struct naive_external naive_external(const struct naive_dates *dates, const json_t *options);

/* What is known of it: one of its instances that has failed is enough, allowed must be all. */
struct naive_news {
    bool any;
    bool any_failed;
    bool all_allowed;
};
void naive_hear(const struct naive_external *external, const char *state, struct naive_news *news);

#endif
