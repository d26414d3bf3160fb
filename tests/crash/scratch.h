/* A folder for a crash test, in memory where there is /dev/shm: thousands of recoveries are to cost
 * no disk. */
#ifndef MILLRACE_TESTS_CRASH_SCRATCH_H
#define MILLRACE_TESTS_CRASH_SCRATCH_H

#include <stddef.h>

/* Makes it and writes its name; once per process. */
void scratch_make(char *out, size_t size);

/* Removes it, unless MILLRACE_KEEP is set. */
void scratch_remove(void);

#endif
