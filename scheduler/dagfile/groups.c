/* `task_groups`: tasks under a common name, which others depend on as a whole. Nothing of a group
 * is left once the edges stand, but the names of its tasks: group.task. */
#include "base/mem.h"
#include "scheduler/dagfile/task.h"

#include <stdlib.h>

struct task_group *groups_find(const struct dag_builder *b, struct str id)
{
    struct task_group *found = NULL;

    if (id.len > 0)
        HASH_FIND(hh, b->groups_by_id, id.ptr, id.len, found);
    return found;
}

static const struct node *tasks_of(const struct node *group)
{
    const struct node *tasks = node_get(group, "tasks");

    return tasks != NULL && tasks->kind == NODE_MAP ? tasks : NULL;
}

size_t groups_count_tasks(const struct dag_builder *b)
{
    const struct node *groups = node_get(b->root, "task_groups");
    size_t count = 0;

    for (size_t i = 0; groups != NULL && i < groups->entry_count; i++) {
        const struct node *tasks = tasks_of(groups->entries[i].value);
        count += tasks == NULL ? 0 : tasks->entry_count;
    }
    return count;
}

/* default_args of the DAG with those that the group gives in their place; `env` is merged. */
static json_t *group_defaults(const struct node *group, const json_t *own, const json_t *of_dag)
{
    const struct node *node = node_get(group, "default_args");
    const json_t *given = json_object_get(own, "default_args");
    json_t *defaults = json_copy((json_t *)(uintptr_t)of_dag);
    json_t *env = json_object();

    for (size_t i = 0; node != NULL && i < node->entry_count; i++) {
        struct str key = node->entries[i].key;
        json_t *value = json_object_getn(given, key.ptr, key.len);
        if (value != NULL)
            (void)json_object_setn(defaults, key.ptr, key.len, value);
    }
    (void)json_object_update(env, json_object_get(of_dag, "env"));
    (void)json_object_update(env, json_object_get(given, "env"));
    (void)json_object_set_new(defaults, "env", env);
    return defaults;
}

static struct task_group *add_group(struct dag_builder *b, const struct node_entry *entry)
{
    struct task_group *group = arena_alloc(&b->scratch, sizeof(*group));

    *group = (struct task_group){.node = entry->value, .id = entry->key, .at = entry->key_at};
    if (!str_is_id(entry->key)) {
        diag_add(b->diags, MR(BAD_ID), entry->key_at,
                 "1 to 250 characters of A-Z a-z 0-9 _ . ~ : + - are allowed",
                 "the group's name is no id");
        return NULL;
    }
    if (builder_find(b, entry->key) != NULL) {
        diag_add(b->diags, MR(DUPLICATE_KEY), entry->key_at, "take another name for one of them",
                 "there is a task of the group's name, `%.*s`", STR_ARG(entry->key));
        return NULL;
    }
    HASH_ADD_KEYPTR(hh, b->groups_by_id, group->id.ptr, group->id.len, group);
    return group;
}

void groups_read(struct dag_builder *b, const json_t *options, const json_t *defaults)
{
    const struct node *groups = node_get(b->root, "task_groups");

    for (size_t i = 0; groups != NULL && i < groups->entry_count; i++) {
        const struct node_entry *entry = &groups->entries[i];
        const struct node *tasks = tasks_of(entry->value);
        struct task_group *group = tasks == NULL ? NULL : add_group(b, entry);
        if (group == NULL)
            continue;
        const json_t *own = json_object_getn(json_object_get(options, "task_groups"),
                                             entry->key.ptr, entry->key.len);
        json_t *of_group = group_defaults(entry->value, own, defaults);
        struct task_set set = {.tasks = tasks,
                               .own = json_object_get(own, "tasks"),
                               .group = group,
                               .defaults = of_group,
                               .defaults_node = node_get(entry->value, "default_args")};
        group->first = b->dag->task_count;
        tasks_read_set(b, &set);
        group->count = b->dag->task_count - group->first;
        if (group->count == 0)
            diag_add(b->diags, MR(TASK_COUNT), entry->key_at, "put tasks under its `tasks`",
                     "the group `%.*s` has no tasks", STR_ARG(entry->key));
        json_decref(of_group);
    }
}

struct task_source *groups_resolve(const struct dag_builder *b, const struct task_group *group,
                                   struct str name)
{
    struct task_source *found = NULL;
    struct buf full = {0};

    if (group != NULL) {
        buf_printf(&full, "%.*s.%.*s", STR_ARG(group->id), STR_ARG(name));
        found = builder_find(b, buf_str(&full));
        buf_release(&full);
    }
    return found != NULL ? found : builder_find(b, name);
}

/* What depends on a group waits for its leaves. A teardown is none, unless there is nothing else.
 */
bool groups_is_leaf(const struct dag_builder *b, const struct task_group *group, uint32_t index)
{
    bool any_work = false;

    if (b->sources[index].has_inner_downstream)
        return false;
    for (uint32_t i = group->first; i < group->first + group->count; i++)
        any_work = any_work || !b->dag->tasks[i].is_teardown;
    return !any_work || !b->dag->tasks[index].is_teardown;
}

/* Which tasks of a group others of it depend on, and which depend on others of it. */
void groups_find_ends(struct dag_builder *b)
{
    for (uint32_t i = 0; i < b->dag->task_count; i++) {
        struct task_source *task = &b->sources[i];
        const struct node *list = node_get(task->node, "depends_on");
        size_t many = list == NULL ? 0 : list->kind == NODE_LIST ? list->item_count : 1;
        for (size_t k = 0; task->group != NULL && k < many; k++) {
            const struct node *item = list->kind == NODE_LIST ? list->items[k] : list;
            struct task_source *up =
                item->kind == NODE_STRING ? groups_resolve(b, task->group, item->text) : NULL;
            if (up == NULL || up->group != task->group)
                continue;
            task->has_inner_upstream = true;
            up->has_inner_downstream = up->has_inner_downstream || !b->dag->tasks[i].is_teardown;
        }
    }
}
