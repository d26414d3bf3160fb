#include "base/unixsock.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Fills the address. For a long path *ret_folder is the folder's descriptor, which must stay open
 * until the address has been used; else -1. */
static bool make_address(const char *path, struct sockaddr_un *address, int *ret_folder,
                         struct err *err)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *ret_folder = -1;
    size_t len = strlen(path);
    if (len < sizeof(address->sun_path)) {
        memcpy(address->sun_path, path, len + 1);
        return true;
    }
    char *for_folder = mem_strdup(path);
    char *for_name = mem_strdup(path);
    const char *name = basename(for_name);
    int folder = open(dirname(for_folder), O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool ok = folder >= 0;
    if (!ok)
        err_errno(err, "open the folder of %s", path);
    int written = ok ? snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s",
                                folder, name)
                     : 0;
    if (ok && (size_t)written >= sizeof(address->sun_path)) {
        ok = err_set(err, ERR_LIMIT, "the name of the socket is too long: %s", path);
        (void)close(folder);
    }
    if (ok)
        *ret_folder = folder;
    free(for_folder);
    free(for_name);
    return ok;
}

static int open_socket(int flags, struct err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        err_errno(err, "make a socket");
    return fd;
}

int unixsock_bind(const char *path, struct err *err)
{
    struct sockaddr_un address;
    int folder = -1;
    int fd = open_socket(SOCK_NONBLOCK, err);

    if (fd < 0)
        return -1;
    bool ok = make_address(path, &address, &folder, err);
    if (ok && unlink(path) != 0 && errno != ENOENT)
        ok = err_errno(err, "remove the old socket %s", path);
    if (ok && bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        ok = err_errno(err, "bind %s", path);
    if (ok && chmod(path, 0600) != 0)
        ok = err_errno(err, "chmod %s", path);
    if (folder >= 0)
        (void)close(folder);
    if (!ok) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int unixsock_connect(const char *path, struct err *err)
{
    struct sockaddr_un address;
    int folder = -1;
    int fd = open_socket(0, err);

    if (fd < 0)
        return -1;
    bool ok = make_address(path, &address, &folder, err);
    if (ok && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        bool nobody = errno == ENOENT || errno == ECONNREFUSED;
        ok = err_errno(err, "connect to %s", path);
        if (nobody)
            err->code = ERR_UNREACHABLE;
    }
    if (folder >= 0)
        (void)close(folder);
    if (!ok) {
        (void)close(fd);
        return -1;
    }
    return fd;
}
