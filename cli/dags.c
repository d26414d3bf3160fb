#include "cli/remote.h"

#include "base/json.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct dags_options {
    const char *pattern;
    const char *limit;
    const char *offset;
    const char *conf;
    const char *run_id;
    const char *logical_date;
    const char *note;
    bool force;
    struct arg_list params;
};

static const struct table_column list_columns[] = {
    {"DAG",      "dag_id"               },
    {"SCHEDULE", "timetable_summary"    },
    {"PAUSED",   "is_paused"            },
    {"NEXT RUN", "next_dagrun_run_after"},
    {"ERRORS",   "has_import_errors"    },
    {"FILE",     "relative_fileloc"     },
};

static const struct table_column show_fields[] = {
    {"dag_id",      "dag_id"                           },
    {"description", "description"                      },
    {"file",        "relative_fileloc"                 },
    {"schedule",    "timetable_summary"                },
    {"timezone",    "timezone"                         },
    {"paused",      "is_paused"                        },
    {"next_run",    "next_dagrun_run_after"            },
    {"catchup",     "catchup"                          },
    {"max_active",  "max_active_runs"                  },
    {"owners",      "owners"                           },
    {"version",     "latest_dag_version.version_number"},
    {"file_errors", "has_import_errors"                },
};

static const struct table_column pause_fields[] = {
    {"dag_id", "dag_id"   },
    {"paused", "is_paused"},
};

static const struct table_column run_fields[] = {
    {"dag_id",       "dag_id"      },
    {"run_id",       "dag_run_id"  },
    {"state",        "state"       },
    {"logical_date", "logical_date"},
    {"run_after",    "run_after"   },
};

/* A file that is broken from the start gives no DAG to list, so it is told of beside the list. */
static void tell_import_errors(struct remote *remote)
{
    struct err err = {0};
    json_t *answer =
        client_request(remote->client, "GET", "/api/v2/importErrors?limit=1", NULL, &err);
    int64_t count = json_get_int(answer, "total_entries", 0);

    if (count > 0)
        fprintf(stderr, "%lld DAG file%s errors: `millrace check` shows them\n", (long long)count,
                count == 1 ? " has" : "s have");
    json_decref(answer);
}

static int dags_list(struct remote *remote)
{
    const struct dags_options *options = remote->options;
    struct buf path = {0};

    buf_add_text(&path, "/api/v2/dags");
    if (options->pattern != NULL)
        client_add_query(&path, "dag_id_pattern", options->pattern);
    if (options->limit != NULL)
        client_add_query(&path, "limit", options->limit);
    if (options->offset != NULL)
        client_add_query(&path, "offset", options->offset);
    int exit_code = remote_list(remote, buf_text(&path), "dags", list_columns, COUNT(list_columns));
    buf_release(&path);
    tell_import_errors(remote);
    return exit_code;
}

static int dags_show(struct remote *remote)
{
    struct buf path = {0};

    buf_add_text(&path, "/api/v2/dags");
    client_add_segment(&path, remote->positional[0]);
    buf_add_text(&path, "/details");
    int exit_code =
        remote_object(remote, "GET", buf_text(&path), NULL, show_fields, COUNT(show_fields));
    buf_release(&path);
    return exit_code;
}

static int set_paused(struct remote *remote, bool is_paused)
{
    struct buf path = {0};
    json_t *body = json_pack("{s:b}", "is_paused", is_paused);

    buf_add_text(&path, "/api/v2/dags");
    client_add_segment(&path, remote->positional[0]);
    int exit_code =
        remote_object(remote, "PATCH", buf_text(&path), body, pause_fields, COUNT(pause_fields));
    json_decref(body);
    buf_release(&path);
    return exit_code;
}

static int dags_pause(struct remote *remote)
{
    return set_paused(remote, true);
}

static int dags_unpause(struct remote *remote)
{
    return set_paused(remote, false);
}

static json_t *trigger_body(struct remote *remote, const json_t *dag, struct err *err)
{
    const struct dags_options *options = remote->options;
    const char *timezone = json_get_string(dag, "timezone", "UTC");
    char logical_date[TIMEFMT_SIZE];

    if (options->logical_date != NULL &&
        !remote_instant("--logical-date", options->logical_date, timezone, logical_date, err))
        return NULL;
    if (!remote_has_params(dag, &options->params, err))
        return NULL;
    json_t *types = remote_param_types(dag);
    json_t *conf = remote_conf(options->conf, &options->params, types, err);
    json_decref(types);
    if (conf == NULL)
        return NULL;
    json_t *body = json_pack("{s:s?, s:o}", "logical_date",
                             options->logical_date == NULL ? NULL : logical_date, "conf", conf);
    if (options->run_id != NULL)
        (void)json_object_set_new(body, "dag_run_id", json_string(options->run_id));
    if (options->note != NULL)
        (void)json_object_set_new(body, "note", json_string(options->note));
    if (options->force)
        (void)json_object_set_new(body, "force", json_true());
    return body;
}

static int dags_trigger(struct remote *remote)
{
    struct buf path = {0};
    struct err err = {0};
    json_t *dag = remote_dag(remote, remote->positional[0], &err);
    json_t *body = dag == NULL ? NULL : trigger_body(remote, dag, &err);

    json_decref(dag);
    if (body == NULL)
        return command_fail(&err);
    buf_add_text(&path, "/api/v2/dags");
    client_add_segment(&path, remote->positional[0]);
    buf_add_text(&path, "/dagRuns");
    int exit_code =
        remote_object(remote, "POST", buf_text(&path), body, run_fields, COUNT(run_fields));
    json_decref(body);
    buf_release(&path);
    return exit_code;
}

static int dags_main(int argc, char **argv)
{
    static const struct verb verbs[] = {
        {"list",    0, 0, dags_list   },
        {"show",    1, 1, dags_show   },
        {"pause",   1, 1, dags_pause  },
        {"unpause", 1, 1, dags_unpause},
        {"trigger", 1, 1, dags_trigger},
        {NULL,      0, 0, NULL        },
    };
    struct dags_options options = {0};
    const struct arg args[] = {
        {"pattern",      0,   ARG_TEXT, &options.pattern     },
        {"limit",        0,   ARG_TEXT, &options.limit       },
        {"offset",       0,   ARG_TEXT, &options.offset      },
        {"conf",         0,   ARG_TEXT, &options.conf        },
        {"run-id",       0,   ARG_TEXT, &options.run_id      },
        {"logical-date", 0,   ARG_TEXT, &options.logical_date},
        {"note",         0,   ARG_TEXT, &options.note        },
        {"force",        0,   ARG_FLAG, &options.force       },
        {"param",        'p', ARG_LIST, &options.params      },
    };
    const struct noun noun = {&dags_command, verbs, args, COUNT(args), &options};

    return remote_main(&noun, argc, argv);
}

const struct command dags_command = {
    .name = "dags",
    .summary = "list, show, pause, unpause and trigger DAGs",
    .usage = "Usage: millrace dags [list] [--pattern TEXT] [--limit N] [--offset N]\n"
             "       millrace dags show DAG\n"
             "       millrace dags pause|unpause DAG\n"
             "       millrace dags trigger DAG [--conf JSON] [-p NAME=VALUE]... [--run-id ID]\n"
             "                     [--logical-date TIME] [--note TEXT] [--force]\n\n"
             "  --force        let tasks work again whose output is there and unchanged\n"
             "  --server URL   the server, where it is not the one of this folder\n"
             "  --state DIR    the state folder that names the server\n"
             "  -o FORMAT      table (on a terminal), tsv (in a pipe) or json\n\n"
             "  millrace dags trigger churn_train -p lake=/data/lake\n",
    .run = dags_main,
};
