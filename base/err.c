#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http_status;
    int exit_code;
} err_table[ERR_COUNT] = {
#define ERR(name, text, http, exit_code) [ERR_##name] = {text, http, exit_code},
#include "millrace/errors.def"
#undef ERR
};

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;

    *err = (struct err){.code = code};
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return false;
}

bool err_errno(struct err *err, const char *format, ...)
{
    const char *reason = strerror(errno);
    va_list args;

    *err = (struct err){.code = ERR_IO};
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    size_t len = strlen(err->message);
    (void)snprintf(err->message + len, sizeof(err->message) - len, ": %s", reason);
    return false;
}

bool err_wrap(struct err *err, const char *format, ...)
{
    char message[sizeof(err->message)];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    size_t len = strlen(message);
    size_t rest = strlen(err->message);
    if (len + 2 < sizeof(message)) {
        size_t room = sizeof(message) - len - 3;
        memcpy(message + len, ": ", 2);
        memcpy(message + len + 2, err->message, rest < room ? rest : room);
        message[len + 2 + (rest < room ? rest : room)] = '\0';
    }
    memcpy(err->message, message, sizeof(message));
    return false;
}

const char *err_name(enum err_code code)
{
    assert(code < ERR_COUNT);
    return err_table[code].name;
}

int err_http_status(enum err_code code)
{
    assert(code < ERR_COUNT);
    return err_table[code].http_status;
}

int err_exit_code(enum err_code code)
{
    assert(code < ERR_COUNT);
    return err_table[code].exit_code;
}

enum err_code err_from_name(const char *name)
{
    for (unsigned code = 0; code < ERR_COUNT; code++)
        if (strcmp(err_table[code].name, name) == 0)
            return (enum err_code)code;
    return ERR_FAILED;
}
