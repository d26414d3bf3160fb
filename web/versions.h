/* Parsed DAG versions, kept by version id: what the API says of tasks, schedules and parameters
 * stands in the DAG file, not in the database. */
#ifndef MILLRACE_WEB_VERSIONS_H
#define MILLRACE_WEB_VERSIONS_H

#include "millrace/dag.h"
#include "scheduler/store/read.h"

struct versions;

struct versions *versions_new(struct read *read);
void versions_free(struct versions *versions);

/* The DAG of a version, borrowed until versions_trim(); NULL if it can't be read (a version that
 * this program's rules refuse, or no such version): views then show defaults. */
const struct dag *versions_get(struct versions *versions, int64_t version_id);

/* Drops what was not used lately; called once per request. */
void versions_trim(struct versions *versions);

#endif
