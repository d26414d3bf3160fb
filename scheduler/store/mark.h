/* The high-water mark: a small file beside the database that says how far it was committed. A
 * database that has less was cut off (its WAL is lost or damaged) or is an older one, and is
 * refused rather than taken for all there is.
 *
 * It is written after each commit and not synced: it may lag behind the database, never lead. */
#ifndef MILLRACE_STORE_MARK_H
#define MILLRACE_STORE_MARK_H

#include "base/err.h"

#include <stdint.h>

struct mark {
    char instance[17]; /* "" = there is none */
    uint64_t epoch;
    int64_t seq;
};

/* The descriptor to write to, or -1; `ret` is what the file says now. */
int mark_open(const char *path, struct mark *ret, struct err *err);
void mark_write(int fd, const struct mark *mark);

#endif
