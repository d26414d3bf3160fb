#include "tests/scenarios/dag_script.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/core/cron.h"
#include "scheduler/core/zone.h"
#include "scheduler/dagfile/builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct task_kind plain_kind = {.name = "command", .class = TASK_CLASS_COMMAND};
static const struct task_kind shared_kind = {.name = "noop", .class = TASK_CLASS_SHARED};
static const struct task_kind light_kind = {.name = "sensor", .class = TASK_CLASS_LIGHT};

__attribute__((noreturn)) static void fail(const char *what, struct str text)
{
    (void)fprintf(stderr, "dag script: %s: \"%.*s\"\n", what, STR_ARG(text));
    exit(2);
}

static int64_t number(struct str text)
{
    int64_t value = 0;

    if (!str_to_int(text, &value))
        fail("not a number", text);
    return value;
}

static int64_t duration(struct str text)
{
    int64_t value = 0;

    if (!duration_parse(text, &value))
        fail("not a duration", text);
    return value;
}

static int64_t instant(struct str text)
{
    int64_t value = 0;
    bool has_offset = false;

    if (!timefmt_parse(text, &value, &has_offset))
        fail("not a date", text);
    return value;
}

static const struct zone *read_zone(struct arena *arena, struct str name)
{
    struct buf path = {0};
    struct buf bytes = {0};
    struct err err = {0};

    buf_printf(&path, "/usr/share/zoneinfo/%.*s", STR_ARG(name));
    if (!fs_read_file(buf_text(&path), 1u << 20, &bytes, &err))
        fail("no such time zone", name);
    const struct zone *zone = zone_parse(arena, buf_str(&bytes), &err);
    if (zone == NULL)
        fail(err.message, name);
    buf_release(&path);
    buf_release(&bytes);
    return zone;
}

static uint32_t asset_index(struct schedule *schedule, const char **names, const char *name)
{
    for (uint32_t i = 0; i < schedule->asset_count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    names[schedule->asset_count] = name;
    return schedule->asset_count++;
}

/* "lake/a", "all(a b)", "any(a all(b c))": appends the nodes; *at moves on. */
static uint32_t add_condition(struct dag *dag, struct str text, size_t *at, const char **names,
                              struct asset_node *nodes, uint32_t count)
{
    uint32_t first = count++;
    size_t start = 0;

    while (*at < text.len && text.ptr[*at] == ' ')
        ++*at;
    start = *at;
    while (*at < text.len && strchr(" ()", text.ptr[*at]) == NULL)
        ++*at;
    struct str word = str_sub(text, start, *at);
    if (*at >= text.len || text.ptr[*at] != '(') {
        const char *name = arena_str(&dag->arena, word).ptr;
        nodes[first] =
            (struct asset_node){ASSET_IS_NEW, asset_index(&dag->schedule, names, name), 1};
        return count;
    }
    for (++*at; *at < text.len && text.ptr[*at] != ')';) {
        count = add_condition(dag, text, at, names, nodes, count);
        while (*at < text.len && text.ptr[*at] == ' ')
            ++*at;
    }
    ++*at;
    nodes[first] =
        (struct asset_node){str_is(word, "any") ? ASSET_ANY : ASSET_ALL, 0, count - first};
    return count;
}

/* "any(a b)", with "per_partition " before it where it is. */
static void set_assets(struct dag *dag, struct str text)
{
    struct str per_partition = STR("per_partition ");
    const char **names = arena_alloc_array(&dag->arena, text.len + 1, sizeof(*names));
    struct asset_node *nodes = arena_alloc_array(&dag->arena, text.len + 1, sizeof(*nodes));
    size_t at = 0;

    dag->schedule.kind = SCHEDULE_ASSETS;
    dag->schedule.assets = names;
    dag->schedule.condition = nodes;
    dag->schedule.per_partition = str_starts(text, per_partition);
    if (dag->schedule.per_partition)
        text = str_sub(text, per_partition.len, text.len);
    (void)add_condition(dag, text, &at, names, nodes, 0);
}

static void set_schedule(struct dag *dag, struct str value)
{
    struct str cron = STR("cron ");
    struct str every = STR("every ");
    struct err err = {0};

    dag->schedule.text = arena_str(&dag->arena, value).ptr;
    if (str_starts(value, cron)) {
        dag->schedule.kind = SCHEDULE_CRON;
        dag->schedule.cron = cron_parse(&dag->arena, str_sub(value, cron.len, value.len), &err);
        if (dag->schedule.cron == NULL)
            fail(err.message, value);
    } else if (str_starts(value, every)) {
        dag->schedule.kind = SCHEDULE_EVERY;
        dag->schedule.every_us = duration(str_sub(value, every.len, value.len));
    } else if (str_is(value, "once")) {
        dag->schedule.kind = SCHEDULE_ONCE;
    } else if (str_starts(value, STR("assets "))) {
        set_assets(dag, str_sub(value, 7, value.len));
    } else if (str_is(value, "continuous")) {
        dag->schedule.kind = SCHEDULE_CONTINUOUS;
        dag->max_active_runs = 1;
    } else {
        fail("schedule is \"cron …\", \"every …\", \"once\", \"continuous\" or \"assets …\"",
             value);
    }
}

/* on_failure = {"webhook": {…}}: one, as a list. */
static void set_callbacks(struct dag_callbacks *callbacks, struct str key, struct str value)
{
    enum callback_event event = CALLBACK_EVENT_SUCCESS;
    json_t *one = json_loadb(value.ptr, value.len, 0, NULL);

    if (one == NULL || !callback_event_parse(str_sub(key, 3, key.len), &event))
        fail("expected on_EVENT = {kind: {…}}", key);
    callbacks->of[event] = json_pack("[o]", one);
}

/* deadline = queued_at 1h; more than one is allowed, each with its own key: deadline2 = … */
static void add_deadline(struct dag *dag, struct str value)
{
    size_t space = str_find(value, ' ', 0);

    if (dag->deadlines == NULL)
        dag->deadlines = arena_alloc_array(&dag->arena, DAG_DEADLINES_MAX, sizeof(*dag->deadlines));
    struct dag_deadline *deadline = &dag->deadlines[dag->deadline_count++];
    if (!deadline_reference_parse(str_sub(value, 0, space), &deadline->reference))
        fail("expected deadline = REFERENCE DURATION", value);
    deadline->interval_us = duration(str_trim(str_sub(value, space, value.len)));
    deadline->callbacks = json_pack("[{s:{s:i}}]", "webhook", "retries", 1);
}

static struct str next_word(struct str *text)
{
    *text = str_trim(*text);
    size_t end = str_find(*text, ' ', 0);
    struct str word = str_sub(*text, 0, end);
    *text = end == SIZE_MAX ? (struct str){NULL, 0} : str_sub(*text, end, text->len);
    return word;
}

static struct dag_task *find(struct dag *dag, struct str name)
{
    uint32_t index = dag_find_task(dag, name);

    if (index == UINT32_MAX)
        fail("unknown task", name);
    return &dag->tasks[index];
}

/* "NAME FIRST LAST": the tasks from the first to the last one in a group. */
static void add_group(struct dag *dag, struct str value)
{
    struct str name = next_word(&value);
    struct str first = next_word(&value);
    struct str last = next_word(&value);
    struct dag_group *groups =
        arena_alloc_array(&dag->arena, dag->group_count + 1, sizeof(*groups));

    for (uint32_t i = 0; i < dag->group_count; i++)
        groups[i] = dag->groups[i];
    struct dag_group *group = &groups[dag->group_count++];
    group->group_id = arena_str(&dag->arena, name).ptr;
    group->tasks.first = (uint32_t)(find(dag, first) - dag->tasks);
    group->tasks.count = (uint32_t)(find(dag, last) - dag->tasks) - group->tasks.first + 1;
    dag->groups = groups;
}

static void set_dag(struct dag *dag, struct str key, struct str value)
{
    if (str_is(key, "schedule"))
        set_schedule(dag, value);
    else if (str_is(key, "timezone")) {
        dag->timezone = arena_str(&dag->arena, value).ptr;
        dag->zone = read_zone(&dag->arena, value);
    } else if (str_is(key, "start"))
        dag->start_date_us = instant(value);
    else if (str_is(key, "end"))
        dag->end_date_us = instant(value);
    else if (str_is(key, "catchup"))
        dag->catchup = str_is(value, "true");
    else if (str_is(key, "paused"))
        dag->paused_upon_creation = str_is(value, "true");
    else if (str_is(key, "max_active_runs"))
        dag->max_active_runs = number(value);
    else if (str_is(key, "max_active_tasks"))
        dag->max_active_tasks = number(value);
    else if (str_is(key, "fail_fast"))
        dag->fail_fast = str_is(value, "true");
    else if (str_is(key, "dagrun_timeout"))
        dag->dagrun_timeout_us = duration(value);
    else if (str_is(key, "max_failed_in_row"))
        dag->max_failed_in_row = number(value);
    else if (str_is(key, "params"))
        dag->params = json_loadb(value.ptr, value.len, 0, NULL);
    else if (str_is(key, "group"))
        add_group(dag, value);
    else if (str_starts(key, STR("on_")))
        set_callbacks(&dag->callbacks, key, value);
    else if (str_starts(key, STR("deadline")))
        add_deadline(dag, value);
    else
        fail("unknown key of the DAG", key);
}

static void set_exit_codes(struct dag *dag, struct dag_task *task, struct str value)
{
    int64_t *codes = arena_alloc_array(&dag->arena, value.len, sizeof(*codes));

    while (str_trim(value).len > 0)
        codes[task->retry_exit_code_count++] = number(next_word(&value));
    task->retry_exit_codes = codes;
}

static void set_kind(struct dag_task *task, struct str name)
{
    task->kind = str_is(name, "noop")     ? &shared_kind
                 : str_is(name, "sensor") ? &light_kind
                                          : &plain_kind;
    task->class = task->kind->class;
}

static const char *any_name(void *context, struct str name, enum condition_type *ret_type)
{
    (void)context;
    (void)name;
    (void)ret_type;
    return NULL;
}

static const struct condition *condition(struct dag *dag, struct str text)
{
    struct err err = {0};
    const struct condition *parsed = condition_parse(&dag->arena, text, any_name, NULL, &err);

    if (parsed == NULL)
        fail(err.message, text);
    return parsed;
}

/* "CONDITION -> TASK … | else -> TASK …" */
static const struct branch *branch(struct dag *dag, struct str text)
{
    struct branch *made = arena_alloc(&dag->arena, sizeof(*made));
    struct branch_choice *choices = arena_alloc_array(&dag->arena, text.len, sizeof(*choices));

    made->choices = choices;
    while (text.len > 0) {
        size_t bar = str_find(text, '|', 0);
        struct str entry = str_sub(text, 0, bar);
        size_t arrow = str_find(entry, '>', 0);
        while (arrow != SIZE_MAX && (arrow == 0 || entry.ptr[arrow - 1] != '-'))
            arrow = str_find(entry, '>', arrow + 1);
        if (arrow == SIZE_MAX)
            fail("expected CONDITION -> TASK …", entry);
        struct branch_choice *choice = &choices[made->choice_count++];
        uint32_t *targets = arena_alloc_array(&dag->arena, entry.len, sizeof(*targets));
        struct str when = str_trim(str_sub(entry, 0, arrow - 1));
        struct str names = str_trim(str_sub(entry, arrow + 1, entry.len));
        choice->when = str_is(when, "else") ? NULL : condition(dag, when);
        choice->targets = targets;
        while (names.len > 0) {
            targets[choice->target_count++] = (uint32_t)(find(dag, next_word(&names)) - dag->tasks);
            names = str_trim(names);
        }
        text = bar == SIZE_MAX ? (struct str){NULL, 0} : str_sub(text, bar + 1, text.len);
    }
    return made;
}

static const struct branch *branch_by_output(struct dag *dag, struct str name)
{
    struct branch *made = arena_alloc(&dag->arena, sizeof(*made));

    made->output = arena_str(&dag->arena, name).ptr;
    return made;
}

static void set_outlets(struct dag *dag, struct dag_task *task, struct str names)
{
    const char **list = arena_alloc_array(&dag->arena, names.len + 1, sizeof(*list));

    while (str_trim(names).len > 0)
        list[task->outlet_count++] = arena_str(&dag->arena, next_word(&names)).ptr;
    task->outlets = list;
}

/* A DAG file's default. */
static void set_default_timeout(struct dag_task *task)
{
    if (task->wait.timeout_us == 0)
        task->wait.timeout_us = 7 * US_PER_DAY;
}

static void set_weight_rule(struct dag_task *task, struct str name)
{
    if (!weight_rule_parse(name, &task->weight_rule))
        fail("no such weight rule", name);
}

static void set_task(struct dag *dag, struct dag_task *task, struct str key, struct str value)
{
    if (str_is(key, "retries"))
        task->retries = number(value);
    else if (str_is(key, "outlets"))
        set_outlets(dag, task, value);
    else if (str_is(key, "publishes"))
        task->updates_target = str_is(value, "true");
    else if (str_is(key, "retry_delay"))
        task->retry_delay_us = duration(value);
    else if (str_is(key, "backoff"))
        task->retry_backoff = (double)number(value);
    else if (str_is(key, "max_retry_delay"))
        task->max_retry_delay_us = duration(value);
    else if (str_is(key, "timeout"))
        task->execution_timeout_us = duration(value);
    else if (str_is(key, "pool"))
        task->pool = arena_str(&dag->arena, value).ptr;
    else if (str_is(key, "pool_slots"))
        task->pool_slots = number(value);
    else if (str_is(key, "max_per_dag"))
        task->max_active_tis_per_dag = number(value);
    else if (str_is(key, "max_per_run"))
        task->max_active_tis_per_dagrun = number(value);
    else if (str_is(key, "past"))
        task->depends_on_past = str_is(value, "true");
    else if (str_is(key, "wait_for_downstream"))
        task->wait_for_downstream = task->depends_on_past = str_is(value, "true");
    else if (str_is(key, "weight"))
        task->priority_weight = number(value);
    else if (str_is(key, "weight_rule"))
        set_weight_rule(task, value);
    else if (str_is(key, "retry_exit_codes"))
        set_exit_codes(dag, task, value);
    else if (str_is(key, "setup"))
        task->is_setup = str_is(value, "true");
    else if (str_is(key, "teardown")) {
        task->is_teardown = str_is(value, "true");
        task->trigger_rule = TRIGGER_RULE_ALL_DONE_SETUP_SUCCESS;
    } else if (str_is(key, "fails_run"))
        task->on_failure_fail_dagrun = str_is(value, "true");
    else if (str_is(key, "kind"))
        set_kind(task, value);
    else if (str_starts(key, STR("on_")))
        set_callbacks(&task->callbacks, key, value);
    else if (str_is(key, "poke")) {
        set_kind(task, STR("sensor"));
        task->wait.kind = WAIT_POKE;
        task->wait.poke_interval_us = duration(value);
        set_default_timeout(task);
    } else if (str_is(key, "waits")) {
        task->options = json_loadb(value.ptr, value.len, 0, NULL);
        task->wait.kind =
            json_object_get(task->options, "external_task") != NULL ? WAIT_EXTERNAL : WAIT_TIME;
        set_default_timeout(task);
    } else if (str_is(key, "wait_timeout"))
        task->wait.timeout_us = duration(value);
    else if (str_is(key, "max_wait"))
        task->wait.max_wait_us = duration(value);
    else if (str_is(key, "backs_off"))
        task->wait.backs_off = str_is(value, "true");
    else if (str_is(key, "soft_fail"))
        task->wait.is_soft = str_is(value, "true");
    else if (str_is(key, "option"))
        task->options = json_pack("{s:o}", "x", json_stringn(value.ptr, value.len));
    else if (str_is(key, "env"))
        task->env = json_loadb(value.ptr, value.len, 0, NULL);
    else if (str_is(key, "expand"))
        task->expand = json_loadb(value.ptr, value.len, 0, NULL);
    else if (str_is(key, "max_map_length"))
        task->max_map_length = number(value);
    else if (str_is(key, "when"))
        task->when = condition(dag, value);
    else if (str_is(key, "branch"))
        task->branch = branch(dag, value);
    else if (str_is(key, "branch_output"))
        task->branch = branch_by_output(dag, value);
    else if (str_is(key, "outputs_used"))
        task->outputs_used = str_is(value, "true");
    else if (!str_is(key, "rule") || !trigger_rule_parse(value, &task->trigger_rule))
        fail("unknown key of a task", key);
}

/* Two passes: names first, so that a task may stand before its upstreams. */
static void add_task(struct dag *dag, struct str statement)
{
    struct str name = next_word(&statement);
    struct dag_task *task = &dag->tasks[dag->task_count++];

    task->task_id = arena_str(&dag->arena, name).ptr;
    set_kind(task, STR("command"));
    task->owner = "";
    task->pool = "default_pool";
    task->pool_slots = 1;
    task->max_map_length = 10000;
    task->priority_weight = 1;
    task->weight_rule = WEIGHT_RULE_ABSOLUTE;
    task->retry_delay_us = INT64_C(300000000);
}

static void link_task(struct dag *dag, struct str statement)
{
    struct dag_task *task = find(dag, next_word(&statement));
    uint32_t upstream[256];

    if (statement.len == 0)
        return;
    if (!str_is(next_word(&statement), "after"))
        fail("expected NAME after NAME …", statement);
    while (str_trim(statement).len > 0) {
        struct str name = next_word(&statement);
        upstream[task->upstream_count++] = (uint32_t)(find(dag, name) - dag->tasks);
    }
    uint32_t *copy = arena_alloc_array(&dag->arena, task->upstream_count, sizeof(*copy));
    memcpy(copy, upstream, task->upstream_count * sizeof(*copy));
    task->upstream = copy;
}

static void link_downstreams(struct dag *dag)
{
    for (uint32_t t = 0; t < dag->task_count; t++) {
        uint32_t *list = arena_alloc_array(&dag->arena, dag->task_count, sizeof(*list));
        for (uint32_t d = 0; d < dag->task_count; d++)
            for (uint32_t k = 0; k < dag->tasks[d].upstream_count; k++)
                if (dag->tasks[d].upstream[k] == t)
                    list[dag->tasks[t].downstream_count++] = d;
        dag->tasks[t].downstream = list;
    }
}

static bool leads_to(const struct dag *dag, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < dag->tasks[to].upstream_count; i++)
        if (dag->tasks[to].upstream[i] == from || leads_to(dag, from, dag->tasks[to].upstream[i]))
            return true;
    return false;
}

static void finish_branch(struct dag *dag, const struct dag_task *task)
{
    struct branch *made = (struct branch *)(uintptr_t)task->branch;
    uint32_t count = task->downstream_count;

    made->detours = arena_alloc_array(&dag->arena, count, sizeof(*made->detours));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *through = arena_alloc_array(&dag->arena, count, sizeof(*through));
        made->detours[i].through = through;
        dag->tasks[task->downstream[i]].is_after_branch = true;
        for (uint32_t k = 0; k < count; k++)
            if (leads_to(dag, task->downstream[k], task->downstream[i]))
                through[made->detours[i].count++] = task->downstream[k];
    }
}

enum pass { PASS_TASKS, PASS_LINKS, PASS_OPTIONS };

static void statement(struct dag *dag, struct str text, enum pass pass)
{
    size_t equals = str_find(text, '=', 0);

    if (equals == SIZE_MAX) {
        if (pass == PASS_TASKS)
            add_task(dag, text);
        else if (pass == PASS_LINKS)
            link_task(dag, text);
        return;
    }
    if (pass != PASS_OPTIONS)
        return;
    struct str key = str_trim(str_sub(text, 0, equals));
    struct str value = str_trim(str_sub(text, equals + 1, text.len));
    size_t dot = str_find(key, '.', 0);
    if (dot == SIZE_MAX)
        set_dag(dag, key, value);
    else
        set_task(dag, find(dag, str_sub(key, 0, dot)), str_sub(key, dot + 1, key.len), value);
}

struct dag *dag_script(const char *dag_id, const char *body)
{
    struct arena arena = {0};
    struct dag *dag = arena_alloc(&arena, sizeof(*dag));
    struct str text = str_from(body);

    dag->arena = arena;
    dag->references = 1;
    dag->dag_id = arena_strdup(&dag->arena, dag_id);
    dag->owner = "";
    dag->file = arena_printf(&dag->arena, "%s.yaml", dag_id);
    dag->source = arena_str(&dag->arena, text);
    digest_sha256_hex(text, dag->hash);
    dag->timezone = "UTC";
    dag->zone = zone_utc();
    dag->max_active_runs = 16;
    dag->max_active_tasks = 16;
    dag->tasks = arena_alloc_array(&dag->arena, text.len + 1, sizeof(*dag->tasks));
    for (enum pass pass = PASS_TASKS; pass <= PASS_OPTIONS; pass++) {
        size_t start = 0;
        for (size_t i = 0; i <= text.len; i++) {
            if (i < text.len && text.ptr[i] != ';' && text.ptr[i] != '\n')
                continue;
            struct str part = str_trim(str_sub(text, start, i));
            if (part.len > 0)
                statement(dag, part, pass);
            start = i + 1;
        }
    }
    link_downstreams(dag);
    for (uint32_t i = 0; i < dag->task_count; i++)
        if (dag->tasks[i].branch != NULL)
            finish_branch(dag, &dag->tasks[i]);
    graph_weigh(&(struct dag_builder){.dag = dag});
    dag_derive(dag);
    return dag;
}
