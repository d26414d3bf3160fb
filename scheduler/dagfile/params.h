/* The `params` of a DAG file: declarations and their defaults. Internal to scheduler/dagfile. */
#ifndef MILLRACE_DAGFILE_PARAMS_H
#define MILLRACE_DAGFILE_PARAMS_H

#include "scheduler/dagfile/builder.h"

/* Fills in dag->params (name → default, where there is one) and b->params_declared (all names). */
void params_read(struct dag_builder *b);

#endif
