#include "scheduler/store/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One line of a fixed length, so that one write replaces another. */
#define MARK_FORMAT "%-16s %020" PRIu64 " %020" PRId64 "\n"
#define MARK_BYTES (16 + 1 + 20 + 1 + 20 + 1)

/* A file that was just made is empty, or after a loss of power of zeros: no mark yet. */
static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '\0')
            return false;
    return true;
}

/* False for anything that mark_write() would not have written. */
static bool parse(const char *text, size_t len, struct mark *ret)
{
    struct mark mark = {0};
    char again[MARK_BYTES + 1];

    if (is_blank(text, len))
        return true;
    if (len != MARK_BYTES ||
        sscanf(text, "%16s %20" SCNu64 " %20" SCNd64, mark.instance, &mark.epoch, &mark.seq) != 3)
        return false;
    (void)snprintf(again, sizeof(again), MARK_FORMAT, mark.instance, mark.epoch, mark.seq);
    if (memcmp(text, again, MARK_BYTES) != 0)
        return false;
    *ret = mark;
    return true;
}

int mark_open(const char *path, struct mark *ret, struct err *err)
{
    char text[MARK_BYTES + 1] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    *ret = (struct mark){0};
    if (fd < 0) {
        err_errno(err, "open %s", path);
        return -1;
    }
    ssize_t len = pread(fd, text, sizeof(text), 0);
    if (len < 0)
        err_errno(err, "read %s", path);
    else if (parse(text, (size_t)len, ret))
        return fd;
    else
        err_set(err, ERR_IO,
                "%s is damaged: it doesn't say how far the database was committed. If state.db is "
                "whole, remove this file; else move state.db* away and restore a backup",
                path);
    (void)close(fd);
    return -1;
}

void mark_write(int fd, const struct mark *mark)
{
    char text[MARK_BYTES + 1];
    int len = snprintf(text, sizeof(text), MARK_FORMAT, mark->instance, mark->epoch, mark->seq);

    /* A mark that can't be written stays behind, which does no harm. */
    ssize_t written = pwrite(fd, text, (size_t)len, 0);
    (void)written;
}
