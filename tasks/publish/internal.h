/* What the files of tasks/publish share; nothing outside the folder includes it. */
#ifndef MILLRACE_TASKS_PUBLISH_INTERNAL_H
#define MILLRACE_TASKS_PUBLISH_INTERNAL_H

#include "base/digest.h"
#include "tasks/publish/publish.h"

#define MANIFEST_NAME "_manifest.json"
#define MANIFEST_BYTES_MAX (UINT64_C(64) << 20)
#define VERSION_HEX 16

/* A target taken apart; all strings are owned and have no trailing slash. */
struct target {
    char *path;      /* "lake/events/dt=2026-01-01" */
    char *dataset;   /* "lake/events" */
    char *partition; /* "dt=2026-01-01"; "" = not partitioned */
    char *work;      /* "lake.millrace" */
    char *slug;      /* the path as one file name: names staging and attic folders */
};

bool target_parse(const char *text, struct target *ret_target, struct err *err);
void target_release(struct target *target);

/* Whether the target may be put in place: ERR_INVALID where a folder is that was not published,
 * where a folder above it is published, or where one below it is. The lake's lock must be held. */
bool place_check(const struct target *target, struct err *err);

/* Whether a path component is a partition: "key=value". */
bool target_is_partition(struct str component);

/* Work folders: staging with its locks, attic, sweeps. `work` is target.work. */

/* Takes the lake's lock, waiting for it: a descriptor to close, or -1. It is held for renames and
 * sweeps only, never while data is written. */
int work_lock(const char *work, struct err *err);

/* Makes <work>/staging/<slug>~<token>[~n]/data, locked by its owner until *ret_lock_fd is closed,
 * and sweeps what dead attempts on the same target left. Returns the folder around "data". */
char *work_stage(const struct target *target, const char *token, int *ret_lock_fd, struct err *err);

/* Removes what dead attempts on any target have left in staging for longer than `kept_us`. Failures
 * are not errors. The lake's lock must be held. */
void work_sweep_staging(const char *work, int64_t kept_us);

/* Moves a folder that readers may still hold to the attic, which the lake's next publication after
 * the retention time empties. A missing folder is success. The lake's lock must be held. */
bool work_to_attic(const struct target *target, const char *folder, struct err *err);

/* Deletes what has been in the attic for longer than `retention_us`. Failures are not errors: the
 * next sweep tries again. The lake's lock must be held. */
void work_sweep_attic(const char *work, int64_t retention_us);

/* How long a replaced version stays for readers that still hold it. */
#define ATTIC_RETENTION_US (3600 * INT64_C(1000000))

/* Puts the folder `staged` at target.path. The lake's lock must be held. False with *ret_holds_old:
 * the new version is in its place, but `staged` holds the old one, which could not be moved to the
 * attic. It must stay for its readers; a later work_stage() for the target moves it there. */
bool work_put(const struct target *target, const char *staged, bool *ret_holds_old,
              struct err *err);

/* fsync of a folder and its subfolders, without the files. */
bool work_sync_folders(const char *path, struct err *err);

/* The name a staged file gets when it is published: the version before the first dot of its last
 * component. Appended to `out`. */
void publish_add_name(const char *name, const char *version, struct buf *out);

/* What an output is made with: the kind and its version, DuckDB's, options, interval, zone. */
void recipe_digest(const struct attempt *attempt, char recipe[SHA256_HEX_SIZE]);
bool recipe_is_of(const struct attempt *attempt, const json_t *manifest);

/* Whether all files of a published manifest are there in their sizes. */
bool manifest_files_are_there(const char *folder, const json_t *manifest);

/* Reads a manifest by folder: ERR_NOT_FOUND where there is none. A new reference. */
json_t *manifest_read(const char *folder, struct err *err);

/* The published partitions below a dataset's root, as names relative to it ("dt=2026-01-01"), in
 * name order; the root itself is "". The caller frees the names and the array. */
bool partitions_list(const char *root, char ***ret_names, size_t *ret_count, struct err *err);
void partitions_free(char **names, size_t count);

/* publication_describe_parquet() without the publication: fills "schema" and "columns" of `content`
 * from the footers of `paths`, and gives the row count of each file. */
bool describe_parquet(struct engine *engine, const json_t *paths, json_t *content, json_t *ret_rows,
                      struct err *err);

/* Tells the scheduler, with the attempt's result, which versions of datasets went into the one that
 * is published and which version that is: `content` is its manifest's. At most DATASETS_MAX inputs
 * are told of, the first ones. */
#define DATASETS_MAX 4096
void datasets_note(const struct attempt *attempt, const json_t *content, const char *version);

#endif
