/* Schema and column statistics out of Parquet footers: the data is not read again. */
#include "base/digest.h"
#include "base/json.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/internal.h"

#include <string.h>

static void add_list(const json_t *paths, struct buf *sql)
{
    size_t i = 0;
    json_t *path = NULL;

    buf_add_char(sql, '[');
    json_array_foreach(paths, i, path)
    {
        buf_add_text(sql, i == 0 ? "" : ", ");
        engine_add_literal(sql, str_from(json_string_value(path)));
    }
    buf_add_char(sql, ']');
}

/* The row count of every file, in the order of `paths`. */
static bool read_rows(struct engine *engine, const json_t *paths, json_t *ret_rows, struct err *err)
{
    struct buf sql = {0};

    buf_add_text(&sql, "SELECT m.num_rows FROM parquet_file_metadata(");
    add_list(paths, &sql);
    buf_add_text(&sql, ") m JOIN (SELECT unnest(");
    add_list(paths, &sql);
    buf_add_text(&sql, ") AS file_name, generate_subscripts(");
    add_list(paths, &sql);
    buf_add_text(&sql, ", 1) AS n) o USING (file_name) ORDER BY o.n");
    struct engine_result *rows = engine_query(engine, buf_text(&sql), err);
    buf_release(&sql);
    if (rows == NULL)
        return err_wrap(err, "check the written files");
    while (engine_next(rows, err))
        (void)json_array_append_new(ret_rows, json_integer(engine_int(rows, 0)));
    engine_result_free(rows);
    if (err->code == ERR_NONE && json_array_size(ret_rows) != json_array_size(paths))
        err_set(err, ERR_DATA, "the footers of %zu files were read where %zu were written",
                json_array_size(ret_rows), json_array_size(paths));
    return err->code == ERR_NONE;
}

static bool read_schema(struct engine *engine, const json_t *paths, json_t *fields, struct err *err)
{
    struct buf sql = {0};

    buf_add_text(&sql, "DESCRIBE SELECT * FROM read_parquet(");
    add_list(paths, &sql);
    buf_add_text(&sql, ", hive_partitioning = false)");
    struct engine_result *rows = engine_query(engine, buf_text(&sql), err);
    buf_release(&sql);
    if (rows == NULL)
        return err_wrap(err, "check the written files");
    while (engine_next(rows, err))
        (void)json_array_append_new(fields, json_pack("{s:o, s:o}", "name", engine_json(rows, 0),
                                                      "type", engine_json(rows, 1)));
    engine_result_free(rows);
    return err->code == ERR_NONE;
}

/* The footers' minima and maxima are text and per row group; TRY_CAST makes them comparable. Types
 * without an order of their own in text (nested ones, blobs) have none. */
static bool type_has_order(const char *type)
{
    return strpbrk(type, "[") == NULL && strncmp(type, "STRUCT", 6) != 0 &&
           strncmp(type, "MAP", 3) != 0 && strncmp(type, "UNION", 5) != 0 &&
           strcmp(type, "BLOB") != 0 && strcmp(type, "INTERVAL") != 0;
}

static void add_extreme(const char *function, const char *type, struct buf *sql)
{
    buf_printf(sql,
               ", (CASE WHEN count(*) FILTER (here AND stats_%s_value IS NULL AND "
               "stats_null_count IS DISTINCT FROM num_values OR here AND NOT %s_is_exact) = 0 THEN "
               "%s(TRY_CAST(stats_%s_value AS %s)) FILTER (here) END)::VARCHAR",
               function, function, function, function, type);
}

static void add_stats_query(const char *name, const char *type, struct buf *sql)
{
    buf_add_text(sql, "SELECT CASE WHEN bool_or(here) THEN (sum(stats_null_count) FILTER (here))"
                      "::BIGINT WHEN count(*) = 0 THEN 0 END");
    if (type_has_order(type)) {
        add_extreme("min", type, sql);
        add_extreme("max", type, sql);
    } else {
        buf_add_text(sql, ", NULL, NULL");
    }
    buf_add_text(sql, " FROM (SELECT *, path_in_schema = ");
    engine_add_literal(sql, str_from(name));
    buf_add_text(sql, " AS here FROM footers)");
}

static json_t *stats_of(struct engine_result *rows)
{
    json_t *stats = json_object();

    (void)json_object_set_new(stats, "nulls", engine_json(rows, 0));
    if (!engine_is_null(rows, 1) && !engine_is_null(rows, 2)) {
        (void)json_object_set_new(stats, "min", engine_json(rows, 1));
        (void)json_object_set_new(stats, "max", engine_json(rows, 2));
    }
    return stats;
}

/* One query for all columns: a UNION ALL of a row per column over the footers read once. */
static bool read_stats(struct engine *engine, const json_t *paths, const json_t *fields,
                       json_t *columns, struct err *err)
{
    struct buf sql = {0};
    size_t i = 0;
    json_t *field = NULL;

    buf_add_text(&sql, "WITH footers AS MATERIALIZED (SELECT * FROM parquet_metadata(");
    add_list(paths, &sql);
    buf_add_text(&sql, "))");
    json_array_foreach(fields, i, field)
    {
        buf_add_text(&sql, i == 0 ? " " : " UNION ALL ");
        add_stats_query(json_get_string(field, "name", ""), json_get_string(field, "type", ""),
                        &sql);
    }
    struct engine_result *rows = engine_query(engine, buf_text(&sql), err);
    buf_release(&sql);
    if (rows == NULL)
        return err_wrap(err, "read column statistics");
    for (i = 0; engine_next(rows, err); i++)
        (void)json_object_set_new_nocheck(
            columns, json_get_string(json_array_get(fields, i), "name", ""), stats_of(rows));
    engine_result_free(rows);
    return err->code == ERR_NONE;
}

/* The digest of [[name, type], …]: equal for equal schemas, whoever wrote them. */
static json_t *schema_of(json_t *fields)
{
    json_t *pairs = json_array();
    struct buf text = {0};
    char fingerprint[SHA256_HEX_SIZE];
    size_t i = 0;
    json_t *field = NULL;

    json_array_foreach(fields, i, field)(void) json_array_append_new(
        pairs, json_pack("[O, O]", json_object_get(field, "name"), json_object_get(field, "type")));
    json_dump_canonical(pairs, &text);
    digest_sha256_hex(buf_str(&text), fingerprint);
    fingerprint[VERSION_HEX] = '\0';
    buf_release(&text);
    json_decref(pairs);
    return json_pack("{s:s, s:O}", "fingerprint", fingerprint, "fields", fields);
}

bool describe_parquet(struct engine *engine, const json_t *paths, json_t *content, json_t *ret_rows,
                      struct err *err)
{
    json_t *fields = json_array();
    json_t *columns = json_object();
    struct err problem = {0};
    bool ok = read_rows(engine, paths, ret_rows, &problem) &&
              read_schema(engine, paths, fields, &problem) &&
              read_stats(engine, paths, fields, columns, &problem);

    if (ok) {
        (void)json_object_set_new(content, "schema", schema_of(fields));
        (void)json_object_set(content, "columns", columns);
    } else {
        *err = problem;
    }
    json_decref(fields);
    json_decref(columns);
    return ok;
}
