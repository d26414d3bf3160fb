/* The web process: REST API, event stream and page over a read-only view of the state; changes go
 * to the scheduler as commands. One loop, one thread. */
#ifndef MILLRACE_WEB_WEB_H
#define MILLRACE_WEB_WEB_H

#include "base/err.h"
#include "millrace/settings.h"

#include <stdint.h>

struct web_options {
    const struct settings *settings; /* state folder, DAG folder, host, port; port 0 = any free */
    int64_t parent;                  /* process to end with; 0 = none */
};

/* Listens, writes <state>/web.json, and serves until SIGTERM or SIGINT. False: it could not start.
 */
bool web_main(const struct web_options *options, struct err *err);

#endif
