/* Unix-domain stream sockets by path. A sockaddr holds 107 bytes of path only; longer paths are
 * reached through their folder's descriptor in /proc/self/fd, so every state folder works. */
#ifndef MILLRACE_BASE_UNIXSOCK_H
#define MILLRACE_BASE_UNIXSOCK_H

#include "base/err.h"

/* Binds a socket at `path`, replacing a stale one (the caller holds the lock that makes it stale),
 * mode 0600. Returns a non-blocking, close-on-exec descriptor that does not listen yet, or -1. */
int unixsock_bind(const char *path, struct err *err);

/* Connects to the socket at `path`. Returns a blocking, close-on-exec descriptor, or -1 with
 * ERR_UNREACHABLE where nobody listens. */
int unixsock_connect(const char *path, struct err *err);

#endif
