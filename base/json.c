#include "base/json.h"

json_t *json_parse(struct str text, struct err *err)
{
    json_error_t error;
    json_t *value =
        json_loadb(text.len == 0 ? "" : text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);

    if (value == NULL) {
        err_set(err, ERR_INVALID, "invalid JSON: %s", error.text);
        err->line = error.line > 0 ? (uint32_t)error.line : 0;
        err->column = error.column > 0 ? (uint32_t)error.column : 0;
    }
    return value;
}

static int dump_to_buf(const char *bytes, size_t size, void *out)
{
    buf_add(out, bytes, size);
    return 0;
}

void json_dump_canonical(const json_t *value, struct buf *out)
{
    size_t flags = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY;

    (void)json_dump_callback(value, dump_to_buf, out, flags);
}

void json_dump_ordered(const json_t *value, struct buf *out)
{
    (void)json_dump_callback(value, dump_to_buf, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

const char *json_get_string(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

double json_get_number(const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : fallback;
}

bool json_get_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : fallback;
}
