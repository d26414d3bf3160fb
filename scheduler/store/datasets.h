/* The part of a commit that is about datasets. Private to scheduler/store. */
#ifndef MILLRACE_STORE_DATASETS_H
#define MILLRACE_STORE_DATASETS_H

#include "scheduler/store/statements.h"

/* The dataset versions that an attempt, which has succeeded, read and published. */
bool datasets_write(struct store *store, const struct attempt_row *row, struct err *err);

#endif
