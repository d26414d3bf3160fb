/* millrace-runner: runs one data attempt with DuckDB open, or one look at something outside after
 * another. The worker starts it; it is a program of its own since what it links takes ten times as
 * long to load as the worker does. */
#include "base/json.h"
#include "tasks/callback/webhook.h"
#include "tasks/engine/engine.h"
#include "worker/serve.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define EXIT_USAGE 2

static bool run(struct attempt *attempt, const json_t *document, struct err *err)
{
    static const struct served_kind kinds[] = {
#define TASK_KIND(name) {&name##_kind, name##_run},
#include "tasks/kinds.def"
#undef TASK_KIND
    };

    if (json_get_int(document, "callback", 0) > 0)
        return webhook_run(attempt->options, json_get_string(document, "document", "{}"), err);
    if (attempt->engine != NULL && !engine_set_limits(attempt->engine, attempt->memory_bytes,
                                                      attempt->threads, attempt->temp, err))
        return false;
    return serve_kind(kinds, sizeof(kinds) / sizeof(kinds[0]), attempt, err);
}

int main(int argc, char **argv)
{
    struct serving serving = {.run = run, .has_log = true};
    struct err err = {0};

    if (argc != 3 || strcmp(argv[1], "--runner") != 0 ||
        (strcmp(argv[2], SERVE_MODE_DATA) != 0 && strcmp(argv[2], SERVE_MODE_LIGHT) != 0)) {
        (void)fputs("millrace-runner " MILLRACE_VERSION
                    ": started by millrace-worker, not by hand\n",
                    stderr);
        return EXIT_USAGE;
    }
    /* It was started by its descriptor's path, whose last part would be its name. */
    (void)prctl(PR_SET_NAME, "millrace-runner");
    serving.is_for_one = strcmp(argv[2], SERVE_MODE_DATA) == 0;
    if (serving.is_for_one && (serving.engine = engine_open(&err)) == NULL)
        serve_refuse(err.message);
    serve_attempts(&serving);
}
