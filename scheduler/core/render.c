/* What a task's templates stand for, and its options and environment rendered for one attempt. */
#include "base/json.h"
#include "base/jw.h"
#include "base/template.h"
#include "base/timefmt.h"
#include "base/wire.h"
#include "scheduler/core/parts.h"
#include "scheduler/core/zone.h"

#include <stdio.h>
#include <string.h>

/* What one attempt is given goes to its worker in one frame, and a frame that is too large could
 * never be sent: the attempt fails instead. Half a frame leaves room for what goes with it. */
#define RENDERED_BYTES_MAX (WIRE_FRAME_BYTES_MAX / 2)

struct context {
    struct arena *arena; /* of the texts made while rendering */
    json_t *owned;       /* a list of the values made while rendering */
    struct task *task;
    struct interval interval;
    const struct zone *zone;
};

static struct template_value text_value(const char *text)
{
    return (struct template_value){.kind = TEMPLATE_STRING, .text = str_from(text)};
}

static struct template_value time_value(const struct context *c, int64_t us)
{
    return (struct template_value){
        .kind = TEMPLATE_TIME, .time_us = us, .offset_us = zone_offset_us(c->zone, us)};
}

static struct template_value json_value(const json_t *value)
{
    if (value == NULL)
        return (struct template_value){.kind = TEMPLATE_MISSING};
    return (struct template_value){.kind = TEMPLATE_JSON, .json = value};
}

/* Follows a dotted path into an object. */
static const json_t *walk(const json_t *value, struct str path)
{
    while (value != NULL && path.len > 0) {
        size_t dot = str_find(path, '.', 0);
        struct str key = str_sub(path, 0, dot);
        value = json_object_getn(value, key.ptr == NULL ? "" : key.ptr, key.len);
        path = dot == SIZE_MAX ? (struct str){NULL, 0} : str_sub(path, dot + 1, path.len);
    }
    return value;
}

/* ds, ds_nodash and ts: of the interval's start, in the DAG's time zone. */
static struct template_value date_value(const struct context *c, struct str name)
{
    int64_t offset_us = zone_offset_us(c->zone, c->interval.start_us);
    int64_t minutes = offset_us / (60 * INT64_C(1000000));
    struct civil local = civil_from_us(c->interval.start_us + offset_us);
    int year = (int)local.year;
    char iso[TIMEFMT_SIZE];

    if (str_is(name, "ds"))
        return text_value(arena_printf(c->arena, "%04d-%02d-%02d", year, local.month, local.day));
    if (str_is(name, "ds_nodash"))
        return text_value(arena_printf(c->arena, "%04d%02d%02d", year, local.month, local.day));
    /* The local time in Python's form, its offset in place of +00:00. */
    (void)timefmt_iso_offset(c->interval.start_us + offset_us, iso);
    iso[strlen(iso) - strlen("+00:00")] = '\0';
    char sign = minutes < 0 ? '-' : '+';
    if (minutes < 0)
        minutes = -minutes;
    return text_value(arena_printf(c->arena, "%s%c%02d:%02d", iso, sign, (int)(minutes / 60),
                                   (int)(minutes % 60)));
}

static struct template_value number_value(const struct context *c, int64_t number)
{
    return text_value(arena_printf(c->arena, "%lld", (long long)number));
}

/* The names without a dot; false for others. */
static bool plain_value(const struct context *c, struct str name, struct template_value *ret)
{
    const struct run *run = c->task->run;

    if (str_is(name, "ds") || str_is(name, "ds_nodash") || str_is(name, "ts"))
        *ret = date_value(c, name);
    else if (str_is(name, "ts_nodash")) {
        *ret = time_value(c, c->interval.start_us);
        ret->format = TEMPLATE_FORMAT_TS_NODASH;
    } else if (str_is(name, "logical_date"))
        *ret = time_value(c, run->row.logical_date_us != 0 ? run->row.logical_date_us
                                                           : c->interval.start_us);
    else if (str_is(name, "data_interval_start"))
        *ret = time_value(c, c->interval.start_us);
    else if (str_is(name, "data_interval_end"))
        *ret = time_value(c, c->interval.end_us);
    else if (str_is(name, "run_id"))
        *ret = text_value(run->row.run_id);
    else if (str_is(name, "dag_id"))
        *ret = text_value(run->row.dag_id);
    else if (str_is(name, "task_id"))
        *ret = text_value(task_spec(c->task)->task_id);
    else if (str_is(name, "try_number"))
        *ret = number_value(c, c->task->try_number);
    else if (str_is(name, "map_index"))
        *ret = number_value(c, c->task->map_index);
    else
        return false;
    return true;
}

/* A task that was marked as failed, or skipped, has put out nothing, until it is marked back. */
static const json_t *outputs_of(const struct task *task)
{
    return task->state == TASK_FAILED || task->state == TASK_SKIPPED ? NULL : task->outputs;
}

/* The outputs under one path of all instances that have one, in their order. */
static const json_t *gather_outputs(struct context *c, const struct mapping *mapping,
                                    struct str path)
{
    json_t *list = json_array();

    (void)json_array_append_new(c->owned, list);
    for (uint32_t i = 0; i < mapping->count; i++) {
        const json_t *value = walk(outputs_of(mapping->items[i]), path);
        if (value != NULL)
            (void)json_array_append(list, (json_t *)(uintptr_t)value);
    }
    return list;
}

/* tasks.T.outputs.k: task ids may hold dots, so the longest one that fits is looked for. */
static const json_t *output(struct context *c, struct str rest)
{
    const struct run *run = c->task->run;
    static const char middle[] = ".outputs.";

    for (size_t i = rest.len; i-- > 0;) {
        if (!str_starts(str_sub(rest, i, rest.len), STR(middle)))
            continue;
        uint32_t index = dag_find_task(run->dag, str_sub(rest, 0, i));
        if (index == UINT32_MAX)
            continue;
        struct str path = str_sub(rest, i + strlen(middle), rest.len);
        const struct task *task = &run->tasks[index];
        return task->mapping == NULL ? walk(outputs_of(task), path)
                                     : gather_outputs(c, task->mapping, path);
    }
    return NULL;
}

static struct template_value lookup(void *context, struct str name)
{
    struct context *c = context;
    const struct run *run = c->task->run;
    struct template_value value = {.kind = TEMPLATE_MISSING};
    struct str params = STR("params.");
    struct str conf = STR("conf.");
    struct str tasks = STR("tasks.");
    struct str map = STR("map.");

    if (plain_value(c, name, &value))
        return value;
    if (str_starts(name, params)) {
        struct str path = str_sub(name, params.len, name.len);
        const json_t *given = walk(run->conf, path);
        return json_value(given != NULL ? given : walk(run->dag->params, path));
    }
    if (str_starts(name, conf))
        return json_value(walk(run->conf, str_sub(name, conf.len, name.len)));
    if (str_starts(name, tasks))
        return json_value(output(c, str_sub(name, tasks.len, name.len)));
    if (str_starts(name, map)) {
        size_t dot = str_find(name, '.', map.len);
        struct str rest = dot == SIZE_MAX ? (struct str){0} : str_sub(name, dot + 1, name.len);
        return json_value(walk(mapping_value(c->task, str_sub(name, map.len, dot)), rest));
    }
    return value;
}

/* A run without logical date renders from the last complete interval at its run_after. */
struct interval run_interval(const struct run *run)
{
    struct interval interval = {run->row.interval_start_us, run->row.interval_end_us};

    if (interval.start_us != 0 || interval.end_us != 0)
        return interval;
    if (!timetable_last_complete(run->dag, run->row.run_after_us, &interval))
        interval = (struct interval){run->row.run_after_us, run->row.run_after_us};
    return interval;
}

/* An environment holds texts: what a template left as another value becomes its JSON. */
static void make_texts(json_t *env)
{
    const char *name;
    json_t *value;
    void *next;

    json_object_foreach_safe(env, next, name, value)
    {
        struct buf text = {0};
        if (json_is_string(value))
            continue;
        json_dump_ordered(value, &text);
        (void)json_object_set_new(env, name, json_stringn(buf_text(&text), text.len));
        buf_release(&text);
    }
}

static bool render_part(struct jw *w, const char *key, const json_t *value, struct context *c,
                        struct err *err)
{
    struct buf text = {0};

    jw_key(w, key);
    if (value == NULL) {
        jw_begin_object(w);
        jw_end_object(w);
        return true;
    }
    json_t *rendered = template_render_json(value, lookup, c, err);
    if (rendered == NULL)
        return false;
    if (strcmp(key, "env") == 0)
        make_texts(rendered);
    json_dump_ordered(rendered, &text);
    jw_raw(w, buf_str(&text));
    json_decref(rendered);
    buf_release(&text);
    return true;
}

static struct context context_new(struct task *task, struct arena *arena)
{
    struct run *run = task->run;

    if (run->conf == NULL)
        run->conf = json_loads(run->row.conf, 0, NULL);
    return (struct context){.arena = arena,
                            .owned = json_array(),
                            .task = task,
                            .interval = run_interval(run),
                            .zone = run->dag->zone == NULL ? zone_utc() : run->dag->zone};
}

json_t *render_value(struct task *task, const json_t *value, struct err *err)
{
    struct arena scratch = {0};
    struct context c = context_new(task, &scratch);
    json_t *rendered = template_render_json(value, lookup, &c, err);

    json_decref(c.owned);
    arena_release(&scratch);
    return rendered;
}

bool render_condition(struct task *task, const struct condition *condition, bool *ret,
                      struct buf *values, struct err *err)
{
    struct arena scratch = {0};
    struct context c = context_new(task, &scratch);
    bool fine = condition_evaluate(condition, lookup, &c, ret, values, err);

    json_decref(c.owned);
    arena_release(&scratch);
    return fine;
}

json_t *render_options(struct task *task, struct err *err)
{
    const json_t *options = task_spec(task)->options;

    return options == NULL ? json_object() : render_value(task, options, err);
}

const char *render_attempt(struct task *task, struct arena *arena, struct err *err)
{
    const struct dag_task *spec = task_spec(task);
    struct arena scratch = {0};
    struct buf out = {0};
    struct jw w = {.out = &out};
    const char *text = NULL;

    if (json_object_size(spec->options) == 0 && spec->env == NULL)
        return "{}";
    struct context c = context_new(task, &scratch);
    jw_begin_object(&w);
    if (render_part(&w, "options", spec->options, &c, err) &&
        render_part(&w, "env", spec->env, &c, err)) {
        jw_end_object(&w);
        if (out.len <= RENDERED_BYTES_MAX)
            text = arena_strdup(arena, buf_text(&out));
        else
            err_set(err, ERR_TEMPLATE,
                    "options and env are %zu bytes once rendered, over the limit of %u: hand large "
                    "values over in a file",
                    out.len, RENDERED_BYTES_MAX);
    }
    buf_release(&out);
    json_decref(c.owned);
    arena_release(&scratch);
    return text;
}
