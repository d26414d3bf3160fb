/* Query parameters of lists, as the read queries want them. Each function answers 422 (or 400 for
 * an ordering) and returns false for a value that makes no sense. */
#ifndef MILLRACE_WEB_PARAMS_H
#define MILLRACE_WEB_PARAMS_H

#include "scheduler/store/read.h"
#include "web/http.h"

#define PARAMS_LIMIT_DEFAULT 50
#define PARAMS_LIMIT_MAX 10000

bool params_int(struct request *request, const char *name, int64_t min, int64_t max, int64_t *ret);
bool params_bool(struct request *request, const char *name, bool *ret);

/* limit, offset and order_by; `order` is what is used without order_by ("-id"; NULL = none). */
bool params_page(struct request *request, const char *order, struct read_page *ret);

/* Every <field>_gte, _gt, _lte and _lt there is. */
bool params_ranges(struct request *request, struct read_ranges *ret);

/* All values of a repeatable parameter as a JSON array; *ret is NULL when there is none. A value
 * must be one of `choices` (NULL-terminated) unless that is NULL. */
bool params_list(struct request *request, const char *name, const char *const *choices,
                 const char **ret);

/* The same for integers. */
bool params_int_list(struct request *request, const char *name, const char **ret);

/* A LIKE pattern from a *_pattern parameter ("~" = all); NULL when there is none. */
const char *params_pattern(struct request *request, const char *name);

/* Whether the request accepts a media type; a missing Accept accepts all. */
bool params_accepts(const struct request *request, const char *type);

#endif
