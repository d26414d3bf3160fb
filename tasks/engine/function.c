/* Functions of ours in SQL. */
#include "tasks/engine/internal.h"

static duckdb_scalar_function make_function(const char *name, const duckdb_type *types,
                                            size_t parameter_count, duckdb_scalar_function_t run)
{
    duckdb_scalar_function function = duckdb_create_scalar_function();

    duckdb_scalar_function_set_name(function, name);
    for (size_t i = 0; i <= parameter_count; i++) {
        duckdb_logical_type type = duckdb_create_logical_type(types[i]);
        if (i < parameter_count)
            duckdb_scalar_function_add_parameter(function, type);
        else
            duckdb_scalar_function_set_return_type(function, type);
        duckdb_destroy_logical_type(&type);
    }
    duckdb_scalar_function_set_function(function, run);
    return function;
}

static bool register_made(duckdb_connection connection, const char *name,
                          duckdb_scalar_function function, struct err *err)
{
    bool ok = duckdb_register_scalar_function(connection, function) == DuckDBSuccess;

    duckdb_destroy_scalar_function(&function);
    return ok || err_set(err, ERR_FAILED, "DuckDB refused the function %s", name);
}

bool engine_register(duckdb_connection connection, const char *name, const duckdb_type *types,
                     size_t parameter_count, duckdb_scalar_function_t run, struct err *err)
{
    return register_made(connection, name, make_function(name, types, parameter_count, run), err);
}

static struct str text_at(const duckdb_string_t *text)
{
    uint32_t len = text->value.inlined.length;

    return (struct str){len <= 12 ? text->value.inlined.inlined : text->value.pointer.ptr, len};
}

static void text_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const struct text_function *function = duckdb_scalar_function_get_extra_info(info);
    idx_t count = duckdb_data_chunk_get_size(input);
    duckdb_vector texts = duckdb_data_chunk_get_vector(input, 0);
    const duckdb_string_t *text = duckdb_vector_get_data(texts);
    uint64_t *text_valid = duckdb_vector_get_validity(texts);
    char *value = duckdb_vector_get_data(output);

    duckdb_vector_ensure_validity_writable(output);
    uint64_t *valid = duckdb_vector_get_validity(output);
    for (idx_t i = 0; i < count; i++) {
        bool given = duckdb_validity_row_is_valid(text_valid, i);
        if (given && function->read(text_at(&text[i]), value + i * function->size))
            continue;
        if (given && function->required) {
            duckdb_scalar_function_set_error(info, "the text can't be read");
            return;
        }
        duckdb_validity_set_row_invalid(valid, i);
    }
}

bool engine_register_text(duckdb_connection connection, const struct text_function *function,
                          struct err *err)
{
    const duckdb_type types[] = {DUCKDB_TYPE_VARCHAR, function->type};
    duckdb_scalar_function made = make_function(function->name, types, 1, text_run);

    /* The library only hands it back to text_run(), which doesn't write to it. */
    duckdb_scalar_function_set_extra_info(made, (void *)(uintptr_t)function, NULL);
    return register_made(connection, function->name, made, err);
}
