#include "scheduler/dagfile/task.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/dagfile/assets.h"
#include "scheduler/dagfile/tables.h"

#include <string.h>

/* What one task's options come from: its own, then default_args with the table's defaults. */
struct task_options {
    const struct node *node;
    const json_t *own;    /* what it says itself: the table's defaults are not in it … */
    const json_t *absent; /* … but here */
    const json_t *defaults;
    const struct task_group *group;   /* those of the groups it is in come before … */
    const struct node *defaults_node; /* … the DAG's default_args */
};

static json_t *own(const struct task_options *o, const char *key)
{
    json_t *value = json_object_get(o->own, key);

    return value != NULL ? value : json_object_get(o->absent, key);
}

static const json_t *pick(const struct task_options *o, const char *key)
{
    return json_object_get(node_get(o->node, key) != NULL ? o->own : o->defaults, key);
}

static const struct node *pick_node(const struct task_options *o, const char *key)
{
    const struct node *own = node_get(o->node, key);

    for (const struct task_group *group = o->group; own == NULL && group != NULL;
         group = group->parent)
        own = node_get(node_get(group->node, "default_args"), key);
    return own != NULL ? own : node_get(o->defaults_node, key);
}

static int64_t pick_duration(const struct task_options *o, const char *key)
{
    int64_t us = 0;

    (void)duration_parse(str_from(json_string_value(pick(o, key))), &us);
    return us;
}

static double read_backoff(struct dag_builder *b, const struct task_options *o)
{
    const json_t *value = pick(o, "retry_exponential_backoff");

    if (json_is_true(value))
        return 2;
    if (json_is_number(value) && json_number_value(value) >= 1 && json_number_value(value) <= 1000)
        return json_number_value(value);
    if (value != NULL && !json_is_false(value))
        diag_add(b->diags, MR(BAD_VALUE), pick_node(o, "retry_exponential_backoff")->at, NULL,
                 "`retry_exponential_backoff` must be true, false or a factor from 1 to 1000");
    return 0;
}

static void read_pool(struct dag_builder *b, const struct task_options *o, struct dag_task *task)
{
    const char *pool = json_string_value(pick(o, "pool"));
    const struct node *node = pick_node(o, "pool");

    task->pool = pool == NULL ? "default_pool" : arena_strdup(&b->dag->arena, pool);
    if (node == NULL || pool == NULL || b->input->pool_count == 0)
        return;
    const char **names = arena_alloc_array(&b->scratch, b->input->pool_count, sizeof(*names));
    for (size_t i = 0; i < b->input->pool_count; i++) {
        names[i] = b->input->pools[i].name;
        if (strcmp(names[i], pool) == 0)
            return;
    }
    const char *hint = diag_suggest(b->diags, str_from(pool), names, b->input->pool_count);
    diag_add(b->diags, MR(UNKNOWN_POOL), node->at,
             hint != NULL ? hint : "declare it under `pools` in millrace.yaml", "unknown pool `%s`",
             pool);
}

/* Exit codes of a process are 0 to 255; 0 is success, 99 is skipped. */
static bool is_failure_code(const json_t *code)
{
    json_int_t value = json_integer_value(code);

    return json_is_integer(code) && value >= 1 && value <= 255 && value != 99;
}

static void read_exit_codes(struct dag_builder *b, const struct task_options *o,
                            struct dag_task *task)
{
    const json_t *list = pick(o, "retry_exit_codes");
    const struct node *node = pick_node(o, "retry_exit_codes");
    size_t count = json_array_size(list);
    int64_t *codes = arena_alloc_array(&b->dag->arena, count, sizeof(*codes));

    for (size_t i = 0; i < count; i++) {
        const json_t *code = json_array_get(list, i);
        if (!is_failure_code(code))
            diag_add(b->diags, MR(BAD_VALUE),
                     node->kind == NODE_LIST ? node->items[i]->at : node->at, NULL,
                     "`retry_exit_codes` takes integers from 1 to 255, but for 99, which skips");
        codes[i] = json_integer_value(code);
    }
    if (node_get(o->node, "retry_exit_codes") != NULL && task->kind != NULL &&
        task->kind->class != TASK_CLASS_COMMAND)
        diag_add(b->diags, MR(BAD_VALUE), node->at, "take it out, or into default_args",
                 "only a command has exit codes, not a task of type `%s`", task->kind->name);
    task->retry_exit_codes = codes;
    task->retry_exit_code_count = count;
}

/* `teardown` is a switch, or names setups: graph_build() makes edges of these. */
static void read_teardown(struct dag_builder *b, const struct task_options *o,
                          struct dag_task *task)
{
    const struct node *node = node_get(o->node, "teardown");
    const struct node *rule = node_get(o->node, "trigger_rule");
    const struct node *fails = node_get(o->node, "on_failure_fail_dagrun");

    task->is_setup = json_is_true(own(o, "setup"));
    task->is_teardown = node != NULL && !(node->kind == NODE_BOOL && !node->scalar.boolean);
    task->on_failure_fail_dagrun = json_is_true(own(o, "on_failure_fail_dagrun"));
    if (!task->is_teardown) {
        if (fails != NULL)
            diag_add(b->diags, MR(BAD_VALUE), fails->at, "add `teardown: true`, or take it out",
                     "`on_failure_fail_dagrun` is for teardowns: other tasks fail the run anyway");
        return;
    }
    for (size_t i = 0; i < node->item_count; i++)
        if (node->items[i]->kind != NODE_STRING)
            diag_add(b->diags, MR(BAD_VALUE), node->items[i]->at, NULL,
                     "`teardown` must be true or name setups");
    if (node->kind != NODE_LIST && node->kind != NODE_STRING && node->kind != NODE_BOOL)
        diag_add(b->diags, MR(BAD_VALUE), node->at, NULL, "`teardown` must be true or name setups");
    if (task->is_setup)
        diag_add(b->diags, MR(BAD_VALUE), node->at, "make two tasks of it",
                 "a task can't be setup and teardown");
    if (rule != NULL)
        diag_add(b->diags, MR(BAD_VALUE), rule->at, "take it out",
                 "a teardown has a trigger rule of its own: it runs when a setup has succeeded");
    task->trigger_rule = TRIGGER_RULE_ALL_DONE_SETUP_SUCCESS;
}

static void check_env(struct dag_builder *b, const struct node *env)
{
    for (size_t i = 0; env != NULL && i < env->entry_count; i++) {
        const struct node_entry *entry = &env->entries[i];
        if (!str_is_name(entry->key))
            diag_add(b->diags, MR(BAD_VALUE), entry->key_at,
                     "letters, digits and _ are allowed, a digit not at the beginning",
                     "no name of an environment variable");
        if (entry->value->kind != NODE_STRING)
            diag_add(b->diags, MR(BAD_VALUE), entry->value->at, "quote it",
                     "an environment variable must be a string, not %s",
                     node_kind_name(entry->value->kind));
    }
}

static json_t *merge_env(const struct task_options *o)
{
    json_t *env = json_object();

    (void)json_object_update(env, json_object_get(o->defaults, "env"));
    (void)json_object_update(env, json_object_get(o->own, "env"));
    if (json_object_size(env) > 0)
        return env;
    json_decref(env);
    return NULL;
}

static json_t *read_with(struct dag_builder *b, const struct task_source *source,
                         const struct dag_task *task)
{
    const struct node *with = node_get(source->node, "with");
    size_t errors = b->diags->error_count;

    if (with != NULL && with->kind == NODE_NULL)
        with = NULL;
    json_t *options = options_check(task->kind->options, with, source->at, b->diags);
    if (json_object_size(options) == 0) {
        /* Nothing changes the options of a task: all that have none share an object. */
        if (b->no_options == NULL)
            b->no_options = json_object();
        json_decref(options);
        options = json_incref(b->no_options);
    }
    if (task->kind->check != NULL && b->diags->error_count == errors)
        task->kind->check(with, b->diags);
    return options;
}

static const char *pick_text(struct dag_builder *b, const struct task_options *o, const char *key)
{
    return arena_strdup(&b->dag->arena, json_string_value(pick(o, key)));
}

/* The rest of what stands there is read once the edges are known. */
static void read_expand(const struct task_options *o, struct dag_task *task)
{
    json_t *expand = own(o, "expand");

    task->max_map_length = json_integer_value(own(o, "max_map_length"));
    if (json_is_object(expand))
        task->expand = json_incref(expand);
}

/* What a task may leave to default_args. */
static void read_inherited(struct dag_builder *b, const struct task_options *o,
                           struct dag_task *task)
{
    task->owner = pick_text(b, o, "owner");
    if (task->owner == NULL)
        task->owner = b->dag->owner;
    task->retries = json_integer_value(pick(o, "retries"));
    task->retry_delay_us = pick_duration(o, "retry_delay");
    task->retry_backoff = read_backoff(b, o);
    task->max_retry_delay_us = pick_duration(o, "max_retry_delay");
    task->execution_timeout_us = pick_duration(o, "execution_timeout");
    task->wait_for_downstream = json_is_true(pick(o, "wait_for_downstream"));
    task->depends_on_past = task->wait_for_downstream || json_is_true(pick(o, "depends_on_past"));
    task->max_active_tis_per_dag = json_integer_value(pick(o, "max_active_tis_per_dag"));
    task->max_active_tis_per_dagrun = json_integer_value(pick(o, "max_active_tis_per_dagrun"));
    task->cache = json_is_true(pick(o, "cache"));
    task->pool_slots = json_integer_value(pick(o, "pool_slots"));
    task->priority_weight = json_integer_value(pick(o, "priority_weight"));
    (void)weight_rule_parse(str_from(json_string_value(pick(o, "weight_rule"))),
                            &task->weight_rule);
    (void)trigger_rule_parse(str_from(json_string_value(pick(o, "trigger_rule"))),
                             &task->trigger_rule);
}

/* Whether the task says something of what it could leave to default_args. */
static bool has_own(const struct node *node)
{
    for (size_t i = 0; i < node->entry_count; i++)
        if (option_find(&default_args_table, node->entries[i].key) != NULL)
            return true;
    return false;
}

/* Most tasks of a large DAG leave all of it to the same defaults, which are read once. */
static void inherit(struct dag_builder *b, const struct task_options *o, struct dag_task *task)
{
    if (has_own(o->node)) {
        read_inherited(b, o, task);
        return;
    }
    if (b->inherited_from != o->defaults) {
        b->inherited_from = o->defaults;
        b->inherited = (struct dag_task){0};
        read_inherited(b, o, &b->inherited);
    }
    *task = b->inherited;
}

static void read_task(struct dag_builder *b, uint32_t index, const struct task_options *o)
{
    struct task_source *source = &b->sources[index];
    struct dag_task *task = &b->dag->tasks[index];
    struct arena *arena = &b->dag->arena;

    inherit(b, o, task);
    task->task_id = arena_str(arena, source->task_id).ptr;
    task->line = source->at.line;
    task->doc = arena_strdup(arena, json_string_value(own(o, "doc")));
    read_teardown(b, o, task);
    read_pool(b, o, task);
    check_env(b, node_get(o->node, "env"));
    task->env = merge_env(o);
    read_expand(o, task);
    callbacks_read(o->own, o->defaults, &task->callbacks);
    task->kind = task_kind_find(node_get_text(o->node, "type"));
    assets_read_outlets(b, node_get(o->node, "outlets"), task);
    read_exit_codes(b, o, task);
    if (task->kind != NULL) {
        task->options = read_with(b, source, task);
        task->class = task_kind_class(task->kind, task->options);
        task->wait = wait_read(task);
    }
}

static void check_id(struct dag_builder *b, const struct task_source *source)
{
    if (!str_is_id(source->task_id))
        diag_add(b->diags, MR(BAD_ID), source->at,
                 "1 to 250 characters of A-Z a-z 0-9 _ . ~ : + - are allowed",
                 "the task's name is no id");
}

static struct str full_id(struct dag_builder *b, const struct task_set *set, struct str name)
{
    if (set->group == NULL || name.len == 0)
        return name;
    return str_from(arena_printf(&b->scratch, "%.*s.%.*s", STR_ARG(set->group->id), STR_ARG(name)));
}

void tasks_read_set(struct dag_builder *b, const struct task_set *set)
{
    struct task_options o = {.absent = b->absent,
                             .defaults = set->defaults,
                             .group = set->group,
                             .defaults_node = node_get(b->root, "default_args")};

    if (set->group != NULL)
        check_env(b, node_get(node_get(set->group->node, "default_args"), "env"));
    for (size_t i = 0; i < set->tasks->entry_count; i++) {
        struct task_source *source = &b->sources[b->dag->task_count];
        const struct node_entry *entry = &set->tasks->entries[i];
        if (entry->value->kind != NODE_MAP)
            continue; /* found by the option table */
        *source = (struct task_source){.node = entry->value,
                                       .task_id = full_id(b, set, entry->key),
                                       .group = set->group,
                                       .at = entry->key_at,
                                       .index = b->dag->task_count};
        check_id(b, source);
        if (source->task_id.len == 0)
            continue;
        if (groups_is_taken(b, source->task_id, source->at))
            continue;
        HASH_ADD_KEYPTR(hh, b->by_id, source->task_id.ptr, source->task_id.len, source);
        o.node = entry->value;
        o.own = json_object_getn(set->own, entry->key.ptr, entry->key.len);
        read_task(b, b->dag->task_count, &o);
        b->dag->task_count++;
    }
}

void tasks_read(struct dag_builder *b, const json_t *options)
{
    const struct node *tasks = node_get(b->root, "tasks");
    const struct node *defaults_node = node_get(b->root, "default_args");
    struct diags ignored = {.arena = &b->scratch};
    size_t count = groups_count_tasks(b->root);

    if (tasks != NULL && tasks->kind != NODE_MAP)
        return; /* found by the option table */
    if (tasks == NULL && node_get(b->root, "task_groups") == NULL) {
        diag_add(b->diags, MR(MISSING_KEY), b->root->at,
                 "add `tasks: …`: the tasks, by their task_id", "`tasks` is missing in the DAG");
        return;
    }
    count += tasks == NULL ? 0 : tasks->entry_count;
    if (count == 0 || count > DAGFILE_TASKS_MAX) {
        diag_add(b->diags, MR(TASK_COUNT), tasks == NULL ? b->root->at : tasks->at, NULL,
                 "a DAG has at least 1 and at most 10,000 tasks, not %zu", count);
        return;
    }
    json_t *fallbacks = options_check(&default_args_table, NULL, b->root->at, &ignored);
    b->absent = options_check(&task_table, NULL, b->root->at, &ignored);
    const json_t *defaults = json_object_get(options, "default_args");
    struct task_set set = {.tasks = tasks,
                           .own = json_object_get(options, "tasks"),
                           .defaults = json_is_object(defaults) ? defaults : fallbacks};
    check_env(b, node_get(defaults_node, "env"));
    b->dag->tasks = arena_alloc_array(&b->dag->arena, count, sizeof(struct dag_task));
    b->sources = arena_alloc_array(&b->scratch, count, sizeof(struct task_source));
    b->marks = mem_alloc_array(count, sizeof(*b->marks));
    if (tasks != NULL)
        tasks_read_set(b, &set);
    groups_read(b, b->root, NULL, options, set.defaults);
    groups_keep(b);
    json_decref(fallbacks);
    json_decref(b->absent);
    b->absent = NULL;
    diags_release(&ignored);
}
