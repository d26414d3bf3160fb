/* A row as a tf.train.Example in a TFRecord. A null column is left out, as the format has no null.
 */
#include "base/json.h"
#include "tasks/shard/encoder.h"
#include "tasks/shard/tfrecord.h"

#include <stdlib.h>

static bool bad_list(const struct encoder_column *column, struct err *err)
{
    return err_set(err, ERR_DATA, "a list in `%s` holds a null, which an Example can't hold",
                   column->name);
}

/* "[1,2,3]" and "[1.5,NaN,-Infinity]" as DuckDB writes them: strtoll and strtod read just that. */
static bool add_numbers(const struct encoder_column *column, struct str text, struct buf *values,
                        struct err *err)
{
    const char *at = text.ptr + 1;
    const char *end = text.ptr + text.len - 1;

    while (at < end) {
        char *after = NULL;
        if (column->encoding == ENCODE_INTS)
            example_add_int(values, strtoll(at, &after, 10));
        else
            example_add_float(values, (float)strtod(at, &after));
        if (after == at)
            return bad_list(column, err);
        at = after + 1; /* past the comma or bracket */
    }
    return true;
}

static bool add_texts(const struct encoder_column *column, struct str text, struct buf *values,
                      struct err *err)
{
    json_t *list = json_parse(text, err);
    json_t *item = NULL;
    size_t i = 0;
    bool ok = list != NULL;

    json_array_foreach(list, i, item)
    {
        struct str bytes = {json_string_value(item), json_string_length(item)};
        if (!json_is_string(item)) {
            ok = bad_list(column, err);
            break;
        }
        example_add_bytes(values, bytes);
    }
    json_decref(list);
    return ok;
}

static bool add_values(const struct encoder_column *column, struct engine_result *rows,
                       size_t place, struct buf *values, struct err *err)
{
    switch (column->encoding) {
    case ENCODE_BOOL:
    case ENCODE_INT:
    case ENCODE_TIME:
        example_add_int(values, engine_int(rows, place));
        return true;
    case ENCODE_DECIMAL:
    case ENCODE_FLOAT:
        example_add_float(values, (float)engine_real(rows, place));
        return true;
    case ENCODE_TEXT:
        example_add_bytes(values, engine_text(rows, place));
        return true;
    case ENCODE_BLOB:
        example_add_bytes(values, engine_blob(rows, place));
        return true;
    case ENCODE_INTS:
    case ENCODE_FLOATS:
        return add_numbers(column, engine_text(rows, place), values, err);
    case ENCODE_TEXTS:
        return add_texts(column, engine_text(rows, place), values, err);
    case ENCODE_NESTED:
        break;
    }
    return err_set(err, ERR_INVALID, "`%s` has no form in an Example", column->name);
}

static enum feature_kind kind_of(enum encoding encoding)
{
    switch (encoding) {
    case ENCODE_BOOL:
    case ENCODE_INT:
    case ENCODE_TIME:
    case ENCODE_INTS:
        return FEATURE_INTS;
    case ENCODE_DECIMAL:
    case ENCODE_FLOAT:
    case ENCODE_FLOATS:
        return FEATURE_FLOATS;
    case ENCODE_TEXT:
    case ENCODE_BLOB:
    case ENCODE_TEXTS:
    case ENCODE_NESTED:
        break;
    }
    return FEATURE_BYTES;
}

bool examples_add_row(struct sample_encoder *encoder, struct engine_result *rows, struct buf *out,
                      struct err *err)
{
    struct buf *features = &encoder->scratch;

    buf_clear(features);
    for (size_t i = 0; i < encoder->count; i++) {
        const struct encoder_column *column = &encoder->columns[i];
        if (engine_is_null(rows, i + ENCODER_FIRST))
            continue;
        buf_clear(&encoder->values);
        if (!add_values(column, rows, i + ENCODER_FIRST, &encoder->values, err))
            return false;
        example_add_feature(features, str_from(column->name), kind_of(column->encoding),
                            buf_str(&encoder->values));
    }
    buf_clear(&encoder->values);
    example_finish(&encoder->values, buf_str(features));
    tfrecord_add(&encoder->crc, out, buf_str(&encoder->values));
    return true;
}
