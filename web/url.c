#include "web/url.h"

#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes into the arena; NULL for a broken escape, a control byte or bytes that are not UTF-8. */
static char *decode(struct arena *arena, struct str text, bool plus_is_space, size_t *ret_len)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return NULL;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return NULL;
        out[len++] = c;
    }
    if (!str_is_utf8((struct str){out, len}))
        return NULL;
    *ret_len = len;
    return out;
}

static bool decode_segment(struct arena *arena, struct str text, const char **ret, struct err *err)
{
    size_t len = 0;
    char *segment = decode(arena, text, false, &len);

    if (segment == NULL)
        return err_set(err, ERR_BAD_REQUEST, "the path holds a broken or forbidden escape");
    if (strchr(segment, '/') != NULL || strchr(segment, '\\') != NULL)
        return err_set(err, ERR_BAD_REQUEST, "the path holds an escaped separator");
    if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
        return err_set(err, ERR_BAD_REQUEST, "the path holds \".\" or \"..\"");
    *ret = segment;
    return true;
}

static bool parse_path(struct arena *arena, struct str path, struct target *target, struct err *err)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return err_set(err, ERR_BAD_REQUEST, "the path must begin with a slash");
    if (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (path.len == 1)
        return true;
    for (size_t from = 1; from <= path.len;) {
        size_t slash = str_find(path, '/', from);
        size_t to = slash == SIZE_MAX ? path.len : slash;
        if (target->segment_count == HTTP_SEGMENTS_MAX)
            return err_set(err, ERR_NOT_FOUND, "Not Found");
        if (!decode_segment(arena, str_sub(path, from, to),
                            &target->segments[target->segment_count], err))
            return false;
        target->segment_count++;
        from = to + 1;
    }
    return true;
}

static bool parse_query(struct arena *arena, struct str query, struct target *target,
                        struct err *err)
{
    for (size_t from = 0; from < query.len;) {
        size_t amp = str_find(query, '&', from);
        size_t to = amp == SIZE_MAX ? query.len : amp;
        struct str pair = str_sub(query, from, to);
        from = to + 1;
        if (pair.len == 0)
            continue;
        if (target->param_count == HTTP_PARAMS_MAX)
            return err_set(err, ERR_BAD_REQUEST, "more than %d query parameters", HTTP_PARAMS_MAX);
        size_t equals = str_find(pair, '=', 0);
        size_t name_end = equals == SIZE_MAX ? pair.len : equals;
        size_t value_at = equals == SIZE_MAX ? pair.len : equals + 1;
        size_t len = 0;
        struct http_param *param = &target->params[target->param_count++];
        param->name = decode(arena, str_sub(pair, 0, name_end), true, &len);
        param->value = decode(arena, str_sub(pair, value_at, pair.len), true, &len);
        if (param->name == NULL || param->value == NULL)
            return err_set(err, ERR_BAD_REQUEST, "the query holds a broken or forbidden escape");
    }
    return true;
}

bool url_parse(struct arena *arena, struct str target, struct target *ret, struct err *err)
{
    struct target parsed = {0};
    size_t question = str_find(target, '?', 0);
    size_t path_end = question == SIZE_MAX ? target.len : question;
    size_t query_at = question == SIZE_MAX ? target.len : question + 1;

    if (target.len > HTTP_TARGET_BYTES_MAX)
        return err_set(err, ERR_BAD_REQUEST, "the address is longer than %zu bytes",
                       HTTP_TARGET_BYTES_MAX);
    if (!parse_path(arena, str_sub(target, 0, path_end), &parsed, err) ||
        !parse_query(arena, str_sub(target, query_at, target.len), &parsed, err))
        return false;
    *ret = parsed;
    return true;
}
