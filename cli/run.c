/* millrace run FILE: options, the check of the file, and the choice between server and no server.
 */
#include "cli/run.h"

#include "base/json.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/remote.h"
#include "scheduler/core/zone.h"
#include "scheduler/dagfile/dagfile.h"
#include "scheduler/dagfile/report.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ACTIVE_RUNS 10

struct run_options {
    struct settings_override override;
    const char *from;
    const char *to;
    const char *conf;
    const char *reprocess;
    struct arg_list params;
    int64_t max_active_runs;
    bool force;
};

json_t *run_command_document(const struct run_plan *plan)
{
    if (!plan->is_backfill)
        return json_pack("{s:s, s:s, s:O, s:b, s:s}", "command", "trigger", "dag_id",
                         plan->dag->dag_id, "conf", plan->conf, "force", plan->force,
                         "triggered_by", "cli");
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:b, s:O}", "command", "backfill_create",
                     "dag_id", plan->dag->dag_id, "from", (json_int_t)plan->from_us, "to",
                     (json_int_t)plan->to_us, "max_active_runs", (json_int_t)plan->max_active_runs,
                     "reprocess", reprocess_name(plan->reprocess), "force", plan->force, "conf",
                     plan->conf);
}

static int64_t find_backfill(struct read *read, struct arena *arena, const struct run_plan *plan,
                             bool *ret_paused)
{
    struct read_page page = {.limit = 100};
    struct backfill_row *rows = NULL;
    struct err err = {0};
    size_t count = 0;
    int64_t total = 0;

    if (!read_backfills(read, arena, plan->dag->dag_id, true, &page, &rows, &count, &total, &err))
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].from_us != plan->from_us || rows[i].to_us != plan->to_us)
            continue;
        *ret_paused = rows[i].is_paused;
        return rows[i].id;
    }
    return 0;
}

static int64_t find_run(struct read *read, struct arena *arena, const struct run_plan *plan)
{
    struct run_filter filter = {.dag_id = plan->dag->dag_id,
                                .states = "[\"queued\",\"running\"]",
                                .run_types = "[\"manual\"]"};
    struct read_page page = {.limit = 100};
    struct run_view *runs = NULL;
    struct err err = {0};
    struct buf conf = {0};
    size_t count = 0;
    int64_t total = 0;
    int64_t found = 0;

    json_dump_canonical(plan->conf, &conf);
    if (!read_runs(read, arena, &filter, &page, &runs, &count, &total, &err))
        count = 0;
    for (size_t i = 0; i < count && found == 0; i++)
        if (runs[i].run.triggered_by == TRIGGERED_BY_CLI &&
            strcmp(runs[i].run.conf, buf_text(&conf)) == 0)
            found = runs[i].run.id;
    buf_release(&conf);
    return found;
}

int64_t run_find_unfinished(struct read *read, const struct run_plan *plan, bool runs,
                            bool *ret_paused)
{
    struct arena arena = {0};
    int64_t id = 0;

    *ret_paused = false;
    if (plan->is_backfill)
        id = find_backfill(read, &arena, plan, ret_paused);
    else if (runs)
        id = find_run(read, &arena, plan);
    read_end(read);
    arena_release(&arena);
    return id;
}

/* Checks the file as `millrace check` does; prints what is wrong. */
static int load_file(struct run_plan *plan)
{
    struct arena arena = {0};
    struct diags diags = {.arena = &arena};
    struct buf source = {0};
    struct buf report = {0};
    struct dagfile_input input = {.file = plan->file,
                                  .pools = plan->settings->pools,
                                  .pool_count = plan->settings->pool_count};

    if (access(plan->file, F_OK) != 0) {
        fprintf(stderr, "error: %s: no such file\n", plan->file);
        return err_exit_code(ERR_NOT_FOUND);
    }
    plan->dag = dagfile_load(plan->file, &input, &source, &diags);
    if (diags.count > 0) {
        report_text(plan->file, buf_str(&source), &diags, &report);
        fputs(buf_text(&report), stderr);
    }
    diags_release(&diags);
    buf_release(&report);
    buf_release(&source);
    arena_release(&arena);
    return plan->dag == NULL ? err_exit_code(ERR_FINDINGS) : 0;
}

/* -p names must be params of the DAG: a typing error would otherwise change nothing, silently. */
static bool check_params(const struct run_options *options, const struct dag *dag)
{
    for (size_t i = 0; i < options->params.count; i++) {
        struct str pair = str_from(options->params.items[i]);
        size_t end = str_find(pair, '=', 0);
        if (end == SIZE_MAX)
            continue; /* remote_conf() says what is wrong with it */
        char name[256];
        (void)snprintf(name, sizeof(name), "%.*s", (int)end, pair.ptr);
        if (json_object_get(dag->params, name) != NULL ||
            json_object_get(dag->param_types, name) != NULL)
            continue;
        struct buf known = {0};
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)dag->params, key, value)
            buf_printf(&known, " %s", key);
        (void)command_usage_error(&run_command, "%s has no param `%s`; its params:%s", dag->dag_id,
                                  name, known.len == 0 ? " none" : buf_text(&known));
        buf_release(&known);
        return false;
    }
    return true;
}

/* A date or time; without an offset it is local to the DAG's time zone. */
static bool parse_date(const char *option, const char *text, const struct dag *dag, int64_t *ret_us)
{
    bool has_offset = false;
    int64_t us = 0;

    if (!timefmt_parse(str_from(text), &us, &has_offset)) {
        (void)command_usage_error(&run_command,
                                  "--%s wants a date such as 2026-01-31, or a time, not `%s`",
                                  option, text);
        return false;
    }
    *ret_us = has_offset || dag->zone == NULL ? us : zone_to_utc_us(dag->zone, us);
    return true;
}

static bool plan_range(const struct run_options *options, struct run_plan *plan)
{
    plan->is_backfill = options->from != NULL;
    if (!plan->is_backfill)
        return true;
    if (!parse_date("from", options->from, plan->dag, &plan->from_us) ||
        !parse_date("to", options->to, plan->dag, &plan->to_us))
        return false;
    if (plan->from_us > plan->to_us) {
        (void)command_usage_error(&run_command, "--from is later than --to");
        return false;
    }
    if (plan->dag->schedule.kind == SCHEDULE_NONE) {
        (void)command_usage_error(&run_command,
                                  "%s has no schedule, so there are no intervals to run: leave "
                                  "out --from and --to",
                                  plan->dag->dag_id);
        return false;
    }
    plan->max_active_runs = options->max_active_runs != 0     ? options->max_active_runs
                            : plan->dag->max_active_runs != 0 ? plan->dag->max_active_runs
                                                              : MAX_ACTIVE_RUNS;
    return true;
}

/* The state folder's holder may go away, and another may come, while we wait. */
static int carry_out(struct run_plan *plan)
{
    for (;;) {
        struct err err = {0};
        int exit_code = run_local(plan, &err);
        if (exit_code < 0)
            exit_code = run_remote(plan);
        if (exit_code >= 0)
            return exit_code;
    }
}

static int plan_and_run(const struct run_options *options, struct run_plan *plan)
{
    struct err err = {0};
    int exit_code = load_file(plan);

    if (exit_code != 0)
        return exit_code;
    if (!check_params(options, plan->dag) || !plan_range(options, plan))
        return err_exit_code(ERR_USAGE);
    plan->conf = remote_conf(options->conf, &options->params, plan->dag->param_types, &err);
    if (plan->conf == NULL)
        return command_fail(&err);
    return carry_out(plan);
}

static int run_main(int argc, char **argv)
{
    struct run_options options = {0};
    struct settings settings = {0};
    struct run_plan plan = {.settings = &settings, .reprocess = REPROCESS_FAILED};
    struct err err = {0};
    const struct arg table[] = {
        {"from",            0,   ARG_TEXT, &options.from                 },
        {"to",              0,   ARG_TEXT, &options.to                   },
        {"param",           'p', ARG_LIST, &options.params               },
        {"conf",            0,   ARG_TEXT, &options.conf                 },
        {"reprocess",       0,   ARG_TEXT, &options.reprocess            },
        {"max-active-runs", 0,   ARG_INT,  &options.max_active_runs      },
        {"force",           0,   ARG_FLAG, &options.force                },
        {"slots",           0,   ARG_INT,  &options.override.worker_slots},
        {"state",           0,   ARG_TEXT, &options.override.state_folder},
    };
    int count = args_parse(&run_command, table, sizeof(table) / sizeof(table[0]), argc, argv);

    if (count < 0)
        return err_exit_code(ERR_USAGE);
    if (count != 1)
        return command_usage_error(&run_command, "it wants one DAG file");
    if ((options.from == NULL) != (options.to == NULL))
        return command_usage_error(&run_command, "--from and --to go together");
    if (options.reprocess != NULL && !reprocess_parse(str_from(options.reprocess), &plan.reprocess))
        return command_usage_error(&run_command,
                                   "--reprocess is none, missing, failed, completed or stale");
    if (getenv("MILLRACE_LOG") == NULL) {
        /* Progress is what a user wants to see; the worker writes to its own log. */
        log_set_level(LOG_WARN);
    }
    if (!settings_load(&options.override, &settings, &err))
        return command_fail(&err);
    plan.file = argv[1];
    plan.force = options.force;
    int exit_code = plan_and_run(&options, &plan);
    json_decref(plan.conf);
    dag_unref(plan.dag);
    settings_release(&settings);
    return exit_code;
}

const struct command run_command = {
    .name = "run",
    .summary = "Run one DAG file, once or over a range of dates; no server needed",
    .usage =
        "Usage: millrace run FILE [-p NAME=VALUE]... [--conf JSON] [--from DATE --to DATE]\n"
        "                    [--reprocess none|missing|failed|completed|stale]\n"
        "                    [--max-active-runs N] [--force] [--slots N] [--state DIR]\n\n"
        "Runs the DAG of FILE and waits for its end; progress goes to stderr. With --from and\n"
        "--to it runs all intervals whose logical dates lie in the range, both inclusive. What\n"
        "was interrupted goes on when the same command is given again.\n\n"
        "  -p, --param NAME=VALUE  a param of the DAG; may be repeated\n"
        "  --conf JSON             the run's conf, an object\n"
        "  --reprocess WHICH       intervals that have a run already: none (or missing) runs only\n"
        "                          those without; failed (the default) those that failed too,\n"
        "                          stale what is out of date too, completed all of them\n"
        "  --max-active-runs N     runs at once of a range (default: the DAG's)\n"
        "  --force                 let tasks work again whose output is there and unchanged\n"
        "  --slots N               attempts at once (default: the number of processors)\n"
        "  --state DIR             the state folder (default: .millrace beside millrace.yaml)\n\n"
        "If `millrace serve` holds the state folder, it gets the run, and Ctrl-C only detaches.\n"
        "Exit codes: 0 success, 6 something failed, 5 errors in FILE, 2 wrong usage, 130 Ctrl-C\n"
        "(SIGINT, SIGTERM, SIGQUIT, or SIGHUP without nohup).\n",
    .goes_on = true,
    .run = run_main,
};
