/* The places of an attempt in the state folder, all built from row numbers alone.
 *
 * An attempt's folder is nearly always empty when the attempt ends. Making and deleting two folders
 * for each attempt costs more than a small program's whole run (ext4 does not give out an inode
 * again for seconds, and looks past all of them each time), so empty ones are kept by the worker
 * and moved into place. */
#ifndef MILLRACE_WORKER_FOLDER_H
#define MILLRACE_WORKER_FOLDER_H

#include "worker/job.h"

/* Where a command may leave its outputs, within the attempt's folder. */
#define FOLDER_OUTPUT "outputs.json"
#define FOLDER_TEMP "temp"
/* A link that names the worker, there while the attempt lives: what a killed worker leaves is
 * removed when the next one starts. */
#define FOLDER_OWNER ".worker"

/* The path of the job's log. The caller frees it. */
char *folder_log_path(const struct job *job, const char *state_folder);

/* The worker's stock of empty folders, workers/<instance>/<n>. The guard and instance_open() remove
 * what is left of it. */
struct folders {
    char *stock;    /* path of the stock */
    int64_t *spare; /* numbers of those that are there now */
    int64_t count;
    int64_t dead;     /* temp folders of dead workers that were taken */
    int64_t made;     /* numbers given out so far */
    int64_t last_run; /* whose folder may be empty by now; 0 = none */
};

bool folders_open(struct folders *folders, const char *state_folder, const char *instance,
                  struct err *err);
void folders_close(struct folders *folders);

/* Puts the attempt's folder, with `temp` in it, in place, and sets job->folder. */
bool folder_make(struct job *job, struct err *err);

/* A path in the attempt's folder. The caller frees it. */
char *folder_path(const struct job *job, const char *name);

/* Removes temp and outputs, and takes the folder back where nothing else is in it. */
void folder_remove(const struct job *job);

#endif
