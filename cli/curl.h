/* libcurl, loaded when a command first talks to a server: with the forty libraries that it brings
 * it takes longer to load than all else that a small `run` or `check` does. */
#ifndef MILLRACE_CLI_CURL_H
#define MILLRACE_CLI_CURL_H

#include "base/err.h"

#include <curl/curl.h>

/* The functions in use, without their prefix: the members of struct curl. */
#define CURL_FUNCTIONS(FUNCTION)                                                                   \
    FUNCTION(easy_init)                                                                            \
    FUNCTION(easy_cleanup)                                                                         \
    FUNCTION(easy_reset)                                                                           \
    FUNCTION(easy_setopt)                                                                          \
    FUNCTION(easy_perform)                                                                         \
    FUNCTION(easy_getinfo)                                                                         \
    FUNCTION(easy_strerror)                                                                        \
    FUNCTION(slist_append)                                                                         \
    FUNCTION(slist_free_all)

struct curl {
#define FUNCTION(name) __typeof__(curl_##name) *name;
    CURL_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/* ERR_NOT_FOUND: the library is not installed. It stays loaded to the process's end. */
bool curl_load(struct curl *curl, struct err *err);

#endif
