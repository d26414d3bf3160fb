#include "scheduler/store/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* One line of a fixed length, so that one write replaces another. */
#define MARK_FORMAT "%-16s %020" PRIu64 " %020" PRId64 "\n"
#define MARK_BYTES (16 + 1 + 20 + 1 + 20 + 1)

int mark_open(const char *path, struct mark *ret, struct err *err)
{
    char text[MARK_BYTES + 1] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    *ret = (struct mark){0};
    if (fd < 0) {
        err_errno(err, "open %s", path);
        return -1;
    }
    struct mark mark = {0};
    if (pread(fd, text, MARK_BYTES, 0) == MARK_BYTES &&
        sscanf(text, "%16s %20" SCNu64 " %20" SCNd64, mark.instance, &mark.epoch, &mark.seq) == 3)
        *ret = mark;
    return fd;
}

void mark_write(int fd, const struct mark *mark)
{
    char text[MARK_BYTES + 1];
    int len = snprintf(text, sizeof(text), MARK_FORMAT, mark->instance, mark->epoch, mark->seq);

    /* A mark that can't be written stays behind, which does no harm. */
    ssize_t written = pwrite(fd, text, (size_t)len, 0);
    (void)written;
}
