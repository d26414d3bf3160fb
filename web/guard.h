/* The guard before the routes: whether a request may come in at all. Pure. */
#ifndef MILLRACE_WEB_GUARD_H
#define MILLRACE_WEB_GUARD_H

#include "web/http.h"

/* Refuses with 403 a Host that is not this machine's loopback name with our port (a page of another
 * site that bends its name to 127.0.0.1), and changes that come from another site's page. */
bool guard_check(struct request *request, int64_t port);

#endif
