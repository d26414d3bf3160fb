#include "base/template.h"
#include "scheduler/dagfile/builder.h"

#include <string.h>

static const char *const plain_names[] = {
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "run_id",
    "dag_id",
    "task_id",
    "try_number",
    "map_index",
};

#define PLAIN_COUNT (sizeof(plain_names) / sizeof(plain_names[0]))

static const char *with_suggestion(struct dag_builder *b, struct str name, const char *message,
                                   const char *const *names, size_t count)
{
    const char *suggestion = diag_suggest(b->diags, name, names, count);

    return suggestion == NULL ? message
                              : arena_printf(b->diags->arena, "%s: %s", message, suggestion);
}

static const char *check_param(struct dag_builder *b, struct str param)
{
    size_t count = json_object_size(b->params_declared);
    const char **names = arena_alloc_array(&b->scratch, count + 1, sizeof(*names));
    const char *key;
    json_t *value;
    size_t i = 0;

    if (json_object_getn(b->params_declared, param.ptr, param.len) != NULL)
        return NULL;
    json_object_foreach(b->params_declared, key, value) names[i++] = key;
    return with_suggestion(b, param,
                           arena_printf(b->diags->arena,
                                        "the param `%.*s` is not declared in `params`",
                                        STR_ARG(param)),
                           names, count);
}

static const char *check_output(struct reference_scope *scope, struct str name)
{
    struct dag_builder *b = scope->b;
    static const char middle[] = ".outputs.";
    const char *found = memmem(name.ptr, name.len, middle, sizeof(middle) - 1);

    if (found == NULL || found + sizeof(middle) - 1 == name.ptr + name.len)
        return "write `tasks.TASK.outputs.NAME`";
    struct str task_id = str_sub(name, 6, (size_t)(found - name.ptr));
    const struct task_source *task = builder_find(b, task_id);
    if (task == NULL)
        return arena_printf(b->diags->arena, "there is no task `%.*s`", STR_ARG(task_id));
    bool is_own = scope->is_in_branch && task->index == scope->task;
    if (!is_own && !graph_is_ancestor(b, scope->task, task->index))
        return arena_printf(b->diags->arena,
                            "task `%s` does not depend on `%.*s`, whose outputs it reads: add it "
                            "to depends_on",
                            b->dag->tasks[scope->task].task_id, STR_ARG(task_id));
    b->dag->tasks[task->index].outputs_used = true;
    return NULL;
}

/* Templates of a run's callbacks stand in no task. */
#define NO_TASK UINT32_MAX

static const char *of_run_only(struct str name)
{
    bool is_of_task =
        str_is(name, "task_id") || str_is(name, "try_number") || str_is(name, "map_index");

    return is_of_task ? "a callback of the run knows no task: use a callback of the task" : NULL;
}

/* map.NAME, where NAME is one of the task's `expand`. */
static const char *check_map(struct reference_scope *scope, struct str name)
{
    struct dag_builder *b = scope->b;
    const struct dag_task *task = &b->dag->tasks[scope->task];
    struct str key = str_sub(name, 0, str_find(name, '.', 0));
    size_t count = json_object_size(task->expand);
    const char **names = arena_alloc_array(&b->scratch, count + 1, sizeof(*names));
    const char *known;
    json_t *value;
    size_t i = 0;

    if (task->expand == NULL)
        return arena_printf(b->diags->arena, "task `%s` goes over nothing: add `expand`",
                            task->task_id);
    if (scope->is_in_expand || scope->is_in_branch)
        return "`map.x` is not known yet here: only in `with` and `env`";
    if (json_object_getn(task->expand, key.ptr, key.len) != NULL)
        return NULL;
    json_object_foreach((json_t *)(uintptr_t)task->expand, known, value) names[i++] = known;
    return with_suggestion(b, key,
                           arena_printf(b->diags->arena, "`expand` has no `%.*s`", STR_ARG(key)),
                           names, count);
}

const char *references_check_name(void *context, struct str name, size_t offset)
{
    struct reference_scope *scope = context;
    (void)offset;

    for (size_t i = 0; i < PLAIN_COUNT; i++)
        if (str_is(name, plain_names[i]))
            return scope->task == NO_TASK ? of_run_only(name) : NULL;
    if (scope->task == NO_TASK &&
        (str_starts(name, STR("tasks.")) || str_starts(name, STR("map."))))
        return "a callback of the run has no tasks to read from: use a callback of the task";
    if (str_starts(name, STR("params.")) && name.len > 7)
        return check_param(scope->b, str_sub(name, 7, name.len));
    if (str_starts(name, STR("tasks.")))
        return check_output(scope, name);
    if (str_starts(name, STR("map.")))
        return check_map(scope, str_sub(name, 4, name.len));
    if ((str_starts(name, STR("conf.")) && name.len > 5) ||
        (str_starts(name, STR("var.")) && name.len > 4))
        return NULL;
    if (str_starts(name, STR("dag_run.conf")))
        return "write `conf.x` for a value of the run's conf";
    if (str_is(name, "execution_date"))
        return "write `logical_date`: Airflow 3 dropped execution_date";
    return with_suggestion(scope->b, name,
                           arena_printf(scope->b->diags->arena, "unknown name `%.*s` in a template",
                                        name.len > 80 ? 80 : (int)name.len, name.ptr),
                           plain_names, PLAIN_COUNT);
}

static void check_text(struct reference_scope *scope, const struct node *scalar)
{
    struct dag_builder *b = scope->b;
    struct err err = {0};

    if (!template_is(scalar->text) ||
        template_check(scalar->text, references_check_name, scope, &err))
        return;
    size_t offset = err.column == 0 ? 0 : err.column - 1;
    size_t length = 0;
    while (offset + length < scalar->text.len &&
           strchr(" |}()\"'\n", scalar->text.ptr[offset + length]) == NULL)
        length++;
    diag_add(b->diags, MR(TEMPLATE), document_position(b->text, scalar, offset, length), NULL, "%s",
             err.message);
}

void references_check_node(struct reference_scope *scope, const struct node *node)
{
    if (node->kind == NODE_STRING)
        check_text(scope, node);
    for (size_t i = 0; i < node->item_count; i++)
        references_check_node(scope, node->items[i]);
    for (size_t i = 0; i < node->entry_count; i++)
        references_check_node(scope, node->entries[i].value);
}

static bool is_shell(struct str program)
{
    static const char *const shells[] = {"sh", "bash", "dash", "zsh", "ksh"};
    size_t slash = SIZE_MAX;

    for (size_t i = 0; i < program.len; i++)
        if (program.ptr[i] == '/')
            slash = i;
    struct str name = slash == SIZE_MAX ? program : str_sub(program, slash + 1, program.len);
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
        if (str_is(name, shells[i]))
            return true;
    return false;
}

/* The script of [sh, -c, script] and [bash, -euo, pipefail, -c, script], or NULL. */
static const struct node *shell_script(const struct node *argv)
{
    if (argv == NULL || argv->kind != NODE_LIST || argv->item_count < 3 ||
        !is_shell(argv->items[0]->text))
        return NULL;
    for (size_t i = 1; i + 1 < argv->item_count; i++) {
        struct str flag = argv->items[i]->text;
        if (flag.len > 1 && flag.ptr[0] == '-' && flag.ptr[1] != '-' &&
            flag.ptr[flag.len - 1] == 'c')
            return argv->items[i + 1];
    }
    return NULL;
}

static void check_shell(struct reference_scope *scope, const struct node *with)
{
    struct dag_builder *b = scope->b;
    const struct node *script = shell_script(node_get(with, "argv"));
    size_t offset = 0;

    if (script == NULL || script->kind != NODE_STRING || !template_is(script->text) ||
        template_is_quoted(script->text, &offset))
        return;
    diag_add(b->diags, MR(TEMPLATE_IN_SHELL), document_position(b->text, script, offset, 2),
             "write {{ … | sh }}, which quotes the value, or hand it over in `env`",
             "a template in a shell script needs `| sh`");
}

/* A callback, or a list of them. */
static void check_callback(void *context, const struct node *node)
{
    struct reference_scope *scope = context;

    if (node->kind == NODE_LIST) {
        for (size_t i = 0; i < node->item_count; i++)
            check_callback(context, node->items[i]);
        return;
    }
    const struct node *secret = node_get(node_get(node, "webhook"), "secret");
    references_check_node(scope, node);
    check_shell(scope, node_get(node, "command"));
    if (secret != NULL && secret->entry_count != 1)
        diag_add(scope->b->diags, MR(BAD_VALUE), secret->at, "write {env: NAME} or {file: path}",
                 "`secret` is read from one place");
}

static void check_run_callbacks(struct dag_builder *b)
{
    struct reference_scope scope = {.b = b, .task = NO_TASK};
    const struct node *deadlines = node_get(b->root, "deadline");
    size_t count = deadlines == NULL ? 0 : deadlines->kind == NODE_LIST ? deadlines->item_count : 1;

    callbacks_visit(b->root, check_callback, &scope);
    for (size_t i = 0; i < count; i++) {
        const struct node *item = deadlines->kind == NODE_LIST ? deadlines->items[i] : deadlines;
        const struct node *callback = node_get(item, "callback");
        if (callback != NULL)
            check_callback(&scope, callback);
    }
}

void references_check(struct dag_builder *b)
{
    const struct node *defaults = node_get(node_get(b->root, "default_args"), "env");

    check_run_callbacks(b);
    for (uint32_t i = 0; i < b->dag->task_count; i++) {
        struct reference_scope scope = {.b = b, .task = i};
        const struct node *with = node_get(b->sources[i].node, "with");
        const struct node *env = node_get(b->sources[i].node, "env");
        if (with != NULL) {
            references_check_node(&scope, with);
            check_shell(&scope, with);
        }
        if (env != NULL)
            references_check_node(&scope, env);
        callbacks_visit(b->sources[i].node, check_callback, &scope);
        if (b->diags->error_count == 0)
            callbacks_visit(node_get(b->root, "default_args"), check_callback, &scope);
        if (defaults != NULL && b->diags->error_count == 0)
            references_check_node(&scope, defaults);
    }
}
