/* Room in the WAL ahead of the frames. A commit that makes the file longer must also sync its new
 * length: on ext4 that takes twice as long as overwriting. Private to scheduler/store. */
#ifndef MILLRACE_STORE_RESERVE_H
#define MILLRACE_STORE_RESERVE_H

#include "scheduler/store/statements.h"

/* Before a commit: fills the file with zeros where frames will soon be. Zeros are no frames, for
 * SQLite either: a frame has the log's salt. What can't be written is left: the commit will tell.
 */
void reserve_ahead(struct store *store);

#endif
