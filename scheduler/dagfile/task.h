/* The `tasks` of a DAG file, but for their edges and templates. Internal to scheduler/dagfile. */
#ifndef MILLRACE_DAGFILE_TASK_H
#define MILLRACE_DAGFILE_TASK_H

#include "scheduler/dagfile/builder.h"

/* Tasks of one map: those of the DAG, or of a group. */
struct task_set {
    const struct node *tasks;
    const json_t *own;              /* as the option table gave them */
    const struct task_group *group; /* NULL = none */
    const json_t *defaults;
};
void tasks_read_set(struct dag_builder *b, const struct task_set *set);

/* groups.c: how many tasks the `task_groups` of a map hold, and reading them: of the DAG (parent
 * NULL) or of a group. `options` are the map's, `defaults` what its tasks get. */
size_t groups_count_tasks(const struct node *map);
void groups_read(struct dag_builder *b, const struct node *map, struct task_group *parent,
                 const json_t *options, const json_t *defaults);

/* Once all are read: the DAG's table of them. */
void groups_keep(struct dag_builder *b);

/* Finds an id that a task or a group has already. */
bool groups_is_taken(struct dag_builder *b, struct str id, struct position at);

/* Fills in dag->tasks from the options that the table gave, and b->sources. */
void tasks_read(struct dag_builder *b, const json_t *options);

/* How a sensor waits (all zero for other kinds), from its options; in wait.c. */
struct dag_wait wait_read(const struct dag_task *task);

#endif
