/* A SELECT over files: its first value. */
#include "tasks/engine/engine.h"
#include "tasks/sensor/sensor.h"

bool sensor_look_at_sql(struct attempt *attempt, const json_t *thing, bool *ret_found,
                        struct buf *what, struct err *err)
{
    const char *query = sensor_text(thing, "query");

    buf_printf(what, "sql %.200s", query);
    if (!engine_check_select(attempt->engine, query, err))
        return err_wrap(err, "query");
    struct engine_result *rows = engine_query(attempt->engine, query, err);
    if (rows == NULL)
        return false;
    if (engine_next(rows, err) && engine_column_count(rows) > 0) {
        json_t *value = engine_json(rows, 0);
        *ret_found = sensor_is_truthy(value);
        if (*ret_found)
            (void)json_object_set(attempt->outputs, "value", value);
        json_decref(value);
    }
    engine_result_free(rows);
    return err->code == ERR_NONE;
}
