/* millrace run: what its two ways share. cli/run.c reads options and file; then either
 * cli/run_local.c runs everything in this process, or cli/run_remote.c hands it to the server that
 * holds the state folder. */
#ifndef MILLRACE_CLI_RUN_H
#define MILLRACE_CLI_RUN_H

#include "cli/follow.h"
#include "millrace/dag.h"
#include "millrace/settings.h"

#include <jansson.h>

#define RUN_INTERRUPTED 130

struct run_plan {
    const struct settings *settings;
    const char *file;
    struct dag *dag;
    json_t *conf; /* an object */
    bool is_backfill;
    int64_t from_us;
    int64_t to_us;
    int64_t max_active_runs;
    enum reprocess reprocess;
    bool force; /* unchanged outputs don't stand for the work */
    int64_t begun; /* row of the run or backfill that a server had from us; 0 = none yet */
};

/* The command that starts it: `trigger`, or `backfill_create`. A new reference. */
json_t *run_command_document(const struct run_plan *plan);

/* An unfinished backfill of the same range, or (with `runs`) an unfinished run of an earlier
 * `millrace run` with the same conf: its row id, or 0. *ret_paused: of a backfill. */
int64_t run_find_unfinished(struct read *read, const struct run_plan *plan, bool runs,
                            bool *ret_paused);

/* Each returns the exit code, or -1 when the other one must go on: run_local(), with *err, when
 * another process holds the state folder, run_remote() when nobody does any more. run_remote() then
 * has set plan->begun if there is something to go on with. */
int run_local(const struct run_plan *plan, struct err *err);
int run_remote(struct run_plan *plan);

#endif
