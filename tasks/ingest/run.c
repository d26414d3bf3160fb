/* ingest: the order of things; see ingest.h. */
#include "base/digest.h"
#include "base/json.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool set_timezone(struct engine *engine, const char *zone, struct err *err)
{
    struct buf sql = {0};

    buf_add_text(&sql, "SET TimeZone = ");
    engine_add_literal(&sql, str_from(zone));
    bool ok = engine_run(engine, buf_text(&sql), NULL, err);
    buf_release(&sql);
    if (ok)
        return true;
    return err_set(err, ERR_INVALID, "timezone: there is no time zone %s", zone);
}

/* While rows are converted, the session's zone is that of times without an offset. */
static bool load(struct ingest *ingest, struct err *err)
{
    struct engine *engine = ingest->attempt->engine;
    struct err ignored = {0};
    bool done = false;

    if (!set_timezone(engine, ingest->timezone, err))
        return false;
    bool ok = quick_load(ingest, &done, err);
    if (ok && !done && ingest->guessed)
        ok = infer_again(ingest, err) && quick_load(ingest, &done, err);
    ok = ok && (done || careful_load(ingest, err));
    (void)set_timezone(engine, "UTC", ok ? err : &ignored);
    return ok && dedupe(ingest, err);
}

static bool check_counts(const struct ingest *ingest, struct err *err)
{
    int64_t rejected = (int64_t)ingest->reject_count;
    int64_t min_rows = json_get_int(ingest->attempt->options, "min_rows", 0);

    if (ingest->rows_in != ingest->rows_out + ingest->duplicates + rejected + ingest->filtered)
        return err_set(err, ERR_DATA,
                       "%lld rows were read, but %lld written + %lld duplicates + %lld rejected + "
                       "%lld filtered are not as many",
                       (long long)ingest->rows_in, (long long)ingest->rows_out,
                       (long long)ingest->duplicates, (long long)rejected,
                       (long long)ingest->filtered);
    if (ingest->rows_out < min_rows)
        return err_set(err, ERR_FINDINGS,
                       "%lld rows came out of %zu files, less than min_rows = "
                       "%lld (%lld read, %lld rejected)",
                       (long long)ingest->rows_out, ingest->file_count, (long long)min_rows,
                       (long long)ingest->rows_in, (long long)rejected);
    return true;
}

static json_t *make_counts(const struct ingest *ingest)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "rows_in", (json_int_t)ingest->rows_in,
                     "rows_out", (json_int_t)ingest->rows_out, "duplicates",
                     (json_int_t)ingest->duplicates, "rejected", (json_int_t)ingest->reject_count,
                     "filtered", (json_int_t)ingest->filtered);
}

static void describe(struct ingest *ingest)
{
    json_t *content = publication_content(ingest->publication);

    for (size_t f = 0; f < ingest->file_count; f++)
        publication_add_input(ingest->publication,
                              json_pack("{s:s, s:I, s:s}", "path", ingest->files[f].path, "bytes",
                                        (json_int_t)ingest->files[f].before.st_size, "sha256",
                                        ingest->files[f].sha256));
    (void)json_object_set_new(content, "kind", json_string("ingest"));
    (void)json_object_set_new(content, "counts", make_counts(ingest));
    if (json_array_size(ingest->ignored) > 0)
        (void)json_object_set(content, "ignored_columns", ingest->ignored);
}

static void fill_outputs(const struct ingest *ingest)
{
    json_t *outputs = ingest->attempt->outputs;
    json_t *counts = make_counts(ingest);

    (void)json_object_update(outputs, counts);
    json_decref(counts);
    (void)json_object_set_new(outputs, "source_files",
                              json_integer((json_int_t)ingest->file_count));
}

/* The source files of the candidate, one by one: the first that differs ends the reading. */
static bool has_same_sources(const struct ingest *ingest, const json_t *candidate)
{
    const json_t *recorded = json_object_get(json_object_get(candidate, "content"), "inputs");
    bool same = candidate != NULL && json_array_size(recorded) == ingest->file_count;

    for (size_t f = 0; same && f < ingest->file_count; f++) {
        const struct ingest_file *file = &ingest->files[f];
        const json_t *before = json_array_get(recorded, f);
        char sha256[SHA256_HEX_SIZE];
        struct err ignored = {0};
        int64_t bytes = 0;
        same = strcmp(json_get_string(before, "path", ""), file->path) == 0 &&
               json_get_int(before, "bytes", -1) == file->before.st_size &&
               digest_sha256_file(file->path, sha256, &bytes, &ignored) &&
               strcmp(json_get_string(before, "sha256", ""), sha256) == 0;
    }
    return same;
}

static bool is_unchanged(const struct ingest *ingest)
{
    const struct attempt *attempt = ingest->attempt;
    json_t *before = published_candidate(attempt, json_get_string(attempt->options, "target", ""));
    bool same = has_same_sources(ingest, before) &&
                published_is_unchanged(
                    attempt, before, json_object_get(json_object_get(before, "content"), "inputs"));

    json_decref(before);
    return same;
}

static bool publish(struct ingest *ingest, struct err *err)
{
    json_t *outputs = ingest->attempt->outputs;
    bool unchanged = false;

    describe(ingest);
    fill_outputs(ingest);
    if (!publication_add_file(ingest->publication, INGEST_PART, ingest->rows_out, err) ||
        !publication_describe_parquet(ingest->publication, err) || !rejects_publish(ingest, err) ||
        !publication_commit(ingest->publication, &unchanged, err))
        return false;
    (void)printf("%zu files, %lld rows in, %lld out, %lld duplicates, %lld rejected, %lld filtered"
                 "%s: %s version %s\n",
                 ingest->file_count, (long long)ingest->rows_in, (long long)ingest->rows_out,
                 (long long)ingest->duplicates, (long long)ingest->reject_count,
                 (long long)ingest->filtered, unchanged ? ", unchanged" : "",
                 json_get_string(outputs, "manifest", ""), json_get_string(outputs, "version", ""));
    return true;
}

static bool run(struct ingest *ingest, struct err *err)
{
    const char *target = json_get_string(ingest->attempt->options, "target", "");

    if (!files_list(ingest, err))
        return false;
    if (is_unchanged(ingest))
        return true;
    if (!ingest_plan(ingest, err) || !survey_files(ingest, err) || !infer_columns(ingest, err) ||
        !match_files(ingest, err))
        return false;
    ingest->publication = publication_begin(ingest->attempt, target, err);
    return ingest->publication != NULL && load(ingest, err) && files_are_unchanged(ingest, err) &&
           check_counts(ingest, err) && publish(ingest, err);
}

bool ingest_run(struct attempt *attempt, struct err *err)
{
    struct ingest ingest = {.attempt = attempt};
    struct err problem = {0};
    bool ok = run(&ingest, &problem);

    if (!ok)
        *err = problem;
    publication_free(ingest.publication);
    rejects_release(&ingest);
    json_decref(ingest.owned);
    json_decref(ingest.ignored);
    free(ingest.columns);
    free(ingest.files);
    arena_release(&ingest.arena);
    return ok;
}
