/* A run's conf against the params that its DAG declares: for the core, and for plans of backfills.
 */
#ifndef MILLRACE_CORE_CONF_H
#define MILLRACE_CORE_CONF_H

#include "base/err.h"
#include "millrace/dag.h"

/* Whether a run's conf has the declared types; err says which param has not. */
bool conf_fits_params(const struct dag *dag, const json_t *conf, struct err *err);

#endif
