/* The option tables of the DAG file and of millrace.yaml. */
#ifndef MILLRACE_DAGFILE_TABLES_H
#define MILLRACE_DAGFILE_TABLES_H

#include "millrace/option.h"

extern const struct option_table dag_table;
extern const struct option_table task_table;
extern const struct option_table group_table;
extern const struct option_table branch_table;
extern const struct option_table default_args_table;
extern const struct option_table schedule_table;
extern const struct option_table callback_kinds; /* variants of a callback */
extern const struct option_table deadline_table;
extern const struct option_table settings_table;

#endif
