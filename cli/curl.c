#include "cli/curl.h"

#include <dlfcn.h>

#define LIBRARY "libcurl.so.4"

/* What POSIX says of dlsym() for functions. */
static bool find(void *library, const char *name, void **ret)
{
    *ret = dlsym(library, name);
    return *ret != NULL;
}

bool curl_load(struct curl *curl, struct err *err)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool ok = library != NULL;

#define FUNCTION(name) ok = ok && find(library, "curl_" #name, (void **)&curl->name);
    CURL_FUNCTIONS(FUNCTION)
#undef FUNCTION
    return ok || err_set(err, ERR_NOT_FOUND,
                         "libcurl, which talks to the server, can't be loaded: %s", dlerror());
}
