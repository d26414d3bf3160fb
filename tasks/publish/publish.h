/* Publishing: the one way a dataset becomes visible, and the one way it is read back.
 *
 * A dataset partition is a folder of files plus _manifest.json. The target's trailing key=value
 * components are its partition; what is before them is the dataset; the dataset's parent folder is
 * the lake, and <lake>.millrace/ beside it holds staging/ and attic/ (<dataset>.millrace/ where the
 * dataset has no parent). Files are staged there, checked, hashed and fsynced, get the version into
 * their names (part-000.parquet → part-000-<version>.parquet), and the folder is put in place by
 * one rename; an older version goes to the attic. A killed attempt leaves only a staging folder,
 * which the next publication of that target sweeps. The bytes of "content" in the manifest depend
 * on inputs and options alone.
 *
 * The manifest: {"format": 1, "version": first 16 hex digits of the SHA-256 of canonical "content",
 * "files": [published names, in the order of content.files], "content": {dataset, partition,
 * options_sha256, rows, files: [{path, bytes, sha256, rows}], inputs, schema, columns: {name:
 * {nulls, min, max} as text}, and what the kind adds}, "written": {who, when, by which program}}.
 * A replaced version stays in the attic for an hour, then a later publication deletes it. */
#ifndef MILLRACE_TASKS_PUBLISH_H
#define MILLRACE_TASKS_PUBLISH_H

#include "base/buf.h"
#include "millrace/attempt.h"

struct publication;

/* Makes the staging folder for a target. Absolute targets and ".." are allowed only as far as the
 * file system allows; a component beginning with "." or "_" is refused (ERR_INVALID). */
struct publication *publication_begin(const struct attempt *attempt, const char *target,
                                      struct err *err);

/* The staging folder, to write files into (subfolders allowed). */
const char *publication_folder(const struct publication *publication);

/* Adds a finished file by its name in the staging folder: hashes and fsyncs it. Order matters: it
 * is the order in the manifest. `rows` < 0 = the file has no rows to speak of. */
bool publication_add_file(struct publication *publication, const char *name, int64_t rows,
                          struct err *err);

/* For Parquet files added so far: opens their footers again through the engine, checks the row
 * counts against what was added, and fills "schema" (fields and fingerprint) and "columns" (nulls,
 * min, max per column) of the content. */
bool publication_describe_parquet(struct publication *publication, struct err *err);

/* The target of a dataset that goes with this one but is none of the lake's, such as the rows that
 * were rejected: "lake.millrace/<kind>/events/dt=2026-01-01". The caller frees it. */
char *publication_side_target(const struct publication *publication, const char *kind);

/* The manifest's "content" object, borrowed, for the kind to add "counts" (rows_in, rows_out,
 * duplicates, late, rejected, filtered), "splits" and the like. "dataset", "partition",
 * "options_sha256", "rows", "files", "inputs" are publish's own; the kind adds its name as "kind".
 */
json_t *publication_content(struct publication *publication);

/* Records an input: a dataset version that was read, or a source file with size and digest. */
void publication_add_input(struct publication *publication, json_t *input); /* takes it */

/* Puts the partition in place. The same content made in the same way as is published already:
 * nothing is renamed, and *ret_unchanged is set. Fills dataset, partition, version, rows_out,
 * files, bytes, manifest and unchanged of attempt->outputs; what the kind has put there before
 * stays with the manifest, as the outputs of an attempt that finds it unchanged. On file systems
 * without RENAME_EXCHANGE the old version steps aside before the new one comes: a reader may then
 * find nothing for a moment, but never a mixture. A folder at the target that was not published is
 * never touched, and no published folder may be above the target or below it (ERR_INVALID). */
bool publication_commit(struct publication *publication, bool *ret_unchanged, struct err *err);

/* Removes the staging folder; no effect after a commit. Accepts NULL. */
void publication_free(struct publication *publication);

/* Skipping unchanged work, in two steps, so that inputs are only looked at where it can matter. The
 * manifest of `target` if it was made in just the way this attempt would make it (kind and version,
 * rendered options, interval) and its files are there; else NULL, also where attempt->cache is off.
 * A new reference. */
json_t *published_candidate(const struct attempt *attempt, const char *target);

/* Whether the candidate (may be NULL) was made from just these inputs, in this order. Then
 * attempt->outputs are its former outputs, with unchanged = true, and nothing is left to do. */
bool published_is_unchanged(const struct attempt *attempt, const json_t *candidate,
                            const json_t *inputs);

/* A published dataset, or one partition of it, opened for reading: folders are held by descriptor,
 * so a concurrent publish can't mix versions. */
struct dataset;

/* `path` is a partition or a dataset root (then all published partitions below it, in name order).
 * ERR_NOT_FOUND where nothing is published. */
struct dataset *dataset_open(const char *path, struct err *err);
void dataset_free(struct dataset *dataset);

size_t dataset_partition_count(const struct dataset *dataset);
const json_t *dataset_manifest(const struct dataset *dataset, size_t partition); /* borrowed */

/* Appends a FROM item: read_parquet([...], hive_partitioning = …) over the held descriptors. The
 * partition's keys (dt) become columns when the dataset was opened at its root. */
void dataset_add_source(const struct dataset *dataset, struct buf *sql);

/* One input record per partition: {"dataset", "partition", "version"}. */
void dataset_add_inputs(const struct dataset *dataset, struct publication *publication);
void dataset_list_inputs(const struct dataset *dataset, json_t *list);

/* The manifests of the `count` newest published partitions of the same dataset whose name is before
 * this partition's: newest first. For rules that compare with the days before. */
json_t *dataset_manifests_before(const char *partition_path, size_t count, struct err *err);

#endif
