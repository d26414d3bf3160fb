/* Queries about task instances, attempts and transitions. */
#include "scheduler/store/query.h"

#include <stdlib.h>
#include <string.h>

/* A word of an enum column; an unknown one marks the query. */
static enum task_state task_state_column(struct query *query, int column)
{
    const char *text = (const char *)sqlite3_column_text(query->statement, column);
    enum task_state state = TASK_NONE;

    if (!task_state_parse(str_from(text), &state))
        query->damaged = true;
    return state;
}

#define TASK_ROW_COLUMNS                                                                           \
    "SELECT ti.run, ti.task, ti.map_index, ti.task_id, ti.state, ti.try_number, ti.max_tries, "    \
    "ti.scheduled_at, ti.queued_at, ti.started_at, ti.ended_at, ti.retry_at, ti.reason, "          \
    "ti.wait_since, ti.pokes"
#define TASK_VIEW_COLUMNS                                                                          \
    TASK_ROW_COLUMNS ", run.dag_id, run.run_id, run.logical_date, run.run_after, run.version_id, " \
                     "version.number, version.created_at, attempt.pid, attempt.worker"
#define TASK_TABLES                                                                                \
    " FROM task_instance AS ti JOIN run ON run.id = ti.run"                                        \
    " JOIN version ON version.id = run.version_id"
#define TASK_ATTEMPT                                                                               \
    " LEFT JOIN attempt ON attempt.run = ti.run AND attempt.task = ti.task"                        \
    " AND attempt.map_index = ti.map_index AND attempt.try_number = ti.try_number"

static void fill_task_row(struct query *query, void *row)
{
    struct task_row *task = row;

    task->run = query_column(query, 0);
    task->task = (uint32_t)query_column(query, 1);
    task->map_index = (int32_t)query_column(query, 2);
    task->task_id = query_column_text(query, 3);
    task->state = task_state_column(query, 4);
    task->try_number = query_column(query, 5);
    task->max_tries = query_column(query, 6);
    task->scheduled_at_us = query_column(query, 7);
    task->queued_at_us = query_column(query, 8);
    task->started_at_us = query_column(query, 9);
    task->ended_at_us = query_column(query, 10);
    task->retry_at_us = query_column(query, 11);
    task->reason = query_column_text(query, 12);
    task->wait_since_us = query_column(query, 13);
    task->pokes = query_column(query, 14);
}

static void fill_task_view(struct query *query, void *row)
{
    struct task_view *view = row;

    fill_task_row(query, &view->task);
    view->dag_id = query_column_text(query, 15);
    view->run_id = query_column_text(query, 16);
    view->logical_date_us = query_column(query, 17);
    view->run_after_us = query_column(query, 18);
    view->version_id = query_column(query, 19);
    view->version_number = query_column(query, 20);
    view->version_created_at_us = query_column(query, 21);
    view->pid = query_column(query, 22);
    view->worker = query_column_text(query, 23);
}

static void fill_task_full(struct query *query, void *row)
{
    struct task_view *view = row;

    fill_task_view(query, row);
    view->rendered = query_column_text(query, 24);
}

static void add_task_filter(struct query *from, const struct task_filter *filter)
{
    static const char *const fields[READ_FIELD_COUNT] = {
        [READ_RUN_AFTER] = "run.run_after",
        [READ_LOGICAL_DATE] = "run.logical_date",
        [READ_START_DATE] = "COALESCE(ti.started_at, ?)",
        [READ_END_DATE] = "COALESCE(ti.ended_at, ?)",
        [READ_UPDATED_AT] = "run.updated_at",
        [READ_DURATION] = "(ti.ended_at - ti.started_at)",
    };

    query_where(from, " AND run.dag_id = ?", filter->dag_id);
    query_where(from, " AND run.run_id = ?", filter->run_id);
    query_where(from, " AND ti.task_id IN (SELECT value FROM json_each(?))", filter->task_ids);
    query_where(from, " AND ti.state IN (SELECT value FROM json_each(?))", filter->states);
    query_where(from, " AND ti.map_index IN (SELECT value FROM json_each(?))", filter->map_indexes);
    query_where(from, " AND ti.map_index >= 0 AND ti.task_id = ?", filter->mapped_task_id);
    query_where(from, " AND ti.try_number IN (SELECT value FROM json_each(?))",
                filter->try_numbers);
    query_where(from, " AND version.number IN (SELECT value FROM json_each(?))",
                filter->version_numbers);
    query_where(from, " AND run.run_id LIKE ?", filter->run_id_pattern);
    query_where(from, " AND run.dag_id LIKE ?", filter->dag_id_pattern);
    query_where(from, " AND ti.task_id LIKE ?", filter->task_id_pattern);
    query_ranges(from, fields, &filter->ranges);
}

bool read_tasks(struct read *read, struct arena *arena, const struct task_filter *filter,
                const struct read_page *page, struct task_view **ret, size_t *ret_count,
                int64_t *ret_total, struct err *err)
{
    static const struct query_order orders[] = {
        {"id",             "ti.run"                       },
        {"state",          "ti.state"                     },
        {"duration",       "(ti.ended_at - ti.started_at)"},
        {"start_date",     "ti.started_at"                },
        {"end_date",       "ti.ended_at"                  },
        {"map_index",      "ti.map_index"                 },
        {"try_number",     "ti.try_number"                },
        {"logical_date",   "run.logical_date"             },
        {"run_after",      "run.run_after"                },
        {"task_id",        "ti.task_id"                   },
        {"dag_id",         "run.dag_id"                   },
        {"run_id",         "run.run_id"                   },
        {"queued_when",    "ti.queued_at"                 },
        {"scheduled_when", "ti.scheduled_at"              },
    };
    struct query where;
    struct query count;
    struct query list;
    void *items = NULL;

    query_init(&where, read, arena);
    query_init(&count, read, arena);
    query_init(&list, read, arena);
    add_task_filter(&where, filter);
    query_add(&count, "SELECT COUNT(*)" TASK_TABLES " WHERE 1");
    query_add_query(&count, &where);
    query_add(&list, TASK_VIEW_COLUMNS TASK_TABLES TASK_ATTEMPT " WHERE 1");
    query_add_query(&list, &where);
    bool ok = query_page(&list, orders, sizeof(orders) / sizeof(orders[0]),
                         "ti.run, ti.task, ti.map_index", page, err) &&
              query_int(&count, ret_total, err) &&
              query_all(&list, sizeof(**ret), fill_task_view, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&where);
    query_release(&count);
    query_release(&list);
    return ok;
}

bool read_task(struct read *read, struct arena *arena, const struct task_key *key,
               struct task_view *ret, struct err *err)
{
    struct query query;

    query_init(&query, read, arena);
    query_add(&query, TASK_VIEW_COLUMNS
              ", attempt.rendered" TASK_TABLES TASK_ATTEMPT
              " WHERE run.dag_id = ? AND run.run_id = ? AND ti.task_id = ? AND ti.map_index = ?");
    query_bind_text(&query, key->dag_id);
    query_bind_text(&query, key->run_id);
    query_bind_text(&query, key->task_id);
    query_bind_int(&query, key->map_index);
    bool ok = query_one(&query, fill_task_full, ret, err);
    query_release(&query);
    return ok;
}

bool read_run_tasks(struct read *read, struct arena *arena, int64_t run, struct task_row **ret,
                    size_t *ret_count, struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, TASK_ROW_COLUMNS
              " FROM task_instance AS ti WHERE ti.run = ? ORDER BY ti.task, ti.map_index");
    query_bind_int(&query, run);
    bool ok = query_all(&query, sizeof(**ret), fill_task_row, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}

struct state_count {
    enum task_state state;
    int64_t count;
};

static void fill_state_count(struct query *query, void *row)
{
    struct state_count *item = row;

    item->state = TASK_NONE;
    (void)task_state_parse(str_from(query_column_text(query, 0)), &item->state);
    item->count = query_column(query, 1);
}

bool read_run_task_states(struct read *read, int64_t run, int64_t counts[TASK_STATE_COUNT],
                          struct err *err)
{
    struct arena arena = {0};
    struct query query;
    void *items = NULL;
    size_t count = 0;

    query_init(&query, read, &arena);
    query_add(&query, "SELECT state, COUNT(*) FROM task_instance WHERE run = ? GROUP BY state");
    query_bind_int(&query, run);
    bool ok = query_all(&query, sizeof(struct state_count), fill_state_count, &items, &count, err);
    for (size_t i = 0; i < TASK_STATE_COUNT; i++)
        counts[i] = 0;
    for (size_t i = 0; ok && i < count; i++)
        counts[((struct state_count *)items)[i].state] += ((struct state_count *)items)[i].count;
    query_release(&query);
    arena_release(&arena);
    return ok;
}

static void fill_attempt(struct query *query, void *row)
{
    struct attempt_row *attempt = row;
    const char *outcome = (const char *)sqlite3_column_text(query->statement, 13);

    attempt->run = query_column(query, 0);
    attempt->task = (uint32_t)query_column(query, 1);
    attempt->map_index = (int32_t)query_column(query, 2);
    attempt->try_number = query_column(query, 3);
    attempt->token = query_column_text(query, 4);
    attempt->state = task_state_column(query, 5);
    attempt->worker = query_column_text(query, 6);
    attempt->pid = query_column(query, 7);
    attempt->queued_at_us = query_column(query, 8);
    attempt->started_at_us = query_column(query, 9);
    attempt->ended_at_us = query_column(query, 10);
    attempt->exit_code =
        sqlite3_column_type(query->statement, 11) == SQLITE_NULL ? -1 : query_column(query, 11);
    attempt->signal = query_column(query, 12);
    if (outcome != NULL && !outcome_parse(str_from(outcome), &attempt->outcome))
        query->damaged = true;
    attempt->reason = query_column_text(query, 14);
    attempt->rendered = query_column_text(query, 15);
    attempt->outputs = query_column_text(query, 16);
}

bool read_attempts(struct read *read, struct arena *arena, const struct task_row *task,
                   int64_t try_number, struct attempt_row **ret, size_t *ret_count, struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query,
              "SELECT run, task, map_index, try_number, token, state, worker, pid, "
              "queued_at, started_at, ended_at, exit_code, signal, outcome, reason, "
              "rendered, outputs FROM attempt WHERE run = ? AND task = ? AND map_index = ?");
    query_bind_int(&query, task->run);
    query_bind_int(&query, task->task);
    query_bind_int(&query, task->map_index);
    if (try_number > 0) {
        query_add(&query, " AND try_number = ?");
        query_bind_int(&query, try_number);
    }
    query_add(&query, " ORDER BY try_number");
    bool ok = query_all(&query, sizeof(**ret), fill_attempt, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}

static void fill_task_count(struct query *query, void *row)
{
    struct task_count *count = row;

    count->version_id = query_column(query, 0);
    count->task = (uint32_t)query_column(query, 1);
    count->state = task_state_column(query, 2);
    count->count = query_column(query, 3);
}

bool read_live_task_counts(struct read *read, struct arena *arena, struct task_count **ret,
                           size_t *ret_count, struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, "SELECT run.version_id, ti.task, ti.state, COUNT(*) FROM run"
                      " JOIN task_instance AS ti ON ti.run = run.id"
                      " WHERE run.state IN ('queued', 'running')"
                      " AND ti.state IN ('scheduled', 'queued', 'running', 'deferred')"
                      " GROUP BY run.version_id, ti.task, ti.state");
    bool ok = query_all(&query, sizeof(**ret), fill_task_count, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}

/* The rows of a task may have changed since: the unmapped one gives way to its instances. */
#define TRANSITION_COLUMNS                                                                         \
    "SELECT t.seq, t.at, run.dag_id, run.run_id, run.backfill_id, "                                \
    "(SELECT task_id FROM task_instance AS ti WHERE ti.run = t.run AND ti.task = t.task LIMIT 1)," \
    " t.map_index, t.try_number, t.from_state, t.to_state, t.reason FROM transition AS t"          \
    " JOIN run ON run.id = t.run"

static void fill_transition(struct query *query, void *row)
{
    struct transition_view *view = row;

    view->seq = query_column(query, 0);
    view->at_us = query_column(query, 1);
    view->dag_id = query_column_text(query, 2);
    view->run_id = query_column_text(query, 3);
    view->backfill_id = query_column(query, 4);
    view->task_id = query_column_text(query, 5);
    view->map_index = query_column(query, 6);
    view->try_number = query_column(query, 7);
    view->from_state = query_column_text(query, 8);
    view->to_state = query_column_text(query, 9);
    view->reason = query_column_text(query, 10);
}

bool read_last_seq(struct read *read, int64_t *ret, struct err *err)
{
    struct query query;

    query_init(&query, read, NULL);
    query_add(&query, "SELECT COALESCE(MAX(seq), 0) FROM transition");
    bool ok = query_int(&query, ret, err);
    query_release(&query);
    return ok;
}

bool read_transitions_after(struct read *read, struct arena *arena, int64_t seq, int64_t limit,
                            struct transition_view **ret, size_t *ret_count, struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, TRANSITION_COLUMNS " WHERE t.seq > ? ORDER BY t.seq LIMIT ?");
    query_bind_int(&query, seq);
    query_bind_int(&query, limit);
    bool ok = query_all(&query, sizeof(**ret), fill_transition, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}

bool read_run_failures_after(struct read *read, struct arena *arena, int64_t run, int64_t seq,
                             int64_t limit, struct transition_view **ret, size_t *ret_count,
                             struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, TRANSITION_COLUMNS " WHERE t.run = ? AND t.seq > ?"
                                         " AND t.to_state IN ('failed', 'up_for_retry')"
                                         " ORDER BY t.seq LIMIT ?");
    query_bind_int(&query, run);
    query_bind_int(&query, seq);
    query_bind_int(&query, limit);
    bool ok = query_all(&query, sizeof(**ret), fill_transition, &items, ret_count, err);
    if (ok)
        *ret = items;
    query_release(&query);
    return ok;
}

static void reverse(struct transition_view *items, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct transition_view swap = items[i];
        items[i] = items[count - 1 - i];
        items[count - 1 - i] = swap;
    }
}

bool read_run_transitions(struct read *read, struct arena *arena, int64_t run, int64_t limit,
                          struct transition_view **ret, size_t *ret_count, struct err *err)
{
    struct query query;
    void *items = NULL;

    query_init(&query, read, arena);
    query_add(&query, TRANSITION_COLUMNS " WHERE t.run = ? ORDER BY t.seq DESC LIMIT ?");
    query_bind_int(&query, run);
    query_bind_int(&query, limit);
    bool ok = query_all(&query, sizeof(**ret), fill_transition, &items, ret_count, err);
    if (ok) {
        *ret = items;
        reverse(*ret, *ret_count);
    }
    query_release(&query);
    return ok;
}
