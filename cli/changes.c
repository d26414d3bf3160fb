#include "cli/changes.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct table_column task_columns[] = {
    {"RUN",   "dag_run_id"},
    {"TASK",  "task_id"   },
    {"INDEX", "map_index" },
    {"STATE", "state"     },
    {"TRY",   "try_number"},
};

static const struct table_column run_fields[] = {
    {"dag_id", "dag_id"    },
    {"run_id", "dag_run_id"},
    {"state",  "state"     },
    {"reason", "reason"    },
};

void changes_args(struct arg *args, struct change_options *options)
{
    const struct arg table[CHANGE_ARGS_COUNT] = {
        {"upstream",       'u', ARG_FLAG, &options->upstream    },
        {"downstream",     'd', ARG_FLAG, &options->downstream  },
        {"past",           0,   ARG_FLAG, &options->past        },
        {"future",         0,   ARG_FLAG, &options->future      },
        {"only-failed",    'f', ARG_FLAG, &options->only_failed },
        {"only-running",   0,   ARG_FLAG, &options->only_running},
        {"latest-version", 0,   ARG_FLAG, &options->latest      },
        {"force",          0,   ARG_FLAG, &options->force       },
        {"dry-run",        'n', ARG_FLAG, &options->dry_run     },
    };

    memcpy(args, table, sizeof(table));
}

/* "task[3]" is one instance of a mapped task: *ret_index is set, and the name's length returned. */
static size_t split_index(const char *text, int *ret_index)
{
    const char *bracket = strchr(text, '[');
    char *end = NULL;

    *ret_index = -1;
    if (bracket == NULL)
        return strlen(text);
    long index = strtol(bracket + 1, &end, 10);
    if (end == bracket + 1 || strcmp(end, "]") != 0 || index < 0 || index > INT32_MAX)
        return strlen(text); /* no such name: the server says so */
    *ret_index = (int)index;
    return (size_t)(bracket - text);
}

static json_t *task_list(char **tasks, int count)
{
    json_t *list = json_array();

    for (int i = 0; i < count; i++) {
        int index = -1;
        json_t *name = json_stringn(tasks[i], split_index(tasks[i], &index));
        (void)json_array_append_new(list, index < 0 ? name : json_pack("[o, i]", name, index));
    }
    return list;
}

static int print_tasks(struct remote *remote, const char *method, const char *path, json_t *body,
                       const char *told)
{
    struct err err = {0};
    json_t *answer = client_request(remote->client, method, path, body, &err);

    json_decref(body);
    if (answer == NULL)
        return command_fail(&err);
    table_print(task_columns, COUNT(task_columns), json_object_get(answer, "task_instances"),
                answer, remote->format);
    fprintf(stderr, "%lld task instances %s\n", (long long)json_get_int(answer, "total_entries", 0),
            told);
    json_decref(answer);
    return 0;
}

int changes_clear(struct remote *remote, const struct change_options *options, char **tasks,
                  int count)
{
    struct buf path = {0};
    json_t *body = json_pack(
        "{s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "dag_run_id", remote->positional[1],
        "dry_run", options->dry_run, "only_failed", options->only_failed, "only_running",
        options->only_running, "include_upstream", options->upstream, "include_downstream",
        options->downstream, "include_past", options->past, "include_future", options->future,
        "run_on_latest_version", options->latest, "force", options->force);

    if (count > 0)
        (void)json_object_set_new(body, "task_ids", task_list(tasks, count));
    buf_add_text(&path, "/api/v2/dags");
    client_add_segment(&path, remote->positional[0]);
    buf_add_text(&path, "/clearTaskInstances");
    int exit_code =
        print_tasks(remote, "POST", buf_text(&path), body,
                    options->dry_run ? "would be cleared; nothing was changed" : "cleared");
    buf_release(&path);
    return exit_code;
}

static void add_run(struct buf *path, const char *prefix, char **positional)
{
    buf_add_text(path, prefix);
    buf_add_text(path, "/dags");
    client_add_segment(path, positional[0]);
    buf_add_text(path, "/dagRuns");
    client_add_segment(path, positional[1]);
}

static void add_task(struct buf *path, const char *task, const char *rest)
{
    int index = -1;
    size_t length = split_index(task, &index);
    char *name = strndup(task, length);

    buf_add_text(path, "/taskInstances");
    client_add_segment(path, name == NULL ? "" : name);
    buf_add_text(path, rest);
    if (index >= 0)
        buf_printf(path, "?map_index=%d", index);
    free(name);
}

int changes_mark_task(struct remote *remote, const struct change_options *options, const char *task,
                      const char *state)
{
    struct buf path = {0};
    json_t *body = json_pack("{s:s, s:b, s:b, s:b, s:b}", "new_state", state, "include_upstream",
                             options->upstream, "include_downstream", options->downstream,
                             "include_past", options->past, "include_future", options->future);

    add_run(&path, "/api/v2", remote->positional);
    add_task(&path, task, options->dry_run ? "/dry_run" : "");
    int exit_code =
        print_tasks(remote, "PATCH", buf_text(&path), body,
                    options->dry_run ? "would be marked; nothing was changed" : "marked");
    buf_release(&path);
    return exit_code;
}

int changes_mark_run(struct remote *remote, const char *state)
{
    struct buf path = {0};
    json_t *body = json_pack("{s:s}", "state", state);

    add_run(&path, "/api/v2", remote->positional);
    int exit_code =
        remote_object(remote, "PATCH", buf_text(&path), body, run_fields, COUNT(run_fields));
    json_decref(body);
    buf_release(&path);
    return exit_code;
}

int changes_cancel(struct remote *remote, const char *task)
{
    struct buf path = {0};
    int exit_code = 0;

    add_run(&path, "/api/millrace/v1", remote->positional);
    if (task != NULL) {
        add_task(&path, task, "/cancel");
        exit_code = print_tasks(remote, "PUT", buf_text(&path), NULL, "cancelled");
    } else {
        buf_add_text(&path, "/cancel");
        exit_code =
            remote_object(remote, "PUT", buf_text(&path), NULL, run_fields, COUNT(run_fields));
    }
    buf_release(&path);
    return exit_code;
}
