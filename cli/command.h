/* Commands: one file per noun, each with one `struct command`, all of them listed in commands.def.
 *
 * From this table come dispatch, `millrace --help` and each command's own --help. Data goes to
 * stdout, everything else to stderr; exit codes are those of include/millrace/errors.def. */
#ifndef MILLRACE_CLI_COMMAND_H
#define MILLRACE_CLI_COMMAND_H

#include "base/err.h"

#include <stdbool.h>

struct command {
    const char *name;    /* "backfill" */
    const char *summary; /* one line for the list of commands */
    const char *usage;   /* printed by --help: synopsis, options, examples */
    bool hidden;         /* roles of `serve`, and what only completion asks for */
    bool goes_on;        /* also when nobody reads its output any more; others end by SIGPIPE */

    /* argv[0] is the command's name. Returns the exit code. --help is handled before. */
    int (*run)(int argc, char **argv);
};

#define COMMAND(name) extern const struct command name##_command;
#include "cli/commands.def"
#undef COMMAND

/* Prints "millrace <command>: <message>" and the usage hint on stderr; returns the exit code of a
 * wrong usage. */
__attribute__((format(printf, 2, 3))) int command_usage_error(const struct command *command,
                                                              const char *format, ...);

/* Prints "error: <message>" on stderr; returns the error's exit code. */
int command_fail(const struct err *err);

#endif
