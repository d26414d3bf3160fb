/* The files of runs in the state folder, logs/<run>/ and attempts/<run>/: which runs have some, and
 * their removal. For retention, in threads: a struct belongs to one thread at a time. */
#ifndef MILLRACE_SCHEDULER_OLD_FILES_H
#define MILLRACE_SCHEDULER_OLD_FILES_H

#include <stddef.h>
#include <stdint.h>

#define OLD_FILES_DUE_MAX 64

struct old_files {
    int64_t *runs; /* that have files, in no order; a run may stand there twice */
    size_t run_count;
    size_t run_capacity;
    struct {
        int64_t run;
        int64_t before_us; /* files that were written to since stay: the run may be running again */
    } due[OLD_FILES_DUE_MAX];
    size_t due_count;
    int64_t removed; /* files */
};

void old_files_list(struct old_files *files, const char *state_folder);
void old_files_due(struct old_files *files, int64_t run, int64_t before_us);

/* Removes what is due. What can't be removed is left for the next pass. */
void old_files_remove(struct old_files *files, const char *state_folder);
void old_files_release(struct old_files *files);

#endif
