/* Results: rows read straight out of DuckDB's vectors, chunk by chunk. */
#include "base/mem.h"
#include "tasks/engine/internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

struct engine_result {
    struct engine *engine;
    duckdb_connection connection; /* the engine's, or one of its own */
    duckdb_result result;
    duckdb_data_chunk chunk;
    struct column *columns;
    size_t column_count;
    size_t rows; /* in the chunk */
    size_t row;
    bool streaming; /* counted in engine->streaming */
};

/* Types whose vectors value.c reads; all others are cast to text inside the query. */
static bool type_is_plain(duckdb_type type)
{
    return (type >= DUCKDB_TYPE_BOOLEAN && type <= DUCKDB_TYPE_ENUM) ||
           type == DUCKDB_TYPE_UHUGEINT || type == DUCKDB_TYPE_UUID ||
           type == DUCKDB_TYPE_TIME_TZ || type == DUCKDB_TYPE_TIMESTAMP_TZ;
}

static duckdb_type column_type_id(duckdb_prepared_statement prepared, idx_t column)
{
    duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(prepared, column);
    duckdb_type id = duckdb_get_type_id(type);

    duckdb_destroy_logical_type(&type);
    return id;
}

static bool needs_cast(duckdb_prepared_statement prepared)
{
    idx_t count = duckdb_prepared_statement_column_count(prepared);

    for (idx_t i = 0; i < count; i++)
        if (!type_is_plain(column_type_id(prepared, i)))
            return true;
    return false;
}

/* SELECT c0, CAST(c1 AS VARCHAR) FROM (<sql>) t(c0, c1): the names are made up, since a query may
 * use one name twice. */
static void add_cast_query(duckdb_prepared_statement prepared, const char *sql, struct buf *out)
{
    idx_t count = duckdb_prepared_statement_column_count(prepared);

    buf_add_text(out, "SELECT ");
    for (idx_t i = 0; i < count; i++)
        buf_printf(out, type_is_plain(column_type_id(prepared, i)) ? "%sc%zu" : "%sc%zu::VARCHAR",
                   i == 0 ? "" : ", ", (size_t)i);
    struct str text = str_trim(str_from(sql));
    while (text.len > 0 && text.ptr[text.len - 1] == ';')
        text = str_trim(str_sub(text, 0, text.len - 1));
    buf_printf(out, " FROM (%.*s\n) t(", STR_ARG(text));
    for (idx_t i = 0; i < count; i++)
        buf_printf(out, "%sc%zu", i == 0 ? "" : ", ", (size_t)i);
    buf_add_char(out, ')');
}

static bool prepare(duckdb_connection connection, const char *sql, duckdb_prepared_statement *ret,
                    struct err *err)
{
    if (duckdb_prepare(connection, sql, ret) == DuckDBSuccess)
        return true;
    return err_set(err, ERR_INVALID, "%s", duckdb_prepare_error(*ret));
}

static void fill_names(struct engine_result *result, duckdb_prepared_statement prepared)
{
    result->column_count = (size_t)duckdb_prepared_statement_column_count(prepared);
    result->columns = mem_alloc_array(result->column_count, sizeof(*result->columns));
    for (size_t i = 0; i < result->column_count; i++)
        result->columns[i].name = duckdb_prepared_statement_column_name(prepared, i);
}

static void fill_enum(struct column *column, duckdb_logical_type type)
{
    column->internal = duckdb_enum_internal_type(type);
    column->label_count = duckdb_enum_dictionary_size(type);
    column->labels = mem_alloc_array(column->label_count, sizeof(*column->labels));
    for (size_t i = 0; i < column->label_count; i++)
        column->labels[i] = duckdb_enum_dictionary_value(type, i);
}

/* Type names are those of the query as given; how to read a vector is the executed query's. */
static void fill_types(struct engine_result *result, duckdb_prepared_statement asked,
                       duckdb_prepared_statement run)
{
    for (size_t i = 0; i < result->column_count; i++) {
        struct column *column = &result->columns[i];
        struct buf name = {0};
        duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(asked, i);
        engine_add_type_name(type, &name);
        column->type_name = buf_take(&name);
        duckdb_destroy_logical_type(&type);

        type = duckdb_prepared_statement_column_logical_type(run, i);
        column->type = duckdb_get_type_id(type);
        if (column->type == DUCKDB_TYPE_DECIMAL) {
            column->internal = duckdb_decimal_internal_type(type);
            column->width = duckdb_decimal_width(type);
            column->scale = duckdb_decimal_scale(type);
        }
        if (column->type == DUCKDB_TYPE_ENUM)
            fill_enum(column, type);
        duckdb_destroy_logical_type(&type);
    }
}

static bool start(struct engine_result *result, duckdb_prepared_statement prepared, struct err *err)
{
    duckdb_pending_result pending = NULL;
    bool ok = duckdb_pending_prepared_streaming(prepared, &pending) == DuckDBSuccess ||
              err_set(err, ERR_DATA, "%s", duckdb_pending_error(pending));

    if (ok && duckdb_execute_pending(pending, &result->result) != DuckDBSuccess)
        ok = engine_fail(err, duckdb_result_error_type(&result->result),
                         duckdb_result_error(&result->result));
    duckdb_destroy_pending(&pending);
    if (ok && result->connection == result->engine->connection) {
        result->streaming = true;
        result->engine->streaming++;
    }
    return ok;
}

static bool open_result(struct engine_result *result, const char *sql, struct err *err)
{
    duckdb_prepared_statement asked = NULL;
    duckdb_prepared_statement cast = NULL;
    struct buf cast_sql = {0};
    bool ok = prepare(result->connection, sql, &asked, err);

    if (ok) {
        fill_names(result, asked);
        if (needs_cast(asked)) {
            add_cast_query(asked, sql, &cast_sql);
            ok = prepare(result->connection, buf_text(&cast_sql), &cast, err) ||
                 err_wrap(err, "the statement returns nested values");
        }
    }
    if (ok) {
        fill_types(result, asked, cast == NULL ? asked : cast);
        ok = start(result, cast == NULL ? asked : cast, err);
    }
    buf_release(&cast_sql);
    duckdb_destroy_prepare(&asked);
    duckdb_destroy_prepare(&cast);
    return ok;
}

struct engine_result *engine_query(struct engine *engine, const char *sql, struct err *err)
{
    struct engine_result *result = mem_alloc(sizeof(*result));

    result->engine = engine;
    result->connection = engine->connection;
    if (engine->streaming > 0 &&
        duckdb_connect(engine->database, &result->connection) != DuckDBSuccess) {
        free(result);
        err_set(err, ERR_FAILED, "connect to DuckDB");
        return NULL;
    }
    if (open_result(result, sql, err))
        return result;
    engine_result_free(result);
    return NULL;
}

static void end_streaming(struct engine_result *result)
{
    if (result->streaming)
        result->engine->streaming--;
    result->streaming = false;
}

void engine_result_free(struct engine_result *result)
{
    if (result == NULL)
        return;
    if (result->chunk != NULL)
        duckdb_destroy_data_chunk(&result->chunk);
    duckdb_destroy_result(&result->result);
    end_streaming(result);
    if (result->connection != result->engine->connection)
        duckdb_disconnect(&result->connection);
    for (size_t i = 0; i < result->column_count; i++) {
        struct column *column = &result->columns[i];
        for (size_t label = 0; label < column->label_count; label++)
            duckdb_free(column->labels[label]);
        free(column->labels);
        duckdb_free((void *)(uintptr_t)column->name);
        free(column->type_name);
        buf_release(&column->text);
    }
    free(result->columns);
    free(result);
}

size_t engine_column_count(const struct engine_result *result)
{
    return result->column_count;
}

const char *engine_column_name(const struct engine_result *result, size_t column)
{
    assert(column < result->column_count);
    return result->columns[column].name;
}

const char *engine_column_type(const struct engine_result *result, size_t column)
{
    assert(column < result->column_count);
    return result->columns[column].type_name;
}

static bool next_chunk(struct engine_result *result, struct err *err)
{
    do {
        if (result->chunk != NULL)
            duckdb_destroy_data_chunk(&result->chunk);
        result->chunk = duckdb_fetch_chunk(result->result);
        if (result->chunk == NULL) {
            const char *message = duckdb_result_error(&result->result);
            end_streaming(result);
            *err = (struct err){0};
            if (message != NULL)
                engine_fail(err, duckdb_result_error_type(&result->result), message);
            result->rows = result->row = 0;
            return false;
        }
        result->rows = (size_t)duckdb_data_chunk_get_size(result->chunk);
    } while (result->rows == 0);
    for (size_t i = 0; i < result->column_count; i++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(result->chunk, i);
        result->columns[i].data = duckdb_vector_get_data(vector);
        result->columns[i].validity = duckdb_vector_get_validity(vector);
    }
    result->row = 0;
    return true;
}

bool engine_next(struct engine_result *result, struct err *err)
{
    if (result->row + 1 < result->rows) {
        result->row++;
        return true;
    }
    return next_chunk(result, err);
}

static struct column *current(struct engine_result *result, size_t column)
{
    assert(column < result->column_count && result->row < result->rows);
    return &result->columns[column];
}

bool engine_is_null(struct engine_result *result, size_t column)
{
    struct column *c = current(result, column);

    return c->validity != NULL && (c->validity[result->row / 64] >> (result->row % 64) & 1) == 0;
}

static bool type_is_string(duckdb_type type)
{
    return type == DUCKDB_TYPE_VARCHAR || type == DUCKDB_TYPE_BLOB;
}

static struct str read_string(const struct column *column, size_t row)
{
    const duckdb_string_t *string = &((const duckdb_string_t *)column->data)[row];
    uint32_t len = string->value.inlined.length;

    return (struct str){len <= 12 ? string->value.inlined.inlined : string->value.pointer.ptr, len};
}

double engine_real(struct engine_result *result, size_t column)
{
    struct column *c = current(result, column);
    double value = 0;

    if (engine_is_null(result, column))
        return 0;
    if (c->type == DUCKDB_TYPE_DOUBLE)
        return ((const double *)c->data)[result->row];
    if (c->type == DUCKDB_TYPE_FLOAT)
        return (double)((const float *)c->data)[result->row];
    if (c->type == DUCKDB_TYPE_HUGEINT)
        return duckdb_hugeint_to_double(((const duckdb_hugeint *)c->data)[result->row]);
    if (c->type == DUCKDB_TYPE_UBIGINT)
        return (double)((const uint64_t *)c->data)[result->row];
    if (type_is_string(c->type) || c->type == DUCKDB_TYPE_DECIMAL || c->type == DUCKDB_TYPE_ENUM ||
        c->type == DUCKDB_TYPE_UHUGEINT) {
        (void)str_to_float(engine_text(result, column), &value);
        return value;
    }
    return (double)engine_int(result, column);
}

int64_t engine_int(struct engine_result *result, size_t column)
{
    struct column *c = current(result, column);
    int64_t value = 0;

    if (engine_is_null(result, column))
        return 0;
    if (type_is_string(c->type) || c->type == DUCKDB_TYPE_ENUM) {
        (void)str_to_int(engine_text(result, column), &value);
        return value;
    }
    if (c->type == DUCKDB_TYPE_FLOAT || c->type == DUCKDB_TYPE_DOUBLE ||
        c->type == DUCKDB_TYPE_DECIMAL || c->type == DUCKDB_TYPE_UHUGEINT) {
        double real = engine_real(result, column);
        if (isnan(real))
            return 0;
        if (real >= 0x1p63 || real < -0x1p63)
            return real < 0 ? INT64_MIN : INT64_MAX;
        return (int64_t)real;
    }
    return engine_read_int(c->type, c->data, result->row);
}

bool engine_bool(struct engine_result *result, size_t column)
{
    return engine_int(result, column) != 0;
}

struct str engine_text(struct engine_result *result, size_t column)
{
    struct column *c = current(result, column);

    if (engine_is_null(result, column))
        return (struct str){0};
    if (c->type == DUCKDB_TYPE_VARCHAR)
        return read_string(c, result->row);
    if (c->type == DUCKDB_TYPE_ENUM) {
        int64_t label = engine_read_int(c->internal, c->data, result->row);
        assert((size_t)label < c->label_count);
        return str_from(c->labels[label]);
    }
    buf_clear(&c->text);
    engine_format(c, result->row, &c->text);
    return buf_str(&c->text);
}

struct str engine_blob(struct engine_result *result, size_t column)
{
    struct column *c = current(result, column);

    if (type_is_string(c->type) && !engine_is_null(result, column))
        return read_string(c, result->row);
    return engine_text(result, column);
}

static bool fits_int(const struct column *column, size_t row)
{
    int64_t value = engine_read_int(column->type, column->data, row);

    if (column->type == DUCKDB_TYPE_UBIGINT || column->type == DUCKDB_TYPE_HUGEINT)
        return value != INT64_MAX && value != INT64_MIN;
    return true;
}

json_t *engine_json(struct engine_result *result, size_t column)
{
    struct column *c = current(result, column);

    if (engine_is_null(result, column))
        return json_null();
    if (c->type == DUCKDB_TYPE_BOOLEAN)
        return json_boolean(engine_bool(result, column));
    if (c->type == DUCKDB_TYPE_FLOAT || c->type == DUCKDB_TYPE_DOUBLE) {
        double value = engine_real(result, column);
        return isfinite(value) ? json_real(value) : json_null();
    }
    if (((c->type >= DUCKDB_TYPE_TINYINT && c->type <= DUCKDB_TYPE_UBIGINT) ||
         c->type == DUCKDB_TYPE_HUGEINT) &&
        fits_int(c, result->row))
        return json_integer(engine_int(result, column));
    struct str text = engine_text(result, column);
    return json_stringn_nocheck(text.ptr == NULL ? "" : text.ptr, text.len);
}

json_t *engine_one_row(struct engine *engine, const char *sql, struct err *err)
{
    struct engine_result *result = engine_query(engine, sql, err);

    if (result == NULL)
        return NULL;
    json_t *row = NULL;
    *err = (struct err){0};
    if (engine_next(result, err)) {
        row = json_object();
        for (size_t i = 0; i < result->column_count; i++)
            (void)json_object_set_new_nocheck(row, result->columns[i].name, engine_json(result, i));
    } else if (err->code == ERR_NONE) {
        err_set(err, ERR_DATA, "one row was expected, but there is none");
    }
    if (row != NULL && engine_next(result, err)) {
        err_set(err, ERR_DATA, "one row was expected, but there are more");
        json_decref(row);
        row = NULL;
    } else if (row != NULL && err->code != ERR_NONE) {
        json_decref(row);
        row = NULL;
    }
    engine_result_free(result);
    return row;
}
