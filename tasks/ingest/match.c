/* Which field of a file fills which column: by the column's name or one of its former ones. Exact
 * spelling goes first, then spelling but for case and spaces at the ends. */
#include "base/json.h"
#include "base/mem.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_named(struct str field, const char *name, bool exact)
{
    struct str want = str_trim(str_from(name));

    if (exact)
        return str_is(field, name);
    return field.len == want.len && strncasecmp(field.ptr, want.ptr, want.len) == 0;
}

static bool field_has_name(struct str field, const struct ingest_column *column, bool exact)
{
    bool has = is_named(field, column->name, exact);

    for (size_t i = 0; !has && i < json_array_size(column->from); i++)
        has = is_named(field, json_string_value(json_array_get(column->from, i)), exact);
    return has;
}

/* 1 + the index of the column's field, 0 when the file has none. */
static bool find_field(const struct ingest_file *file, const struct ingest_column *column,
                       size_t *ret_field, struct err *err)
{
    size_t found = 0;

    for (int exact = 1; exact >= 0 && found == 0; exact--) {
        for (size_t i = 0; i < file->header_count; i++) {
            if (!field_has_name(file->header[i], column, exact != 0))
                continue;
            if (found != 0)
                return err_set(err, ERR_INVALID, "%s: both `%.*s` and `%.*s` are column %s",
                               file->path, STR_ARG(file->header[found - 1]),
                               STR_ARG(file->header[i]), column->name);
            found = i + 1;
        }
    }
    *ret_field = found;
    return true;
}

/* Inferred columns are those of the first file. */
static bool fail_missing(const struct ingest *ingest, const struct ingest_file *file,
                         const struct ingest_column *column, struct err *err)
{
    struct buf names = {0};

    for (size_t i = 0; i < file->header_count && names.len < 400; i++)
        buf_printf(&names, "%s%.*s", i == 0 ? "" : ", ", STR_ARG(file->header[i]));
    if (ingest->declared)
        err_set(err, ERR_INVALID,
                "%s has no column %s (it has %s); name its other spelling in `from`, or say "
                "`optional: true`",
                file->path, column->name, buf_text(&names));
    else
        err_set(err, ERR_INVALID,
                "%s has no column %s, which %s has (it has %s); name its other spelling in "
                "`rename`, or declare `columns` with `optional: true` or a `default` for it",
                file->path, column->name, ingest->files[0].path, buf_text(&names));
    buf_release(&names);
    return false;
}

static bool match_file(struct ingest *ingest, struct ingest_file *file, struct err *err)
{
    file->field_of =
        arena_alloc_array(&ingest->arena, ingest->column_count, sizeof(*file->field_of));
    for (size_t c = 0; c < ingest->column_count; c++) {
        const struct ingest_column *column = &ingest->columns[c];
        if (column->derived != NULL)
            continue;
        if (!find_field(file, column, &file->field_of[c], err))
            return false;
        if (file->field_of[c] == 0 && !column->optional)
            return fail_missing(ingest, file, column, err);
    }
    return true;
}

static bool is_taken(const struct ingest *ingest, const struct ingest_file *file, size_t field)
{
    for (size_t c = 0; c < ingest->column_count; c++)
        if (file->field_of[c] == field + 1)
            return true;
    return false;
}

/* A field of a name already kept is not a second column. */
static bool is_known(const json_t *names, struct str name)
{
    size_t i = 0;
    json_t *known = NULL;

    json_array_foreach(names, i, known) if (str_is(name, json_string_value(known))) return true;
    return false;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

static void sort_names(json_t *names)
{
    size_t count = json_array_size(names);
    json_t **items = mem_alloc_array(count, sizeof(json_t *));

    for (size_t i = 0; i < count; i++)
        items[i] = json_incref(json_array_get(names, i));
    if (count > 0)
        qsort(items, count, sizeof(json_t *), compare_text);
    (void)json_array_clear(names);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(names, items[i]);
    free(items);
}

static bool find_new_fields(struct ingest *ingest, const char *policy, struct err *err)
{
    for (size_t f = 0; f < ingest->file_count; f++) {
        const struct ingest_file *file = &ingest->files[f];
        for (size_t i = 0; i < file->header_count; i++) {
            if (is_taken(ingest, file, i) || is_known(ingest->ignored, file->header[i]) ||
                file->header[i].len == 0)
                continue;
            if (strcmp(policy, "fail") == 0)
                return err_set(err, ERR_INVALID,
                               "%s has a new column `%.*s`%s%s; declare it, or say on_new_column: "
                               "ignore or keep",
                               file->path, STR_ARG(file->header[i]),
                               ingest->declared ? "" : ", which is not in ",
                               ingest->declared ? "" : ingest->files[0].path);
            (void)json_array_append_new(
                ingest->ignored, json_stringn_nocheck(file->header[i].ptr, file->header[i].len));
        }
    }
    sort_names(ingest->ignored);
    return true;
}

/* The new fields become text columns at the end, in name order. */
static void keep_new_fields(struct ingest *ingest)
{
    size_t i = 0;
    json_t *name = NULL;

    json_array_foreach(ingest->ignored, i, name)
    {
        struct ingest_column *column = ingest_add_column(ingest, json_string_value(name));
        column->optional = true;
    }
    (void)json_array_clear(ingest->ignored);
}

/* NDJSON has no header: its keys are asked for only where the policy needs them. */
static bool list_keys(struct ingest *ingest, struct err *err)
{
    struct buf sql = {0};
    struct ingest_file *file = &ingest->files[0];
    json_t *names = json_array();

    buf_add_text(&sql, "SELECT DISTINCT unnest(json_keys(j)) AS k FROM (SELECT TRY_CAST(c AS JSON) "
                       "AS j FROM (SELECT unnest(string_split(content, chr(10))) AS c FROM "
                       "read_text([");
    for (size_t i = 0; i < ingest->file_count; i++) {
        buf_add_text(&sql, i == 0 ? "" : ", ");
        engine_add_literal(&sql, str_from(ingest->files[i].path));
    }
    buf_add_text(&sql, "])) WHERE json_valid(c)) ORDER BY k");
    struct engine_result *rows = engine_query(ingest->attempt->engine, buf_text(&sql), err);
    buf_release(&sql);
    if (rows == NULL) {
        json_decref(names);
        return err_wrap(err, "list the keys of the source");
    }
    while (engine_next(rows, err))
        (void)json_array_append_new(names, engine_json(rows, 0));
    engine_result_free(rows);
    file->header_count = json_array_size(names);
    file->header = arena_alloc_array(&ingest->arena, file->header_count, sizeof(*file->header));
    for (size_t i = 0; i < file->header_count; i++)
        file->header[i] =
            arena_str(&ingest->arena, str_from(json_string_value(json_array_get(names, i))));
    json_decref(names);
    return err->code == ERR_NONE;
}

static bool match_all(struct ingest *ingest, struct err *err)
{
    for (size_t f = 0; f < ingest->file_count; f++)
        if (!match_file(ingest, &ingest->files[f], err))
            return false;
    return true;
}

/* Which keys of NDJSON name a column, and which are new. */
static bool match_keys(struct ingest *ingest, const char *policy, struct err *err)
{
    if (!ingest->declared || strcmp(policy, "ignore") == 0)
        return true;
    if (!list_keys(ingest, err))
        return false;
    struct ingest_file *file = &ingest->files[0];
    file->field_of =
        arena_alloc_array(&ingest->arena, ingest->column_count, sizeof(*file->field_of));
    for (size_t c = 0; c < ingest->column_count; c++)
        if (!find_field(file, &ingest->columns[c], &file->field_of[c], err))
            return false;
    size_t all = ingest->file_count;
    ingest->file_count = 1;
    bool ok = find_new_fields(ingest, policy, err);
    ingest->file_count = all;
    return ok;
}

bool match_files(struct ingest *ingest, struct err *err)
{
    const char *policy = json_get_string(ingest->attempt->options, "on_new_column", "ignore");
    bool keep = strcmp(policy, "keep") == 0;

    if (ingest->format == INGEST_NDJSON) {
        if (!match_keys(ingest, policy, err))
            return false;
        if (keep)
            keep_new_fields(ingest);
        return true;
    }
    if (!match_all(ingest, err) || !find_new_fields(ingest, policy, err))
        return false;
    if (!keep)
        return true;
    keep_new_fields(ingest);
    return match_all(ingest, err);
}
