#include "cli/changes.h"
#include "cli/remote.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct table_column list_columns[] = {
    {"TASK",    "task_id"           },
    {"STATE",   "state"             },
    {"TRY",     "try_number"        },
    {"KIND",    "operator"          },
    {"STARTED", "start_date"        },
    {"SECONDS", "duration"          },
    {"POOL",    "pool"              },
    {"NOTE",    "note"              },
    {"MAP",     "rendered_map_index"},
    {"WHY",     "reason"            },
};

static const struct table_column show_fields[] = {
    {"task_id",   "task_id"           },
    {"map_index", "rendered_map_index"},
    {"state",     "state"             },
    {"why",       "reason"            },
    {"kind",      "operator"          },
    {"try",       "try_number"        },
    {"max_tries", "max_tries"         },
    {"pool",      "pool"              },
    {"scheduled", "scheduled_when"    },
    {"queued",    "queued_when"       },
    {"started",   "start_date"        },
    {"ended",     "end_date"          },
    {"seconds",   "duration"          },
    {"pid",       "pid"               },
    {"rendered",  "rendered_fields"   },
    {"note",      "note"              },
};

static void add_tasks(struct buf *path, char **positional)
{
    buf_add_text(path, "/api/v2/dags");
    client_add_segment(path, positional[0]);
    buf_add_text(path, "/dagRuns");
    client_add_segment(path, positional[1]);
    buf_add_text(path, "/taskInstances");
}

static int tasks_list(struct remote *remote)
{
    struct buf path = {0};

    add_tasks(&path, remote->positional);
    buf_add_text(&path, "?limit=10000");
    int exit_code =
        remote_list(remote, buf_text(&path), "task_instances", list_columns, COUNT(list_columns));
    buf_release(&path);
    return exit_code;
}

static int tasks_show(struct remote *remote)
{
    struct buf path = {0};

    add_tasks(&path, remote->positional);
    int64_t map_index = remote_add_task(&path, remote->positional[2]);
    if (map_index >= 0)
        buf_printf(&path, "/%lld", (long long)map_index);
    int exit_code =
        remote_object(remote, "GET", buf_text(&path), NULL, show_fields, COUNT(show_fields));
    buf_release(&path);
    return exit_code;
}

static int tasks_clear(struct remote *remote)
{
    return changes_clear(remote, remote->options, remote->positional + 2, remote->count - 2);
}

static int tasks_mark(struct remote *remote)
{
    return changes_mark_task(remote, remote->options, remote->positional[2], remote->positional[3]);
}

static int tasks_cancel(struct remote *remote)
{
    return changes_cancel(remote, remote->positional[2]);
}

static int tasks_main(int argc, char **argv)
{
    static const struct verb verbs[] = {
        {"list",   2, 2,  tasks_list  },
        {"show",   3, 3,  tasks_show  },
        {"clear",  3, 64, tasks_clear },
        {"rerun",  3, 64, tasks_clear },
        {"mark",   4, 4,  tasks_mark  },
        {"cancel", 3, 3,  tasks_cancel},
        {NULL,     0, 0,  NULL        },
    };
    struct change_options options = {0};
    struct arg args[CHANGE_ARGS_COUNT];
    changes_args(args, &options);
    const struct noun noun = {&tasks_command, verbs, args, CHANGE_ARGS_COUNT, &options};

    return remote_main(&noun, argc, argv);
}

const struct command tasks_command = {
    .name = "tasks",
    .summary = "list, show, clear, mark and cancel the task instances of a run",
    .usage =
        "Usage: millrace tasks list DAG RUN\n"
        "       millrace tasks show DAG RUN TASK\n"
        "       millrace tasks clear|rerun DAG RUN TASK...       they run again\n"
        "       millrace tasks mark DAG RUN TASK success|failed|skipped\n"
        "       millrace tasks cancel DAG RUN TASK\n\n"
        "  TASK[3] is one instance of a mapped task. To clear, mark and cancel, a group's name\n"
        "  stands for all of its tasks.\n\n" CHANGE_HELP "\n"
        "  --server URL   the server, where it is not the one of this folder\n"
        "  --state DIR    the state folder that names the server\n"
        "  -o FORMAT      table (on a terminal), tsv (in a pipe) or json\n",
    .run = tasks_main,
};
