/* What a DAG file says of assets: the condition of its schedule, and what its tasks update.
 * Internal to scheduler/dagfile. */
#ifndef MILLRACE_DAGFILE_ASSETS_H
#define MILLRACE_DAGFILE_ASSETS_H

#include "scheduler/dagfile/builder.h"

/* {assets: [a, b]}, {assets: {any: [a, {all: [b, c]}]}}, with per_partition beside it. */
void assets_read_schedule(struct dag_builder *b, const struct node *schedule);

/* `outlets`; without, a task of a kind that publishes updates its target. */
void assets_read_outlets(struct dag_builder *b, const struct node *outlets, struct dag_task *task);

#endif
