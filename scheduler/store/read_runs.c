/* Queries about runs and backfills. */
#include "scheduler/store/query.h"

#include <string.h>

#define RUN_COLUMNS                                                                                \
    "SELECT run.id, run.dag_id, run.run_id, run.version_id, run.run_type, run.state, "             \
    "run.triggered_by, run.logical_date, run.interval_start, run.interval_end, run.run_after, "    \
    "run.queued_at, run.started_at, run.ended_at, run.backfill_id, run.clear_number, run.conf, "   \
    "run.note, run.reason, run.updated_at, version.number, version.created_at"
#define RUN_TABLES " FROM run JOIN version ON version.id = run.version_id"

/* A word of an enum column; an unknown one marks the query. */
static struct str word(const struct query *query, int column)
{
    return str_from((const char *)sqlite3_column_text(query->statement, column));
}

static void fill_run(struct query *query, void *row)
{
    struct run_view *view = row;
    struct run_row *run = &view->run;

    run->id = query_column(query, 0);
    run->dag_id = query_column_text(query, 1);
    run->run_id = query_column_text(query, 2);
    run->version_id = query_column(query, 3);
    if (!run_type_parse(word(query, 4), &run->run_type) ||
        !run_state_parse(word(query, 5), &run->state) ||
        !triggered_by_parse(word(query, 6), &run->triggered_by))
        query->damaged = true;
    run->logical_date_us = query_column(query, 7);
    run->interval_start_us = query_column(query, 8);
    run->interval_end_us = query_column(query, 9);
    run->run_after_us = query_column(query, 10);
    run->queued_at_us = query_column(query, 11);
    run->started_at_us = query_column(query, 12);
    run->ended_at_us = query_column(query, 13);
    run->backfill_id = query_column(query, 14);
    run->clear_number = query_column(query, 15);
    run->conf = query_column_text(query, 16);
    run->note = query_column_text(query, 17);
    run->reason = query_column_text(query, 18);
    view->updated_at_us = query_column(query, 19);
    view->version_number = query_column(query, 20);
    view->version_created_at_us = query_column(query, 21);
}

static void add_run_filter(struct query *from, const struct run_filter *filter)
{
    static const char *const fields[READ_FIELD_COUNT] = {
        [READ_RUN_AFTER] = "run.run_after",
        [READ_LOGICAL_DATE] = "run.logical_date",
        [READ_START_DATE] = "COALESCE(run.started_at, ?)",
        [READ_END_DATE] = "COALESCE(run.ended_at, ?)",
        [READ_UPDATED_AT] = "run.updated_at",
        [READ_DURATION] = "(run.ended_at - run.started_at)",
    };

    query_add(from, RUN_TABLES " WHERE 1");
    query_where(from, " AND run.dag_id = ?", filter->dag_id);
    query_where(from, " AND run.state IN (SELECT value FROM json_each(?))", filter->states);
    query_where(from, " AND run.run_type IN (SELECT value FROM json_each(?))", filter->run_types);
    query_where(from, " AND version.number IN (SELECT value FROM json_each(?))",
                filter->dag_versions);
    query_where(from, " AND run.run_id LIKE ?", filter->run_id_pattern);
    query_where(from, " AND run.dag_id LIKE ?", filter->dag_id_pattern);
    query_where(from, " AND run.conf LIKE ?", filter->conf_contains);
    if (filter->backfill_id != 0) {
        query_add(from, " AND run.backfill_id = ?");
        query_bind_int(from, filter->backfill_id);
    }
    query_ranges(from, fields, &filter->ranges);
}

bool read_runs(struct read *read, struct arena *arena, const struct run_filter *filter,
               const struct read_page *page, struct run_view **ret, size_t *ret_count,
               int64_t *ret_total, struct err *err)
{
    static const struct query_order orders[] = {
        {"id",           "run.id"                         },
        {"state",        "run.state"                      },
        {"dag_id",       "run.dag_id"                     },
        {"run_id",       "run.run_id"                     },
        {"dag_run_id",   "run.run_id"                     },
        {"logical_date", "run.logical_date"               },
        {"run_after",    "run.run_after"                  },
        {"start_date",   "run.started_at"                 },
        {"end_date",     "run.ended_at"                   },
        {"updated_at",   "run.updated_at"                 },
        {"conf",         "run.conf"                       },
        {"duration",     "(run.ended_at - run.started_at)"},
    };
    struct query from;
    struct query count;
    struct query list;
    void *items = NULL;

    query_init(&from, read, arena);
    query_init(&count, read, arena);
    query_init(&list, read, arena);
    add_run_filter(&from, filter);
    query_add(&count, "SELECT COUNT(*)");
    query_add_query(&count, &from);
    query_add(&list, RUN_COLUMNS);
    query_add_query(&list, &from);
    bool ok = query_page(&list, orders, sizeof(orders) / sizeof(orders[0]), "run.id", page, err) &&
              query_int(&count, ret_total, err) &&
              query_all(&list, sizeof(**ret), fill_run, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&from);
    query_release(&count);
    query_release(&list);
    return ok;
}

bool read_run(struct read *read, struct arena *arena, const char *dag_id, const char *run_id,
              struct run_view *ret, struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, RUN_COLUMNS RUN_TABLES " WHERE run.dag_id = ? AND run.run_id = ?");
    query_bind_text(&query, dag_id);
    query_bind_text(&query, run_id);
    bool ok = query_one(&query, fill_run, ret, err);
    query_release(&query);
    return ok;
}

bool read_run_by_row(struct read *read, struct arena *arena, int64_t id, struct run_view *ret,
                     struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, RUN_COLUMNS RUN_TABLES " WHERE run.id = ?");
    query_bind_int(&query, id);
    bool ok = query_one(&query, fill_run, ret, err);
    query_release(&query);
    return ok;
}

bool read_last_runs(struct read *read, struct arena *arena, const char *dag_id, int64_t limit,
                    struct run_view **ret, size_t *ret_count, struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, RUN_COLUMNS RUN_TABLES
              " WHERE run.dag_id = ? ORDER BY run.run_after DESC, run.id DESC LIMIT ?");
    query_bind_text(&query, dag_id);
    query_bind_int(&query, limit);
    bool ok = query_all(&query, sizeof(**ret), fill_run, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}

static void fill_run_count(struct query *query, void *row)
{
    struct run_count *count = row;

    count->dag_id = query_column_text(query, 0);
    if (!run_state_parse(word(query, 1), &count->state))
        query->damaged = true;
    count->count = query_column(query, 2);
}

bool read_run_counts(struct read *read, struct arena *arena, const char *dag_ids,
                     struct run_count **ret, size_t *ret_count, struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, "SELECT dag_id, state, COUNT(*) FROM run WHERE 1");
    query_where(&query, " AND dag_id IN (SELECT value FROM json_each(?))", dag_ids);
    query_add(&query, " GROUP BY dag_id, state ORDER BY dag_id");
    bool ok = query_all(&query, sizeof(**ret), fill_run_count, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}

bool read_live_run_count(struct read *read, const char *dag_id, int64_t *ret, struct err *err)
{
    struct query query;

    query_init(&query, read, NULL);
    query_add(&query, "SELECT COUNT(*) FROM run WHERE state IN ('queued', 'running')"
                      " AND dag_id = ?");
    query_bind_text(&query, dag_id);
    bool ok = query_int(&query, ret, err);
    query_release(&query);
    return ok;
}

bool read_counted_runs(struct read *read, const char *dag_id, int64_t *ret, struct err *err)
{
    struct query query;

    query_init(&query, read, NULL);
    query_add(&query, "SELECT COUNT(*) FROM run WHERE state IN ('queued', 'running')"
                      " AND dag_id = ? AND (backfill_id IS NULL OR backfill_id NOT IN"
                      " (SELECT id FROM backfill WHERE completed_at IS NULL))");
    query_bind_text(&query, dag_id);
    bool ok = query_int(&query, ret, err);
    query_release(&query);
    return ok;
}
