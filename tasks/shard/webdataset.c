/* A row as a WebDataset sample: <key>.json with the plain columns, and a member per column that has
 * an extension. A null member is left out, as the format has no null. */
#include "base/json.h"
#include "base/jw.h"
#include "base/timefmt.h"
#include "tasks/shard/encoder.h"
#include "tasks/shard/tar.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* DuckDB writes .05 where JSON wants 0.05. */
static void add_decimal(struct jw *json, struct str text)
{
    char number[64];
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    struct str digits = str_sub(text, is_negative ? 1 : 0, text.len);
    int len = snprintf(number, sizeof(number), "%s%s%.*s", is_negative ? "-" : "",
                       str_starts(digits, STR(".")) ? "0" : "", STR_ARG(digits));

    jw_raw(json, (struct str){number, len < 0 ? 0 : (size_t)len});
}

/* DuckDB's JSON has NaN and Infinity, which JSON has not. */
static bool add_nested(struct jw *json, const char *column, struct str text, struct err *err)
{
    json_t *value = json_parse(text, err);

    if (value == NULL)
        return err_wrap(err, "`%s` holds what JSON can't, as NaN", column);
    json_decref(value);
    jw_raw(json, text);
    return true;
}

static bool add_field(struct jw *json, const struct encoder_column *column,
                      struct engine_result *rows, size_t place, struct err *err)
{
    char time[TIMEFMT_SIZE];

    jw_key(json, column->name);
    if (engine_is_null(rows, place)) {
        jw_null(json);
        return true;
    }
    switch (column->encoding) {
    case ENCODE_BOOL:
        jw_bool(json, engine_bool(rows, place));
        return true;
    case ENCODE_INT:
        jw_raw(json, engine_text(rows, place));
        return true;
    case ENCODE_DECIMAL:
        add_decimal(json, engine_text(rows, place));
        return true;
    case ENCODE_FLOAT:
        if (isfinite(engine_real(rows, place)))
            jw_raw(json, engine_text(rows, place));
        else
            jw_null(json);
        return true;
    case ENCODE_TIME:
        jw_string(json, timefmt_utc(engine_int(rows, place), time));
        return true;
    case ENCODE_NESTED:
        return add_nested(json, column->name, engine_text(rows, place), err);
    case ENCODE_TEXT:
    case ENCODE_BLOB:
    case ENCODE_INTS:
    case ENCODE_FLOATS:
    case ENCODE_TEXTS:
        jw_str(json, engine_text(rows, place));
        return true;
    }
    return true;
}

static void start_name(struct sample_encoder *encoder, struct engine_result *rows)
{
    buf_clear(&encoder->name);
    if (encoder->plan->key_count > 0)
        buf_add_str(&encoder->name, engine_text(rows, 0));
    else
        buf_printf(&encoder->name, "%09" PRId64, encoder->row);
}

static bool add_member(struct sample_encoder *encoder, const char *extension, struct str content,
                       struct buf *out, struct err *err)
{
    size_t key = encoder->name.len;
    struct buf *name = &encoder->name;

    buf_printf(name, ".%s", extension);
    bool ok = tar_add(out, buf_str(name), content, err);
    name->len = key;
    name->ptr[key] = '\0';
    return ok;
}

/* The columns without an extension stand together, at the place of "json" among the extensions. */
static bool add_json(struct sample_encoder *encoder, struct engine_result *rows, size_t *index,
                     struct buf *out, struct err *err)
{
    struct jw json = {.out = &encoder->scratch};

    buf_clear(&encoder->scratch);
    jw_begin_object(&json);
    for (; *index < encoder->count && encoder->columns[*index].extension == NULL; (*index)++)
        if (!add_field(&json, &encoder->columns[*index], rows, *index + ENCODER_FIRST, err))
            return false;
    jw_end_object(&json);
    return add_member(encoder, "json", buf_str(&encoder->scratch), out, err);
}

bool webdataset_add_row(struct sample_encoder *encoder, struct engine_result *rows, struct buf *out,
                        struct err *err)
{
    start_name(encoder, rows);
    for (size_t i = 0; i < encoder->count;) {
        const struct encoder_column *column = &encoder->columns[i];
        if (column->extension == NULL) {
            if (!add_json(encoder, rows, &i, out, err))
                return false;
            continue;
        }
        if (!engine_is_null(rows, i + ENCODER_FIRST)) {
            struct str content = column->encoding == ENCODE_BLOB
                                     ? engine_blob(rows, i + ENCODER_FIRST)
                                     : engine_text(rows, i + ENCODER_FIRST);
            if (!add_member(encoder, column->extension, content, out, err))
                return false;
        }
        i++;
    }
    return true;
}
