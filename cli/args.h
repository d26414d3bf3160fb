/* Arguments of a command from one table, over getopt_long: options may stand anywhere between the
 * positional arguments; "--" ends them. */
#ifndef MILLRACE_CLI_ARGS_H
#define MILLRACE_CLI_ARGS_H

#include "cli/command.h"

#include <stddef.h>
#include <stdint.h>

enum arg_type {
    ARG_FLAG, /* bool *: set to true */
    ARG_TEXT, /* const char **: borrowed from argv */
    ARG_INT,  /* int64_t *: at least 1 */
    ARG_LIST, /* struct arg_list *: may be repeated */
};

#define ARG_LIST_MAX 64

struct arg_list {
    const char *items[ARG_LIST_MAX];
    size_t count;
};

struct arg {
    const char *name; /* without dashes */
    char letter;      /* 0 = none */
    enum arg_type type;
    void *target;
};

/* Parses argv against the table. The positional arguments are moved to the front of argv, from
 * argv[1] on; returns how many there are, or -1 after printing what is wrong. */
int args_parse(const struct command *command, const struct arg *table, size_t count, int argc,
               char **argv);

#endif
