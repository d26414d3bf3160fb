/* The CLI's side of HTTP: finds the server by itself and turns answers into JSON or errors. */
#ifndef MILLRACE_CLI_CLIENT_H
#define MILLRACE_CLI_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

struct client;

/* The server is, in this order: `server` (a URL), $MILLRACE_SERVER, what the running web process
 * wrote into the state folder. NULL with ERR_UNREACHABLE and what to do where there is none. */
struct client *client_open(const char *server, const char *state_folder, struct err *err);
void client_close(struct client *client);

/* One request. `path` begins with "/api/"; its parts must have been escaped by
 * client_add_segment(). `body` may be NULL. Success is a status of 2xx: the parsed document, owned
 * by the caller (json_null for an empty one). Everything else is an error with the server's own
 * words. */
json_t *client_request(struct client *client, const char *method, const char *path,
                       const json_t *body, struct err *err);

/* A GET whose answer is text (a log), appended to `out`. */
bool client_get_text(struct client *client, const char *path, struct buf *out, struct err *err);

/* Appends "/" and one percent-encoded path segment. */
void client_add_segment(struct buf *path, const char *segment);

/* Appends "?name=value" or "&name=value", percent-encoded. */
void client_add_query(struct buf *path, const char *name, const char *value);

#endif
