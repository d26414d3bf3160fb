/* The files of the status page, embedded in the program by web/embed-page at build time. */
#ifndef MILLRACE_WEB_ASSETS_H
#define MILLRACE_WEB_ASSETS_H

#include <stddef.h>

struct asset {
    const char *name; /* "app.js" */
    const char *type; /* Content-Type */
    const char *raw;
    const char *raw_end;
    const char *gzip; /* the same bytes compressed */
    const char *gzip_end;
};

/* Ends with name == NULL; index.html is the first. */
extern const struct asset assets[];

/* A digest of all files: part of their addresses, so that they may be cached for ever. */
extern const char assets_hash[];

#endif
