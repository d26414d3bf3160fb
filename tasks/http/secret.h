/* Secrets by reference: {env: NAME} and {file: path} stand for a value that only the process that
 * uses it reads. Nothing here is ever logged or stored. */
#ifndef MILLRACE_TASKS_HTTP_SECRET_H
#define MILLRACE_TASKS_HTTP_SECRET_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

/* Appends a string's text, or what a reference stands for (of a file: without the line end after
 * it). ERR_INVALID where it is neither, or empty. */
bool secret_value(const json_t *reference, struct buf *out, struct err *err);

#endif
