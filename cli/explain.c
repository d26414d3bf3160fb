#include "cli/remote.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct table_column task_columns[] = {
    {"TASK",  "task_id"   },
    {"STATE", "state"     },
    {"TRY",   "try_number"},
    {"WHY",   "why"       },
    {"MAP",   "map_index" },
};

static const struct table_column transition_columns[] = {
    {"AT",     "at"        },
    {"TRY",    "try_number"},
    {"FROM",   "from"      },
    {"TO",     "to"        },
    {"REASON", "reason"    },
    {"MAP",    "map_index" },
};

static const struct table_column callback_columns[] = {
    {"CALLBACK", "kind"   },
    {"EVENT",    "event"  },
    {"TASK",     "task_id"},
    {"STATE",    "state"  },
    {"TRIES",    "tries"  },
    {"REASON",   "reason" },
};

/* The members of `rows` that are of the task `name`, or of the one instance in "load[3]", as a new
 * array. */
static json_t *only_task(const json_t *rows, const char *name)
{
    json_t *found = json_array();
    struct buf path = {0};
    int64_t map_index = remote_add_task(&path, name);
    size_t len = map_index < 0 ? strlen(name) : strcspn(name, "[");
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        struct str task_id = str_from(json_get_string(row, "task_id", ""));
        if (str_eq(task_id, (struct str){name, len}) &&
            (map_index < 0 || json_get_int(row, "map_index", -1) == map_index))
            (void)json_array_append(found, row);
    }
    buf_release(&path);
    return found;
}

static int explain_task(struct remote *remote, const json_t *answer, const char *task_id)
{
    json_t *tasks = only_task(json_object_get(answer, "tasks"), task_id);
    json_t *transitions = only_task(json_object_get(answer, "transitions"), task_id);
    int exit_code = 0;

    if (json_array_size(tasks) == 0) {
        fprintf(stderr, "error: run %s has no task `%s`\n", remote->positional[1], task_id);
        exit_code = err_exit_code(ERR_NOT_FOUND);
    } else {
        table_print(task_columns, COUNT(task_columns), tasks, tasks, remote->format);
        if (remote->format != TABLE_JSON)
            table_print(transition_columns, COUNT(transition_columns), transitions, transitions,
                        remote->format);
    }
    json_decref(tasks);
    json_decref(transitions);
    return exit_code;
}

static int explain_run(struct remote *remote)
{
    struct buf path = {0};
    struct err err = {0};
    int exit_code = 0;

    buf_add_text(&path, "/api/millrace/v1/dags");
    client_add_segment(&path, remote->positional[0]);
    buf_add_text(&path, "/dagRuns");
    client_add_segment(&path, remote->positional[1]);
    buf_add_text(&path, "/explain");
    json_t *answer = client_request(remote->client, "GET", buf_text(&path), NULL, &err);
    buf_release(&path);
    if (answer == NULL)
        return command_fail(&err);
    if (remote->count == 3) {
        exit_code = explain_task(remote, answer, remote->positional[2]);
    } else {
        const char *reason = json_get_string(answer, "reason", NULL);
        if (remote->format != TABLE_JSON)
            fprintf(stderr, "run %s is %s%s%s\n", remote->positional[1],
                    json_get_string(answer, "state", "?"), reason == NULL ? "" : ": ",
                    reason == NULL ? "" : reason);
        const json_t *callbacks = json_object_get(answer, "callbacks");
        table_print(task_columns, COUNT(task_columns), json_object_get(answer, "tasks"), answer,
                    remote->format);
        if (remote->format != TABLE_JSON && json_array_size(callbacks) > 0)
            table_print(callback_columns, COUNT(callback_columns), callbacks, callbacks,
                        remote->format);
    }
    json_decref(answer);
    return exit_code;
}

static int explain_main(int argc, char **argv)
{
    static const struct verb verbs[] = {
        {"",   2, 3, explain_run},
        {NULL, 0, 0, NULL       },
    };
    const struct noun noun = {&explain_command, verbs, NULL, 0, NULL};

    return remote_main(&noun, argc, argv);
}

const struct command explain_command = {
    .name = "explain",
    .summary = "say why a run and its tasks are in their states",
    .usage =
        "Usage: millrace explain DAG RUN [TASK]\n\n"
        "  With a task, also every change of its state so far, with its reason. TASK[N] is an\n"
        "  instance of a mapped task, as in load[3].\n\n"
        "  --server URL   the server, where it is not the one of this folder\n"
        "  --state DIR    the state folder that names the server\n"
        "  -o FORMAT      table (on a terminal), tsv (in a pipe) or json\n",
    .run = explain_main,
};
