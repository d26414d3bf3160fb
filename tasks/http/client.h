/* One HTTP request at a time, for what tasks ask and callbacks tell: libcurl behind one door.
 *
 * http and https only; redirects are not followed unless asked for; connection, answer and size
 * have limits. Neither header values nor a URL's user, password or query ever stand in an error. */
#ifndef MILLRACE_TASKS_HTTP_CLIENT_H
#define MILLRACE_TASKS_HTTP_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

struct http_request {
    const char *method; /* "GET" */
    const char *url;
    const json_t *headers;    /* object: name → string or secret reference (secret.h); or NULL */
    const char *const *extra; /* "Name: value" lines of our own, NULL-terminated; or NULL */
    struct str body;          /* sent unless its ptr is NULL */
    int64_t timeout_us;       /* of the whole exchange */
    size_t bytes_max;         /* of the answer's body; more is ERR_LIMIT */
    bool follow_redirects;    /* at most five */
};

struct http_response {
    int64_t status;
    struct buf body;
};

/* False where there is no answer (ERR_UNREACHABLE, ERR_TIMEOUT, ERR_LIMIT) or the request makes no
 * sense (ERR_INVALID); any status is an answer. The caller releases ret->body in both cases. */
bool http_perform(const struct http_request *request, struct http_response *ret, struct err *err);

/* Appends the URL without what may be secret: user and password, query, fragment. */
void http_add_public_url(const char *url, struct buf *out);

#endif
