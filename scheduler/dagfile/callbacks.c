/* Callbacks and deadlines: their option tables, and how they get into the DAG. */
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/dagfile/builder.h"
#include "scheduler/dagfile/tables.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* clang-format off */
static const struct option secret_fields[] = {
    {.key = "env", .type = OPTION_STRING, .doc = "An environment variable of the worker."},
    {.key = "file", .type = OPTION_STRING, .doc = "A file, without the line end after its text."},
};
static const struct option_table secret_table = {
    .name = "secret", .doc = "Where a secret is read, by the worker that uses it: env or file.",
    .options = secret_fields, .count = COUNT(secret_fields)};

#define RETRIES(count, delay)                                                                      \
    {.key = "retries", .type = OPTION_INT, .fallback = count, .max = 100,                          \
     .doc = "How often it is tried again where it fails."},                                        \
    {.key = "retry_delay", .type = OPTION_DURATION, .fallback = delay,                             \
     .doc = "The pause before the second try; it doubles with every further one, up to an hour."}

static const struct option webhook_fields[] = {
    {.key = "url", .type = OPTION_STRING, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "Where the document is sent to with POST. Any answer but 2xx is a failure."},
    {.key = "headers", .type = OPTION_MAP, .flags = OPTION_TEMPLATE, .fallback = "{}",
     .doc = "Name → value; a value that is a secret is {env: NAME} or {file: path}."},
    {.key = "secret", .type = OPTION_OBJECT, .fields = &secret_table,
     .doc = "The key of the signature: HMAC-SHA-256 over timestamp, a dot, and the body."},
    {.key = "timeout", .type = OPTION_DURATION, .fallback = "\"30s\"",
     .doc = "How long one try may take."},
    RETRIES("8", "\"10s\""),
};
static const struct option_table webhook_table = {
    .name = "webhook", .doc = "A POST of a JSON document that says what happened.",
    .options = webhook_fields, .count = COUNT(webhook_fields)};

static const struct option command_fields[] = {
    {.key = "argv", .type = OPTION_STRINGS, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "Program and arguments, without a shell. The document is in $MILLRACE_CALLBACK."},
    {.key = "env", .type = OPTION_MAP, .flags = OPTION_TEMPLATE, .doc = "Environment variables."},
    {.key = "cwd", .type = OPTION_STRING, .flags = OPTION_TEMPLATE, .doc = "The working folder."},
    {.key = "timeout", .type = OPTION_DURATION, .fallback = "\"5m\"",
     .doc = "How long one try may take."},
    RETRIES("3", "\"30s\""),
};
static const struct option_table command_table = {
    .name = "command", .doc = "A program that is told what happened.",
    .options = command_fields, .count = COUNT(command_fields)};

static const struct option kinds[] = {
    {.key = "webhook", .type = OPTION_OBJECT, .flags = OPTION_TEMPLATE, .fields = &webhook_table,
     .doc = "An HTTP request."},
    {.key = "command", .type = OPTION_OBJECT, .flags = OPTION_TEMPLATE, .fields = &command_table,
     .doc = "A program."},
};
static const struct option_alias kind_aliases[] = {
    {"url", "webhook: {url: …}"}, {"http", "webhook"}, {"argv", "command: {argv: […]}"},
    {"slack", "webhook"}, {"email", "command"}, {NULL, NULL}};
const struct option_table callback_kinds = {
    .name = "a callback", .doc = "What is done.",
    .options = kinds, .count = COUNT(kinds), .aliases = kind_aliases};

static const char *const references[] = {
#define DEADLINE_REFERENCE(name, text) text,
#include "millrace/enums.def"
#undef DEADLINE_REFERENCE
    NULL,
};

static const struct option deadline_fields[] = {
    {.key = "reference", .type = OPTION_ENUM, .fallback = "\"schedule\"", .choices = references,
     .doc = "What it counts from: schedule (the run's run_after, which is the end of its data "
            "interval), queued_at or logical_date; a run without that has no such deadline."},
    {.key = "interval", .type = OPTION_DURATION, .flags = OPTION_REQUIRED,
     .doc = "How long after that the run must be over."},
    {.key = "callback", .type = OPTION_TAGGEDS, .flags = OPTION_REQUIRED | OPTION_OR_SINGLE,
     .variants = &callback_kinds, .doc = "Who is told of a run that is not, once."},
};
static const struct option_alias deadline_aliases[] = {
    {"after", "interval"}, {"within", "interval"}, {"webhook", "callback: {webhook: …}"},
    {"command", "callback: {command: …}"}, {NULL, NULL}};
const struct option_table deadline_table = {
    .name = "deadline", .doc = "A time by which a run must be over.",
    .options = deadline_fields, .count = COUNT(deadline_fields), .aliases = deadline_aliases};
/* clang-format on */

static const char *key_of(enum callback_event event)
{
    static const char *const keys[CALLBACK_EVENT_COUNT] = {
        [CALLBACK_EVENT_SUCCESS] = "on_success_callback",
        [CALLBACK_EVENT_FAILURE] = "on_failure_callback",
        [CALLBACK_EVENT_RETRY] = "on_retry_callback",
    };

    return keys[event];
}

void callbacks_read(const json_t *own, const json_t *defaults, struct dag_callbacks *ret)
{
    for (enum callback_event event = 0; event < CALLBACK_EVENT_COUNT; event++) {
        const char *key = key_of(event);
        const json_t *list = key == NULL ? NULL : json_object_get(own, key);
        if (key != NULL && list == NULL)
            list = json_object_get(defaults, key);
        ret->of[event] = json_incref((json_t *)(uintptr_t)list);
    }
}

void deadlines_read(struct dag_builder *b, const json_t *options)
{
    const json_t *list = json_object_get(options, "deadline");
    size_t count = json_array_size(list);

    if (count > DAG_DEADLINES_MAX) {
        diag_add(b->diags, MR(LIMIT), node_get(b->root, "deadline")->at, NULL,
                 "a DAG has at most %d deadlines", DAG_DEADLINES_MAX);
        return;
    }
    b->dag->deadlines = arena_alloc_array(&b->dag->arena, count, sizeof(*b->dag->deadlines));
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        struct dag_deadline *deadline = &b->dag->deadlines[b->dag->deadline_count++];
        (void)deadline_reference_parse(str_from(json_get_string(item, "reference", "")),
                                       &deadline->reference);
        (void)duration_parse(str_from(json_get_string(item, "interval", "")),
                             &deadline->interval_us);
        deadline->callbacks = json_incref(json_object_get(item, "callback"));
    }
}

/* The places of a map where callbacks stand, for the check of templates. */
void callbacks_visit(const struct node *map, callback_visitor visit, void *context)
{
    for (enum callback_event event = 0; event < CALLBACK_EVENT_COUNT; event++) {
        const struct node *node = key_of(event) == NULL ? NULL : node_get(map, key_of(event));
        if (node != NULL)
            visit(context, node);
    }
}
