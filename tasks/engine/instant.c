#include "tasks/engine/instant.h"

#include "base/json.h"
#include "base/timefmt.h"

#include <inttypes.h>
#include <string.h>

bool instant_parse(struct engine *engine, const char *text, const char *timezone, int64_t *ret_us,
                   struct err *err)
{
    struct buf sql = {0};
    int64_t us = 0;
    bool has_offset = false;

    if (!timefmt_parse(str_from(text), &us, &has_offset))
        return err_set(err, ERR_INVALID,
                       "'%s' is no date or time: write 2026-03-15 or 2026-03-15T00:00:00Z", text);
    if (has_offset || timezone == NULL || strcmp(timezone, "UTC") == 0) {
        *ret_us = us;
        return true;
    }
    buf_printf(&sql, "SELECT epoch_us(make_timestamp(%" PRId64 "::BIGINT) AT TIME ZONE ", us);
    engine_add_literal(&sql, str_from(timezone));
    buf_add_text(&sql, ") AS us");
    json_t *row = engine_one_row(engine, buf_text(&sql), err);
    buf_release(&sql);
    if (row == NULL)
        return false;
    *ret_us = json_get_int(row, "us", us);
    json_decref(row);
    return true;
}
