#include "web/versions.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "scheduler/dagfile/dagfile.h"

#include <stdlib.h>
#include <uthash.h>

/* Source bytes kept between requests: parsed, a DAG takes several times its text. */
#define KEPT_BYTES_MAX ((size_t)1024 * 1024)

struct entry {
    int64_t id;
    struct dag *dag; /* NULL = can't be read */
    size_t bytes;
    UT_hash_handle hh; /* the table's order is that of use: oldest first */
};

struct versions {
    struct read *read;
    struct entry *entries;
    size_t bytes;
};

struct versions *versions_new(struct read *read)
{
    struct versions *versions = mem_alloc(sizeof(*versions));

    versions->read = read;
    return versions;
}

static void drop(struct versions *versions, struct entry *entry)
{
    HASH_DEL(versions->entries, entry);
    versions->bytes -= entry->bytes;
    dag_unref(entry->dag);
    free(entry);
}

void versions_free(struct versions *versions)
{
    if (versions == NULL)
        return;
    while (versions->entries != NULL)
        drop(versions, versions->entries);
    free(versions);
}

static struct dag *parse(const struct version_row *row)
{
    struct arena arena = {0};
    struct diags diags = {.arena = &arena};
    struct dagfile_input input = {.source = row->source, .file = row->file};
    struct dag *dag = dagfile_parse(&input, &diags);

    if (dag == NULL)
        log_warn("version_unreadable", "dag=%s version=%lld findings=%zu", row->dag_id,
                 (long long)row->number, diags.error_count);
    diags_release(&diags);
    arena_release(&arena);
    return dag;
}

const struct dag *versions_get(struct versions *versions, int64_t version_id)
{
    struct entry *entry = NULL;
    struct arena arena = {0};
    struct version_row row = {0};
    struct err err;

    HASH_FIND(hh, versions->entries, &version_id, sizeof(version_id), entry);
    if (entry != NULL) {
        HASH_DEL(versions->entries, entry);
        HASH_ADD(hh, versions->entries, id, sizeof(entry->id), entry);
        return entry->dag;
    }
    if (read_version(versions->read, &arena, version_id, &row, &err)) {
        entry = mem_alloc(sizeof(*entry));
        entry->id = version_id;
        entry->dag = parse(&row);
        entry->bytes = row.source.len + 256;
        versions->bytes += entry->bytes;
        HASH_ADD(hh, versions->entries, id, sizeof(entry->id), entry);
    }
    arena_release(&arena);
    return entry == NULL ? NULL : entry->dag;
}

void versions_trim(struct versions *versions)
{
    while (versions->bytes > KEPT_BYTES_MAX)
        drop(versions, versions->entries);
}
