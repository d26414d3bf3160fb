#include "worker/serve.h"

#include "base/busypoll.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/wire.h"
#include "millrace/messages.h"
#include "millrace/state.h"
#include "worker/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536
#define OUTPUT_BYTES_MAX 65536

/* What comes after an answer takes a commit. */
#define BUSYPOLL_US 400

struct result {
    enum outcome outcome;
    const char *reason;
    json_t *outputs;
    json_t *datasets;
};

/* The worker is gone when its end of the socket is: then there is nobody to serve. */
static void send_all(struct buf *out)
{
    struct err err = {0};

    (void)fflush(NULL);
    if (!fs_write_all(LAUNCH_SOCKET_FD, out->ptr, out->len, &err))
        _exit(1);
    buf_clear(out);
}

/* Answers to the attempts of one frame: a frame of each form that they have, one after the other.
 */
struct answers {
    struct buf *out;
    const char *kind; /* of the frame that is open; NULL = none is */
    size_t frame;
};

static void end_answers(struct answers *answers)
{
    if (answers->kind == NULL)
        return;
    buf_add_text(answers->out, "]}");
    wire_end(answers->out, answers->frame);
    answers->kind = NULL;
}

static void begin_answer(struct answers *answers, const char *kind, const char *list)
{
    if (answers->kind == kind) {
        buf_add_char(answers->out, ',');
        return;
    }
    end_answers(answers);
    answers->kind = kind;
    answers->frame = wire_begin(answers->out);
    buf_printf(answers->out, "{\"kind\":\"%s\",\"%s\":[", kind, list);
}

static void add_object(struct jw *w, const char *key, const json_t *object)
{
    struct buf text = {0};

    if (json_object_size(object) == 0)
        return;
    json_dump_canonical(object, &text);
    jw_kv_raw(w, key, buf_text(&text));
    buf_release(&text);
}

static void add_result(struct answers *answers, const char *token, const struct result *result)
{
    struct jw w = {.out = answers->out};

    if (result->outcome == OUTCOME_SUCCESS && result->reason == NULL &&
        json_object_size(result->outputs) == 0 && json_object_size(result->datasets) == 0) {
        begin_answer(answers, MESSAGE_DONE, "tokens");
        jw_string(&w, token);
        return;
    }
    begin_answer(answers, MESSAGE_RESULT, "results");
    jw_begin_object(&w);
    jw_kv_string(&w, "token", token);
    jw_kv_string(&w, "outcome", outcome_name(result->outcome));
    if (result->reason != NULL)
        jw_kv_string(&w, "reason", result->reason);
    add_object(&w, "outputs", result->outputs);
    add_object(&w, "datasets", result->datasets);
    jw_end_object(&w);
}

static enum outcome outcome_of(const struct err *err)
{
    bool hopeless =
        err->code == ERR_INVALID || err->code == ERR_TEMPLATE || err->code == ERR_FINDINGS;

    return hopeless ? OUTCOME_FATAL : OUTCOME_FAILED;
}

static bool check_outputs(const json_t *outputs, struct err *err)
{
    struct buf text = {0};
    bool ok;

    if (json_object_size(outputs) == 0)
        return true;
    json_dump_canonical(outputs, &text);
    ok = text.len <= OUTPUT_BYTES_MAX ||
         err_set(err, ERR_LIMIT, "the outputs are %zu bytes, over the limit of %d", text.len,
                 OUTPUT_BYTES_MAX);
    buf_release(&text);
    return ok;
}

bool serve_kind(const struct served_kind *kinds, size_t count, struct attempt *attempt,
                struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(kinds[i].kind->name, attempt->kind) == 0)
            return kinds[i].run(attempt, err);
    return err_set(err, ERR_INVALID, "this worker has no task kind %s", attempt->kind);
}

/* `document` tells of the run, `own` of the attempt: a data runner gets both in one. */
static bool run_attempt(const struct serving *serving, const json_t *document, const json_t *own,
                        const struct result *result, char **ret_waits_for, struct err *err)
{
    const char *name = json_get_string(own, "task_kind", "");
    const struct task_kind *kind = task_kind_find(str_from(name)); /* NULL: of a callback */
    json_t *options = json_object_get(own, "options");
    struct attempt attempt = {
        .dag_id = json_get_string(document, "dag_id", ""),
        .task_id = json_get_string(own, "task_id", ""),
        .run_id = json_get_string(document, "run_id", ""),
        .token = json_get_string(own, "token", ""),
        .try_number = json_get_int(own, "try_number", 1),
        .map_index = json_get_int(own, "map_index", -1),
        .logical_date_us = json_get_int(document, "logical_date", 0),
        .interval_start_us = json_get_int(document, "interval_start", 0),
        .interval_end_us = json_get_int(document, "interval_end", 0),
        .timezone = json_get_string(document, "timezone", "UTC"),
        .kind = name,
        .kind_version = kind == NULL ? 0 : kind->version,
        .cache = json_get_bool(document, "cache", true),
        .options = options,
        .folder = json_get_string(document, "folder", NULL),
        .temp = json_get_string(document, "temp", NULL),
        .memory_bytes = json_get_int(document, "memory", 0),
        .staging_us = json_get_int(document, "staging", 0),
        .threads = json_get_int(document, "threads", 1),
        .engine = serving->engine,
        .outputs = result->outputs,
        .datasets = result->datasets,
    };

    if (kind != NULL && json_is_object(options) && !options_coerce(kind->options, options, err))
        return false;
    bool ok = serving->run(&attempt, document, err) && check_outputs(result->outputs, err);

    *ret_waits_for = attempt.waits_for;
    return ok;
}

/* Attempts of the shared runner have no log. */
static void serve_one(const struct serving *serving, const json_t *document, const json_t *own,
                      struct answers *answers)
{
    json_t *outputs = json_object();
    json_t *datasets = json_object();
    char *waits_for = NULL;
    struct err err = {0};
    struct result result = {.outcome = OUTCOME_SUCCESS, .outputs = outputs, .datasets = datasets};

    if (!run_attempt(serving, document, own, &result, &waits_for, &err)) {
        result = (struct result){.outcome = outcome_of(&err), .reason = err.message};
        if (serving->has_log)
            (void)fprintf(stderr, "%s\n", err.message);
    } else if (waits_for != NULL) {
        result = (struct result){.outcome = OUTCOME_RESCHEDULE, .reason = waits_for};
    } else if (json_get_bool(outputs, "unchanged", false)) {
        result.reason = "unchanged";
    }
    add_result(answers, json_get_string(own, "token", ""), &result);
    free(waits_for);
    json_decref(outputs);
    json_decref(datasets);
}

static void serve_all(const struct serving *serving, const json_t *document, struct buf *out)
{
    const json_t *attempts = json_object_get(document, "attempts");
    struct answers answers = {.out = out};

    if (attempts == NULL)
        serve_one(serving, document, document, &answers);
    for (size_t i = 0; i < json_array_size(attempts); i++)
        serve_one(serving, document, json_array_get(attempts, i), &answers);
    end_answers(&answers);
}

/* Waits for more bytes; false when the worker has closed its end. */
static bool read_more(struct buf *in, struct busypoll *busypoll)
{
    char piece[READ_BYTES];
    ssize_t n;

    (void)busypoll_end(busypoll);
    do
        n = recv(LAUNCH_SOCKET_FD, piece, sizeof(piece), MSG_DONTWAIT);
    while (n < 0 && errno == EAGAIN && busypoll_goes_on(busypoll));
    while (n < 0 && (errno == EINTR || errno == EAGAIN))
        n = recv(LAUNCH_SOCKET_FD, piece, sizeof(piece), 0);
    busypoll_begin(busypoll);
    if (n > 0)
        buf_add(in, piece, (size_t)n);
    return n > 0;
}

/* Serves all complete frames of `in`, and answers each at once. */
static size_t serve_frames(const struct serving *serving, struct buf *in, struct buf *out)
{
    size_t offset = 0;
    size_t served = 0;
    struct str frame;

    while (wire_next(buf_str(in), &offset, &frame) == WIRE_FRAME) {
        struct err err = {0};
        json_t *document = json_parse(frame, &err);

        if (document == NULL) {
            (void)fprintf(stderr, "a frame from the worker: %s\n", err.message);
            _exit(1);
        }
        serve_all(serving, document, out);
        send_all(out);
        json_decref(document);
        served++;
    }
    buf_consume(in, offset);
    return served;
}

static void say_ready(struct buf *out)
{
    struct jw w = {.out = out};
    size_t start = wire_begin(out);

    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_READY);
    jw_end_object(&w);
    wire_end(out, start);
    send_all(out);
}

void serve_refuse(const char *reason)
{
    const struct result result = {.outcome = OUTCOME_FAILED, .reason = reason};
    struct buf out = {0};
    struct answers answers = {.out = &out};

    (void)fprintf(stderr, "%s\n", reason);
    add_result(&answers, NULL, &result);
    end_answers(&answers);
    send_all(&out);
    _exit(1);
}

void serve_attempts(const struct serving *serving)
{
    struct buf in = {0};
    struct buf out = {0};
    struct busypoll busypoll = {.window_us = BUSYPOLL_US};

    /* Output is seen as it is written, also where it goes to a pipe. */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    say_ready(&out);
    while (read_more(&in, &busypoll))
        if (serve_frames(serving, &in, &out) > 0 && serving->is_for_one)
            break;
    _exit(0);
}
