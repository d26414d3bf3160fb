/* What all commands that talk to a server share: --server, --state, -o, and verbs below a noun. */
#ifndef MILLRACE_CLI_REMOTE_H
#define MILLRACE_CLI_REMOTE_H

#include "base/timefmt.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"

struct remote {
    const struct command *command;
    struct client *client;
    enum table_format format;
    const void *options; /* the command's own options, parsed */
    int count;           /* positional arguments after the verb */
    char **positional;
};

struct verb {
    const char *name;
    int count_min; /* of positional arguments after the verb */
    int count_max;
    int (*run)(struct remote *remote);
};

/* A command as a table: its options, where they are parsed to, and its verbs (ended by name ==
 * NULL; a command without verbs has one, named ""). */
struct noun {
    const struct command *command;
    const struct verb *verbs;
    const struct arg *args;
    size_t arg_count;
    const void *options; /* what `args` points into */
};

/* Parses the arguments (the noun's plus the shared ones), finds the verb by argv[1] (the first one
 * where that names none and its arguments would fit), connects and runs it. */
int remote_main(const struct noun *noun, int argc, char **argv);

/* GET `path` and print the list under `key` of the answer. */
int remote_list(struct remote *remote, const char *path, const char *key,
                const struct table_column *columns, size_t column_count);

/* A request whose answer is one object, printed. */
int remote_object(struct remote *remote, const char *method, const char *path, const json_t *body,
                  const struct table_column *fields, size_t field_count);

/* What the server tells of a DAG (its "details"), owned by the caller; NULL on failure. */
json_t *remote_dag(struct remote *remote, const char *dag_id, struct err *err);

/* Splits "load[3]", an instance of a mapped task: adds "/load" to the path and gives 3; -1 for a
 * name without an index. */
int64_t remote_add_task(struct buf *path, const char *name);

/* A date or time of the option `name` as an instant in UTC, in `out`; without an offset it is local
 * to `timezone`. */
bool remote_instant(const char *name, const char *text, const char *timezone,
                    char out[TIMEFMT_SIZE], struct err *err);

/* A JSON object from repeated "name=value" arguments over the document `json_text` (may be NULL).
 * Values that are JSON keep their type, all others are strings, and so is every value of a name
 * that `types` (name → declared type; may be NULL) says is a "string". NULL on failure. */
json_t *remote_conf(const char *json_text, const struct arg_list *pairs, const json_t *types,
                    struct err *err);

/* Whether each name of the "name=value" arguments is a param of the DAG, from what remote_dag()
 * told: anything else would be a conf that nothing reads. What lacks a name is left to
 * remote_conf(). */
bool remote_has_params(const json_t *dag, const struct arg_list *pairs, struct err *err);

/* The declared types of a DAG's params, from what remote_dag() told; owned by the caller. */
json_t *remote_param_types(const json_t *dag);

#endif
