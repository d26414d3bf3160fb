#include "scheduler/commands.h"

#include "base/json.h"
#include "base/mem.h"
#include "scheduler/command_reader.h"
#include "scheduler/watch.h"

#include <stdlib.h>
#include <string.h>

/* 0001-01-01T00:00:00Z and the end of 9999. */
#define TIME_US_MIN INT64_C(-62135596800000000)
#define TIME_US_MAX INT64_C(253402300799999999)

bool bad(struct reader *reader, const char *key, const char *expected)
{
    return err_set(reader->err, ERR_BAD_REQUEST, "`%s` must be %s", key, expected);
}

bool read_int(struct reader *reader, const char *key, int64_t *ret)
{
    const json_t *value = json_object_get(reader->document, key);

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_integer(value))
        return bad(reader, key, "an integer");
    *ret = json_integer_value(value);
    return true;
}

bool read_time(struct reader *reader, const char *key, int64_t *ret)
{
    int64_t us = *ret;

    if (!read_int(reader, key, &us))
        return false;
    if (us < TIME_US_MIN || us > TIME_US_MAX)
        return bad(reader, key, "a time between the years 1 and 9999");
    *ret = us;
    return true;
}

bool read_bool(struct reader *reader, const char *key, bool *ret)
{
    const json_t *value = json_object_get(reader->document, key);

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_boolean(value))
        return bad(reader, key, "true or false");
    *ret = json_is_true(value);
    return true;
}

bool read_string(struct reader *reader, const char *key, const char **ret)
{
    const json_t *value = json_object_get(reader->document, key);

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return bad(reader, key, "a string");
    *ret = json_string_value(value);
    return true;
}

bool read_id(struct reader *reader, const char *key, bool required, const char **ret)
{
    const char *id = NULL;

    if (!read_string(reader, key, &id))
        return false;
    if (id == NULL)
        return !required || bad(reader, key, "given");
    if (!str_is_id(str_from(id)))
        return bad(reader, key, "1 to 250 characters of A-Z a-z 0-9 _ . ~ : + -");
    *ret = id;
    return true;
}

/* conf becomes JSON text again: it is stored as it is. */
static bool read_object(struct reader *reader, const char *key, const char **ret)
{
    const json_t *value = json_object_get(reader->document, key);
    struct buf text = {0};

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_object(value))
        return bad(reader, key, "an object");
    json_dump_canonical(value, &text);
    *ret = arena_strdup(&reader->scheduler->turn_arena, buf_text(&text));
    buf_release(&text);
    return true;
}

static bool read_set_paused(struct reader *reader, struct event *event)
{
    if (!json_is_boolean(json_object_get(reader->document, "is_paused")))
        return bad(reader, "is_paused", "true or false");
    event->kind = EVENT_DAG_SET_PAUSED;
    return read_id(reader, "dag_id", true, &event->as.set_paused.dag_id) &&
           read_bool(reader, "is_paused", &event->as.set_paused.is_paused);
}

static bool read_asset_event(struct reader *reader, struct event *event)
{
    struct event_asset *asset = &event->as.asset;

    event->kind = EVENT_ASSET;
    if (!read_string(reader, "asset", &asset->asset) ||
        !read_string(reader, "partition", &asset->partition) ||
        !read_object(reader, "extra", &asset->extra))
        return false;
    return asset->asset != NULL || bad(reader, "asset", "the name of an asset");
}

static bool read_trigger(struct reader *reader, struct event *event)
{
    struct event_trigger *trigger = &event->as.trigger;
    const char *by = triggered_by_name(TRIGGERED_BY_REST_API);

    event->kind = EVENT_TRIGGER;
    bool ok = read_id(reader, "dag_id", true, &trigger->dag_id) &&
              read_id(reader, "run_id", false, &trigger->run_id) &&
              read_time(reader, "logical_date", &trigger->logical_date_us) &&
              read_time(reader, "interval_start", &trigger->interval_start_us) &&
              read_time(reader, "interval_end", &trigger->interval_end_us) &&
              read_time(reader, "run_after", &trigger->run_after_us) &&
              read_string(reader, "note", &trigger->note) &&
              read_bool(reader, "force", &trigger->is_forced) &&
              read_string(reader, "triggered_by", &by) &&
              read_object(reader, "conf", &trigger->conf);
    if (!ok)
        return false;
    if ((trigger->interval_start_us == 0) != (trigger->interval_end_us == 0))
        return bad(reader, "interval_start", "given together with `interval_end`");
    if (!triggered_by_parse(str_from(by), &trigger->triggered_by))
        return bad(reader, "triggered_by", "one of cli, operator, rest_api, ui, test");
    return true;
}

/* An array becomes JSON text again; what its members must be, the core knows. */
static bool read_tasks(struct reader *reader, const char **ret)
{
    const json_t *value = json_object_get(reader->document, "tasks");
    struct buf text = {0};

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_array(value))
        return bad(reader, "tasks", "an array");
    json_dump_canonical(value, &text);
    *ret = arena_strdup(&reader->scheduler->turn_arena, buf_text(&text));
    buf_release(&text);
    return true;
}

static bool read_on_failure(struct reader *reader, enum on_failure *ret)
{
    const char *name = NULL;

    if (!read_string(reader, "on_failure", &name))
        return false;
    return name == NULL || on_failure_parse(str_from(name), ret) ||
           bad(reader, "on_failure", "continue or stop");
}

static bool read_backfill_create(struct reader *reader, struct event *event)
{
    struct event_backfill_create *create = &event->as.backfill_create;
    const char *reprocess = reprocess_name(REPROCESS_NONE);

    event->kind = EVENT_BACKFILL_CREATE;
    create->max_active_runs = 10;
    if (!json_is_integer(json_object_get(reader->document, "from")))
        return bad(reader, "from", "an integer (microseconds since 1970)");
    if (!json_is_integer(json_object_get(reader->document, "to")))
        return bad(reader, "to", "an integer (microseconds since 1970)");
    bool ok =
        read_id(reader, "dag_id", true, &create->dag_id) &&
        read_time(reader, "from", &create->from_us) && read_time(reader, "to", &create->to_us) &&
        read_int(reader, "max_active_runs", &create->max_active_runs) &&
        read_string(reader, "reprocess", &reprocess) &&
        read_bool(reader, "run_backwards", &create->run_backwards) &&
        read_tasks(reader, &create->tasks) && read_bool(reader, "upstream", &create->upstream) &&
        read_bool(reader, "downstream", &create->downstream) &&
        read_on_failure(reader, &create->on_failure) &&
        read_bool(reader, "force", &create->is_forced) &&
        read_object(reader, "conf", &create->conf);
    if (!ok)
        return false;
    if (create->max_active_runs < 1)
        return bad(reader, "max_active_runs", "at least 1");
    if (!reprocess_parse(str_from(reprocess), &create->reprocess))
        return bad(reader, "reprocess", "none, missing, failed, completed or stale");
    return true;
}

static bool read_backfill_control(struct reader *reader, struct event *event)
{
    static const char *const actions[] = {"pause", "unpause", "cancel", "retry", "set"};
    const char *action = NULL;

    event->kind = EVENT_BACKFILL_CONTROL;
    event->as.backfill_control.on_failure = ON_FAILURE_COUNT; /* as it is */
    if (!json_is_integer(json_object_get(reader->document, "backfill")))
        return bad(reader, "backfill", "an integer");
    if (!read_int(reader, "backfill", &event->as.backfill_control.id) ||
        !read_int(reader, "max_active_runs", &event->as.backfill_control.max_active_runs) ||
        !read_on_failure(reader, &event->as.backfill_control.on_failure) ||
        !read_string(reader, "action", &action))
        return false;
    for (size_t i = 0; action != NULL && i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(action, actions[i]) == 0) {
            event->as.backfill_control.action = (enum backfill_action)i;
            return true;
        }
    }
    return bad(reader, "action", "pause, unpause, cancel, retry or set");
}

struct command {
    const char *name;
    bool (*read)(struct reader *reader, struct event *event);
};

static const struct command commands[] = {
    {"set_paused",       read_set_paused      },
    {"asset_event",      read_asset_event     },
    {"trigger",          read_trigger         },
    {"backfill_create",  read_backfill_create },
    {"backfill_control", read_backfill_control},
    {"clear",            read_clear           },
    {"mark_tasks",       read_mark_tasks      },
    {"mark_run",         read_mark_run        },
    {"why",              read_why             },
};

/* The two commands that are the loop's own. */
static bool give_to_loop(struct scheduler *scheduler, const char *name, uint64_t request)
{
    struct err none = {0};

    if (strcmp(name, "reparse") == 0) {
        if (scheduler->watch != NULL)
            watch_scan_all(scheduler->watch);
        request_answer(scheduler, request, &none);
        return true;
    }
    if (strcmp(name, "stop") == 0) {
        request_answer(scheduler, request, &none);
        scheduler->stop_asked = true;
        return true;
    }
    return false;
}

void commands_give(struct scheduler *scheduler, json_t *document, uint64_t request)
{
    struct err err = {0};
    struct event event = {.request = request};
    struct reader reader = {scheduler, document, &err};
    const char *name = json_get_string(document, "command", "");

    if (give_to_loop(scheduler, name, request))
        return;
    bool ok = false;
    size_t i = 0;
    while (i < sizeof(commands) / sizeof(commands[0]) && strcmp(commands[i].name, name) != 0)
        i++;
    if (i == sizeof(commands) / sizeof(commands[0]))
        err_set(&err, ERR_BAD_REQUEST, "there is no command `%.80s`", name);
    else
        ok = commands[i].read(&reader, &event);
    if (!ok) {
        request_answer(scheduler, request, &err);
        return;
    }
    *inbox_add(scheduler, event.kind, document) = event;
}
