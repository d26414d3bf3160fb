/* JSON that comes in: strict loading and typed getters over jansson. What goes out in quantity is
 * written with base/jw.h. */
#ifndef MILLRACE_BASE_JSON_H
#define MILLRACE_BASE_JSON_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

/* Parses a whole document: duplicate keys and invalid UTF-8 are errors, with line and column in
 * `err`. The caller owns the reference. NULL on failure. */
json_t *json_parse(struct str text, struct err *err);

/* Appends the document to `out` in compact form with sorted keys (one text per value, so that it
 * can be hashed and compared). */
void json_dump_canonical(const json_t *value, struct buf *out);

/* The same with the keys in their own order: for documents that are handed on, such as options,
 * where the order of a map may mean something (the columns of a table). */
void json_dump_ordered(const json_t *value, struct buf *out);

/* Getters for optional members of an object: `fallback` where the key is absent, null or of
 * another type. Strings are borrowed from the object. */
const char *json_get_string(const json_t *object, const char *key, const char *fallback);
int64_t json_get_int(const json_t *object, const char *key, int64_t fallback);
double json_get_number(const json_t *object, const char *key, double fallback);
bool json_get_bool(const json_t *object, const char *key, bool fallback);

#endif
