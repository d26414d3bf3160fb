/* millrace_xxh3(VARCHAR, UBIGINT): the stable hash behind splits, shuffles and buckets. */
#include "base/digest.h"
#include "tasks/engine/internal.h"

static void xxh3_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    idx_t count = duckdb_data_chunk_get_size(input);
    duckdb_vector texts = duckdb_data_chunk_get_vector(input, 0);
    duckdb_vector seeds = duckdb_data_chunk_get_vector(input, 1);
    duckdb_string_t *text = duckdb_vector_get_data(texts);
    const uint64_t *seed = duckdb_vector_get_data(seeds);
    uint64_t *text_valid = duckdb_vector_get_validity(texts);
    uint64_t *seed_valid = duckdb_vector_get_validity(seeds);
    uint64_t *hash = duckdb_vector_get_data(output);

    (void)info;
    duckdb_vector_ensure_validity_writable(output);
    uint64_t *valid = duckdb_vector_get_validity(output);
    for (idx_t i = 0; i < count; i++) {
        if (!duckdb_validity_row_is_valid(text_valid, i) ||
            !duckdb_validity_row_is_valid(seed_valid, i)) {
            duckdb_validity_set_row_invalid(valid, i);
            continue;
        }
        struct str s = {duckdb_string_t_data(&text[i]), duckdb_string_t_length(text[i])};
        hash[i] = digest_xxh3(s, seed[i]);
    }
}

bool engine_register_xxh3(duckdb_connection connection, struct err *err)
{
    static const duckdb_type types[] = {DUCKDB_TYPE_VARCHAR, DUCKDB_TYPE_UBIGINT,
                                        DUCKDB_TYPE_UBIGINT};

    return engine_register(connection, "millrace_xxh3", types, 2, xxh3_run, err);
}
