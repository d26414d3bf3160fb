/* What decides on the way of a run: `when`, `branch` and `expand` of its tasks. Checked once the
 * edges are known, since they may only speak of tasks upstream, or of the next ones downstream. */
#include "base/mem.h"
#include "scheduler/dagfile/builder.h"
#include "scheduler/dagfile/tables.h"

#include <stdlib.h>
#include <string.h>

#define BRANCH_DOWNSTREAMS_MAX 200

static enum condition_type param_type(const struct dag_builder *b, struct str param)
{
    static const struct {
        const char *name;
        enum condition_type type;
    } types[] = {
        {"string",  CONDITION_STRING},
        {"integer", CONDITION_NUMBER},
        {"number",  CONDITION_NUMBER},
        {"boolean", CONDITION_BOOL  },
        {"array",   CONDITION_LIST  },
        {"object",  CONDITION_MAP   },
    };
    const json_t *declared = json_object_getn(b->dag->param_types, param.ptr, param.len);

    for (size_t i = 0; declared != NULL && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(json_string_value(declared), types[i].name) == 0)
            return types[i].type;
    return CONDITION_ANY;
}

static const char *check_condition_name(void *context, struct str name,
                                        enum condition_type *ret_type)
{
    struct reference_scope *scope = context;
    const char *message = NULL;

    if (str_is(name, "try_number") || str_is(name, "map_index"))
        return arena_printf(scope->b->diags->arena,
                            "there is no `%.*s` yet when a condition decides", STR_ARG(name));
    message = references_check_name(scope, name, 0);
    if (message != NULL)
        return message;
    if (str_starts(name, STR("params.")))
        *ret_type = param_type(scope->b, str_sub(name, 7, name.len));
    else if (str_find(name, '.', 0) == SIZE_MAX)
        *ret_type = CONDITION_STRING;
    return NULL;
}

/* NULL if it is wrong, which is then told. */
static const struct condition *read_condition(struct reference_scope *scope,
                                              const struct node *node)
{
    struct dag_builder *b = scope->b;
    struct err err = {0};

    if (node->kind != NODE_STRING && node->kind != NODE_BOOL) {
        diag_add(b->diags, MR(CONDITION), node->at, "such as `params.full and ds > \"2026-01-01\"`",
                 "a condition must be a string, not %s", node_kind_name(node->kind));
        return NULL;
    }
    const struct condition *condition =
        condition_parse(&b->dag->arena, node->text, check_condition_name, scope, &err);
    if (condition != NULL)
        return condition;
    size_t offset = err.column == 0 ? 0 : err.column - 1;
    size_t length = 0;
    while (offset + length < node->text.len &&
           strchr(" ()[],<>=!\n", node->text.ptr[offset + length]) == NULL)
        length++;
    diag_add(b->diags, MR(CONDITION), document_position(b->text, node, offset, length), NULL, "%s",
             err.message);
    return NULL;
}

/* The index among the direct downstreams, or UINT32_MAX. */
static uint32_t find_downstream(const struct dag_task *task, uint32_t index)
{
    for (uint32_t i = 0; i < task->downstream_count; i++)
        if (task->downstream[i] == index)
            return i;
    return UINT32_MAX;
}

static const char *suggest_downstream(struct dag_builder *b, const struct dag_task *task,
                                      struct str name)
{
    const char **names = arena_alloc_array(&b->scratch, task->downstream_count, sizeof(*names));

    for (uint32_t i = 0; i < task->downstream_count; i++)
        names[i] = b->dag->tasks[task->downstream[i]].task_id;
    const char *hint = diag_suggest(b->diags, name, names, task->downstream_count);
    return hint != NULL ? hint : "a branch chooses among the tasks that have it in depends_on";
}

static bool add_target(const struct dag_task *task, struct branch_choice *choice, uint32_t *targets,
                       uint32_t index)
{
    if (find_downstream(task, index) == UINT32_MAX)
        return false;
    for (uint32_t i = 0; i < choice->target_count; i++)
        if (targets[i] == index)
            return true;
    targets[choice->target_count++] = index;
    return true;
}

/* A group stands for those of its tasks that are directly downstream. */
static bool add_targets(struct reference_scope *scope, struct str name,
                        struct branch_choice *choice, uint32_t *targets)
{
    const struct dag_builder *b = scope->b;
    const struct dag_task *task = &b->dag->tasks[scope->task];
    const struct named named = groups_resolve(b, b->sources[scope->task].group, name);
    bool found = false;

    if (named.task != NULL)
        return add_target(task, choice, targets, named.task->index);
    for (uint32_t i = 0; named.group != NULL && i < named.group->count; i++)
        found |= add_target(task, choice, targets, named.group->first + i);
    return found;
}

static void read_target(struct reference_scope *scope, const struct node *node,
                        struct branch_choice *choice, uint32_t *targets)
{
    struct dag_builder *b = scope->b;
    const struct dag_task *task = &b->dag->tasks[scope->task];

    if (node->kind != NODE_STRING)
        return; /* found by the option table */
    if (!add_targets(scope, node->text, choice, targets))
        diag_add(b->diags, MR(BRANCH), node->at, suggest_downstream(b, task, node->text),
                 "`%.*s` is no task or group directly downstream of `%s`", STR_ARG(node->text),
                 task->task_id);
}

static void read_targets(struct reference_scope *scope, const struct node *node,
                         struct branch_choice *choice)
{
    struct dag_builder *b = scope->b;
    uint32_t *targets = arena_alloc_array(
        &b->dag->arena, b->dag->tasks[scope->task].downstream_count, sizeof(*targets));

    choice->targets = targets;
    for (size_t i = 0; i < names_count(node); i++)
        read_target(scope, names_item(node, i), choice, targets);
}

static void read_choice(struct reference_scope *scope, const struct node *node, bool is_last,
                        struct branch_choice *choice)
{
    struct dag_builder *b = scope->b;
    const struct node *when = node_get(node, "when");
    const struct node *then = node_get(node, "then");
    const struct node *otherwise = node_get(node, "else");

    if (otherwise != NULL && (when != NULL || then != NULL || !is_last)) {
        diag_add(b->diags, MR(BRANCH), otherwise->at, "write - {else: [task]} as the last entry",
                 "`else` stands alone, at the end");
        return;
    }
    if (otherwise == NULL && (when == NULL || then == NULL)) {
        diag_add(b->diags, MR(BRANCH), node->at, "write - {when: …, then: [task]}",
                 "a branch needs `when` and `then`, or `else`");
        return;
    }
    if (when != NULL)
        choice->when = read_condition(scope, when);
    read_targets(scope, otherwise != NULL ? otherwise : then, choice);
}

/* A task that is not chosen goes on nevertheless if a chosen one leads to it. */
static void find_detours(struct dag_builder *b, uint32_t index, struct branch *branch)
{
    const struct dag_task *task = &b->dag->tasks[index];
    struct arena *arena = &b->dag->arena;

    branch->detours = arena_alloc_array(arena, task->downstream_count, sizeof(*branch->detours));
    for (uint32_t i = 0; i < task->downstream_count; i++) {
        uint32_t *through = arena_alloc_array(arena, task->downstream_count, sizeof(*through));
        branch->detours[i].through = through;
        for (uint32_t k = 0; k < task->downstream_count; k++)
            if (k != i && graph_is_ancestor(b, task->downstream[i], task->downstream[k]))
                through[branch->detours[i].count++] = task->downstream[k];
    }
}

static struct branch *branch_new(struct dag_builder *b, uint32_t index, const struct node *node)
{
    struct dag_task *task = &b->dag->tasks[index];

    if (task->expand != NULL) {
        diag_add(b->diags, MR(BRANCH), node->at, "let a task after it choose",
                 "a mapped task can't branch");
        return NULL;
    }
    if (task->downstream_count == 0 || task->downstream_count > BRANCH_DOWNSTREAMS_MAX) {
        diag_add(b->diags, MR(BRANCH), node->at, NULL,
                 "a branch chooses among 1 to %d tasks directly downstream, not %u",
                 BRANCH_DOWNSTREAMS_MAX, task->downstream_count);
        return NULL;
    }
    struct branch *branch = arena_alloc(&b->dag->arena, sizeof(*branch));
    task->branch = branch;
    find_detours(b, index, branch);
    for (uint32_t i = 0; i < task->downstream_count; i++)
        b->dag->tasks[task->downstream[i]].is_after_branch = true;
    return branch;
}

static void read_branch(struct reference_scope *scope, const struct node *node)
{
    struct dag_builder *b = scope->b;

    if (node->kind != NODE_LIST)
        return; /* found by the option table */
    struct branch *branch = branch_new(b, scope->task, node);
    if (branch == NULL)
        return;
    struct branch_choice *choices =
        arena_alloc_array(&b->dag->arena, node->item_count, sizeof(*choices));
    branch->choices = choices;
    branch->choice_count = (uint32_t)node->item_count;
    for (size_t i = 0; i < node->item_count; i++)
        if (node->items[i]->kind == NODE_MAP)
            read_choice(scope, node->items[i], i + 1 == node->item_count, &choices[i]);
}

static void read_branch_output(struct dag_builder *b, uint32_t index, const struct node *node)
{
    struct dag_task *task = &b->dag->tasks[index];

    if (node->kind != NODE_STRING)
        return; /* found by the option table */
    if (task->branch != NULL) {
        diag_add(b->diags, MR(BRANCH), node->at, "take one of them out",
                 "`branch` and `branch_output` both choose");
        return;
    }
    struct branch *branch = branch_new(b, index, node);
    if (branch == NULL)
        return;
    branch->output = arena_str(&b->dag->arena, node->text).ptr;
    task->outputs_used = true;
}

static void read_expand_text(struct reference_scope *scope, const struct node *node)
{
    struct dag_builder *b = scope->b;
    struct str text = str_trim(node->text);
    struct str inner = str_trim(str_sub(text, 2, text.len < 4 ? 2 : text.len - 2));
    static const char hint[] =
        "write a list, or a template of one: \"{{ tasks.T.outputs.files }}\"";

    if (!template_is(text) || !str_starts(text, STR("{{")) || !str_ends(text, STR("}}")) ||
        memmem(inner.ptr, inner.len, "}}", 2) != NULL) {
        diag_add(b->diags, MR(EXPAND), node->at, hint, "a text is no list to go over");
        return;
    }
    struct str param = STR("params.");
    bool is_plain = str_starts(inner, param) && str_find(inner, '|', 0) == SIZE_MAX;
    enum condition_type type =
        is_plain ? param_type(b, str_sub(inner, param.len, inner.len)) : CONDITION_ANY;
    if (type != CONDITION_ANY && type != CONDITION_LIST && type != CONDITION_MAP)
        diag_add(b->diags, MR(EXPAND), node->at, "declare it with `type: array`",
                 "`%.*s` is no list to go over", STR_ARG(inner));
}

static void read_expand_entry(struct reference_scope *scope, const struct node_entry *entry)
{
    struct dag_builder *b = scope->b;
    const struct node *value = entry->value;

    if (!str_is_name(entry->key))
        diag_add(b->diags, MR(EXPAND), entry->key_at,
                 "letters, digits and _ are allowed, a digit not at the beginning",
                 "no name to go by in templates as map.NAME");
    if (value->kind == NODE_STRING)
        read_expand_text(scope, value);
    else if (value->kind != NODE_LIST && value->kind != NODE_MAP)
        diag_add(b->diags, MR(EXPAND), value->at, NULL, "a list is wanted to go over, not %s",
                 node_kind_name(value->kind));
    scope->is_in_expand = true;
    references_check_node(scope, value);
    scope->is_in_expand = false;
}

static void read_expand(struct reference_scope *scope, const struct node *node)
{
    if (node->kind != NODE_MAP)
        return; /* found by the option table */
    if (node->entry_count == 0)
        diag_add(scope->b->diags, MR(EXPAND), node->at, "write {file: [a, b]}",
                 "`expand` names no list to go over");
    for (size_t i = 0; i < node->entry_count; i++)
        read_expand_entry(scope, &node->entries[i]);
}

void flow_read(struct dag_builder *b)
{
    for (uint32_t i = 0; i < b->dag->task_count; i++) {
        struct reference_scope scope = {.b = b, .task = i};
        const struct node *source = b->sources[i].node;
        const struct node *expand = node_get(source, "expand");
        const struct node *when = node_get(source, "when");
        const struct node *branch = node_get(source, "branch");
        const struct node *output = node_get(source, "branch_output");
        if (expand != NULL)
            read_expand(&scope, expand);
        if (when != NULL)
            b->dag->tasks[i].when = read_condition(&scope, when);
        scope.is_in_branch = true;
        if (branch != NULL)
            read_branch(&scope, branch);
        if (output != NULL)
            read_branch_output(b, i, output);
    }
}
