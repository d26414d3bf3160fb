/* Skipping unchanged work: what a published partition was made with and from, compared with what an
 * attempt would make it with and from now. */
#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/internal.h"

#include <stdio.h>
#include <string.h>

void recipe_digest(const struct attempt *attempt, char recipe[SHA256_HEX_SIZE])
{
    struct buf text = {0};
    json_t *parts = json_pack(
        "{s:s, s:i, s:s, s:s, s:O, s:I, s:I, s:s?}", "millrace", MILLRACE_VERSION, "kind_version",
        attempt->kind_version, "kind", attempt->kind, "duckdb", ENGINE_DUCKDB_VERSION, "options",
        attempt->options, "interval_start", (json_int_t)attempt->interval_start_us, "interval_end",
        (json_int_t)attempt->interval_end_us, "timezone", attempt->timezone);

    json_dump_canonical(parts, &text);
    digest_sha256_hex(buf_str(&text), recipe);
    buf_release(&text);
    json_decref(parts);
}

bool recipe_is_of(const struct attempt *attempt, const json_t *manifest)
{
    const char *recorded = json_get_string(json_object_get(manifest, "written"), "recipe", "");
    char recipe[SHA256_HEX_SIZE];

    if (attempt->kind == NULL)
        return recorded[0] == '\0';
    recipe_digest(attempt, recipe);
    return strcmp(recorded, recipe) == 0;
}

/* A dataset of its own that went with the output (rejects) belongs to what must still be there. */
static bool side_is_there(const json_t *outputs)
{
    const char *rejects = json_get_string(outputs, "rejects", NULL);
    struct err ignored = {0};

    if (rejects == NULL)
        return true;
    json_t *manifest = manifest_read(rejects, &ignored);
    json_decref(manifest);
    return manifest != NULL;
}

json_t *published_candidate(const struct attempt *attempt, const char *target)
{
    struct err ignored = {0};

    if (!attempt->cache || attempt->kind == NULL)
        return NULL;
    json_t *manifest = manifest_read(target, &ignored);
    const json_t *outputs = json_object_get(json_object_get(manifest, "written"), "outputs");
    if (manifest != NULL && json_is_object(outputs) && recipe_is_of(attempt, manifest) &&
        manifest_files_are_there(target, manifest) && side_is_there(outputs))
        return manifest;
    json_decref(manifest);
    return NULL;
}

bool published_is_unchanged(const struct attempt *attempt, const json_t *candidate,
                            const json_t *inputs)
{
    const json_t *recorded = json_object_get(json_object_get(candidate, "content"), "inputs");

    if (candidate == NULL || !json_equal(recorded, inputs))
        return false;
    json_t *outputs = json_object_get(json_object_get(candidate, "written"), "outputs");
    (void)json_object_update(attempt->outputs, outputs);
    (void)json_object_set_new(attempt->outputs, "unchanged", json_true());
    datasets_note(attempt, json_object_get(candidate, "content"),
                  json_get_string(candidate, "version", ""));
    (void)printf("nothing to do: options and inputs are those of the published version %s\n",
                 json_get_string(candidate, "version", ""));
    return true;
}
