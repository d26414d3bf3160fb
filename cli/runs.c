#include "cli/remote.h"

#include "base/clock.h"
#include "base/json.h"
#include "cli/changes.h"
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WATCH_POLL_US 300000u

struct runs_options {
    const char *limit;
    const char *offset;
    const char *type;
    struct arg_list states;
    struct change_options change;
};

static const struct table_column list_columns[] = {
    {"DAG",          "dag_id"      },
    {"RUN",          "dag_run_id"  },
    {"TYPE",         "run_type"    },
    {"STATE",        "state"       },
    {"LOGICAL DATE", "logical_date"},
    {"STARTED",      "start_date"  },
    {"SECONDS",      "duration"    },
};

static const struct table_column show_fields[] = {
    {"dag_id",              "dag_id"             },
    {"run_id",              "dag_run_id"         },
    {"state",               "state"              },
    {"type",                "run_type"           },
    {"triggered_by",        "triggered_by"       },
    {"logical_date",        "logical_date"       },
    {"data_interval_start", "data_interval_start"},
    {"data_interval_end",   "data_interval_end"  },
    {"run_after",           "run_after"          },
    {"queued",              "queued_at"          },
    {"started",             "start_date"         },
    {"ended",               "end_date"           },
    {"seconds",             "duration"           },
    {"conf",                "conf"               },
    {"note",                "note"               },
};

static void add_run(struct buf *path, char **positional)
{
    buf_add_text(path, "/api/v2/dags");
    client_add_segment(path, positional[0]);
    buf_add_text(path, "/dagRuns");
    client_add_segment(path, positional[1]);
}

static int runs_list(struct remote *remote)
{
    const struct runs_options *options = remote->options;
    struct buf path = {0};

    buf_add_text(&path, "/api/v2/dags");
    client_add_segment(&path, remote->count > 0 ? remote->positional[0] : "~");
    buf_add_text(&path, "/dagRuns");
    client_add_query(&path, "order_by", "-run_after");
    for (size_t i = 0; i < options->states.count; i++)
        client_add_query(&path, "state", options->states.items[i]);
    if (options->type != NULL)
        client_add_query(&path, "run_type", options->type);
    if (options->limit != NULL)
        client_add_query(&path, "limit", options->limit);
    if (options->offset != NULL)
        client_add_query(&path, "offset", options->offset);
    int exit_code =
        remote_list(remote, buf_text(&path), "dag_runs", list_columns, COUNT(list_columns));
    buf_release(&path);
    return exit_code;
}

static int runs_show(struct remote *remote)
{
    struct buf path = {0};

    add_run(&path, remote->positional);
    int exit_code =
        remote_object(remote, "GET", buf_text(&path), NULL, show_fields, COUNT(show_fields));
    buf_release(&path);
    return exit_code;
}

/* Counts the task instances of a run by how they stand. */
static bool count_tasks(struct remote *remote, const char *run_path, struct progress_counts *counts,
                        struct err *err)
{
    struct buf path = {0};
    size_t i;
    const json_t *task;

    *counts = (struct progress_counts){0};
    buf_printf(&path, "%s/taskInstances?limit=10000", run_path);
    json_t *answer = client_request(remote->client, "GET", buf_text(&path), NULL, err);
    buf_release(&path);
    if (answer == NULL)
        return false;
    json_array_foreach(json_object_get(answer, "task_instances"), i, task)
    {
        const char *state = json_get_string(task, "state", "none");
        bool failed = strcmp(state, "failed") == 0 || strcmp(state, "upstream_failed") == 0;
        bool succeeded = strcmp(state, "success") == 0;
        counts->total++;
        counts->failed += failed;
        counts->succeeded += succeeded;
        counts->running += strcmp(state, "running") == 0;
        counts->done += failed || succeeded || strcmp(state, "skipped") == 0;
    }
    json_decref(answer);
    return true;
}

/* The state of the run as an owned string; NULL with an error. */
static bool read_state(struct remote *remote, const char *run_path, char state[32], struct err *err)
{
    json_t *run = client_request(remote->client, "GET", run_path, NULL, err);

    if (run == NULL)
        return false;
    (void)snprintf(state, 32, "%s", json_get_string(run, "state", ""));
    json_decref(run);
    return true;
}

/* Follows a run to its end; interrupting it cancels nothing. */
static int runs_watch(struct remote *remote)
{
    struct buf path = {0};
    struct progress progress;
    struct progress_counts counts;
    struct err err = {0};
    char state[32] = "";
    bool ok = true;

    add_run(&path, remote->positional);
    progress_init(&progress, "tasks", 0);
    while (ok && strcmp(state, "success") != 0 && strcmp(state, "failed") != 0) {
        if (state[0] != '\0')
            (void)usleep(WATCH_POLL_US);
        ok = count_tasks(remote, buf_text(&path), &counts, &err) &&
             read_state(remote, buf_text(&path), state, &err);
        if (ok)
            progress_show(&progress, &counts);
    }
    progress_clear(&progress);
    buf_release(&path);
    if (!ok)
        return command_fail(&err);
    printf("%s\t%s\t%s\n", remote->positional[0], remote->positional[1], state);
    return strcmp(state, "success") == 0 ? 0 : err_exit_code(ERR_RUN_FAILED);
}

static int runs_clear(struct remote *remote)
{
    const struct runs_options *options = remote->options;

    return changes_clear(remote, &options->change, NULL, 0);
}

static int runs_mark(struct remote *remote)
{
    return changes_mark_run(remote, remote->positional[2]);
}

static int runs_cancel(struct remote *remote)
{
    return changes_cancel(remote, NULL);
}

static int runs_main(int argc, char **argv)
{
    static const struct verb verbs[] = {
        {"list",   0, 1, runs_list  },
        {"show",   2, 2, runs_show  },
        {"watch",  2, 2, runs_watch },
        {"clear",  2, 2, runs_clear },
        {"rerun",  2, 2, runs_clear },
        {"mark",   3, 3, runs_mark  },
        {"cancel", 2, 2, runs_cancel},
        {NULL,     0, 0, NULL       },
    };
    struct runs_options options = {0};
    struct arg args[4 + CHANGE_ARGS_COUNT] = {
        {"limit",  0, ARG_TEXT, &options.limit },
        {"offset", 0, ARG_TEXT, &options.offset},
        {"type",   0, ARG_TEXT, &options.type  },
        {"status", 0, ARG_LIST, &options.states},
    };
    changes_args(args + 4, &options.change);
    const struct noun noun = {&runs_command, verbs, args, COUNT(args), &options};

    return remote_main(&noun, argc, argv);
}

const struct command runs_command = {
    .name = "runs",
    .summary = "list, show, follow, clear, mark and cancel DAG runs",
    .usage =
        "Usage: millrace runs [list] [DAG] [--status queued|running|success|failed]...\n"
        "                     [--type scheduled|manual|backfill|asset_triggered]\n"
        "                     [--limit N] [--offset N]\n"
        "       millrace runs show DAG RUN\n"
        "       millrace runs watch DAG RUN      until it ends; exit code 6 if it failed\n"
        "       millrace runs clear|rerun DAG RUN [--only-failed] [--past] [--future] [--dry-run]\n"
        "                     its tasks run again; --latest-version: by the DAG as it is now;\n"
        "                     --force: also where the output is there and unchanged\n"
        "       millrace runs mark DAG RUN success|failed|queued\n"
        "       millrace runs cancel DAG RUN     what runs is stopped, the rest skipped\n\n"
        "  --server URL   the server, where it is not the one of this folder\n"
        "  --state DIR    the state folder that names the server\n"
        "  -o FORMAT      table (on a terminal), tsv (in a pipe) or json\n",
    .run = runs_main,
};
