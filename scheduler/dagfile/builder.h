/* One DAG file on its way to a struct dag. Internal to scheduler/dagfile: dagfile.c reads the
 * options, graph.c the edges, flow.c what decides on the way of a run, references.c the templates,
 * targets.c what the tasks publish. */
#ifndef MILLRACE_DAGFILE_BUILDER_H
#define MILLRACE_DAGFILE_BUILDER_H

#include "scheduler/dagfile/codes.h"
#include "scheduler/dagfile/dagfile.h"
#include "scheduler/dagfile/document.h"

#include <uthash.h>

/* One of `task_groups`. A group's depth is 1, that of one within it 2 …; 0 is the DAG's own. */
struct task_group {
    const struct node *node;
    const struct task_group *parent; /* NULL = the DAG itself */
    struct str id;                   /* with its parent's: outer.inner */
    struct position at;
    uint32_t depth;
    uint32_t first; /* its tasks, those of the groups in it too, stand together in the DAG */
    uint32_t count;
    uint32_t depth_down; /* as a task's: of what depends on it as a whole */
    bool has_work;       /* tasks that are no teardowns */
    UT_hash_handle hh;
};

struct task_source {
    const struct node *node;        /* the task's map */
    struct str task_id;             /* with its group's */
    const struct task_group *group; /* the innermost; NULL = none */
    /* The depth of the innermost group in which something is upstream of it, and downstream
     * (teardowns not counted): of that group and those around it, it is no root, and no leaf. */
    uint32_t depth_up;
    uint32_t depth_down;
    struct position at; /* of its key */
    uint32_t index;
    UT_hash_handle hh;
};

struct dag_builder {
    struct dag *dag;
    struct arena scratch; /* the node tree and what else ends with the check */
    const struct dagfile_input *input;
    struct str text; /* the source without byte order mark */
    const struct node *root;
    struct task_source *sources; /* one per task */
    struct task_source *by_id;
    struct task_group *groups_by_id;
    json_t *params_declared;
    json_t *absent;            /* what a task has that says nothing: the table's defaults */
    json_t *no_options;        /* NULL until a task has none */
    struct dag_task inherited; /* what tasks have that leave all to these defaults */
    const json_t *inherited_from;
    uint32_t *marks; /* graph walks: the round in which a task was seen */
    uint32_t round;
    struct diags *diags;
};

/* The task with this id, or NULL. */
struct task_source *builder_find(const struct dag_builder *b, struct str task_id);

/* What a name stands for: at most one of them is not NULL. */
struct named {
    struct task_source *task;
    struct task_group *group;
};

/* groups.c: what a name means in a group (NULL = none): it is looked for there, then in the group
 * around it, and so on; a full name is one of the DAG itself. */
struct named groups_resolve(const struct dag_builder *b, const struct task_group *group,
                            struct str name);
bool groups_holds(const struct task_group *group, uint32_t task);
bool groups_is_within(const struct task_group *inner, const struct task_group *outer);

/* The ends of all groups, once all tasks have been read: then whether a task is one of those that
 * the group's depends_on is for, or of those that stand for it. */
void groups_find_ends(struct dag_builder *b);
bool groups_is_root(const struct task_group *group, const struct task_source *task);
bool groups_is_leaf(const struct dag_builder *b, const struct task_group *group, uint32_t index);

/* The items of an option that is a name or a list of names; 0 of NULL. */
size_t names_count(const struct node *list);
const struct node *names_item(const struct node *list, size_t i);

/* Fills in upstream and downstream of all tasks; finds unknown, doubled and circular ones. */
void graph_build(struct dag_builder *b);

/* Priority totals; the graph must be free of cycles. */
void graph_weigh(struct dag_builder *b);

/* Whether `ancestor` is upstream of `task`, however far. */
bool graph_is_ancestor(struct dag_builder *b, uint32_t task, uint32_t ancestor);

/* Finds targets that are empty, and those that two tasks publish; after graph_build(). */
void targets_check(struct dag_builder *b);

/* Callbacks: from a map's checked options, its own before the defaults' (which may be NULL). */
void callbacks_read(const json_t *own, const json_t *defaults, struct dag_callbacks *ret);
void deadlines_read(struct dag_builder *b, const json_t *options);
typedef void (*callback_visitor)(void *context, const struct node *node);
void callbacks_visit(const struct node *map, callback_visitor visit, void *context);

/* Reads `when`, `branch` and `expand` of all tasks; after graph_build(). */
void flow_read(struct dag_builder *b);

/* Where a name stands, which decides what it may be. */
struct reference_scope {
    struct dag_builder *b;
    uint32_t task;
    bool is_in_expand; /* where map.x is not known yet */
    bool is_in_branch; /* where the task's own outputs are known */
};

/* Checks every template of every task; after flow_read(). */
void references_check(struct dag_builder *b);

/* Those below a node. */
void references_check_node(struct reference_scope *scope, const struct node *node);

/* NULL when the name is legal, else a message; a template_name_check. */
const char *references_check_name(void *scope, struct str name, size_t offset);

#endif
