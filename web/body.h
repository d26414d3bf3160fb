/* Request bodies: parsed and checked against a table of fields. Keys that are not in the table are
 * refused, types are never converted, and all that is wrong is told at once. */
#ifndef MILLRACE_WEB_BODY_H
#define MILLRACE_WEB_BODY_H

#include "base/json.h"
#include "web/http.h"

enum field_type {
    FIELD_STRING,
    FIELD_BOOL,
    FIELD_INT,
    FIELD_OBJECT,
    FIELD_LIST,
    FIELD_TIME,
    FIELD_CHOICE
};

enum field_flag {
    FIELD_REQUIRED = 1 << 0,
    FIELD_NULLABLE = 1 << 1,
    FIELD_ID = 1 << 2, /* a string that must satisfy str_is_id() */
};

struct field {
    const char *name;
    enum field_type type;
    unsigned flags;
    int64_t min; /* INT; STRING: of characters */
    int64_t max;
    const char *const *choices; /* CHOICE: NULL-terminated */
};

/* The body's object, which the caller owns, or NULL after answering 415 or 422. */
json_t *body_check(struct request *request, const struct field *fields, size_t count);

/* A checked FIELD_TIME as an instant; 0 where it is absent or null. */
int64_t body_time(const json_t *body, const char *name);

#endif
