/* Functions of ours in SQL, and the one that reads integers. */
#include "base/str.h"
#include "tasks/engine/internal.h"

bool engine_register(duckdb_connection connection, const char *name, const duckdb_type *types,
                     size_t parameter_count, duckdb_scalar_function_t run, struct err *err)
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
    bool ok = duckdb_register_scalar_function(connection, function) == DuckDBSuccess;
    duckdb_destroy_scalar_function(&function);
    return ok || err_set(err, ERR_FAILED, "DuckDB refused the function %s", name);
}

/* "1.0" and "1." are the integer 1, as tools write that have only floats. */
static struct str without_zero_fraction(struct str text)
{
    size_t end = text.len;

    while (end > 0 && text.ptr[end - 1] == '0')
        end--;
    return end > 1 && text.ptr[end - 1] == '.' ? str_sub(text, 0, end - 1) : text;
}

static bool read_int(struct str text, int64_t *ret_value)
{
    text = str_trim(text);
    if (text.len > 1 && text.ptr[0] == '+' && text.ptr[1] != '-')
        text = str_sub(text, 1, text.len);
    return str_to_int(text, ret_value) || str_to_int(without_zero_fraction(text), ret_value);
}

static void int_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    idx_t count = duckdb_data_chunk_get_size(input);
    duckdb_vector texts = duckdb_data_chunk_get_vector(input, 0);
    duckdb_string_t *text = duckdb_vector_get_data(texts);
    uint64_t *text_valid = duckdb_vector_get_validity(texts);
    int64_t *value = duckdb_vector_get_data(output);

    (void)info;
    duckdb_vector_ensure_validity_writable(output);
    uint64_t *valid = duckdb_vector_get_validity(output);
    for (idx_t i = 0; i < count; i++) {
        bool ok = duckdb_validity_row_is_valid(text_valid, i);
        if (ok) {
            uint32_t len = text[i].value.inlined.length;
            struct str s = {len <= 12 ? text[i].value.inlined.inlined : text[i].value.pointer.ptr,
                            len};
            ok = read_int(s, &value[i]);
        }
        if (!ok)
            duckdb_validity_set_row_invalid(valid, i);
    }
}

bool engine_register_int(duckdb_connection connection, struct err *err)
{
    static const duckdb_type types[] = {DUCKDB_TYPE_VARCHAR, DUCKDB_TYPE_BIGINT};

    return engine_register(connection, "millrace_int", types, 1, int_run, err);
}
