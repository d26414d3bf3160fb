/* What every handler of the web process works with. */
#ifndef MILLRACE_WEB_CONTEXT_H
#define MILLRACE_WEB_CONTEXT_H

#include "millrace/settings.h"
#include "scheduler/store/read.h"
#include "web/http.h"

struct server;
struct link;
struct hub;
struct versions;

struct web {
    const struct settings *settings;
    struct server *server;
    struct read *read;
    struct link *link;
    struct hub *hub;
    struct versions *versions;
    int state_fd; /* the state folder, for logs */
    int64_t port;
    int64_t started_us;
};

/* Answers with the status of the error's code; text comes from the error's message. */
void respond_err(struct request *request, const struct err *err);

#endif
