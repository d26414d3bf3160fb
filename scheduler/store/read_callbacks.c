/* Queries about callbacks. */
#include "scheduler/store/query.h"

static void fill_callback(struct query *query, void *row)
{
    struct callback_row *callback = row;

    callback->id = query_column(query, 0);
    callback->dag_id = query_column_text(query, 1);
    callback->run = query_column(query, 2);
    callback->task_id = query_column_text(query, 3);
    callback->map_index = (int32_t)query_column(query, 4);
    if (!callback_event_parse(str_from(query_column_text(query, 5)), &callback->event) ||
        !callback_state_parse(str_from(query_column_text(query, 6)), &callback->state))
        query->damaged = true;
    callback->kind = query_column_text(query, 7);
    callback->document = query_column_text(query, 8);
    callback->tries = query_column(query, 9);
    callback->max_tries = query_column(query, 10);
    callback->created_at_us = query_column(query, 11);
    callback->next_at_us = query_column(query, 12);
    callback->ended_at_us = query_column(query, 13);
    callback->reason = query_column_text(query, 14);
}

#define SELECT_CALLBACK                                                                            \
    "SELECT c.id, c.dag_id, c.run, c.task_id, c.map_index, c.event, c.state, c.kind, c.document,"  \
    " c.tries, c.max_tries, c.created_at, c.next_at, c.ended_at, c.reason FROM callback c"

static bool read_all(struct query *query, struct callback_row **ret, size_t *ret_count,
                     struct err *err)
{
    void *items = NULL;
    bool ok = query_all(query, sizeof(**ret), fill_callback, &items, ret_count, err);

    if (ok)
        *ret = items;
    query_release(query);
    return ok;
}

bool read_run_callbacks(struct read *read, struct arena *arena, int64_t run, int64_t limit,
                        struct callback_row **ret, size_t *ret_count, struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, SELECT_CALLBACK " WHERE c.run = ? ORDER BY c.id DESC LIMIT ?");
    query_bind_int(&query, run);
    query_bind_int(&query, limit);
    return read_all(&query, ret, ret_count, err);
}

bool read_undelivered(struct read *read, struct arena *arena, int64_t run, int64_t backfill,
                      int64_t limit, struct callback_row **ret, size_t *ret_count, struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, SELECT_CALLBACK);
    query_add(&query, run != 0 ? " WHERE c.run = ?"
                               : " JOIN run r ON r.id = c.run WHERE r.backfill_id = ?");
    query_add(&query, " AND c.state <> 'success' AND c.reason IS NOT NULL ORDER BY c.id LIMIT ?");
    query_bind_int(&query, run != 0 ? run : backfill);
    query_bind_int(&query, limit);
    return read_all(&query, ret, ret_count, err);
}
