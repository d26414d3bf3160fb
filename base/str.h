/* Strings with lengths: a borrowed view of bytes that need not end in NUL. */
#ifndef MILLRACE_BASE_STR_H
#define MILLRACE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *ptr; /* borrowed; never NULL when len > 0 */
    size_t len;
};

/* A view of a string literal. */
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

/* The two arguments for a "%.*s" conversion. */
#define STR_ARG(s) (int)(s).len, (s).ptr == NULL ? "" : (s).ptr

struct str str_from(const char *text); /* NULL gives the empty string */
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *text);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_sub(struct str s, size_t from, size_t to);
struct str str_trim(struct str s); /* without spaces, tabs and line ends at both ends */

/* The offset of the first `c` at or after `from`, or SIZE_MAX. */
size_t str_find(struct str s, char c, size_t from);

/* Whole-string number parsing; false on empty, trailing bytes or overflow, and then `ret_value` is
 * untouched. */
bool str_to_int(struct str s, int64_t *ret_value);
bool str_to_float(struct str s, double *ret_value);

/* Whether the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool str_is_utf8(struct str s);

/* Whether `s` may be an identifier of a DAG, task, run or pool: 1 to 250 bytes of
 * [A-Za-z0-9_.~:+-], and neither "." nor "..". */
bool str_is_id(struct str s);

/* Whether `s` may be the name of a variable: letters, digits and _, and no digit first. */
bool str_is_name(struct str s);

/* The edit distance (Levenshtein with adjacent transpositions) of two short strings, for
 * suggestions; strings over 63 bytes are at distance SIZE_MAX. */
size_t str_distance(struct str a, struct str b);

#endif
