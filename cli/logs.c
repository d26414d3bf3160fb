#include "cli/remote.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FOLLOW_POLL_US 300000u

struct logs_options {
    int64_t try_number;
    bool follow;
};

/* The index of an instance of a mapped task, "load[3]", else -1. */
static int64_t add_task(struct buf *path, char **positional)
{
    buf_add_text(path, "/api/v2/dags");
    client_add_segment(path, positional[0]);
    buf_add_text(path, "/dagRuns");
    client_add_segment(path, positional[1]);
    buf_add_text(path, "/taskInstances");
    return remote_add_task(path, positional[2]);
}

/* The newest try of a task, and whether the task has ended. */
static bool read_task(struct remote *remote, int64_t *ret_try, bool *ret_ended, struct err *err)
{
    static const char *const final_states[] = {"success", "failed", "skipped", "upstream_failed",
                                               "removed"};
    struct buf path = {0};

    int64_t map_index = add_task(&path, remote->positional);
    if (map_index >= 0)
        buf_printf(&path, "/%lld", (long long)map_index);
    json_t *task = client_request(remote->client, "GET", buf_text(&path), NULL, err);
    buf_release(&path);
    if (task == NULL)
        return false;
    *ret_try = json_get_int(task, "try_number", 0);
    *ret_ended = false;
    for (size_t i = 0; i < COUNT(final_states); i++)
        if (strcmp(json_get_string(task, "state", ""), final_states[i]) == 0)
            *ret_ended = true;
    json_decref(task);
    return true;
}

/* Prints what is new of a log; *printed is how much had been printed before. A log that is not
 * there yet is empty. */
static bool print_new(struct remote *remote, int64_t try_number, size_t *printed, struct err *err)
{
    struct buf path = {0};
    struct buf text = {0};

    int64_t map_index = add_task(&path, remote->positional);
    buf_printf(&path, "/logs/%lld?map_index=%lld", (long long)try_number, (long long)map_index);
    bool ok = client_get_text(remote->client, buf_text(&path), &text, err);
    if (ok && text.len > *printed) {
        size_t len = text.len - *printed;
        ok = (fwrite(text.ptr + *printed, 1, len, stdout) == len && fflush(stdout) == 0) ||
             err_errno(err, "write the log");
        *printed = text.len;
    }
    buf_release(&path);
    buf_release(&text);
    return ok;
}

/* Follows a task through its tries until it has ended. */
static bool follow(struct remote *remote, struct err *err)
{
    int64_t shown_try = 0;
    size_t printed = 0;

    for (;;) {
        int64_t newest = 0;
        bool ended = false;
        if (!read_task(remote, &newest, &ended, err))
            return false;
        if (newest != shown_try) {
            if (shown_try > 0 && !print_new(remote, shown_try, &printed, err) &&
                err->code != ERR_NOT_FOUND)
                return false;
            if (shown_try > 0)
                fprintf(stderr, "--- try %lld ---\n", (long long)newest);
            shown_try = newest;
            printed = 0;
        }
        if (shown_try > 0 && !print_new(remote, shown_try, &printed, err) &&
            err->code != ERR_NOT_FOUND)
            return false;
        if (ended)
            return true;
        (void)usleep(FOLLOW_POLL_US);
    }
}

static int logs_print(struct remote *remote)
{
    const struct logs_options *options = remote->options;
    int64_t try_number = options->try_number;
    struct err err = {0};
    size_t printed = 0;
    bool ended = false;

    if (options->follow && try_number == 0)
        return follow(remote, &err) ? 0 : command_fail(&err);
    if (try_number == 0 && !read_task(remote, &try_number, &ended, &err))
        return command_fail(&err);
    if (try_number == 0) {
        fprintf(stderr, "%s has not started yet: `millrace explain %s %s %s` says why\n",
                remote->positional[2], remote->positional[0], remote->positional[1],
                remote->positional[2]);
        return err_exit_code(ERR_NOT_FOUND);
    }
    return print_new(remote, try_number, &printed, &err) ? 0 : command_fail(&err);
}

static int logs_main(int argc, char **argv)
{
    static const struct verb verbs[] = {
        {"",   3, 3, logs_print},
        {NULL, 0, 0, NULL      },
    };
    struct logs_options options = {0};
    const struct arg args[] = {
        {"try",    't', ARG_INT,  &options.try_number},
        {"follow", 'f', ARG_FLAG, &options.follow    },
    };
    const struct noun noun = {&logs_command, verbs, args, COUNT(args), &options};

    return remote_main(&noun, argc, argv);
}

const struct command logs_command = {
    .name = "logs",
    .summary = "print or follow the log of a task",
    .usage = "Usage: millrace logs DAG RUN TASK [--try N] [-f]\n\n"
             "  TASK[N] is an instance of a mapped task, as in load[3].\n\n"
             "  -t, --try N    this try; default: the newest\n"
             "  -f, --follow   go on until the task has ended\n"
             "  --server URL   the server, where it is not the one of this folder\n"
             "  --state DIR    the state folder that names the server\n",
    .run = logs_main,
};
