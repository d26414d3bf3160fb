/* SQL text for the compilers: identifiers, literals and conditions, in the validation's arena. */
#ifndef MILLRACE_TASKS_VALIDATE_SQLTEXT_H
#define MILLRACE_TASKS_VALIDATE_SQLTEXT_H

#include "base/arena.h"
#include "base/err.h"

#include <jansson.h>

/* "name" and 'text'. */
const char *sqltext_identifier(struct arena *arena, const char *name);
const char *sqltext_quoted(struct arena *arena, const char *text);

/* The shortest decimal form that reads back as the same double: 0.1, not 0.10000000000000001, so
 * that a bound means what was written when it is compared with a DECIMAL. */
const char *sqltext_number(struct arena *arena, double value);

/* A literal of a JSON scalar; NULL of anything else. */
const char *sqltext_literal(struct arena *arena, const json_t *value);

/* A member of a set, to be compared with a column of this type; a member that can't be of that type
 * becomes NULL, which equals nothing. */
const char *sqltext_member(struct arena *arena, const json_t *value, const char *type);

/* Types by family. */
bool sqltext_type_is_text(const char *type);
bool sqltext_type_is_number(const char *type);
bool sqltext_type_is_float(const char *type);
bool sqltext_type_is_time(const char *type);

/* Whether the text is one expression that parentheses can hold: no `;`, no comment, quotes and
 * parentheses closed. ERR_INVALID says which. */
bool sqltext_check_expression(const char *text, struct err *err);

#endif
