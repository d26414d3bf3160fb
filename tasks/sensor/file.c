/* A file, or any match of a glob; and a published partition by its manifest. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/timefmt.h"
#include "tasks/sensor/sensor.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST_BYTES_MAX (64u << 20)

struct wish {
    int64_t min_size;
    int64_t stable_us;
};

static bool fits(const char *path, const struct wish *wish)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    int64_t written_us = (int64_t)st.st_mtim.tv_sec * US_PER_SECOND + st.st_mtim.tv_nsec / 1000;
    return st.st_size >= wish->min_size &&
           (wish->stable_us == 0 || clock_wall_us() - written_us >= wish->stable_us);
}

static void describe(const char *path, const struct wish *wish, struct buf *what)
{
    buf_printf(what, "file %s", path);
    if (wish->min_size > 0)
        buf_printf(what, " of at least %lld bytes", (long long)wish->min_size);
    if (wish->stable_us > 0) {
        buf_add_text(what, " unchanged for ");
        duration_format(wish->stable_us, what);
    }
}

bool sensor_look_at_file(struct attempt *attempt, const json_t *thing, bool *ret_found,
                         struct buf *what, struct err *err)
{
    const char *path = sensor_text(thing, "path");
    struct wish wish = {.min_size = json_get_int(thing, "min_size", 0)};
    glob_t matches = {0};

    (void)duration_parse(str_from(json_get_string(thing, "stable_for", "")), &wish.stable_us);
    if (path[0] == '\0')
        return err_set(err, ERR_INVALID, "`file` is empty");
    describe(path, &wish, what);
    int status = glob(path, GLOB_NOSORT, NULL, &matches);
    if (status != 0 && status != GLOB_NOMATCH)
        return err_set(err, ERR_IO, "look for %s: %s", path,
                       status == GLOB_NOSPACE ? "out of memory" : "a folder can't be read");
    /* A name that has the pattern's characters in it is a file all the same. */
    *ret_found = fits(path, &wish);
    if (*ret_found)
        (void)json_object_set_new(attempt->outputs, "path", json_string(path));
    for (size_t i = 0; i < matches.gl_pathc && !*ret_found; i++) {
        *ret_found = fits(matches.gl_pathv[i], &wish);
        if (*ret_found)
            (void)json_object_set_new(attempt->outputs, "path", json_string(matches.gl_pathv[i]));
    }
    globfree(&matches);
    return true;
}

/* Why a published partition is not the one waited for; NULL if it is. */
static const char *misfit(const json_t *thing, const json_t *manifest)
{
    const char *version = json_get_string(thing, "version", NULL);
    const json_t *content = json_object_get(manifest, "content");
    int64_t newer_us = 0;
    int64_t at_us = 0;
    bool has_offset = false;

    if (version != NULL && strcmp(json_get_string(manifest, "version", ""), version) != 0)
        return "it has another version";
    if (json_get_int(content, "rows", 0) < json_get_int(thing, "min_rows", 0))
        return "it has fewer rows";
    if (!timefmt_parse(str_from(json_get_string(thing, "newer_than", "")), &newer_us, &has_offset))
        return NULL;
    const json_t *written = json_object_get(manifest, "written");
    if (!timefmt_parse(str_from(json_get_string(written, "at", "")), &at_us, &has_offset) ||
        at_us <= newer_us)
        return "it is older";
    return NULL;
}

bool sensor_look_at_dataset(struct attempt *attempt, const json_t *thing, bool *ret_found,
                            struct buf *what, struct err *err)
{
    const char *path = sensor_text(thing, "path");
    char *file = fs_join(path, "_manifest.json");
    struct buf text = {0};
    struct err problem = {0};
    bool ok = true;

    buf_printf(what, "dataset %s", path);
    if (!fs_read_file(file, MANIFEST_BYTES_MAX, &text, &problem)) {
        ok = problem.code == ERR_NOT_FOUND;
        if (!ok)
            *err = problem;
    } else {
        json_t *manifest = json_parse(buf_str(&text), err);
        const char *why = manifest == NULL ? NULL : misfit(thing, manifest);
        ok = manifest != NULL || err_wrap(err, "%s", file);
        *ret_found = ok && why == NULL;
        if (why != NULL)
            buf_printf(what, " (%s)", why);
        if (*ret_found)
            (void)json_object_set(attempt->outputs, "version",
                                  json_object_get(manifest, "version"));
        json_decref(manifest);
    }
    buf_release(&text);
    free(file);
    return ok;
}
