/* The options of sensor: what it waits for, and how. */
#include "base/json.h"
#include "base/template.h"
#include "base/timefmt.h"
#include "millrace/task_kind.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", NULL};

/* clang-format off */
static const struct option file_fields[] = {
    {.key = "path", .type = OPTION_STRING, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "A path or glob: raw/events-{{ ds }}-*.csv. One match is enough."},
    {.key = "min_size", .type = OPTION_INT, .flags = OPTION_TEMPLATE, .max = 9e15,
     .doc = "The bytes that a match must have at least."},
    {.key = "stable_for", .type = OPTION_DURATION, .flags = OPTION_TEMPLATE,
     .doc = "How long a match must not have been written to: 30s. For files that grow in place."},
};
static const struct option_alias file_aliases[] = {
    {"filepath", "path"}, {"glob", "path"}, {"min_age", "stable_for"}, {NULL, NULL}};
static const struct option_table file_table = {
    .name = "file of sensor", .doc = "A file or files.",
    .options = file_fields, .count = COUNT(file_fields), .aliases = file_aliases};

static const struct option dataset_fields[] = {
    {.key = "path", .type = OPTION_STRING, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "The partition: lake/events/dt={{ ds }}."},
    {.key = "newer_than", .type = OPTION_DATE, .flags = OPTION_TEMPLATE,
     .doc = "It must have been published after this instant, in UTC where it has no offset: "
            "{{ data_interval_end }}."},
    {.key = "version", .type = OPTION_STRING, .flags = OPTION_TEMPLATE,
     .doc = "It must have this version."},
    {.key = "min_rows", .type = OPTION_INT, .flags = OPTION_TEMPLATE, .max = 9e15,
     .doc = "The rows that it must have at least."},
};
static const struct option_table dataset_table = {
    .name = "dataset of sensor", .doc = "A published dataset's partition.",
    .options = dataset_fields, .count = COUNT(dataset_fields)};

static const struct option http_fields[] = {
    {.key = "url", .type = OPTION_STRING, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "http or https."},
    {.key = "method", .type = OPTION_ENUM, .fallback = "\"GET\"", .choices = methods,
     .doc = "The method."},
    {.key = "headers", .type = OPTION_MAP, .flags = OPTION_TEMPLATE, .fallback = "{}",
     .doc = "Name → value; a value that is a secret is {env: NAME} or {file: path}, read where "
            "the request is made."},
    {.key = "body", .type = OPTION_STRING, .flags = OPTION_TEMPLATE,
     .doc = "What is sent with POST or PUT."},
    {.key = "status", .type = OPTION_SCALARS, .flags = OPTION_OR_SINGLE, .fallback = "[200]",
     .doc = "The statuses that mean yes. Another 2xx, 404, 408, 425, 429 and 5xx mean not yet, as "
            "does no answer; any other fails the try."},
    {.key = "json_path", .type = OPTION_STRING, .flags = OPTION_TEMPLATE,
     .doc = "A value of the JSON answer by its path, as data.jobs.0.state: it must be there, and "
            "neither null, false, 0 nor empty."},
    {.key = "equals", .type = OPTION_SCALAR, .flags = OPTION_TEMPLATE,
     .doc = "What the value at json_path must be."},
    {.key = "matches", .type = OPTION_STRING,
     .doc = "A regular expression that must be found in the answer, or in the value at json_path."},
    {.key = "timeout", .type = OPTION_DURATION, .fallback = "\"30s\"",
     .doc = "How long one request may take, 5m at most."},
    {.key = "max_bytes", .type = OPTION_INT, .fallback = "1048576", .min = 1, .max = 67108864,
     .doc = "An answer that is longer fails the try."},
    {.key = "follow_redirects", .type = OPTION_BOOL, .fallback = "false",
     .doc = "Whether up to five redirects are followed."},
};
static const struct option_alias http_aliases[] = {
    {"endpoint", "url"}, {"data", "body"}, {"response_check", "json_path"},
    {"expected_status", "status"}, {"regex", "matches"}, {NULL, NULL}};
static const struct option_table http_table = {
    .name = "http of sensor", .doc = "An HTTP request.",
    .options = http_fields, .count = COUNT(http_fields), .aliases = http_aliases};

static const struct option sql_fields[] = {
    {.key = "query", .type = OPTION_STRING, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "A SELECT, in DuckDB's SQL, over files: SELECT count(*) > 0 FROM 'raw/*.csv'."},
};
static const struct option_table sql_table = {
    .name = "sql of sensor", .doc = "A SELECT.",
    .options = sql_fields, .count = COUNT(sql_fields)};

static const struct option external_fields[] = {
    {.key = "dag_id", .type = OPTION_STRING, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "The other DAG."},
    {.key = "task_id", .type = OPTION_STRING, .flags = OPTION_TEMPLATE,
     .doc = "One task of it; without, the run as a whole."},
    {.key = "logical_date", .type = OPTION_STRING, .flags = OPTION_TEMPLATE,
     .doc = "The run's logical date, where it is not this run's own."},
    {.key = "execution_delta", .type = OPTION_DURATION,
     .doc = "How much earlier than that the run is: 1d."},
    {.key = "allowed_states", .type = OPTION_STRINGS, .flags = OPTION_OR_SINGLE,
     .fallback = "[\"success\"]", .doc = "The final states that are waited for."},
    {.key = "failed_states", .type = OPTION_STRINGS, .flags = OPTION_OR_SINGLE, .fallback = "[]",
     .doc = "The final states that fail the sensor at once."},
};
static const struct option_alias external_aliases[] = {
    {"external_dag_id", "dag_id"}, {"external_task_id", "task_id"},
    {"execution_date", "logical_date"}, {"execution_date_fn", "logical_date"}, {NULL, NULL}};
static const struct option_table external_table = {
    .name = "external_task of sensor", .doc = "A run of another DAG, or a task of it.",
    .options = external_fields, .count = COUNT(external_fields), .aliases = external_aliases};

static const struct option fields[] = {
    {.key = "file", .type = OPTION_OBJECT, .flags = OPTION_OR_STRING | OPTION_TEMPLATE,
     .fields = &file_table, .doc = "A file: its path or glob, or a map with more about it."},
    {.key = "dataset", .type = OPTION_OBJECT, .flags = OPTION_OR_STRING | OPTION_TEMPLATE,
     .fields = &dataset_table,
     .doc = "A published partition of a dataset: its path, or a map with more about it."},
    {.key = "time", .type = OPTION_STRING, .flags = OPTION_TEMPLATE,
     .doc = "An instant, as {{ data_interval_end | add(\"2h\") }}, or a time of day such as 09:30, "
            "of the day in the DAG's time zone on which it begins to wait."},
    {.key = "delta", .type = OPTION_DURATION,
     .doc = "A time after the end of the run's data interval."},
    {.key = "http", .type = OPTION_OBJECT, .flags = OPTION_OR_STRING | OPTION_TEMPLATE,
     .fields = &http_table, .doc = "An HTTP request: its URL, or a map with more about it."},
    {.key = "sql", .type = OPTION_OBJECT, .flags = OPTION_OR_STRING | OPTION_TEMPLATE,
     .fields = &sql_table,
     .doc = "A SELECT over files, whose first value must be neither NULL, false, 0 nor empty."},
    {.key = "external_task", .type = OPTION_OBJECT, .flags = OPTION_TEMPLATE,
     .fields = &external_table, .doc = "A run of another DAG, or a task of it."},
    {.key = "poke_interval", .type = OPTION_DURATION, .fallback = "\"1m\"",
     .doc = "The pause between two looks, 100ms at least. Waiting for time, delta and "
            "external_task needs none."},
    {.key = "timeout", .type = OPTION_DURATION, .fallback = "\"7d\"",
     .doc = "How long it waits, over all its tries; then it fails, and is not tried again."},
    {.key = "soft_fail", .type = OPTION_BOOL, .fallback = "false",
     .doc = "Whether it is skipped where a timeout or a hopeless failure would fail it."},
    {.key = "exponential_backoff", .type = OPTION_BOOL, .fallback = "false",
     .doc = "Whether the pause doubles with every look, with some jitter."},
    {.key = "max_wait", .type = OPTION_DURATION,
     .doc = "The longest pause that exponential_backoff reaches; a day if not given."},
};
/* clang-format on */

static const struct option_alias aliases[] = {
    {"filepath",         "file"                                                          },
    {"path",             "file"                                                          },
    {"glob",             "file"                                                          },
    {"url",              "http"                                                          },
    {"endpoint",         "http"                                                          },
    {"query",            "sql"                                                           },
    {"target_time",      "time"                                                          },
    {"until",            "time"                                                          },
    {"external_dag_id",  "external_task"                                                 },
    {"external_task_id", "external_task"                                                 },
    {"interval",         "poke_interval"                                                 },
    {"mode",             "nothing: a sensor always gives its slot back between two looks"},
    {NULL,               NULL                                                            },
};

static const struct option_table sensor_options = {
    .name = "with of sensor",
    .doc =
        "Exactly one of file, dataset, time, delta, http, sql and external_task, and how to wait "
        "for it.",
    .options = fields,
    .count = COUNT(fields),
    .aliases = aliases,
};

static const char *const things[] = {"file", "dataset", "time",          "delta",
                                     "http", "sql",     "external_task", NULL};

#define POKE_INTERVAL_MIN_US INT64_C(100000)
#define HTTP_TIMEOUT_MAX_US INT64_C(300000000)

static void check_things(const struct node *with, struct diags *diags)
{
    const struct node_entry *first = NULL;

    for (size_t i = 0; with != NULL && i < with->entry_count; i++) {
        const struct node_entry *entry = &with->entries[i];
        bool is_thing = false;
        for (size_t k = 0; things[k] != NULL && !is_thing; k++)
            is_thing = str_is(entry->key, things[k]);
        if (is_thing && first != NULL)
            diag_add(diags, "MR0260", entry->key_at, "write a sensor task for each",
                     "a sensor waits for one thing: `%.*s` is there already", STR_ARG(first->key));
        else if (is_thing)
            first = entry;
    }
    if (first == NULL)
        diag_add(diags, "MR0260", with == NULL ? (struct position){1, 1, 1} : with->at,
                 "add one of file, dataset, time, delta, http, sql, external_task",
                 "the sensor does not say what it waits for");
}

static void check_duration(const struct node *map, const char *key, int64_t min_us, int64_t max_us,
                           struct diags *diags)
{
    const struct node *node = node_get(map, key);
    int64_t us = 0;

    if (node == NULL || !duration_parse(node->text, &us) || (us >= min_us && us <= max_us))
        return;
    if (us < min_us)
        diag_add(diags, "MR0261", node->at, NULL, "`%s` must be at least %lldms", key,
                 (long long)(min_us / 1000));
    else
        diag_add(diags, "MR0261", node->at, NULL, "`%s` must be at most %lldm", key,
                 (long long)(max_us / 60000000));
}

/* An instant or time of day that is written out is checked now; the scheduler checks rendered ones
 * by the same rules. */
static void check_time(const struct node *with, struct diags *diags)
{
    const struct node *node = node_get(with, "time");
    int64_t us = 0;
    bool has_offset = false;
    int hour = 24;
    int minute = 60;
    int second = 0;
    char copy[32];

    if (node == NULL || template_is(node->text) || timefmt_parse(node->text, &us, &has_offset))
        return;
    (void)snprintf(copy, sizeof(copy), "%.*s", STR_ARG(node->text));
    int count = sscanf(copy, "%2d:%2d:%2d", &hour, &minute, &second);
    if (count >= 2 && node->text.len <= 8 && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 &&
        second >= 0 && second < 60)
        return;
    diag_add(diags, "MR0261", node->at, "write 09:30, 2026-01-02T09:30:00Z or a template",
             "`time` is neither an instant nor a time of day");
}

static void check_states(const struct node *external, const char *key, struct diags *diags)
{
    static const char *const of_task[] = {"success", "failed", "skipped", "upstream_failed",
                                          "removed"};
    const struct node *list = node_get(external, key);
    size_t allowed = node_get(external, "task_id") != NULL ? COUNT(of_task) : 2;
    size_t count = list == NULL ? 0 : list->kind == NODE_LIST ? list->item_count : 1;

    for (size_t i = 0; i < count; i++) {
        const struct node *item = list->kind == NODE_LIST ? list->items[i] : list;
        bool known = false;
        for (size_t k = 0; k < allowed && !known; k++)
            known = str_is(item->text, of_task[k]);
        if (!known)
            diag_add(diags, "MR0262", item->at,
                     allowed == 2 ? "a run ends as success or failed"
                                  : "a task ends as success, failed, skipped, upstream_failed or "
                                    "removed",
                     "`%.*s` is no final state", STR_ARG(item->text));
    }
}

static void check_http(const struct node *http, struct diags *diags)
{
    const struct node *equals = node_get(http, "equals");

    if (http == NULL)
        return;
    check_duration(http, "timeout", 1000, HTTP_TIMEOUT_MAX_US, diags);
    if (equals != NULL && node_get(http, "json_path") == NULL)
        diag_add(diags, "MR0261", equals->at, "add `json_path: …`",
                 "`equals` compares the value at json_path, which is missing");
}

static void check_sensor(const struct node *with, struct diags *diags)
{
    const struct node *external = node_get(with, "external_task");

    check_things(with, diags);
    check_duration(with, "poke_interval", POKE_INTERVAL_MIN_US, INT64_MAX, diags);
    check_duration(with, "timeout", 1000, INT64_MAX, diags);
    check_time(with, diags);
    check_http(node_get(with, "http"), diags);
    check_states(external, "allowed_states", diags);
    check_states(external, "failed_states", diags);
}

/* Only a SELECT needs DuckDB; what is waited for without looking has no attempt at all. */
static enum task_class class_of_sensor(const json_t *options)
{
    return json_object_get(options, "sql") != NULL ? TASK_CLASS_DATA : TASK_CLASS_LIGHT;
}

const struct task_kind sensor_kind = {
    .name = "sensor",
    .doc = "Waits for something outside: a file, a dataset, a time, an HTTP answer, a SELECT, or "
           "another DAG's run. It holds no slot while it waits.",
    .class = TASK_CLASS_LIGHT,
    .options = &sensor_options,
    .check = check_sensor,
    .class_of = class_of_sensor,
};
