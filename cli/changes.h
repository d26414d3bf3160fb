/* What the commands that clear, mark and cancel have in common. */
#ifndef MILLRACE_CLI_CHANGES_H
#define MILLRACE_CLI_CHANGES_H

#include "cli/args.h"
#include "cli/remote.h"

struct change_options {
    bool upstream;
    bool downstream;
    bool past;
    bool future;
    bool only_failed;
    bool only_running;
    bool latest;
    bool force;
    bool dry_run;
};

/* How many rows changes_args() fills. */
#define CHANGE_ARGS_COUNT 9

/* Fills the options that ask for these into a table of arguments. */
void changes_args(struct arg *args, struct change_options *options);

/* What they mean, for --help. */
#define CHANGE_HELP                                                                                \
    "  -d, --downstream  also all that depends on the tasks; -u, --upstream: all they depend on\n" \
    "  --past, --future  the same tasks in all earlier, or later, runs by logical date\n"          \
    "  -f, --only-failed, --only-running   of these tasks\n"                                       \
    "  --latest-version  clear: by the DAG as it is now, where the other tasks can stay\n"         \
    "  --force           clear: tasks work again whose output is there and unchanged\n"            \
    "  -n, --dry-run     only list what would be changed\n"

/* Clears tasks of the run DAG RUN; without tasks all of it. */
int changes_clear(struct remote *remote, const struct change_options *options, char **tasks,
                  int count);

/* Gives one task a state. */
int changes_mark_task(struct remote *remote, const struct change_options *options, const char *task,
                      const char *state);

int changes_mark_run(struct remote *remote, const char *state);

/* Without a task the whole run. */
int changes_cancel(struct remote *remote, const char *task);

#endif
