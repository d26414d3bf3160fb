#include "cli/remote.h"

#include "base/json.h"
#include "base/timefmt.h"
#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WATCH_POLL_US 300000u

struct backfill_options {
    const char *from;
    const char *to;
    const char *conf;
    const char *reprocess;
    struct arg_list params;
    int64_t max_active_runs;
    bool run_backwards;
    bool dry_run;
    bool wait;
};

static const struct table_column list_columns[] = {
    {"ID",        "id"                },
    {"DAG",       "dag_id"            },
    {"FROM",      "from_date"         },
    {"TO",        "to_date"           },
    {"PAUSED",    "is_paused"         },
    {"REPROCESS", "reprocess_behavior"},
    {"CREATED",   "created_at"        },
    {"COMPLETED", "completed_at"      },
};

static const struct table_column create_fields[] = {
    {"id",              "id"                },
    {"dag_id",          "dag_id"            },
    {"from",            "from_date"         },
    {"to",              "to_date"           },
    {"paused",          "is_paused"         },
    {"reprocess",       "reprocess_behavior"},
    {"max_active_runs", "max_active_runs"   },
    {"created",         "created_at"        },
    {"completed",       "completed_at"      },
};

static const struct table_column show_fields[] = {
    {"id",              "id"                },
    {"dag_id",          "dag_id"            },
    {"from",            "from_date"         },
    {"to",              "to_date"           },
    {"paused",          "is_paused"         },
    {"cancelled",       "cancelled"         },
    {"reprocess",       "reprocess_behavior"},
    {"max_active_runs", "max_active_runs"   },
    {"intervals",       "total"             },
    {"succeeded",       "succeeded"         },
    {"failed",          "failed"            },
    {"skipped",         "skipped"           },
    {"running",         "running"           },
    {"created",         "created_at"        },
    {"completed",       "completed_at"      },
};

static const struct table_column dry_run_columns[] = {
    {"LOGICAL DATE", "logical_date"},
};

static void backfill_path(struct buf *path, const char *id, const char *rest)
{
    buf_add_text(path, "/api/v2/backfills");
    client_add_segment(path, id);
    buf_add_text(path, rest);
}

enum backfill_end { BACKFILL_OPEN, BACKFILL_DONE, BACKFILL_CANCELLED };

/* Reads how far a backfill is, and whether it has come to its end. */
static bool read_progress(struct remote *remote, const char *id, struct progress_counts *counts,
                          enum backfill_end *ret_end, struct err *err)
{
    struct buf path = {0};

    buf_add_text(&path, "/api/millrace/v1/backfills");
    client_add_segment(&path, id);
    buf_add_text(&path, "/progress");
    json_t *answer = client_request(remote->client, "GET", buf_text(&path), NULL, err);
    buf_release(&path);
    if (answer == NULL)
        return false;
    *counts = (struct progress_counts){
        .total = json_get_int(answer, "total", 0),
        .succeeded = json_get_int(answer, "succeeded", 0),
        .failed = json_get_int(answer, "failed", 0),
        .running = json_get_int(answer, "running", 0),
    };
    counts->done = counts->succeeded + counts->failed + json_get_int(answer, "skipped", 0);
    *ret_end = json_get_string(answer, "completed_at", NULL) == NULL ? BACKFILL_OPEN
               : json_get_bool(answer, "cancelled", false)           ? BACKFILL_CANCELLED
                                                                     : BACKFILL_DONE;
    json_decref(answer);
    return true;
}

static int watch(struct remote *remote, const char *id)
{
    struct progress progress;
    struct progress_counts counts = {0};
    struct err err = {0};
    enum backfill_end end = BACKFILL_OPEN;

    if (!read_progress(remote, id, &counts, &end, &err))
        return command_fail(&err);
    progress_init(&progress, "runs", counts.done);
    while (end == BACKFILL_OPEN) {
        progress_show(&progress, &counts);
        (void)usleep(WATCH_POLL_US);
        if (!read_progress(remote, id, &counts, &end, &err)) {
            progress_clear(&progress);
            return command_fail(&err);
        }
    }
    progress_clear(&progress);
    printf("backfill %s: %s%lld of %lld intervals done, %lld ok, %lld failed\n", id,
           end == BACKFILL_CANCELLED ? "cancelled, " : "", (long long)counts.done,
           (long long)counts.total, (long long)counts.succeeded, (long long)counts.failed);
    return counts.failed == 0 && end == BACKFILL_DONE ? 0 : err_exit_code(ERR_RUN_FAILED);
}

static int backfill_watch(struct remote *remote)
{
    return watch(remote, remote->positional[0]);
}

static json_t *create_body(struct remote *remote, const json_t *dag, struct err *err)
{
    const struct backfill_options *options = remote->options;
    const char *timezone = json_get_string(dag, "timezone", "UTC");
    char from[TIMEFMT_SIZE];
    char to[TIMEFMT_SIZE];

    if (options->from == NULL || options->to == NULL) {
        err_set(err, ERR_USAGE, "--from and --to are needed (dates or times, both inclusive)");
        return NULL;
    }
    if (!remote_instant("--from", options->from, timezone, from, err) ||
        !remote_instant("--to", options->to, timezone, to, err))
        return NULL;
    json_t *types = remote_param_types(dag);
    json_t *conf = remote_conf(options->conf, &options->params, types, err);
    json_decref(types);
    if (conf == NULL)
        return NULL;
    int64_t max_active_runs = options->max_active_runs != 0
                                  ? options->max_active_runs
                                  : json_get_int(dag, "max_active_runs", 10);
    const char *reprocess = options->reprocess == NULL ? "none" : options->reprocess;
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:I, s:b}", "dag_id", remote->positional[0],
                     "from_date", from, "to_date", to, "dag_run_conf", conf, "reprocess_behavior",
                     reprocess, "max_active_runs", (json_int_t)max_active_runs, "run_backwards",
                     options->run_backwards);
}

static int print_dry_run(struct remote *remote, const json_t *body)
{
    struct err err = {0};
    json_t *answer =
        client_request(remote->client, "POST", "/api/v2/backfills/dry_run", body, &err);

    if (answer == NULL)
        return command_fail(&err);
    table_print(dry_run_columns, COUNT(dry_run_columns), json_object_get(answer, "backfills"),
                answer, remote->format);
    fprintf(stderr, "%lld runs would be made; nothing was changed\n",
            (long long)json_get_int(answer, "total_entries", 0));
    json_decref(answer);
    return 0;
}

static int backfill_create(struct remote *remote)
{
    const struct backfill_options *options = remote->options;
    struct err err = {0};
    char id[32];

    json_t *dag = remote_dag(remote, remote->positional[0], &err);
    json_t *body = dag == NULL ? NULL : create_body(remote, dag, &err);
    json_decref(dag);
    if (body == NULL)
        return command_fail(&err);
    if (options->dry_run) {
        int exit_code = print_dry_run(remote, body);
        json_decref(body);
        return exit_code;
    }
    json_t *answer = client_request(remote->client, "POST", "/api/v2/backfills", body, &err);
    json_decref(body);
    if (answer == NULL)
        return command_fail(&err);
    (void)snprintf(id, sizeof(id), "%lld", (long long)json_get_int(answer, "id", 0));
    table_print_object(create_fields, COUNT(create_fields), answer, remote->format);
    json_decref(answer);
    if (options->wait)
        return watch(remote, id);
    fprintf(stderr, "`millrace backfill watch %s` follows it\n", id);
    return 0;
}

static int backfill_list(struct remote *remote)
{
    struct buf path = {0};

    buf_add_text(&path, "/api/v2/backfills");
    client_add_query(&path, "dag_id", remote->positional[0]);
    client_add_query(&path, "order_by", "-id");
    int exit_code =
        remote_list(remote, buf_text(&path), "backfills", list_columns, COUNT(list_columns));
    buf_release(&path);
    return exit_code;
}

/* Airflow's answer, and with it what only ours tells: how far it is, and whether it was cancelled.
 */
static int backfill_show(struct remote *remote)
{
    struct buf path = {0};
    struct err err = {0};

    backfill_path(&path, remote->positional[0], "");
    json_t *backfill = client_request(remote->client, "GET", buf_text(&path), NULL, &err);
    buf_clear(&path);
    buf_add_text(&path, "/api/millrace/v1/backfills");
    client_add_segment(&path, remote->positional[0]);
    buf_add_text(&path, "/progress");
    json_t *progress = backfill == NULL
                           ? NULL
                           : client_request(remote->client, "GET", buf_text(&path), NULL, &err);
    buf_release(&path);
    if (progress != NULL) {
        (void)json_object_update_missing(backfill, progress);
        table_print_object(show_fields, COUNT(show_fields), backfill, remote->format);
    }
    json_decref(backfill);
    bool ok = progress != NULL;
    json_decref(progress);
    return ok ? 0 : command_fail(&err);
}

static int control(struct remote *remote, const char *action)
{
    struct buf path = {0};

    backfill_path(&path, remote->positional[0], action);
    int exit_code =
        remote_object(remote, "PUT", buf_text(&path), NULL, create_fields, COUNT(create_fields));
    buf_release(&path);
    return exit_code;
}

static int backfill_pause(struct remote *remote)
{
    return control(remote, "/pause");
}

static int backfill_resume(struct remote *remote)
{
    return control(remote, "/unpause");
}

static int backfill_cancel(struct remote *remote)
{
    return control(remote, "/cancel");
}

static int backfill_main(int argc, char **argv)
{
    static const struct verb verbs[] = {
        {"list",    1, 1, backfill_list  },
        {"create",  1, 1, backfill_create},
        {"show",    1, 1, backfill_show  },
        {"watch",   1, 1, backfill_watch },
        {"pause",   1, 1, backfill_pause },
        {"resume",  1, 1, backfill_resume},
        {"unpause", 1, 1, backfill_resume},
        {"cancel",  1, 1, backfill_cancel},
        {NULL,      0, 0, NULL           },
    };
    struct backfill_options options = {0};
    const struct arg args[] = {
        {"from",               0,   ARG_TEXT, &options.from           },
        {"from-date",          0,   ARG_TEXT, &options.from           },
        {"to",                 0,   ARG_TEXT, &options.to             },
        {"to-date",            0,   ARG_TEXT, &options.to             },
        {"conf",               0,   ARG_TEXT, &options.conf           },
        {"dag-run-conf",       0,   ARG_TEXT, &options.conf           },
        {"param",              'p', ARG_LIST, &options.params         },
        {"reprocess",          0,   ARG_TEXT, &options.reprocess      },
        {"reprocess-behavior", 0,   ARG_TEXT, &options.reprocess      },
        {"max-active-runs",    0,   ARG_INT,  &options.max_active_runs},
        {"run-backwards",      0,   ARG_FLAG, &options.run_backwards  },
        {"dry-run",            0,   ARG_FLAG, &options.dry_run        },
        {"wait",               'w', ARG_FLAG, &options.wait           },
    };
    const struct noun noun = {&backfill_command, verbs, args, COUNT(args), &options};

    return remote_main(&noun, argc, argv);
}

const struct command backfill_command = {
    .name = "backfill",
    .summary = "create, follow, pause, resume and cancel backfills",
    .usage =
        "Usage: millrace backfill create DAG --from DATE --to DATE [--max-active-runs N]\n"
        "                         [--reprocess none|failed|completed] [--run-backwards]\n"
        "                         [--conf JSON] [-p NAME=VALUE]... [--dry-run] [--wait]\n"
        "       millrace backfill list DAG\n"
        "       millrace backfill show|watch|pause|resume|cancel ID\n\n"
        "  Both ends of the range are included; a date or time without an offset is in the DAG's\n"
        "  time zone. --max-active-runs is the DAG's unless given. --wait and `watch` show a "
        "progress bar and end\n"
        "  with exit code 6 if a run failed; interrupting them cancels nothing.\n\n"
        "  --server URL   the server, where it is not the one of this folder\n"
        "  --state DIR    the state folder that names the server\n"
        "  -o FORMAT      table (on a terminal), tsv (in a pipe) or json\n\n"
        "  millrace backfill create churn --from 2026-01-01 --to 2026-04-30 --wait\n",
    .run = backfill_main,
};
