#include "worker/command.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "worker/environ.h"
#include "worker/folder.h"
#include "worker/guard.h"
#include "worker/reap.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *time_or_empty(struct arena *arena, const json_t *start, const char *key)
{
    char text[TIMEFMT_SIZE];
    int64_t us = json_get_int(start, key, 0);

    return arena_strdup(arena, us == 0 ? "" : timefmt_utc(us, text));
}

static char **build_environ(struct arena *arena, const struct job *job)
{
    const json_t *start = job->start;
    const json_t *env = json_object_get(start, "env");
    char *output = folder_path(job, FOLDER_OUTPUT);
    char *temp = folder_path(job, FOLDER_TEMP);
    const char *dag_id = json_get_string(start, "dag_id", "");
    const char *task_id = json_get_string(start, "task_id", "");
    const char *run_id = json_get_string(start, "run_id", "");
    const char *try_number = arena_printf(arena, "%lld", (long long)job->try_number);
    const char *map_index = arena_printf(arena, "%lld", (long long)job->map_index);
    const char *date = time_or_empty(arena, start, "logical_date");
    const char *from = time_or_empty(arena, start, "interval_start");
    const char *until = time_or_empty(arena, start, "interval_end");
    const struct environ_extra extras[] = {
        {"MILLRACE_DAG_ID",              dag_id                      },
        {"MILLRACE_TASK_ID",             task_id                     },
        {"MILLRACE_RUN_ID",              run_id                      },
        {"MILLRACE_TRY_NUMBER",          try_number                  },
        {"MILLRACE_MAP_INDEX",           map_index                   },
        {"MILLRACE_LOGICAL_DATE",        date                        },
        {"MILLRACE_DATA_INTERVAL_START", from                        },
        {"MILLRACE_DATA_INTERVAL_END",   until                       },
        {COMMAND_TOKEN_VARIABLE,         job->token                  },
        {"MILLRACE_OUTPUT",              output                      },
        {"MILLRACE_TEMP",                temp                        },
        {GUARD_VARIABLE,                 job->supervisor->instance.id},
    };
    /* environ_build() copies the values. */
    char **list = environ_build(arena, environ, json_is_object(env) ? env : NULL, extras,
                                sizeof(extras) / sizeof(extras[0]));

    free(output);
    free(temp);
    return list;
}

static const char *type_name(const json_t *value)
{
    if (json_is_array(value))
        return "a list";
    return json_is_object(value) ? "a map" : "null";
}

/* A template that stands alone gives whatever a run's conf holds; numbers and booleans become text,
 * what has no one text is named before options_coerce() would only count it. */
static bool check_argv(const json_t *argv, struct err *err)
{
    size_t i = 0;
    json_t *item = NULL;

    json_array_foreach(argv, i, item)
    {
        if (json_is_array(item) || json_is_object(item) || json_is_null(item))
            return err_set(err, ERR_INVALID, "argv[%zu] must be a string, not %s", i,
                           type_name(item));
    }
    return true;
}

static char **build_argv(struct arena *arena, const json_t *argv, struct err *err)
{
    size_t count = json_array_size(argv);
    char **list;

    if (count == 0) {
        (void)err_set(err, ERR_INVALID, "argv is empty: it needs at least the program's name");
        return NULL;
    }
    list = arena_alloc_array(arena, count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(argv, i));

        if (text == NULL) {
            (void)err_set(err, ERR_INVALID, "argv[%zu] is not a string", i);
            return NULL;
        }
        list[i] = arena_strdup(arena, text);
    }
    return list;
}

/* One line that can be read, and pasted, as a shell would take it. */
static void note_argv(struct job *job, char *const *argv)
{
    struct buf text = {0};

    for (size_t i = 0; argv[i] != NULL && text.len < 4096; i++) {
        bool plain = argv[i][0] != '\0' &&
                     strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789_./:=@%+,-") == strlen(argv[i]);

        if (i > 0)
            buf_add_char(&text, ' ');
        if (plain) {
            buf_add_text(&text, argv[i]);
            continue;
        }
        buf_add_char(&text, '\'');
        for (const char *c = argv[i]; *c != '\0'; c++)
            if (*c == '\'')
                buf_add_text(&text, "'\\''");
            else
                buf_add_char(&text, *c);
        buf_add_char(&text, '\'');
    }
    attempt_log_note(&job->log, "attempt %lld: %s%s", (long long)job->try_number, buf_text(&text),
                     text.len < 4096 ? "" : " ...");
    buf_release(&text);
}

static bool is_hopeless(enum err_code code)
{
    return code == ERR_NOT_FOUND || code == ERR_FORBIDDEN || code == ERR_INVALID;
}

/* Fills in what is to be launched. */
static bool build_order(struct job *job, struct child_order *order, struct err *err)
{
    json_t *options = json_object_get(job->start, "options");
    const char *cwd = NULL;

    if (options == NULL)
        return err_set(err, ERR_INVALID, "the command has no options");
    if (!check_argv(json_object_get(options, "argv"), err) ||
        !options_coerce(job->kind->options, options, err))
        return false;
    char **argv = build_argv(&order->arena, json_object_get(options, "argv"), err);
    if (argv == NULL)
        return false;
    note_argv(job, argv);
    cwd = json_get_string(options, "cwd", NULL);
    order->launch = (struct launch){.argv = argv,
                                    .envp = build_environ(&order->arena, job),
                                    .cwd = arena_strdup(&order->arena, cwd),
                                    .socket_fd = -1};
    return true;
}

static void judge_failed_start(struct job *job, const struct err *err)
{
    job_judge(job, is_hopeless(err->code) ? OUTCOME_FATAL : OUTCOME_FAILED, "%s", err->message);
}

/* Its child may have ended already, and been left alone until now. */
static void on_launched(struct child_order *order, struct child *child)
{
    struct supervisor *supervisor = order->work.loop->data;
    struct job *job = order->job;

    supervisor->launching--;
    if (job == NULL) {
        if (child != NULL)
            (void)kill(-child->pid, SIGKILL);
        child_free(child);
        return;
    }
    job->order = NULL;
    if (child == NULL) {
        judge_failed_start(job, &order->err);
        job_handle(job, JOB_FAILED);
    } else {
        job->child = child;
        child->job = job;
        job->group = child->pid;
        child_set_log(child, &job->log);
        HASH_ADD(hh, supervisor->children, pid, sizeof(child->pid), child);
        job_handle(job, JOB_LAUNCHED);
    }
    reap_children(supervisor);
}

bool command_start(struct job *job)
{
    struct child_order *order = mem_alloc(sizeof(*order));
    struct err err = {0};

    if (!folder_make(job, &err) || !build_order(job, order, &err)) {
        judge_failed_start(job, &err);
        arena_release(&order->arena);
        free(order);
        return false;
    }
    order->job = job;
    order->done = on_launched;
    job->order = order;
    job->supervisor->launching++;
    child_start_aside(&job->supervisor->loop, order);
    return true;
}

void command_judge_status(struct job *job, int status)
{
    if (WIFSIGNALED(status)) {
        job->signal = WTERMSIG(status);
        job_judge(job, OUTCOME_FAILED, "killed by SIG%s",
                  sigabbrev_np(WTERMSIG(status)) == NULL ? "?" : sigabbrev_np(WTERMSIG(status)));
        return;
    }
    job->exit_code = WEXITSTATUS(status);
    if (job->exit_code == COMMAND_EXIT_SKIPPED)
        job_judge(job, OUTCOME_SKIPPED, "exit code %d", COMMAND_EXIT_SKIPPED);
    else if (job->exit_code != 0)
        job_judge(job, OUTCOME_FAILED, "exit code %d", (int)job->exit_code);
}

/* What the program left in $MILLRACE_OUTPUT; nothing is fine. */
static bool read_outputs(struct job *job, struct err *err)
{
    char *path = folder_path(job, FOLDER_OUTPUT);
    struct buf text = {0};
    bool ok = true;

    /* Nearly every command leaves none: ask before reading, it is one call. */
    if (access(path, F_OK) == 0) {
        ok = fs_read_file(path, COMMAND_OUTPUT_BYTES_MAX, &text, err);
        if (!ok && err->code == ERR_LIMIT)
            (void)err_set(err, ERR_LIMIT, "it is over the limit of %d bytes",
                          COMMAND_OUTPUT_BYTES_MAX);
        if (ok && str_trim(buf_str(&text)).len > 0) {
            job->outputs = json_parse(buf_str(&text), err);
            ok = job->outputs != NULL;
            if (ok && !json_is_object(job->outputs))
                ok = err_set(err, ERR_INVALID, "it must be a JSON object");
        }
    }
    if (!ok) {
        json_decref(job->outputs);
        job->outputs = NULL;
        if (err->line > 0)
            (void)err_wrap(err, "line %u, column %u", err->line, err->column);
    }
    buf_release(&text);
    free(path);
    return ok;
}

void command_exited(struct job *job, int status)
{
    struct err err = {0};

    command_judge_status(job, status);
    if (!job->is_judged) {
        if (read_outputs(job, &err))
            job_judge(job, OUTCOME_SUCCESS, "%s", "");
        else
            job_judge(job, OUTCOME_FAILED, "the outputs in $MILLRACE_OUTPUT can't be read: %s",
                      err.message);
    }
    job_handle(job, JOB_EXITED);
}
