/* Mapped tasks: one task of the DAG file, an instance for each combination of the items of its
 * lists. The last list varies fastest, as in Airflow. */
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A map is gone over as the list of its entries. */
static json_t *entries_of(json_t *map)
{
    json_t *list = json_array();
    const char *key;
    json_t *value;

    json_object_foreach(map, key, value)
    {
        json_t *entry = json_object();
        (void)json_object_set_new(entry, "key", json_string(key));
        (void)json_object_set(entry, "value", value);
        (void)json_array_append_new(list, entry);
    }
    return list;
}

/* The lists that the task goes over, as of now; the caller owns the reference. NULL: `err` says
 * which of them is none. */
static json_t *resolve(struct task *node, struct err *err)
{
    json_t *values = render_value(node, task_spec(node)->expand, err);
    const char *name;
    json_t *value;
    void *next;

    if (values == NULL)
        return NULL;
    json_object_foreach_safe(values, next, name, value)
    {
        if (json_is_object(value))
            (void)json_object_set_new(values, name, entries_of(value));
        else if (!json_is_array(value)) {
            err_set(err, ERR_TEMPLATE, "`%.100s` is neither a list nor a map", name);
            json_decref(values);
            return NULL;
        }
    }
    return values;
}

/* How many instances the lists call for. */
static bool count_instances(const struct task *node, json_t *values, uint32_t *ret, struct err *err)
{
    size_t max = (size_t)task_spec(node)->max_map_length;
    size_t count = 1;
    const char *name;
    json_t *list;

    *ret = 0;
    json_object_foreach(values, name, list)
    {
        if (json_array_size(list) == 0)
            return true;
    }
    json_object_foreach(values, name, list)
    {
        if (json_array_size(list) > max / count)
            return err_set(err, ERR_TEMPLATE, "more than %zu instances (max_map_length)", max);
        count *= json_array_size(list);
    }
    *ret = (uint32_t)count;
    return true;
}

/* Adds instances in state none; the first of them stands where the task itself stood. */
static void add_instances(struct task *node, uint32_t count)
{
    struct run *run = node->run;
    uint32_t added = count - (node->mapping == NULL ? 1 : node->mapping->count);

    if (node->mapping == NULL)
        node->mapping = arena_alloc(&run->arena, sizeof(*node->mapping));
    struct mapping *mapping = node->mapping;
    uint32_t first = mapping->count;
    struct task *items = arena_alloc_array(&run->arena, count - first, sizeof(*items));
    if (mapping->capacity < count) {
        mapping->capacity = (uint32_t)mem_grow(mapping->capacity, count);
        mapping->items = mem_resize_array(mapping->items, mapping->capacity, sizeof(struct task *));
    }
    for (uint32_t i = first; i < count; i++) {
        mapping->items[i] = &items[i - first];
        mapping->items[i]->run = run;
        mapping->items[i]->index = node->index;
        mapping->items[i]->map_index = (int32_t)i;
        mapping->items[i]->try_number = node->try_number;
        mapping->items[i]->max_tries = node->max_tries;
    }
    mapping->count = count;
    mapping->live += count - first;
    mapping->waiting += count - first;
    run->waiting += added;
    run->unfinished += added;
    tally_expect(node, added);
}

static void expand_to(struct core *core, struct task *node, uint32_t count)
{
    struct decision *decision = decisions_add(core->out, DECIDE_EXPAND);
    struct decision_expand *expand = &decision->as.expand;

    expand->row = (struct task_row){.run = node->run->row.id,
                                    .task = node->index,
                                    .map_index = -1,
                                    .task_id = task_spec(node)->task_id,
                                    .state = TASK_NONE,
                                    .try_number = node->try_number,
                                    .max_tries = node->max_tries};
    expand->row.reason = reason_format(core, "expanded: %u instances", count);
    expand->first = node->mapping == NULL ? 0 : node->mapping->count;
    expand->count = count;
    add_instances(node, count);
}

/* Instances that the lists call for no longer, or again. */
static void adjust(struct core *core, struct task *node, uint32_t count)
{
    for (uint32_t i = 0; i < node->mapping->count; i++) {
        struct task *instance = node->mapping->items[i];
        if (i < count && instance->state == TASK_REMOVED)
            task_move(core, instance, TASK_NONE, "expand: its item is there again");
        else if (i >= count && instance->state == TASK_NONE)
            task_move(core, instance, TASK_REMOVED,
                      reason_format(core, "expand: only %u instances now", count));
    }
}

void mapping_expand(struct core *core, struct task *node)
{
    struct err err = {0};
    uint32_t count = 0;
    json_t *values = resolve(node, &err);

    if (values == NULL || !count_instances(node, values, &count, &err)) {
        task_end_waiting(core, node, TASK_FAILED, reason_format(core, "expand: %s", err.message));
        json_decref(values);
        return;
    }
    if (count == 0) {
        task_end_waiting(core, node, TASK_SKIPPED, "expand: nothing to go over");
        json_decref(values);
        return;
    }
    if (PLANTED(INSTANCE_LEFT_OUT) && count > 1)
        count--;
    if (node->mapping == NULL || node->mapping->count < count)
        expand_to(core, node, count);
    json_decref(node->mapping->values);
    node->mapping->values = values;
    if (PLANTED(ITEMS_KEPT) && node->mapping->count > count)
        count = node->mapping->count;
    adjust(core, node, count);
    for (uint32_t i = 0; i < count; i++)
        if (node->mapping->items[i]->state == TASK_NONE)
            task_schedule(core, node->mapping->items[i]);
}

struct task *mapping_restore(struct task *node, uint32_t map_index)
{
    if (map_index != (node->mapping == NULL ? 0 : node->mapping->count))
        return NULL;
    add_instances(node, map_index + 1);
    return node->mapping->items[map_index];
}

const json_t *mapping_value(struct task *task, struct str name)
{
    struct mapping *mapping = task_node(task)->mapping;
    struct err ignored = {0};
    uint32_t count = 0;
    const char *key;
    json_t *list;

    if (mapping == NULL || task->map_index < 0)
        return NULL;
    if (mapping->values == NULL)
        mapping->values = resolve(task_node(task), &ignored);
    if (mapping->values == NULL || !count_instances(task, mapping->values, &count, &ignored) ||
        (uint32_t)task->map_index >= count)
        return NULL;
    json_object_foreach(mapping->values, key, list)
    {
        count /= (uint32_t)json_array_size(list);
        if (str_is(name, key))
            return json_array_get(list, (size_t)task->map_index / count % json_array_size(list));
    }
    return NULL;
}

void mapping_free(struct task *node)
{
    if (node->mapping == NULL)
        return;
    for (uint32_t i = 0; i < node->mapping->count; i++)
        json_decref(node->mapping->items[i]->outputs);
    json_decref(node->mapping->values);
    free(node->mapping->items);
}
