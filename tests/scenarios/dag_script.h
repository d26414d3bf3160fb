/* DAGs in a line or two of text, built in memory, for tests of the core:
 *
 *   a; b after a; a.retries = 1; a.retry_delay = 10s; schedule = cron 0 2 * * *
 *
 * Statements end with ';' or a line's end. `NAME [after NAME …]` is a task; `NAME.KEY = VALUE` an
 * option of one; `KEY = VALUE` an option of the DAG. The keys stand in dag_script.c. */
#ifndef MILLRACE_TESTS_DAG_SCRIPT_H
#define MILLRACE_TESTS_DAG_SCRIPT_H

#include "millrace/dag.h"

/* The caller owns the one reference. A mistake in the text ends the program with a message. */
struct dag *dag_script(const char *dag_id, const char *body);

#endif
