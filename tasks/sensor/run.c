/* sensor: one look at what it waits for. */
#include "tasks/sensor/sensor.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *key;
    sensor_look look;
} looks[] = {
    {"file",    sensor_look_at_file   },
    {"dataset", sensor_look_at_dataset},
    {"http",    sensor_look_at_http   },
    {"sql",     sensor_look_at_sql    },
};

const char *sensor_text(const json_t *thing, const char *key)
{
    const json_t *value = json_is_string(thing) ? thing : json_object_get(thing, key);

    return json_string_value(value) == NULL ? "" : json_string_value(value);
}

bool sensor_is_truthy(const json_t *value)
{
    if (json_is_string(value))
        return json_string_length(value) > 0;
    if (json_is_array(value))
        return json_array_size(value) > 0;
    if (json_is_object(value))
        return json_object_size(value) > 0;
    return json_is_true(value) || (json_is_number(value) && json_number_value(value) != 0);
}

bool sensor_run(struct attempt *attempt, struct err *err)
{
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        const json_t *thing = json_object_get(attempt->options, looks[i].key);
        struct buf what = {0};
        bool found = false;
        if (thing == NULL)
            continue;
        bool ok = looks[i].look(attempt, thing, &found, &what, err);
        if (ok && found)
            (void)printf("found: %s\n", buf_text(&what));
        else if (ok)
            attempt->waits_for = mem_strdup(buf_text(&what));
        buf_release(&what);
        return ok;
    }
    return err_set(err, ERR_INVALID, "the sensor has nothing to look at");
}
