/* POSIX ustar archives with reproducible bytes: every member is a plain file, mode 0444, of the
 * epoch, owned by nobody in particular. Pure: appends to a buffer. */
#ifndef MILLRACE_TASKS_SHARD_TAR_H
#define MILLRACE_TASKS_SHARD_TAR_H

#include "base/buf.h"
#include "base/err.h"

#define TAR_BLOCK 512
#define TAR_NAME_MAX 100
#define TAR_MEMBER_MAX (UINT64_C(8) << 30) /* exclusive: eleven octal digits */

/* Appends a member. ERR_LIMIT: the name is over TAR_NAME_MAX bytes or the content too long. */
bool tar_add(struct buf *out, struct str name, struct str content, struct err *err);

/* Appends the two zero blocks that end an archive. */
void tar_end(struct buf *out);

#endif
