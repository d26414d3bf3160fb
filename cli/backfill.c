#include "cli/backfill_plan.h"

#include "base/json.h"
#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WATCH_POLL_US 300000u

static const struct table_column list_columns[] = {
    {"ID",        "id"          },
    {"DAG",       "dag_id"      },
    {"FROM",      "from_date"   },
    {"TO",        "to_date"     },
    {"PAUSED",    "is_paused"   },
    {"REPROCESS", "reprocess"   },
    {"CREATED",   "created_at"  },
    {"COMPLETED", "completed_at"},
};

static const struct table_column create_fields[] = {
    {"id",              "id"             },
    {"dag_id",          "dag_id"         },
    {"from",            "from_date"      },
    {"to",              "to_date"        },
    {"paused",          "is_paused"      },
    {"reprocess",       "reprocess"      },
    {"on_failure",      "on_failure"     },
    {"tasks",           "tasks"          },
    {"max_active_runs", "max_active_runs"},
    {"created",         "created_at"     },
    {"completed",       "completed_at"   },
};

static const struct table_column show_fields[] = {
    {"id",              "id"             },
    {"dag_id",          "dag_id"         },
    {"from",            "from_date"      },
    {"to",              "to_date"        },
    {"paused",          "is_paused"      },
    {"cancelled",       "cancelled"      },
    {"reprocess",       "reprocess"      },
    {"on_failure",      "on_failure"     },
    {"pause_reason",    "pause_reason"   },
    {"tasks",           "tasks"          },
    {"max_active_runs", "max_active_runs"},
    {"intervals",       "total"          },
    {"succeeded",       "succeeded"      },
    {"failed",          "failed"         },
    {"skipped",         "skipped"        },
    {"running",         "running"        },
    {"queued",          "queued"         },
    {"to_do",           "to_do"          },
    {"runs_per_second", "runs_per_second"},
    {"eta_seconds",     "eta_seconds"    },
    {"created",         "created_at"     },
    {"completed",       "completed_at"   },
};

static void own_path(struct buf *path, const char *id, const char *rest)
{
    buf_add_text(path, "/api/millrace/v1/backfills");
    client_add_segment(path, id);
    buf_add_text(path, rest);
}

static void backfill_path(struct buf *path, const char *id, const char *rest)
{
    buf_add_text(path, "/api/v2/backfills");
    client_add_segment(path, id);
    buf_add_text(path, rest);
}

enum backfill_end { BACKFILL_OPEN, BACKFILL_STOPPED, BACKFILL_DONE, BACKFILL_CANCELLED };

/* Reads how far a backfill is, and whether it has come to its end. */
static bool read_progress(struct remote *remote, const char *id, struct progress_counts *counts,
                          enum backfill_end *ret_end, struct err *err)
{
    struct buf path = {0};

    own_path(&path, id, "/progress");
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
    bool is_open = json_get_string(answer, "completed_at", NULL) == NULL;
    bool has_stopped =
        json_get_string(answer, "pause_reason", NULL) != NULL && counts->running == 0;
    *ret_end = is_open && has_stopped                      ? BACKFILL_STOPPED
               : is_open                                   ? BACKFILL_OPEN
               : json_get_bool(answer, "cancelled", false) ? BACKFILL_CANCELLED
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
           end == BACKFILL_CANCELLED ? "cancelled, "
           : end == BACKFILL_STOPPED ? "stopped by a failure, "
                                     : "",
           (long long)counts.done, (long long)counts.total, (long long)counts.succeeded,
           (long long)counts.failed);
    return counts.failed == 0 && end == BACKFILL_DONE ? 0 : err_exit_code(ERR_RUN_FAILED);
}

static int backfill_watch(struct remote *remote)
{
    return watch(remote, remote->positional[0]);
}

static int backfill_plan(struct remote *remote)
{
    struct err err = {0};
    json_t *body = backfill_read_body(remote, &err);

    if (body == NULL)
        return command_fail(&err);
    int exit_code = backfill_print_plan(remote, body);
    json_decref(body);
    return exit_code;
}

static int backfill_create(struct remote *remote)
{
    const struct backfill_options *options = remote->options;
    struct err err = {0};
    char id[32];

    if (options->dry_run)
        return backfill_plan(remote);
    json_t *body = backfill_read_body(remote, &err);
    if (body == NULL)
        return command_fail(&err);
    json_t *answer =
        client_request(remote->client, "POST", "/api/millrace/v1/backfills", body, &err);
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
    own_path(&path, remote->positional[0], "/progress");
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

/* Retry goes on from what the server says of it; --wait follows it to its end. */
static int backfill_retry(struct remote *remote)
{
    const struct backfill_options *options = remote->options;
    struct buf path = {0};

    own_path(&path, remote->positional[0], "/retry");
    int exit_code =
        remote_object(remote, "PUT", buf_text(&path), NULL, create_fields, COUNT(create_fields));
    buf_release(&path);
    return exit_code == 0 && options->wait ? watch(remote, remote->positional[0]) : exit_code;
}

static int backfill_set(struct remote *remote)
{
    const struct backfill_options *options = remote->options;
    struct buf path = {0};
    struct err err = {0};
    json_t *body = json_object();

    if (options->max_active_runs != 0)
        (void)json_object_set_new(body, "max_active_runs", json_integer(options->max_active_runs));
    if (options->on_failure != NULL)
        (void)json_object_set_new(body, "on_failure", json_string(options->on_failure));
    if (json_object_size(body) == 0) {
        json_decref(body);
        err_set(&err, ERR_USAGE, "--max-active-runs or --on-failure is needed");
        return command_fail(&err);
    }
    own_path(&path, remote->positional[0], "");
    int exit_code =
        remote_object(remote, "PATCH", buf_text(&path), body, create_fields, COUNT(create_fields));
    buf_release(&path);
    json_decref(body);
    return exit_code;
}

static int backfill_main(int argc, char **argv)
{
    static const struct verb verbs[] = {
        {"list",    1, 1, backfill_list  },
        {"plan",    1, 1, backfill_plan  },
        {"create",  1, 1, backfill_create},
        {"show",    1, 1, backfill_show  },
        {"watch",   1, 1, backfill_watch },
        {"pause",   1, 1, backfill_pause },
        {"resume",  1, 1, backfill_resume},
        {"unpause", 1, 1, backfill_resume},
        {"cancel",  1, 1, backfill_cancel},
        {"retry",   1, 1, backfill_retry },
        {"set",     1, 1, backfill_set   },
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
        {"task",               't', ARG_LIST, &options.tasks          },
        {"upstream",           0,   ARG_FLAG, &options.upstream       },
        {"downstream",         0,   ARG_FLAG, &options.downstream     },
        {"on-failure",         0,   ARG_TEXT, &options.on_failure     },
        {"force",              0,   ARG_FLAG, &options.force          },
        {"dry-run",            0,   ARG_FLAG, &options.dry_run        },
        {"wait",               'w', ARG_FLAG, &options.wait           },
    };
    const struct noun noun = {&backfill_command, verbs, args, COUNT(args), &options};

    return remote_main(&noun, argc, argv);
}

const struct command backfill_command = {
    .name = "backfill",
    .summary = "plan, create, follow, adjust, pause, resume, retry and cancel backfills",
    .usage =
        "Usage: millrace backfill plan|create DAG --from DATE --to DATE [--max-active-runs N]\n"
        "                         [--reprocess none|missing|failed|completed|stale]\n"
        "                         [-t TASK]... [--upstream] [--downstream] [--run-backwards]\n"
        "                         [--on-failure continue|stop] [--conf JSON] [-p NAME=VALUE]...\n"
        "                         [--force] [--dry-run] [--wait]\n"
        "       millrace backfill list DAG\n"
        "       millrace backfill show|watch|pause|resume|cancel ID\n"
        "       millrace backfill retry ID [--wait]\n"
        "       millrace backfill set ID [--max-active-runs N] [--on-failure continue|stop]\n\n"
        "  Both ends of the range are included; a date or time without an offset is in the DAG's\n"
        "  time zone. `plan` (or --dry-run) lists every interval with what would become of it and\n"
        "  why. --reprocess says what becomes of runs that exist: none or missing leaves them,\n"
        "  failed, completed, and stale (failed, or DAG version, conf or inputs have changed) "
        "make\n"
        "  them again. -t takes ids of tasks and groups, or patterns; tasks that are no part of it are\n"
        "  left as they are. --on-failure stop pauses it after the first failed run; `resume` "
        "goes\n"
        "  on, `retry` makes what failed again, also when it has completed. --max-active-runs is\n"
        "  the DAG's unless given. --force lets tasks work again whose output is there and\n"
        "  unchanged. --wait and `watch` show a progress bar and end with exit code 6 if a run\n"
        "  failed; interrupting them cancels nothing.\n\n"
        "  --server URL   the server, where it is not the one of this folder\n"
        "  --state DIR    the state folder that names the server\n"
        "  -o FORMAT      table (on a terminal), tsv (in a pipe) or json\n\n"
        "  millrace backfill create churn --from 2026-01-01 --to 2026-04-30 --wait\n",
    .run = backfill_main,
};
