/* Queries about DAGs, their versions, import errors and pools. */
#include "scheduler/store/query.h"

#define DAG_COLUMNS                                                                                \
    "SELECT dag_id, file, is_paused, is_stale, version_id, version_number, last_tick, "            \
    "next_start, next_end, parsed_at, failed_in_row, pause_reason FROM dag"

static void fill_dag(struct query *query, void *row)
{
    struct dag_row *dag = row;

    dag->dag_id = query_column_text(query, 0);
    dag->file = query_column_text(query, 1);
    dag->is_paused = query_column(query, 2) != 0;
    dag->is_stale = query_column(query, 3) != 0;
    dag->version_id = query_column(query, 4);
    dag->version_number = query_column(query, 5);
    dag->last_tick_us = query_column(query, 6);
    dag->next_start_us = query_column(query, 7);
    dag->next_end_us = query_column(query, 8);
    dag->parsed_at_us = query_column(query, 9);
    dag->failed_in_row = query_column(query, 10);
    dag->pause_reason = query_column_text(query, 11);
}

bool read_dags(struct read *read, struct arena *arena, struct dag_row **ret, size_t *ret_count,
               struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, DAG_COLUMNS " ORDER BY dag_id");
    bool ok = query_all(&query, sizeof(**ret), fill_dag, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}

bool read_dag(struct read *read, struct arena *arena, const char *dag_id, struct dag_row *ret,
              struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, DAG_COLUMNS " WHERE dag_id = ?");
    query_bind_text(&query, dag_id);
    bool ok = query_one(&query, fill_dag, ret, err);
    query_release(&query);
    return ok;
}

static void fill_version_short(struct query *query, void *row)
{
    struct version_row *version = row;

    version->id = query_column(query, 0);
    version->dag_id = query_column_text(query, 1);
    version->number = query_column(query, 2);
    version->hash = query_column_text(query, 3);
    version->file = query_column_text(query, 4);
    version->created_at_us = query_column(query, 5);
}

static void fill_version(struct query *query, void *row)
{
    struct version_row *version = row;
    const char *source = (const char *)sqlite3_column_text(query->statement, 6);
    size_t len = (size_t)sqlite3_column_bytes(query->statement, 6);

    fill_version_short(query, row);
    version->source = arena_str(query->arena, (struct str){source, len});
}

#define VERSION_COLUMNS "SELECT id, dag_id, number, hash, file, created_at"

bool read_version(struct read *read, struct arena *arena, int64_t id, struct version_row *ret,
                  struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, VERSION_COLUMNS ", source FROM version WHERE id = ?");
    query_bind_int(&query, id);
    bool ok = query_one(&query, fill_version, ret, err);
    query_release(&query);
    return ok;
}

bool read_version_number(struct read *read, struct arena *arena, const char *dag_id, int64_t number,
                         struct version_row *ret, struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, VERSION_COLUMNS ", source FROM version WHERE dag_id = ? AND number = ?");
    query_bind_text(&query, dag_id);
    query_bind_int(&query, number);
    bool ok = query_one(&query, fill_version, ret, err);
    query_release(&query);
    return ok;
}

/* The total of a list, then its page; `from` begins with " FROM". */
static bool count_and_list(struct query *list, const struct query *from, int64_t *ret_total,
                           struct err *err)
{
    struct query count;

    query_init(&count, list->read, list->arena);
    query_add(&count, "SELECT COUNT(*)");
    query_add_query(&count, from);
    bool ok = query_int(&count, ret_total, err);
    query_release(&count);
    query_add_query(list, from);
    return ok;
}

bool read_versions(struct read *read, struct arena *arena, const char *dag_id,
                   const struct read_page *page, struct version_row **ret, size_t *ret_count,
                   int64_t *ret_total, struct err *err)
{
    static const struct query_order orders[] = {
        {"id",             "id"        },
        {"version_number", "number"    },
        {"dag_id",         "dag_id"    },
        {"created_at",     "created_at"},
    };
    struct query from;
    struct query list;
    void *items = NULL;

    query_init(&from, read, arena);
    query_init(&list, read, arena);
    query_add(&from, " FROM version WHERE 1");
    query_where(&from, " AND dag_id = ?", dag_id);
    query_add(&list, VERSION_COLUMNS);
    bool ok = count_and_list(&list, &from, ret_total, err) &&
              query_page(&list, orders, 4, "id", page, err) &&
              query_all(&list, sizeof(**ret), fill_version_short, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&from);
    query_release(&list);
    return ok;
}

static void fill_import_error(struct query *query, void *row)
{
    struct import_error_row *error = row;

    error->id = query_column(query, 0);
    error->file = query_column_text(query, 1);
    error->at_us = query_column(query, 2);
    error->report = query_column_text(query, 3);
    error->findings = query_column_text(query, 4);
}

bool read_import_errors(struct read *read, struct arena *arena, const char *file_pattern,
                        const struct read_page *page, struct import_error_row **ret,
                        size_t *ret_count, int64_t *ret_total, struct err *err)
{
    static const struct query_order orders[] = {
        {"id",              "id"  },
        {"import_error_id", "id"  },
        {"timestamp",       "at"  },
        {"filename",        "file"},
    };
    struct query from;
    struct query list;
    void *items = NULL;

    query_init(&from, read, arena);
    query_init(&list, read, arena);
    query_add(&from, " FROM import_error WHERE 1");
    query_where(&from, " AND file LIKE ?", file_pattern);
    query_add(&list, "SELECT id, file, at, report, findings");
    bool ok = count_and_list(&list, &from, ret_total, err) &&
              query_page(&list, orders, 4, "id", page, err) &&
              query_all(&list, sizeof(**ret), fill_import_error, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&from);
    query_release(&list);
    return ok;
}

bool read_import_error(struct read *read, struct arena *arena, int64_t id,
                       struct import_error_row *ret, struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, "SELECT id, file, at, report, findings FROM import_error WHERE id = ?");
    query_bind_int(&query, id);
    bool ok = query_one(&query, fill_import_error, ret, err);
    query_release(&query);
    return ok;
}

static void fill_pool(struct query *query, void *row)
{
    struct pool_row *pool = row;

    pool->name = query_column_text(query, 0);
    pool->slots = query_column(query, 1);
    pool->description = query_column_text(query, 2);
}

bool read_pools(struct read *read, struct arena *arena, struct pool_row **ret, size_t *ret_count,
                struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, "SELECT name, slots, description FROM pool ORDER BY name");
    bool ok = query_all(&query, sizeof(**ret), fill_pool, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}
