/* DAG files: from the bytes of a YAML file to a checked DAG, or to all of its findings at once.
 *
 * Callers hold the source as long as they print findings (report.h shows the lines). A DAG comes
 * back with one reference; it owns a copy of all it needs. */
#ifndef MILLRACE_DAGFILE_DAGFILE_H
#define MILLRACE_DAGFILE_DAGFILE_H

#include "base/buf.h"
#include "millrace/dag.h"
#include "millrace/settings.h"

#define DAGFILE_BYTES_MAX (16u * 1024 * 1024)
#define DAGFILE_TASKS_MAX 10000
#define DAGFILE_SETUPS_MAX 256
#define DAGFILE_GROUP_DEPTH_MAX 8 /* groups within groups */

struct dagfile_input {
    struct str source; /* the whole file */
    const char *file;  /* how it is named: relative to the DAG folder, or as given to `run` */
    const struct pool_setting *pools; /* those that a task may name */
    size_t pool_count;                /* 0: pools are not checked (a version checked before) */
};

/* Parses and checks. NULL if diags->error_count is not 0 afterwards; warnings may come with a DAG.
 */
struct dag *dagfile_parse(const struct dagfile_input *input, struct diags *diags);

/* Reads the file at `path` into `ret_source` (the caller releases it; findings point into it) and
 * parses it as input->file. input->source is ignored. A file that can't be read is a finding. */
struct dag *dagfile_load(const char *path, const struct dagfile_input *input,
                         struct buf *ret_source, struct diags *diags);

/* Loads a time zone of the system by its name ("Europe/Berlin") into the arena. NULL with
 * ERR_NOT_FOUND for an unknown name (the message suggests one), another code for a damaged file. */
const char *zonefile_folder(void); /* $TZDIR as for the C library, else the system's */
const struct zone *zonefile_load(struct arena *arena, struct str name, struct err *err);

#endif
