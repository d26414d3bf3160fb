/* `task_groups`: tasks under a common name, which others depend on as a whole; groups may stand in
 * groups. Once the edges stand a group is a name for a span of tasks: outer.inner.task.
 *
 * Which tasks a group begins and ends with follows from what names what, before there are edges: if
 * a task names something, then the innermost group that holds both has an edge between them, and
 * with it each group around that one. A name of a group is an edge from its leaves, and a task of
 * it that is no leaf of it is none of the groups around it either. */
#include "base/mem.h"
#include "scheduler/dagfile/task.h"

#include <stdlib.h>

static struct task_group *find(const struct dag_builder *b, struct str id)
{
    struct task_group *found = NULL;

    if (id.len > 0)
        HASH_FIND(hh, b->groups_by_id, id.ptr, id.len, found);
    return found;
}

bool groups_is_taken(struct dag_builder *b, struct str id, struct position at)
{
    const char *what = builder_find(b, id) != NULL ? "task" : find(b, id) != NULL ? "group" : NULL;

    if (what != NULL)
        diag_add(b->diags, MR(DUPLICATE_KEY), at, "take another name for one of them",
                 "there is a %s `%.*s` already", what, STR_ARG(id));
    return what != NULL;
}

/* A map below a key, or NULL; that it is one is checked by the option table. */
static const struct node *map_of(const struct node *node, const char *key)
{
    const struct node *map = node_get(node, key);

    return map != NULL && map->kind == NODE_MAP ? map : NULL;
}

size_t groups_count_tasks(const struct node *map)
{
    const struct node *groups = map_of(map, "task_groups");
    size_t count = 0;

    for (size_t i = 0; groups != NULL && i < groups->entry_count; i++) {
        const struct node *tasks = map_of(groups->entries[i].value, "tasks");
        count += tasks == NULL ? 0 : tasks->entry_count;
        count += groups_count_tasks(groups->entries[i].value);
    }
    return count;
}

/* The defaults of what is around with those that the group gives in their place; `env` is merged.
 */
static json_t *group_defaults(const struct node *group, const json_t *own, const json_t *around)
{
    const struct node *node = node_get(group, "default_args");
    const json_t *given = json_object_get(own, "default_args");
    json_t *defaults = json_copy((json_t *)(uintptr_t)around);
    json_t *env = json_object();

    for (size_t i = 0; node != NULL && i < node->entry_count; i++) {
        struct str key = node->entries[i].key;
        json_t *value = json_object_getn(given, key.ptr, key.len);
        if (value != NULL)
            (void)json_object_setn(defaults, key.ptr, key.len, value);
    }
    (void)json_object_update(env, json_object_get(around, "env"));
    (void)json_object_update(env, json_object_get(given, "env"));
    (void)json_object_set_new(defaults, "env", env);
    return defaults;
}

static struct task_group *add_group(struct dag_builder *b, const struct node_entry *entry,
                                    const struct task_group *parent)
{
    struct task_group *group = arena_alloc(&b->scratch, sizeof(*group));

    *group = (struct task_group){.node = entry->value,
                                 .parent = parent,
                                 .id = entry->key,
                                 .at = entry->key_at,
                                 .depth = parent == NULL ? 1 : parent->depth + 1};
    if (group->depth > DAGFILE_GROUP_DEPTH_MAX) {
        diag_add(b->diags, MR(LIMIT), entry->key_at, "put its tasks into the group around it",
                 "groups may stand %d deep in each other, and this is one more",
                 DAGFILE_GROUP_DEPTH_MAX);
        return NULL;
    }
    if (parent != NULL && entry->key.len > 0)
        group->id = str_from(
            arena_printf(&b->scratch, "%.*s.%.*s", STR_ARG(parent->id), STR_ARG(entry->key)));
    if (!str_is_id(group->id)) {
        diag_add(b->diags, MR(BAD_ID), entry->key_at,
                 "1 to 250 characters of A-Z a-z 0-9 _ . ~ : + - are allowed",
                 "the group's name is no id");
        return NULL;
    }
    if (groups_is_taken(b, group->id, entry->key_at))
        return NULL;
    HASH_ADD_KEYPTR(hh, b->groups_by_id, group->id.ptr, group->id.len, group);
    return group;
}

static void read_group(struct dag_builder *b, struct task_group *group, const json_t *own,
                       const json_t *around)
{
    json_t *defaults = group_defaults(group->node, own, around);
    struct task_set set = {.tasks = map_of(group->node, "tasks"),
                           .own = json_object_get(own, "tasks"),
                           .group = group,
                           .defaults = defaults};
    const struct node *inner = node_get(group->node, "task_groups");

    group->first = b->dag->task_count;
    if (set.tasks != NULL)
        tasks_read_set(b, &set);
    groups_read(b, group->node, group, own, defaults);
    group->count = b->dag->task_count - group->first;
    if (group->count == 0 && (inner == NULL || inner->entry_count == 0))
        diag_add(b->diags, MR(TASK_COUNT), group->at,
                 "put tasks under its `tasks`, or groups under its `task_groups`",
                 "the group `%.*s` has no tasks", STR_ARG(group->id));
    json_decref(defaults);
}

void groups_read(struct dag_builder *b, const struct node *map, struct task_group *parent,
                 const json_t *options, const json_t *defaults)
{
    const struct node *groups = map_of(map, "task_groups");
    const json_t *checked = json_object_get(options, "task_groups");

    for (size_t i = 0; groups != NULL && i < groups->entry_count; i++) {
        const struct node_entry *entry = &groups->entries[i];
        struct task_group *group =
            entry->value->kind == NODE_MAP ? add_group(b, entry, parent) : NULL;
        if (group != NULL)
            read_group(b, group, json_object_getn(checked, entry->key.ptr, entry->key.len),
                       defaults);
    }
}

void groups_keep(struct dag_builder *b)
{
    struct dag *dag = b->dag;

    dag->groups = arena_alloc_array(&dag->arena, HASH_COUNT(b->groups_by_id), sizeof(*dag->groups));
    for (const struct task_group *group = b->groups_by_id; group != NULL; group = group->hh.next)
        dag->groups[dag->group_count++] = (struct dag_group){
            .group_id = arena_str(&dag->arena, group->id).ptr,
            .tasks = {.first = group->first, .count = group->count},
        };
}

struct named groups_resolve(const struct dag_builder *b, const struct task_group *group,
                            struct str name)
{
    struct named found = {0};
    struct buf full = {0};

    for (; group != NULL && found.task == NULL && found.group == NULL; group = group->parent) {
        buf_clear(&full);
        buf_printf(&full, "%.*s.%.*s", STR_ARG(group->id), STR_ARG(name));
        found.task = builder_find(b, buf_str(&full));
        found.group = find(b, buf_str(&full));
    }
    buf_release(&full);
    if (found.task == NULL && found.group == NULL) {
        found.task = builder_find(b, name);
        found.group = find(b, name);
    }
    return found;
}

bool groups_holds(const struct task_group *group, uint32_t task)
{
    return task >= group->first && task - group->first < group->count;
}

bool groups_is_within(const struct task_group *inner, const struct task_group *outer)
{
    while (inner != NULL && inner != outer)
        inner = inner->parent;
    return inner != NULL;
}

bool groups_is_root(const struct task_group *group, const struct task_source *task)
{
    return task->depth_up < group->depth;
}

/* What depends on a group waits for its leaves. A teardown is none, unless there is nothing else.
 */
bool groups_is_leaf(const struct dag_builder *b, const struct task_group *group, uint32_t index)
{
    const struct task_source *task = &b->sources[index];
    uint32_t depth = task->depth_down;

    for (const struct task_group *in = task->group; in != group; in = in->parent)
        if (in->depth_down > depth)
            depth = in->depth_down;
    return depth < group->depth && (!group->has_work || !b->dag->tasks[index].is_teardown);
}

/* The depth of the innermost group that holds what stands in both. */
static uint32_t depth_of_both(const struct task_group *a, const struct task_group *b)
{
    while (a != NULL && !groups_is_within(b, a))
        a = a->parent;
    return a == NULL ? 0 : a->depth;
}

static void raise(uint32_t *depth, uint32_t to)
{
    if (to > *depth)
        *depth = to;
}

/* A task names what a list holds: it is behind that in the innermost group that holds both. */
static void note_names(struct dag_builder *b, struct task_source *task, const struct node *list,
                       const struct task_group *scope)
{
    bool is_work = !b->dag->tasks[task->index].is_teardown;

    for (size_t i = 0; i < names_count(list); i++) {
        const struct node *item = names_item(list, i);
        struct named up =
            item->kind == NODE_STRING ? groups_resolve(b, scope, item->text) : (struct named){0};
        if (up.task == NULL && up.group == NULL)
            continue;
        uint32_t depth =
            depth_of_both(task->group, up.task != NULL ? up.task->group : up.group->parent);
        raise(&task->depth_up, depth);
        if (is_work)
            raise(up.task != NULL ? &up.task->depth_down : &up.group->depth_down, depth);
    }
}

void groups_find_ends(struct dag_builder *b)
{
    for (struct task_group *group = b->groups_by_id; group != NULL; group = group->hh.next)
        for (uint32_t i = 0; i < group->count && !group->has_work; i++)
            group->has_work = !b->dag->tasks[group->first + i].is_teardown;
    for (uint32_t i = 0; b->groups_by_id != NULL && i < b->dag->task_count; i++) {
        struct task_source *task = &b->sources[i];
        note_names(b, task, node_get(task->node, "depends_on"), task->group);
        if (b->dag->tasks[i].is_teardown)
            note_names(b, task, node_get(task->node, "teardown"), task->group);
        for (const struct task_group *group = task->group;
             group != NULL && groups_is_root(group, task); group = group->parent)
            note_names(b, task, node_get(group->node, "depends_on"), group->parent);
    }
}
