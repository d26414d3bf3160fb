#include "web/guard.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Whether `text` is a loopback name with our port; port 80 may be left away. */
static bool is_own_host(const char *text, int64_t port)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    char port_text[24];

    (void)snprintf(port_text, sizeof(port_text), ":%lld", (long long)port);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = strlen(names[i]);
        if (strncasecmp(text, names[i], len) != 0)
            continue;
        if (strcmp(text + len, port_text) == 0 || (port == 80 && text[len] == '\0'))
            return true;
    }
    return false;
}

static bool is_own_origin(const char *origin, int64_t port)
{
    return strncasecmp(origin, "http://", 7) == 0 && is_own_host(origin + 7, port);
}

bool guard_check(struct request *request, int64_t port)
{
    if (request->host == NULL || !is_own_host(request->host, port)) {
        respond_detail(request, 403,
                       "this server answers only to localhost, 127.0.0.1 and [::1] with its port");
        return false;
    }
    if (request->method == HTTP_GET)
        return true;
    if (request->origin != NULL && !is_own_origin(request->origin, port)) {
        respond_detail(request, 403, "changes from pages of another origin are refused");
        return false;
    }
    if (request->fetch_site != NULL && strcmp(request->fetch_site, "same-origin") != 0 &&
        strcmp(request->fetch_site, "none") != 0) {
        respond_detail(request, 403, "changes from pages of another site are refused");
        return false;
    }
    return true;
}
