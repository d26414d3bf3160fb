#include "cli/backfill_plan.h"

#include "base/json.h"
#include "base/timefmt.h"
#include "cli/command.h"

#include <stdio.h>

static const struct table_column plan_columns[] = {
    {"LOGICAL DATE", "logical_date"},
    {"ACTION",       "action"      },
    {"REASON",       "reason"      },
    {"RUN",          "dag_run_id"  },
};

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
    if (!remote_has_params(dag, &options->params, err))
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
    json_t *body = json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:I, s:b, s:b, s:b, s:b, s:s}", "dag_id", remote->positional[0],
        "from_date", from, "to_date", to, "dag_run_conf", conf, "reprocess_behavior", reprocess,
        "max_active_runs", (json_int_t)max_active_runs, "run_backwards", options->run_backwards,
        "upstream", options->upstream, "downstream", options->downstream, "force", options->force,
        "on_failure", options->on_failure == NULL ? "continue" : options->on_failure);
    if (options->tasks.count == 0)
        return body;
    json_t *tasks = json_array();
    for (size_t i = 0; i < options->tasks.count; i++)
        (void)json_array_append_new(tasks, json_string(options->tasks.items[i]));
    (void)json_object_set_new(body, "tasks", tasks);
    return body;
}

json_t *backfill_read_body(struct remote *remote, struct err *err)
{
    json_t *dag = remote_dag(remote, remote->positional[0], err);
    json_t *body = dag == NULL ? NULL : create_body(remote, dag, err);

    json_decref(dag);
    return body;
}

static void add_counts(json_t *sums, const json_t *page)
{
    const char *action;
    json_t *count;

    json_object_foreach(json_object_get(page, "counts"), action, count)(void) json_object_set_new(
        sums, action, json_integer(json_get_int(sums, action, 0) + json_integer_value(count)));
}

/* Prints the plan's pages as they come. Returns what the first of them says beside its intervals,
 * with the counts of all; a new reference, NULL with *err. */
static json_t *print_pages(struct remote *remote, json_t *body, struct err *err)
{
    struct table_stream stream = {.columns = plan_columns,
                                  .column_count = sizeof(plan_columns) / sizeof(plan_columns[0]),
                                  .format = remote->format,
                                  .key = "intervals"};
    json_t *plan = NULL;

    for (bool is_last = false; !is_last && !ferror(stdout);) {
        json_t *page =
            client_request(remote->client, "POST", "/api/millrace/v1/backfills/plan", body, err);
        if (page == NULL) {
            json_decref(plan);
            return NULL;
        }
        table_stream_add(&stream, json_object_get(page, "intervals"));
        const char *next = json_get_string(page, "next", NULL);
        is_last = next == NULL;
        if (!is_last)
            (void)json_object_set_new(body, "after", json_string(next));
        if (plan != NULL)
            add_counts(json_object_get(plan, "counts"), page);
        else
            plan = json_incref(page);
        json_decref(page);
        (void)json_object_del(plan, "intervals");
        (void)json_object_del(plan, "next");
    }
    table_stream_end(&stream, plan);
    return plan;
}

int backfill_print_plan(struct remote *remote, json_t *body)
{
    struct err err = {0};
    json_t *plan = print_pages(remote, body, &err);
    const char *action;
    json_t *count;

    if (plan == NULL)
        return command_fail(&err);
    if (!ferror(stdout)) { /* else main() tells that nobody takes the output */
        fprintf(stderr, "%lld intervals:", (long long)json_get_int(plan, "total_entries", 0));
        json_object_foreach(json_object_get(plan, "counts"), action, count)
            fprintf(stderr, " %s %lld,", action, (long long)json_integer_value(count));
        fprintf(stderr, " nothing was changed\n");
    }
    json_decref(plan);
    return 0;
}
