/* The things that a sensor looks at: each look says whether it is there. What it waits for goes
 * into `what`, in words for `explain`. */
#ifndef MILLRACE_TASKS_SENSOR_SENSOR_H
#define MILLRACE_TASKS_SENSOR_SENSOR_H

#include "base/buf.h"
#include "millrace/attempt.h"

/* One look. False: it could not look, and err says why. `ret_found` is false at the call. */
typedef bool (*sensor_look)(struct attempt *attempt, const json_t *thing, bool *ret_found,
                            struct buf *what, struct err *err);

bool sensor_look_at_file(struct attempt *attempt, const json_t *thing, bool *ret_found,
                         struct buf *what, struct err *err);
bool sensor_look_at_dataset(struct attempt *attempt, const json_t *thing, bool *ret_found,
                            struct buf *what, struct err *err);
bool sensor_look_at_http(struct attempt *attempt, const json_t *thing, bool *ret_found,
                         struct buf *what, struct err *err);
bool sensor_look_at_sql(struct attempt *attempt, const json_t *thing, bool *ret_found,
                        struct buf *what, struct err *err);

/* The text of a thing that may be written as a plain string or as a map with `key`. */
const char *sensor_text(const json_t *thing, const char *key);

/* Neither null, false, 0 nor empty. */
bool sensor_is_truthy(const json_t *value);

#endif
