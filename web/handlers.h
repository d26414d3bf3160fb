/* The handlers that web/routes.def names, all of one form; one file per noun defines them. A
 * handler answers the request, or hands it to web/link.h or web/hub.h to be answered later. */
#ifndef MILLRACE_WEB_HANDLERS_H
#define MILLRACE_WEB_HANDLERS_H

#include "web/context.h"

#define ROUTE(method, path, handler, params, summary)                                              \
    void handle_##handler(struct web *web, struct request *request);
#include "web/routes.def"
#undef ROUTE

#endif
