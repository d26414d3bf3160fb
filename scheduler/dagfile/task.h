/* The `tasks` of a DAG file, but for their edges and templates. Internal to scheduler/dagfile. */
#ifndef MILLRACE_DAGFILE_TASK_H
#define MILLRACE_DAGFILE_TASK_H

#include "scheduler/dagfile/builder.h"

/* Fills in dag->tasks from the options that the table gave, and b->sources. */
void tasks_read(struct dag_builder *b, const json_t *options);

/* How a sensor waits (all zero for other kinds), from its options; in wait.c. */
struct dag_wait wait_read(const struct dag_task *task);

#endif
