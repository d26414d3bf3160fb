/* Which versions of datasets a task instance read and published, and which one is the newest. */
#include "scheduler/store/datasets.h"

#include "base/json.h"

static bool clear(struct store *store, const struct attempt_row *row, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_DATASET_USE_CLEAR);

    bind_int(&bind, row->run);
    bind_int(&bind, row->task);
    bind_int(&bind, row->map_index);
    return bind_run(&bind, err);
}

static bool write_use(struct store *store, const struct attempt_row *row, const char *role,
                      const json_t *item, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_DATASET_USE_NEW);

    bind_int(&bind, row->run);
    bind_int(&bind, row->task);
    bind_int(&bind, row->map_index);
    bind_text(&bind, json_get_string(item, "dataset", ""));
    bind_text(&bind, role);
    bind_text(&bind, json_get_string(item, "version", ""));
    return bind_run(&bind, err);
}

static bool write_newest(struct store *store, const struct attempt_row *row, const json_t *item,
                         struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_DATASET_PUT);

    bind_text(&bind, json_get_string(item, "dataset", ""));
    bind_text(&bind, json_get_string(item, "version", ""));
    bind_int(&bind, row->run);
    bind_int(&bind, row->task);
    bind_int(&bind, row->map_index);
    bind_int(&bind, row->ended_at_us);
    return bind_run(&bind, err);
}

bool datasets_write(struct store *store, const struct attempt_row *row, struct err *err)
{
    struct err ignored = {0};
    size_t i = 0;
    const json_t *item = NULL;
    bool ok = true;

    if (row->try_number > 1) /* an earlier success of it, before it was cleared */
        ok = clear(store, row, err);
    if (row->datasets == NULL)
        return ok;
    json_t *datasets = json_parse(str_from(row->datasets), &ignored);
    json_array_foreach(json_object_get(datasets, "inputs"), i, item) ok =
        ok && write_use(store, row, "input", item, err);
    json_array_foreach(json_object_get(datasets, "outputs"), i, item) ok =
        ok && write_use(store, row, "output", item, err) && write_newest(store, row, item, err);
    json_decref(datasets);
    return ok;
}
