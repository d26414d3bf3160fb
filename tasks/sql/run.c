/* sql: published datasets as views, one SELECT over them, its rows published. */
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/publish.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PART "part-000.parquet"

struct inputs {
    struct dataset **datasets;
    size_t count;
};

static void inputs_release(struct inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++)
        dataset_free(inputs->datasets[i]);
    free(inputs->datasets);
}

/* The datasets stay open, and by that the same, until the query has run. */
static bool open_input(struct attempt *attempt, struct inputs *inputs, const char *name,
                       const char *path, struct err *err)
{
    struct buf sql = {0};

    if (path == NULL)
        return err_set(err, ERR_INVALID, "input %s must be the path of a dataset", name);
    struct dataset *dataset = dataset_open(path, err);
    if (dataset == NULL)
        return err_wrap(err, "input %s", name);
    inputs->datasets =
        mem_resize_array(inputs->datasets, inputs->count + 1, sizeof(struct dataset *));
    inputs->datasets[inputs->count++] = dataset;
    buf_add_text(&sql, "CREATE OR REPLACE VIEW ");
    engine_add_identifier(&sql, str_from(name));
    buf_add_text(&sql, " AS SELECT * FROM ");
    dataset_add_source(dataset, &sql);
    bool ok = engine_run(attempt->engine, buf_text(&sql), NULL, err) ||
              err_wrap(err, "input %s (%s)", name, path);
    buf_release(&sql);
    return ok;
}

static bool open_inputs(struct attempt *attempt, struct inputs *inputs, struct err *err)
{
    const char *name = NULL;
    json_t *path = NULL;

    json_object_foreach(
        json_object_get(attempt->options, "inputs"), name,
        path) if (!open_input(attempt, inputs, name, json_string_value(path), err)) return false;
    return true;
}

static struct str without_semicolon(struct str text)
{
    text = str_trim(text);
    while (text.len > 0 && text.ptr[text.len - 1] == ';')
        text = str_trim(str_sub(text, 0, text.len - 1));
    return text;
}

/* Parquet has no HUGEINT, the type of a sum of integers: DuckDB would write it as a DOUBLE, which
 * loses digits without a word. As BIGINT it is exact, or an error. */
static bool add_columns(const struct attempt *attempt, struct str query, struct buf *sql,
                        struct err *err)
{
    struct buf describe = {0};
    const char *separator = "";

    buf_printf(&describe, "DESCRIBE SELECT * FROM (\n%.*s\n)", STR_ARG(query));
    struct engine_result *rows = engine_query(attempt->engine, buf_text(&describe), err);
    buf_release(&describe);
    if (rows == NULL)
        return false;
    buf_add_text(sql, "SELECT ");
    while (engine_next(rows, err)) {
        struct str type = engine_text(rows, 1);
        buf_add_text(sql, separator);
        separator = ", ";
        engine_add_identifier(sql, engine_text(rows, 0));
        if (!str_is(type, "HUGEINT") && !str_is(type, "UHUGEINT"))
            continue;
        buf_add_text(sql, "::BIGINT AS ");
        engine_add_identifier(sql, engine_text(rows, 0));
    }
    engine_result_free(rows);
    return err->code == ERR_NONE;
}

/* The line end before the bracket keeps it out of a comment at the query's end. */
static bool add_query(const struct attempt *attempt, struct buf *sql, struct err *err)
{
    const json_t *order = json_object_get(attempt->options, "order_by");
    struct str query = without_semicolon(str_from(json_get_string(attempt->options, "query", "")));
    size_t count = json_is_array(order) ? json_array_size(order) : json_is_string(order);

    if (!add_columns(attempt, query, sql, err))
        return false;
    buf_printf(sql, " FROM (\n%.*s\n)", STR_ARG(query));
    for (size_t i = 0; i < count; i++) {
        buf_add_text(sql, i == 0 ? " ORDER BY " : ", ");
        engine_add_identifier(sql, str_from(json_string_value(
                                       json_is_array(order) ? json_array_get(order, i) : order)));
    }
    return true;
}

static bool copy_rows(const struct attempt *attempt, const struct publication *publication,
                      int64_t *ret_rows, struct err *err)
{
    char *path = fs_join(publication_folder(publication), PART);
    struct buf sql = {0};

    buf_add_text(&sql, "COPY (");
    bool ok = add_query(attempt, &sql, err);
    buf_add_text(&sql, ") TO ");
    engine_add_literal(&sql, str_from(path));
    buf_printf(&sql, " (FORMAT parquet, COMPRESSION %s)",
               json_get_string(attempt->options, "codec", "zstd"));
    ok = ok && engine_run(attempt->engine, buf_text(&sql), ret_rows, err);
    buf_release(&sql);
    free(path);
    return ok;
}

static bool publish(struct attempt *attempt, const struct inputs *inputs,
                    struct publication *publication, struct err *err)
{
    bool unchanged = false;
    int64_t rows = 0;

    if (!copy_rows(attempt, publication, &rows, err) ||
        !publication_add_file(publication, PART, rows, err) ||
        !publication_describe_parquet(publication, err))
        return false;
    for (size_t i = 0; i < inputs->count; i++)
        dataset_add_inputs(inputs->datasets[i], publication);
    (void)json_object_set_new(publication_content(publication), "kind", json_string("sql"));
    if (!publication_commit(publication, &unchanged, err))
        return false;
    (void)printf("%" PRId64 " rows%s: %s version %s\n", rows, unchanged ? ", unchanged" : "",
                 json_get_string(attempt->outputs, "manifest", ""),
                 json_get_string(attempt->outputs, "version", ""));
    return true;
}

static bool is_unchanged(const struct attempt *attempt, const struct inputs *inputs)
{
    json_t *before = published_candidate(attempt, json_get_string(attempt->options, "target", ""));
    json_t *list = json_array();

    for (size_t i = 0; i < inputs->count; i++)
        dataset_list_inputs(inputs->datasets[i], list);
    bool same = published_is_unchanged(attempt, before, list);
    json_decref(list);
    json_decref(before);
    return same;
}

bool sql_run(struct attempt *attempt, struct err *err)
{
    struct inputs inputs = {0};
    struct publication *publication = NULL;
    const char *query = json_get_string(attempt->options, "query", "");
    const char *target = json_get_string(attempt->options, "target", "");

    bool ok = open_inputs(attempt, &inputs, err);
    if (ok && !engine_check_select(attempt->engine, query, err))
        ok = err_wrap(err, "query");
    if (ok && !is_unchanged(attempt, &inputs)) {
        publication = publication_begin(attempt, target, err);
        ok = publication != NULL && publish(attempt, &inputs, publication, err);
    }
    publication_free(publication);
    inputs_release(&inputs);
    return ok;
}
