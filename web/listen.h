/* The listening socket: loopback addresses only. */
#ifndef MILLRACE_WEB_LISTEN_H
#define MILLRACE_WEB_LISTEN_H

#include "base/err.h"

#include <stdint.h>

/* A listening descriptor, which the caller closes, or -1: any other address than loopback is
 * ERR_USAGE, a port in use ERR_CONFLICT. Port 0 lets the system choose. */
int listen_open(const char *host, int64_t port, struct err *err);

/* The port a listening descriptor is bound to. */
int64_t listen_port(int fd);

#endif
