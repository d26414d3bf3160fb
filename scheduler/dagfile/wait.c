/* How a sensor waits, from its checked options. */
#include "base/json.h"
#include "base/timefmt.h"
#include "scheduler/dagfile/task.h"

static int64_t duration_of(const json_t *options, const char *key)
{
    int64_t us = 0;

    (void)duration_parse(str_from(json_get_string(options, key, "")), &us);
    return us;
}

struct dag_wait wait_read(const struct dag_task *task)
{
    const json_t *options = task->options;
    struct dag_wait wait = {0};

    if (task->kind != &sensor_kind)
        return wait;
    wait.kind = WAIT_POKE;
    if (json_object_get(options, "time") != NULL || json_object_get(options, "delta") != NULL)
        wait.kind = WAIT_TIME;
    else if (json_object_get(options, "external_task") != NULL)
        wait.kind = WAIT_EXTERNAL;
    wait.poke_interval_us = duration_of(options, "poke_interval");
    wait.timeout_us = duration_of(options, "timeout");
    wait.max_wait_us = duration_of(options, "max_wait");
    wait.backs_off = json_get_bool(options, "exponential_backoff", false);
    wait.is_soft = json_get_bool(options, "soft_fail", false);
    return wait;
}
