/* The places of an attempt in the state folder, all built from row numbers alone. */
#ifndef MILLRACE_WORKER_FOLDER_H
#define MILLRACE_WORKER_FOLDER_H

#include "worker/job.h"

/* Where a command may leave its outputs, within the attempt's folder. */
#define FOLDER_OUTPUT "outputs.json"
#define FOLDER_TEMP "temp"

/* The path of the job's log. The caller frees it. */
char *folder_log_path(const struct job *job, const char *state_folder);

/* Makes the attempt's folder with `temp` in it, and sets job->folder. */
bool folder_make(struct job *job, const char *state_folder, struct err *err);

/* A path in the attempt's folder. The caller frees it. */
char *folder_path(const struct job *job, const char *name);

/* Removes temp and outputs, and the folder where nothing else is in it. */
void folder_remove(const struct job *job);

#endif
