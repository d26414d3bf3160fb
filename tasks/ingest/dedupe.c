/* Duplicates: looked for in the staged file, where a row's number tells which was read last. Only
 * keys that occur twice are sorted: a window over all rows would need three times the memory and
 * CPU time. */
#include "base/fs.h"
#include "base/json.h"
#include "tasks/engine/engine.h"
#include "tasks/ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAGED "all-rows.parquet"

static json_t *option_list(const struct ingest *ingest, const char *key)
{
    json_t *value = json_object_get(ingest->attempt->options, key);

    if (json_is_string(value))
        return json_pack("[O]", value);
    return json_is_array(value) ? json_incref(value) : json_array();
}

static bool check_names(const struct ingest *ingest, const char *option, const json_t *names,
                        struct err *err)
{
    size_t i = 0;
    json_t *name = NULL;

    json_array_foreach(names, i, name)
    {
        bool found = false;
        for (size_t c = 0; c < ingest->column_count; c++)
            found = found || strcmp(ingest->columns[c].name, json_string_value(name)) == 0;
        if (!found)
            return err_set(err, ERR_INVALID, "%s: there is no column %s", option,
                           json_string_value(name));
    }
    return true;
}

static void add_source(const struct ingest *ingest, const char *name, struct buf *sql)
{
    char *path = fs_join(publication_folder(ingest->publication), name);

    buf_add_text(sql, "read_parquet(");
    engine_add_literal(sql, str_from(path));
    buf_add_text(sql, ", file_row_number = true, hive_partitioning = false)");
    free(path);
}

static void add_names(const json_t *names, const char *prefix, const char *suffix, struct buf *sql)
{
    size_t i = 0;
    json_t *name = NULL;

    json_array_foreach(names, i, name)
    {
        buf_printf(sql, "%s%s", i == 0 ? "" : ", ", prefix);
        engine_add_identifier(sql, str_from(json_string_value(name)));
        buf_add_text(sql, suffix);
    }
}

/* The numbers of the rows that lose, into a table. */
static bool find_losers(const struct ingest *ingest, const json_t *key, const json_t *order,
                        int64_t *ret_count, struct err *err)
{
    struct buf sql = {0};
    size_t i = 0;
    json_t *name = NULL;

    buf_add_text(&sql, "CREATE OR REPLACE TABLE millrace_losers AS WITH doubles AS (SELECT ");
    add_names(key, "", "", &sql);
    buf_add_text(&sql, " FROM ");
    add_source(ingest, INGEST_PART, &sql);
    buf_add_text(&sql, " GROUP BY ALL HAVING count(*) > 1) SELECT n FROM (SELECT "
                       "p.file_row_number AS n, row_number() OVER (PARTITION BY ");
    add_names(key, "p.", "", &sql);
    buf_add_text(&sql, " ORDER BY ");
    add_names(order, "p.", " DESC NULLS LAST", &sql);
    buf_printf(&sql, "%sp.file_row_number DESC) AS place FROM ",
               json_array_size(order) == 0 ? "" : ", ");
    add_source(ingest, INGEST_PART, &sql);
    buf_add_text(&sql, " p SEMI JOIN doubles d ON ");
    json_array_foreach(key, i, name)
    {
        buf_add_text(&sql, i == 0 ? "p." : " AND p.");
        engine_add_identifier(&sql, str_from(json_string_value(name)));
        buf_add_text(&sql, " IS NOT DISTINCT FROM d.");
        engine_add_identifier(&sql, str_from(json_string_value(name)));
    }
    buf_add_text(&sql, ") WHERE place > 1");
    bool ok = engine_run(ingest->attempt->engine, buf_text(&sql), NULL, err);
    buf_release(&sql);
    json_t *row = ok ? engine_one_row(ingest->attempt->engine,
                                      "SELECT count(*) AS n FROM millrace_losers", err)
                     : NULL;
    if (row == NULL)
        return false;
    *ret_count = json_get_int(row, "n", 0);
    json_decref(row);
    return true;
}

static bool copy_winners(struct ingest *ingest, struct err *err)
{
    struct buf query = {0};
    struct buf sql = {0};
    char *part = fs_join(publication_folder(ingest->publication), INGEST_PART);
    char *staged = fs_join(publication_folder(ingest->publication), STAGED);
    int64_t written = 0;

    bool ok = rename(part, staged) == 0 || err_errno(err, "rename %s", part);
    buf_add_text(&query, "SELECT * EXCLUDE (file_row_number) FROM ");
    add_source(ingest, STAGED, &query);
    buf_add_text(&query, " p ANTI JOIN millrace_losers l ON p.file_row_number = l.n ORDER BY "
                         "p.file_row_number");
    sql_add_copy(ingest, buf_text(&query), INGEST_PART, &sql);
    ok = ok && engine_run(ingest->attempt->engine, buf_text(&sql), &written, err);
    if (ok && unlink(staged) != 0)
        ok = err_errno(err, "delete %s", staged);
    if (ok) {
        ingest->duplicates = ingest->rows_out - written;
        ingest->rows_out = written;
    }
    buf_release(&query);
    buf_release(&sql);
    free(part);
    free(staged);
    return ok;
}

bool dedupe(struct ingest *ingest, struct err *err)
{
    json_t *key = option_list(ingest, "unique_key");
    json_t *order = option_list(ingest, "order_by");
    int64_t losers = 0;
    bool ok = true;

    if (json_array_size(key) > 0) {
        ok = check_names(ingest, "unique_key", key, err) &&
             check_names(ingest, "order_by", order, err) &&
             find_losers(ingest, key, order, &losers, err);
        if (ok && losers > 0)
            ok = copy_winners(ingest, err);
        if (ok && ingest->duplicates != losers)
            ok = err_set(err, ERR_DATA, "%lld duplicates were found, but %lld rows left out",
                         (long long)losers, (long long)ingest->duplicates);
    }
    json_decref(key);
    json_decref(order);
    return ok;
}
