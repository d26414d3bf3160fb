/* Rejected rows: one JSON line each, published beside the lake before the data is, so that no data
 * is ever visible whose rejects are not. Data globs never see them there. */
#include "base/fs.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/mem.h"
#include "tasks/ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REJECTS_MAX 1000000
#define REJECTS_FILE "rejects.ndjson"

bool reject_add(struct ingest *ingest, size_t file, int64_t line,
                const struct reject_detail *detail, struct err *err)
{
    struct buf text = {0};
    struct jw w = {.out = &text};

    if (ingest->reject_count == REJECTS_MAX)
        return err_set(err, ERR_FINDINGS,
                       "more than a million rows were rejected, the last one at %s:%lld (%s)",
                       ingest->files[file].path, (long long)line, detail->reason);
    jw_begin_object(&w);
    jw_kv_string(&w, "file", ingest->files[file].path);
    jw_kv_int(&w, "line", line);
    jw_kv_string(&w, "column", detail->column);
    jw_key(&w, "value");
    if (detail->has_value)
        jw_str(&w, detail->value);
    else
        jw_null(&w);
    jw_kv_string(&w, "reason", detail->reason);
    jw_key(&w, "raw");
    jw_str(&w, detail->raw);
    jw_end_object(&w);
    if (ingest->reject_count == ingest->reject_capacity) {
        ingest->reject_capacity = mem_grow(ingest->reject_capacity, ingest->reject_count + 1);
        ingest->rejects =
            mem_resize_array(ingest->rejects, ingest->reject_capacity, sizeof(*ingest->rejects));
    }
    ingest->rejects[ingest->reject_count++] =
        (struct ingest_reject){.file = file, .line = line, .text = buf_take(&text)};
    return true;
}

void rejects_release(struct ingest *ingest)
{
    for (size_t i = 0; i < ingest->reject_count; i++)
        free(ingest->rejects[i].text);
    free(ingest->rejects);
}

static int compare_rejects(const void *a, const void *b)
{
    const struct ingest_reject *x = a;
    const struct ingest_reject *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return strcmp(x->text, y->text);
}

static bool write_rejects(struct ingest *ingest, const char *folder, struct err *err)
{
    struct buf text = {0};
    char *path = fs_join(folder, REJECTS_FILE);

    for (size_t i = 0; i < ingest->reject_count; i++)
        buf_printf(&text, "%s\n", ingest->rejects[i].text);
    bool ok = fs_write_file(path, buf_str(&text), 0666, err);
    free(path);
    buf_release(&text);
    return ok;
}

/* The message shows the first reject: most often all have the same reason. */
static bool fail_too_many(struct ingest *ingest, const char *limit, struct err *err)
{
    struct err ignored = {0};
    const struct ingest_reject *first = &ingest->rejects[0];
    json_t *detail = json_parse(str_from(first->text), &ignored);

    (void)write_rejects(ingest, ingest->attempt->folder, &ignored);
    err_set(
        err, ERR_FINDINGS,
        "%zu of %lld rows were rejected, more than %s; the first is %s:%lld: %s%s%s (all are in "
        "%s/" REJECTS_FILE ")",
        ingest->reject_count, (long long)ingest->rows_in, limit, ingest->files[first->file].path,
        (long long)first->line, json_get_string(detail, "column", ""),
        json_get_string(detail, "column", NULL) == NULL ? "" : ": ",
        json_get_string(detail, "reason", ""), ingest->attempt->folder);
    json_decref(detail);
    return false;
}

static bool check_limits(struct ingest *ingest, struct err *err)
{
    const json_t *limits = json_object_get(ingest->attempt->options, "reject");
    int64_t max_rows = json_get_int(limits, "max_rows", REJECTS_MAX);
    double max_pct = json_get_number(limits, "max_pct", 10);
    char limit[64];

    if (ingest->reject_count == 0)
        return true;
    qsort(ingest->rejects, ingest->reject_count, sizeof(*ingest->rejects), compare_rejects);
    if ((int64_t)ingest->reject_count > max_rows) {
        (void)snprintf(limit, sizeof(limit), "reject.max_rows = %lld", (long long)max_rows);
        return fail_too_many(ingest, limit, err);
    }
    if ((double)ingest->reject_count * 100 > max_pct * (double)ingest->rows_in) {
        (void)snprintf(limit, sizeof(limit), "reject.max_pct = %g", max_pct);
        return fail_too_many(ingest, limit, err);
    }
    return true;
}

/* Nothing was rejected now, and nothing is published from before. */
static bool is_needless(const struct ingest *ingest, const char *target)
{
    struct err ignored = {0};

    if (ingest->reject_count > 0)
        return false;
    struct dataset *before = dataset_open(target, &ignored);
    bool none = before == NULL && ignored.code == ERR_NOT_FOUND;
    dataset_free(before);
    return none;
}

static bool publish(struct ingest *ingest, const char *target, struct err *err)
{
    bool unchanged = false;
    struct publication *rejects = publication_begin(ingest->attempt, target, err);
    bool ok = rejects != NULL && write_rejects(ingest, publication_folder(rejects), err) &&
              publication_add_file(rejects, REJECTS_FILE, (int64_t)ingest->reject_count, err);

    if (ok) {
        (void)json_object_set_new(publication_content(rejects), "kind",
                                  json_string("ingest_rejects"));
        ok = publication_commit(rejects, &unchanged, err);
    }
    publication_free(rejects);
    return ok;
}

bool rejects_publish(struct ingest *ingest, struct err *err)
{
    if (!check_limits(ingest, err))
        return false;
    char *target = publication_side_target(ingest->publication, "rejects");
    bool ok = is_needless(ingest, target) || publish(ingest, target, err);
    if (ok && ingest->reject_count > 0)
        (void)json_object_set_new(ingest->attempt->outputs, "rejects", json_string(target));
    free(target);
    return ok;
}
