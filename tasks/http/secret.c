#include "tasks/http/secret.h"

#include "base/fs.h"
#include "base/json.h"

#include <stdlib.h>

#define SECRET_BYTES_MAX 65536

static bool read_secret_file(const char *path, struct buf *out, struct err *err)
{
    struct buf text = {0};

    bool ok = fs_read_file(path, SECRET_BYTES_MAX, &text, err);
    struct str value = buf_str(&text);
    while (value.len > 0 && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
        value.len--;
    if (ok && value.len == 0)
        ok = err_set(err, ERR_INVALID, "%s is empty", path);
    if (ok)
        buf_add_str(out, value);
    buf_release(&text);
    return ok;
}

bool secret_value(const json_t *reference, struct buf *out, struct err *err)
{
    const char *name = json_get_string(reference, "env", NULL);
    const char *path = json_get_string(reference, "file", NULL);

    if (json_is_string(reference)) {
        buf_add(out, json_string_value(reference), json_string_length(reference));
        return true;
    }
    if (path != NULL)
        return read_secret_file(path, out, err);
    if (name == NULL)
        return err_set(err, ERR_INVALID, "it must be a text, {env: NAME} or {file: path}");
    const char *value = getenv(name);
    if (value == NULL || value[0] == '\0')
        return err_set(err, ERR_INVALID, "the worker's environment has no %.200s", name);
    buf_add_text(out, value);
    return true;
}
