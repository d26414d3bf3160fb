/* Values of single vectors: numbers as they stand, everything else as DuckDB would print it. */
#include "tasks/engine/internal.h"

#include <inttypes.h>

static int64_t clamp_hugeint(duckdb_hugeint value)
{
    if (value.upper == 0 && value.lower <= INT64_MAX)
        return (int64_t)value.lower;
    if (value.upper == -1 && value.lower > INT64_MAX)
        return (int64_t)value.lower;
    return value.upper < 0 ? INT64_MIN : INT64_MAX;
}

int64_t engine_read_int(duckdb_type type, const void *data, size_t row)
{
    if (type == DUCKDB_TYPE_BOOLEAN)
        return ((const bool *)data)[row];
    if (type == DUCKDB_TYPE_TINYINT)
        return ((const int8_t *)data)[row];
    if (type == DUCKDB_TYPE_UTINYINT)
        return ((const uint8_t *)data)[row];
    if (type == DUCKDB_TYPE_SMALLINT)
        return ((const int16_t *)data)[row];
    if (type == DUCKDB_TYPE_USMALLINT)
        return ((const uint16_t *)data)[row];
    if (type == DUCKDB_TYPE_INTEGER || type == DUCKDB_TYPE_DATE)
        return ((const int32_t *)data)[row];
    if (type == DUCKDB_TYPE_UINTEGER)
        return ((const uint32_t *)data)[row];
    if (type == DUCKDB_TYPE_HUGEINT)
        return clamp_hugeint(((const duckdb_hugeint *)data)[row]);
    if (type == DUCKDB_TYPE_UBIGINT) {
        uint64_t value = ((const uint64_t *)data)[row];
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    }
    return ((const int64_t *)data)[row]; /* BIGINT and the times that are one */
}

static duckdb_hugeint read_hugeint(duckdb_type type, const void *data, size_t row)
{
    if (type == DUCKDB_TYPE_HUGEINT)
        return ((const duckdb_hugeint *)data)[row];
    int64_t value = engine_read_int(type, data, row);
    return (duckdb_hugeint){.lower = (uint64_t)value, .upper = value < 0 ? -1 : 0};
}

/* A UUID's first bit is flipped inside DuckDB so that UUIDs sort as signed numbers. */
static duckdb_value uuid_value(const void *data, size_t row)
{
    duckdb_hugeint value = ((const duckdb_hugeint *)data)[row];

    return duckdb_create_uuid((duckdb_uhugeint){
        .lower = value.lower, .upper = (uint64_t)value.upper ^ (UINT64_C(1) << 63)});
}

static duckdb_value blob_value(const void *data, size_t row)
{
    duckdb_string_t string = ((const duckdb_string_t *)data)[row];

    return duckdb_create_blob((const uint8_t *)duckdb_string_t_data(&string),
                              duckdb_string_t_length(string));
}

static duckdb_value time_value(duckdb_type type, const void *data, size_t row)
{
    int64_t value = engine_read_int(DUCKDB_TYPE_BIGINT, data, row);

    if (type == DUCKDB_TYPE_TIME)
        return duckdb_create_time((duckdb_time){value});
    if (type == DUCKDB_TYPE_TIME_TZ)
        return duckdb_create_time_tz_value((duckdb_time_tz){(uint64_t)value});
    if (type == DUCKDB_TYPE_TIMESTAMP)
        return duckdb_create_timestamp((duckdb_timestamp){value});
    if (type == DUCKDB_TYPE_TIMESTAMP_TZ)
        return duckdb_create_timestamp_tz((duckdb_timestamp){value});
    if (type == DUCKDB_TYPE_TIMESTAMP_S)
        return duckdb_create_timestamp_s((duckdb_timestamp_s){value});
    if (type == DUCKDB_TYPE_TIMESTAMP_MS)
        return duckdb_create_timestamp_ms((duckdb_timestamp_ms){value});
    return duckdb_create_timestamp_ns((duckdb_timestamp_ns){value});
}

static duckdb_value column_value(const struct column *column, size_t row)
{
    const void *data = column->data;

    if (column->type == DUCKDB_TYPE_FLOAT)
        return duckdb_create_float(((const float *)data)[row]);
    if (column->type == DUCKDB_TYPE_DOUBLE)
        return duckdb_create_double(((const double *)data)[row]);
    if (column->type == DUCKDB_TYPE_DATE)
        return duckdb_create_date(((const duckdb_date *)data)[row]);
    if (column->type == DUCKDB_TYPE_INTERVAL)
        return duckdb_create_interval(((const duckdb_interval *)data)[row]);
    if (column->type == DUCKDB_TYPE_HUGEINT)
        return duckdb_create_hugeint(((const duckdb_hugeint *)data)[row]);
    if (column->type == DUCKDB_TYPE_UHUGEINT)
        return duckdb_create_uhugeint(((const duckdb_uhugeint *)data)[row]);
    if (column->type == DUCKDB_TYPE_UUID)
        return uuid_value(data, row);
    if (column->type == DUCKDB_TYPE_BLOB)
        return blob_value(data, row);
    if (column->type == DUCKDB_TYPE_DECIMAL)
        return duckdb_create_decimal((duckdb_decimal){column->width, column->scale,
                                                      read_hugeint(column->internal, data, row)});
    return time_value(column->type, data, row);
}

static bool add_plain(const struct column *column, size_t row, struct buf *out)
{
    if (column->type == DUCKDB_TYPE_BOOLEAN)
        buf_add_text(out, ((const bool *)column->data)[row] ? "true" : "false");
    else if (column->type == DUCKDB_TYPE_UBIGINT)
        buf_printf(out, "%" PRIu64, ((const uint64_t *)column->data)[row]);
    else if (column->type >= DUCKDB_TYPE_TINYINT && column->type < DUCKDB_TYPE_UBIGINT)
        buf_printf(out, "%" PRId64, engine_read_int(column->type, column->data, row));
    else
        return false;
    return true;
}

void engine_format(const struct column *column, size_t row, struct buf *out)
{
    if (add_plain(column, row, out))
        return;
    duckdb_value value = column_value(column, row);
    char *text = duckdb_get_varchar(value);
    if (text != NULL)
        buf_add_text(out, text);
    duckdb_free(text);
    duckdb_destroy_value(&value);
}
