/* The `tasks` of a DAG file, but for their edges and templates. Internal to scheduler/dagfile. */
#ifndef MILLRACE_DAGFILE_TASK_H
#define MILLRACE_DAGFILE_TASK_H

#include "scheduler/dagfile/builder.h"

/* Tasks of one map: those of the DAG, or of a group. */
struct task_set {
    const struct node *tasks;
    const json_t *own;        /* as the option table gave them */
    struct task_group *group; /* NULL = none */
    const json_t *defaults;
    const struct node *defaults_node; /* the group's default_args */
};
void tasks_read_set(struct dag_builder *b, const struct task_set *set);

/* groups.c: how many tasks they hold, and reading them. */
size_t groups_count_tasks(const struct dag_builder *b);
void groups_read(struct dag_builder *b, const json_t *options, const json_t *defaults);

/* Fills in dag->tasks from the options that the table gave, and b->sources. */
void tasks_read(struct dag_builder *b, const json_t *options);

/* How a sensor waits (all zero for other kinds), from its options; in wait.c. */
struct dag_wait wait_read(const struct dag_task *task);

#endif
