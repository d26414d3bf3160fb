#include "cli/remote.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct table_column subject_fields[] = {
    {"state", "state"},
    {"since", "since"},
    {"why",   "why"  },
};

static const struct table_column wait_columns[] = {
    {"WAITS FOR",    "what"        },
    {"SINCE",        "since"       },
    {"UNTIL",        "until"       },
    {"UNBLOCKED BY", "unblocked_by"},
};

static const struct table_column cause_columns[] = {
    {"BECAUSE", "task_id"   },
    {"STATE",   "state"     },
    {"TRY",     "try_number"},
    {"REASON",  "reason"    },
    {"LOG",     "log"       },
};

static const struct table_column task_columns[] = {
    {"TASK",  "task_id"   },
    {"INDEX", "map_index" },
    {"STATE", "state"     },
    {"TRY",   "try_number"},
    {"WHY",   "why"       },
};

static const struct table_column transition_columns[] = {
    {"AT",     "at"        },
    {"TRY",    "try_number"},
    {"FROM",   "from"      },
    {"TO",     "to"        },
    {"REASON", "reason"    },
};

static const struct table_column callback_columns[] = {
    {"CALLBACK", "kind"   },
    {"EVENT",    "event"  },
    {"TASK",     "task_id"},
    {"STATE",    "state"  },
    {"TRIES",    "tries"  },
    {"REASON",   "reason" },
};

/* A list of the answer, unless it is empty. */
static void print_list(const struct remote *remote, const json_t *answer, const char *key,
                       const struct table_column *columns, size_t count)
{
    const json_t *rows = json_object_get(answer, key);

    if (json_array_size(rows) > 0)
        table_print(columns, count, rows, answer, remote->format);
}

/* Asks and prints: of a run also its tasks, of a task its changes of state. */
static int explain(struct remote *remote, const char *path, struct err *err)
{
    json_t *answer = client_request(remote->client, "GET", path, NULL, err);

    if (answer == NULL)
        return -1;
    table_print_object(subject_fields, COUNT(subject_fields), answer, remote->format);
    if (remote->format != TABLE_JSON) {
        print_list(remote, answer, "waits_for", wait_columns, COUNT(wait_columns));
        print_list(remote, answer, "because", cause_columns, COUNT(cause_columns));
        print_list(remote, answer, "tasks", task_columns, COUNT(task_columns));
        print_list(remote, answer, "callbacks", callback_columns, COUNT(callback_columns));
        if (remote->count == 3)
            print_list(remote, answer, "transitions", transition_columns,
                       COUNT(transition_columns));
    }
    json_decref(answer);
    return 0;
}

/* A mapped task without an index: how its instances stand, from what the run's explanation says. */
static int explain_instances(struct remote *remote, const char *run_path)
{
    struct buf path = {0};
    struct err err = {0};
    size_t i;
    json_t *row;

    buf_printf(&path, "%s/explain", run_path);
    json_t *answer = client_request(remote->client, "GET", buf_text(&path), NULL, &err);
    buf_release(&path);
    if (answer == NULL)
        return command_fail(&err);
    json_t *found = json_array();
    json_array_foreach(json_object_get(answer, "tasks"), i, row)
    {
        if (strcmp(json_get_string(row, "task_id", ""), remote->positional[2]) == 0)
            (void)json_array_append(found, row);
    }
    bool any = json_array_size(found) > 0;
    if (any)
        table_print(task_columns, COUNT(task_columns), found, found, remote->format);
    else
        fprintf(stderr, "error: run %s has no task `%s`\n", remote->positional[1],
                remote->positional[2]);
    json_decref(found);
    json_decref(answer);
    return any ? 0 : err_exit_code(ERR_NOT_FOUND);
}

static int explain_any(struct remote *remote)
{
    struct buf path = {0};
    struct buf run_path = {0};
    struct err err = {0};
    int64_t map_index = -1;

    buf_add_text(&path, "/api/millrace/v1/dags");
    client_add_segment(&path, remote->positional[0]);
    if (remote->count > 1) {
        buf_add_text(&path, "/dagRuns");
        client_add_segment(&path, remote->positional[1]);
    }
    buf_add_text(&run_path, buf_text(&path));
    if (remote->count > 2) {
        buf_add_text(&path, "/taskInstances");
        map_index = remote_add_task(&path, remote->positional[2]);
    }
    buf_add_text(&path, "/explain");
    if (map_index >= 0)
        buf_printf(&path, "?map_index=%lld", (long long)map_index);
    int exit_code = explain(remote, buf_text(&path), &err);
    if (exit_code < 0 && err.code == ERR_NOT_FOUND && remote->count > 2 && map_index < 0)
        exit_code = explain_instances(remote, buf_text(&run_path));
    else if (exit_code < 0)
        exit_code = command_fail(&err);
    buf_release(&path);
    buf_release(&run_path);
    return exit_code;
}

static int explain_main(int argc, char **argv)
{
    static const struct verb verbs[] = {
        {"",   1, 3, explain_any},
        {NULL, 0, 0, NULL       },
    };
    const struct noun noun = {&explain_command, verbs, NULL, 0, NULL};

    return remote_main(&noun, argc, argv);
}

const struct command explain_command = {
    .name = "explain",
    .summary = "say what a DAG, a run or a task waits for, and why it ended as it did",
    .usage = "Usage: millrace explain DAG [RUN [TASK]]\n\n"
             "  What it waits for, since when, and what would unblock it; why it failed or was\n"
             "  skipped, down to the root cause. With a task, also its changes of state so far.\n"
             "  TASK[N] is an instance of a mapped task, as in load[3].\n\n"
             "  --server URL   the server, where it is not the one of this folder\n"
             "  --state DIR    the state folder that names the server\n"
             "  -o FORMAT      table (on a terminal), tsv (in a pipe) or json\n",
    .run = explain_main,
};
