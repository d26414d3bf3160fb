#include "web/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t len;
};

/* Loopback only: there is no authentication yet. */
static bool parse_address(const char *host, int64_t port, struct address *ret, struct err *err)
{
    struct address address = {0};
    const char *text = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;

    if (port < 0 || port > 65535)
        return err_set(err, ERR_USAGE, "port %lld is not between 0 and 65535", (long long)port);
    if (inet_pton(AF_INET, text, &address.socket.v4.sin_addr) == 1) {
        address.socket.v4.sin_family = AF_INET;
        address.socket.v4.sin_port = htons((uint16_t)port);
        address.len = sizeof(address.socket.v4);
        if (ntohl(address.socket.v4.sin_addr.s_addr) >> 24 == 127) {
            *ret = address;
            return true;
        }
    } else if (inet_pton(AF_INET6, text, &address.socket.v6.sin6_addr) == 1) {
        address.socket.v6.sin6_family = AF_INET6;
        address.socket.v6.sin6_port = htons((uint16_t)port);
        address.len = sizeof(address.socket.v6);
        if (IN6_IS_ADDR_LOOPBACK(&address.socket.v6.sin6_addr)) {
            *ret = address;
            return true;
        }
    }
    return err_set(err, ERR_USAGE,
                   "refusing to listen on %s: there is no authentication yet, so only loopback "
                   "addresses (127.0.0.1, ::1) are served",
                   host);
}

int64_t listen_port(int fd)
{
    struct address address = {.len = sizeof(address.socket)};

    if (getsockname(fd, &address.socket.any, &address.len) != 0)
        return 0;
    return address.socket.any.sa_family == AF_INET ? ntohs(address.socket.v4.sin_port)
                                                   : ntohs(address.socket.v6.sin6_port);
}

int listen_open(const char *host, int64_t port, struct err *err)
{
    struct address address;
    int one = 1;

    if (!parse_address(host, port, &address, err))
        return -1;
    int fd = socket(address.socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        err_errno(err, "socket");
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, &address.socket.any, address.len) != 0 || listen(fd, 128) != 0) {
        if (errno == EADDRINUSE)
            err_set(err, ERR_CONFLICT, "port %lld of %s is in use: choose another with --port",
                    (long long)port, host);
        else
            err_errno(err, "listen on %s port %lld", host, (long long)port);
        (void)close(fd);
        return -1;
    }
    return fd;
}
