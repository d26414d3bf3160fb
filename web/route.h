/* The routes table: every address the server knows, in one place. What is not in it does not
 * exist: segments are compared whole, and no handler sees a request that no route allows. */
#ifndef MILLRACE_WEB_ROUTE_H
#define MILLRACE_WEB_ROUTE_H

#include "web/context.h"

struct route {
    enum http_method method;
    const char *path;    /* "/api/v2/dags/{dag_id}" */
    const char *summary; /* for the OpenAPI document */
    const char *params;  /* names of the query parameters it knows, separated by spaces */
    void (*handler)(struct web *web, struct request *request);
};

const struct route *routes(size_t *ret_count);

/* Finds the route and fills request->path_args, or answers 404 or 405, or 422 for a query parameter
 * the route does not know. */
bool route_find(struct request *request);

/* "dag_id" of "/dags/{dag_id}": the value of a named segment. */
const char *route_arg(const struct request *request, const char *name);

#endif
