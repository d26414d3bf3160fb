/* Conditions: the expressions of `when`, such as `params.full and tasks.count.outputs.rows > 0`. No
 * code: literals, names, comparisons, `and`, `or`, `not`, `in`, exists(name) and length(value).
 *
 * A text is parsed and its types are checked when the DAG is loaded (condition_parse); it is
 * evaluated when its task could start (condition_evaluate). Pure: all values come from the caller
 * through the lookup function of base/template.h. */
#ifndef MILLRACE_BASE_CONDITION_H
#define MILLRACE_BASE_CONDITION_H

#include "base/arena.h"
#include "base/template.h"

#define CONDITION_BYTES_MAX 4096
#define CONDITION_DEPTH_MAX 32 /* brackets, lists and `not` within each other */

/* What is known of a value before it is there. */
enum condition_type {
    CONDITION_ANY,
    CONDITION_NULL,
    CONDITION_BOOL,
    CONDITION_NUMBER,
    CONDITION_STRING,
    CONDITION_LIST,
    CONDITION_MAP,
};

struct condition; /* immutable; lives in the arena it was parsed into */

/* Called for each name. Returns NULL when it is legal, and sets *ret_type if that is known; else a
 * message (static or in the caller's arena). */
typedef const char *(*condition_name_check)(void *context, struct str name,
                                            enum condition_type *ret_type);

/* NULL: ERR_TEMPLATE, with err->column the 1-based byte offset in the text. The condition has a
 * copy of the text. */
const struct condition *condition_parse(struct arena *arena, struct str text,
                                        condition_name_check check, void *context, struct err *err);

/* The text as it was written. */
struct str condition_text(const struct condition *condition);

/* Evaluates; `and` and `or` leave out their right side where the left one decides. ERR_TEMPLATE for
 * a name without a value outside of exists(), and for values that can't be compared. `values` gets
 * what the names stood for, "params.n = 3, ds = \"2026-01-01\"", cut where it is long. */
bool condition_evaluate(const struct condition *condition, template_lookup lookup, void *context,
                        bool *ret, struct buf *values, struct err *err);

#endif
