/* Queries about backfills. */
#include "scheduler/store/query.h"

#include <string.h>

/* A word of an enum column; an unknown one marks the query. */
static struct str word(const struct query *query, int column)
{
    return str_from((const char *)sqlite3_column_text(query->statement, column));
}

#define BACKFILL_COLUMNS                                                                           \
    "SELECT id, dag_id, from_date, to_date, run_backwards, is_paused, reprocess, "                 \
    "max_active_runs, conf, created_at, updated_at, completed_at, cursor, total, made, skipped, "  \
    "succeeded, failed, cancelled, tasks, upstream, downstream, on_failure, pause_reason, "        \
    "retry_before, retry_cursor, pace, paced_at, is_forced"

static void fill_backfill(struct query *query, void *row)
{
    struct backfill_row *backfill = row;

    backfill->id = query_column(query, 0);
    backfill->dag_id = query_column_text(query, 1);
    backfill->from_us = query_column(query, 2);
    backfill->to_us = query_column(query, 3);
    backfill->run_backwards = query_column(query, 4) != 0;
    backfill->is_paused = query_column(query, 5) != 0;
    if (!reprocess_parse(word(query, 6), &backfill->reprocess))
        query->damaged = true;
    backfill->max_active_runs = query_column(query, 7);
    backfill->conf = query_column_text(query, 8);
    backfill->created_at_us = query_column(query, 9);
    backfill->updated_at_us = query_column(query, 10);
    backfill->completed_at_us = query_column(query, 11);
    backfill->cursor_us = query_column(query, 12);
    backfill->total = query_column(query, 13);
    backfill->made = query_column(query, 14);
    backfill->skipped = query_column(query, 15);
    backfill->succeeded = query_column(query, 16);
    backfill->failed = query_column(query, 17);
    backfill->cancelled = query_column(query, 18) != 0;
    backfill->tasks = query_column_text(query, 19);
    backfill->upstream = query_column(query, 20) != 0;
    backfill->downstream = query_column(query, 21) != 0;
    if (!on_failure_parse(word(query, 22), &backfill->on_failure))
        query->damaged = true;
    backfill->pause_reason = query_column_text(query, 23);
    backfill->retry_before_us = query_column(query, 24);
    backfill->retry_cursor_us = query_column(query, 25);
    backfill->pace_us = query_column(query, 26);
    backfill->paced_at_us = query_column(query, 27);
    backfill->is_forced = query_column(query, 28) != 0;
}

bool read_backfills(struct read *read, struct arena *arena, const char *dag_id, bool only_active,
                    const struct read_page *page, struct backfill_row **ret, size_t *ret_count,
                    int64_t *ret_total, struct err *err)
{
    static const struct query_order orders[] = {
        {"id",              "id"             },
        {"dag_id",          "dag_id"         },
        {"from_date",       "from_date"      },
        {"to_date",         "to_date"        },
        {"created_at",      "created_at"     },
        {"completed_at",    "completed_at"   },
        {"max_active_runs", "max_active_runs"},
    };
    struct query from;
    struct query count;
    struct query list;
    void *items = NULL;

    query_init(&from, read, arena);
    query_init(&count, read, arena);
    query_init(&list, read, arena);
    query_add(&from, " FROM backfill WHERE 1");
    query_where(&from, " AND dag_id = ?", dag_id);
    query_add(&from, only_active ? " AND completed_at IS NULL" : "");
    query_add(&count, "SELECT COUNT(*)");
    query_add_query(&count, &from);
    query_add(&list, BACKFILL_COLUMNS);
    query_add_query(&list, &from);
    bool ok = query_page(&list, orders, sizeof(orders) / sizeof(orders[0]), "id", page, err) &&
              query_int(&count, ret_total, err) &&
              query_all(&list, sizeof(**ret), fill_backfill, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&from);
    query_release(&count);
    query_release(&list);
    return ok;
}

bool read_backfill(struct read *read, struct arena *arena, int64_t id, struct backfill_row *ret,
                   struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, BACKFILL_COLUMNS " FROM backfill WHERE id = ?");
    query_bind_int(&query, id);
    bool ok = query_one(&query, fill_backfill, ret, err);
    query_release(&query);
    return ok;
}

bool read_backfill_live(struct read *read, int64_t id, int64_t counts[RUN_STATE_COUNT],
                        struct err *err)
{
    struct query query;
    enum query_step step;

    memset(counts, 0, RUN_STATE_COUNT * sizeof(*counts));
    query_init(&query, read, NULL);
    query_add(&query, "SELECT state, COUNT(*) FROM run INDEXED BY run_live"
                      " WHERE state IN ('queued', 'running') AND backfill_id = ? GROUP BY state");
    query_bind_int(&query, id);
    while ((step = query_step(&query, err)) == QUERY_ROW) {
        enum run_state state = RUN_QUEUED;
        if (run_state_parse(word(&query, 0), &state))
            counts[state] = query_column(&query, 1);
    }
    query_release(&query);
    return step != QUERY_FAILED;
}

static void fill_past(struct query *query, void *row)
{
    struct past_run *past = row;

    past->logical_date_us = query_column(query, 0);
    if (!run_state_parse(word(query, 1), &past->state))
        query->damaged = true;
    past->run_id = query_column_text(query, 2);
    past->version_id = query_column(query, 3);
    past->version_number = query_column(query, 4);
    past->version_hash = query_column_text(query, 5);
    past->conf = query_column_text(query, 6);
    past->changed_input = query_column_text(query, 7);
}

bool read_past_runs(struct read *read, struct arena *arena, const struct past_question *question,
                    struct past_run **ret, size_t *ret_count, struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, "SELECT r.logical_date, r.state, r.run_id, r.version_id, v.number, v.hash,"
                      " r.conf, ");
    query_add(&query,
              question->with_inputs
                  ? "(SELECT u.dataset FROM dataset_use u JOIN dataset d ON d.dataset = u.dataset"
                    " WHERE u.run = r.id AND u.role = 'input' AND d.version <> u.version LIMIT 1)"
                  : "NULL");
    query_add(&query, " FROM run r JOIN version v ON v.id = r.version_id WHERE r.dag_id = ?"
                      " AND r.logical_date BETWEEN ? AND ? ORDER BY r.logical_date");
    query_bind_text(&query, question->dag_id);
    query_bind_int(&query, question->from_us);
    query_bind_int(&query, question->to_us);
    bool ok = query_all(&query, sizeof(**ret), fill_past, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}
