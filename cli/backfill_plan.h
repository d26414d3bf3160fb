/* What `millrace backfill plan` and `create` ask for, and the plan as it is shown. */
#ifndef MILLRACE_CLI_BACKFILL_PLAN_H
#define MILLRACE_CLI_BACKFILL_PLAN_H

#include "cli/args.h"
#include "cli/remote.h"

struct backfill_options {
    const char *from;
    const char *to;
    const char *conf;
    const char *reprocess;
    const char *on_failure;
    struct arg_list params;
    struct arg_list tasks;
    int64_t max_active_runs;
    bool upstream;
    bool downstream;
    bool run_backwards;
    bool force;
    bool dry_run;
    bool wait;
};

/* The body that the options of remote->options (struct backfill_options) ask for, of the DAG that
 * is the first positional argument; a new reference, NULL with *err. */
json_t *backfill_read_body(struct remote *remote, struct err *err);

/* Asks for the plan of a body and prints it, page by page; returns the exit code. After an error in
 * between JSON ends in the middle. */
int backfill_print_plan(struct remote *remote, json_t *body);

#endif
