/* The names of types, spelled as DuckDB does. */
#include "tasks/engine/internal.h"

static const char *const type_names[] = {
    [DUCKDB_TYPE_BOOLEAN] = "BOOLEAN",
    [DUCKDB_TYPE_TINYINT] = "TINYINT",
    [DUCKDB_TYPE_SMALLINT] = "SMALLINT",
    [DUCKDB_TYPE_INTEGER] = "INTEGER",
    [DUCKDB_TYPE_BIGINT] = "BIGINT",
    [DUCKDB_TYPE_UTINYINT] = "UTINYINT",
    [DUCKDB_TYPE_USMALLINT] = "USMALLINT",
    [DUCKDB_TYPE_UINTEGER] = "UINTEGER",
    [DUCKDB_TYPE_UBIGINT] = "UBIGINT",
    [DUCKDB_TYPE_FLOAT] = "FLOAT",
    [DUCKDB_TYPE_DOUBLE] = "DOUBLE",
    [DUCKDB_TYPE_TIMESTAMP] = "TIMESTAMP",
    [DUCKDB_TYPE_DATE] = "DATE",
    [DUCKDB_TYPE_TIME] = "TIME",
    [DUCKDB_TYPE_INTERVAL] = "INTERVAL",
    [DUCKDB_TYPE_HUGEINT] = "HUGEINT",
    [DUCKDB_TYPE_VARCHAR] = "VARCHAR",
    [DUCKDB_TYPE_BLOB] = "BLOB",
    [DUCKDB_TYPE_TIMESTAMP_S] = "TIMESTAMP_S",
    [DUCKDB_TYPE_TIMESTAMP_MS] = "TIMESTAMP_MS",
    [DUCKDB_TYPE_TIMESTAMP_NS] = "TIMESTAMP_NS",
    [DUCKDB_TYPE_ENUM] = "ENUM",
    [DUCKDB_TYPE_UUID] = "UUID",
    [DUCKDB_TYPE_BIT] = "BIT",
    [DUCKDB_TYPE_TIME_TZ] = "TIME WITH TIME ZONE",
    [DUCKDB_TYPE_TIMESTAMP_TZ] = "TIMESTAMP WITH TIME ZONE",
    [DUCKDB_TYPE_UHUGEINT] = "UHUGEINT",
    [DUCKDB_TYPE_BIGNUM] = "BIGNUM",
    [DUCKDB_TYPE_TIME_NS] = "TIME_NS",
};

static void add_members(duckdb_logical_type type, struct buf *out)
{
    bool is_union = duckdb_get_type_id(type) == DUCKDB_TYPE_UNION;
    idx_t count =
        is_union ? duckdb_union_type_member_count(type) : duckdb_struct_type_child_count(type);

    buf_add_text(out, is_union ? "UNION(" : "STRUCT(");
    for (idx_t i = 0; i < count; i++) {
        char *name = is_union ? duckdb_union_type_member_name(type, i)
                              : duckdb_struct_type_child_name(type, i);
        duckdb_logical_type child = is_union ? duckdb_union_type_member_type(type, i)
                                             : duckdb_struct_type_child_type(type, i);
        buf_add_text(out, i == 0 ? "" : ", ");
        engine_add_identifier(out, str_from(name));
        buf_add_char(out, ' ');
        engine_add_type_name(child, out);
        duckdb_free(name);
        duckdb_destroy_logical_type(&child);
    }
    buf_add_char(out, ')');
}

static void add_list_name(duckdb_logical_type type, struct buf *out)
{
    bool is_array = duckdb_get_type_id(type) == DUCKDB_TYPE_ARRAY;
    duckdb_logical_type child =
        is_array ? duckdb_array_type_child_type(type) : duckdb_list_type_child_type(type);

    engine_add_type_name(child, out);
    duckdb_destroy_logical_type(&child);
    if (is_array)
        buf_printf(out, "[%zu]", (size_t)duckdb_array_type_array_size(type));
    else
        buf_add_text(out, "[]");
}

static void add_map_name(duckdb_logical_type type, struct buf *out)
{
    duckdb_logical_type key = duckdb_map_type_key_type(type);
    duckdb_logical_type value = duckdb_map_type_value_type(type);

    buf_add_text(out, "MAP(");
    engine_add_type_name(key, out);
    buf_add_text(out, ", ");
    engine_add_type_name(value, out);
    buf_add_char(out, ')');
    duckdb_destroy_logical_type(&key);
    duckdb_destroy_logical_type(&value);
}

void engine_add_type_name(duckdb_logical_type type, struct buf *out)
{
    duckdb_type id = duckdb_get_type_id(type);

    if (id == DUCKDB_TYPE_DECIMAL)
        buf_printf(out, "DECIMAL(%u,%u)", duckdb_decimal_width(type), duckdb_decimal_scale(type));
    else if (id == DUCKDB_TYPE_STRUCT || id == DUCKDB_TYPE_UNION)
        add_members(type, out);
    else if (id == DUCKDB_TYPE_LIST || id == DUCKDB_TYPE_ARRAY)
        add_list_name(type, out);
    else if (id == DUCKDB_TYPE_MAP)
        add_map_name(type, out);
    else if (id < sizeof(type_names) / sizeof(type_names[0]) && type_names[id] != NULL)
        buf_add_text(out, type_names[id]);
    else
        buf_printf(out, "type %d", (int)id);
}
