/* The syntax of one `{{ … }}`: what base/template.c checks and renders. Internal to base. */
#ifndef MILLRACE_BASE_TEMPLATE_PARSE_H
#define MILLRACE_BASE_TEMPLATE_PARSE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define TEMPLATE_CALLS_MAX 8
#define TEMPLATE_ARGS_MAX 2

struct template_arg {
    bool quoted; /* written as a string */
    bool is_int;
    int64_t integer;
    struct str text; /* unescaped; as written for a bare word */
};

struct template_call {
    struct str name;
    size_t offset; /* of the name in the text */
    struct template_arg args[TEMPLATE_ARGS_MAX];
    size_t arg_count;
};

struct template_reference {
    size_t start; /* of "{{" */
    size_t end;   /* behind "}}" */
    bool is_literal;
    struct str name; /* or the literal's text */
    size_t name_offset;
    struct template_call calls[TEMPLATE_CALLS_MAX];
    size_t call_count;
};

enum template_next { TEMPLATE_NEXT_NONE, TEMPLATE_NEXT_FOUND, TEMPLATE_NEXT_BAD };

/* Finds and parses the first reference at or after `from`. Unescaped strings live in the arena. On
 * BAD err->column is the 1-based offset of what is wrong. */
enum template_next template_next_reference(struct arena *arena, struct str text, size_t from,
                                           struct template_reference *ret, struct err *err);

#endif
