/* The body that asks for a backfill, or for the plan of one: Airflow's, and ours, which says more.
 */
#ifndef MILLRACE_WEB_BACKFILL_BODY_H
#define MILLRACE_WEB_BACKFILL_BODY_H

#include "web/body.h"
#include "web/context.h"

/* A checked body, which the caller owns, and its DAG; NULL after answering. `own` = of
 * /api/millrace/v1. */
json_t *backfill_body(struct web *web, struct request *request, bool own, struct dag_row *ret);

#endif
