/* The filters of templates, in one table. Internal to base. */
#ifndef MILLRACE_BASE_TEMPLATE_FILTER_H
#define MILLRACE_BASE_TEMPLATE_FILTER_H

#include "base/template.h"
#include "base/template_parse.h"

/* Checks the calls of one reference: names, arguments, `sh` last. On failure err->column is the
 * 1-based offset of the filter. */
bool template_check_calls(const struct template_reference *ref, struct err *err);

/* Applies one call of a checked reference to a value. New texts live in the arena, new JSON values
 * in `owned`, an array. */
bool template_apply(struct arena *arena, json_t *owned, const struct template_call *call,
                    struct template_value *value, struct err *err);

/* The value as text: appended to `out`. MISSING gives nothing. */
void template_value_text(const struct template_value *value, struct buf *out);

#endif
