/* Errors as values: a code, a message and, where the error has one, a position in a file.
 *
 * A function that can fail takes a `struct err *`, returns false (or NULL) on failure and leaves
 * its out-parameters untouched. The caller wraps context around the message on the way up with
 * err_wrap(). One table, include/millrace/errors.def, gives each code its name, HTTP status and
 * exit code. */
#ifndef MILLRACE_BASE_ERR_H
#define MILLRACE_BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

enum err_code {
#define ERR(name, text, http, exit_code) ERR_##name,
#include "millrace/errors.def"
#undef ERR
    ERR_COUNT
};

struct err {
    enum err_code code;
    uint32_t line;   /* 1-based; 0 = no position */
    uint32_t column; /* 1-based, in bytes; 0 = none */
    char message[1000];
};

/* Sets the error and returns false, so that `return err_set(...)` reads well. Text that does not
 * fit is cut. */
__attribute__((format(printf, 3, 4))) bool err_set(struct err *err, enum err_code code,
                                                   const char *format, ...);

/* As err_set(), with ": <text of errno>" appended; the code is ERR_IO. */
__attribute__((format(printf, 2, 3))) bool err_errno(struct err *err, const char *format, ...);

/* Puts "<context>: " before the message and returns false. */
__attribute__((format(printf, 2, 3))) bool err_wrap(struct err *err, const char *format, ...);

const char *err_name(enum err_code code);
int err_http_status(enum err_code code);
int err_exit_code(enum err_code code);

/* The code with this name; ERR_FAILED for an unknown one. */
enum err_code err_from_name(const char *name);

#endif
