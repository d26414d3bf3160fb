#include "scheduler/store/query.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

void query_init(struct query *query, struct read *read, struct arena *arena)
{
    memset(query, 0, sizeof(*query));
    query->read = read;
    query->arena = arena;
}

void query_release(struct query *query)
{
    (void)sqlite3_finalize(query->statement);
    query->statement = NULL;
    buf_release(&query->sql);
}

void query_add(struct query *query, const char *fragment)
{
    buf_add_text(&query->sql, fragment);
}

void query_bind_int(struct query *query, int64_t value)
{
    assert(query->bind_count < QUERY_BINDS_MAX);
    query->binds[query->bind_count++] = (struct query_bind){NULL, value};
}

void query_bind_text(struct query *query, const char *value)
{
    assert(query->bind_count < QUERY_BINDS_MAX);
    query->binds[query->bind_count++] = (struct query_bind){value, 0};
}

void query_where(struct query *query, const char *fragment, const char *value)
{
    if (value == NULL)
        return;
    query_add(query, fragment);
    query_bind_text(query, value);
}

void query_add_query(struct query *query, const struct query *other)
{
    buf_add_str(&query->sql, buf_str(&other->sql));
    for (size_t i = 0; i < other->bind_count; i++) {
        assert(query->bind_count < QUERY_BINDS_MAX);
        query->binds[query->bind_count++] = other->binds[i];
    }
}

static bool prepare(struct query *query, sqlite3 *db, struct err *err)
{
    int result =
        sqlite3_prepare_v2(db, buf_text(&query->sql), (int)query->sql.len, &query->statement, NULL);

    for (size_t i = 0; result == SQLITE_OK && i < query->bind_count; i++) {
        const struct query_bind *bind = &query->binds[i];
        int column = (int)i + 1;
        if (bind->text == NULL)
            result = sqlite3_bind_int64(query->statement, column, bind->number);
        else
            result = sqlite3_bind_text(query->statement, column, bind->text, -1, SQLITE_STATIC);
    }
    return result == SQLITE_OK ? true : read_fail(query->read, db, err);
}

enum query_step query_step(struct query *query, struct err *err)
{
    sqlite3 *db = read_connection(query->read, err);

    if (db == NULL || (query->statement == NULL && !prepare(query, db, err)))
        return QUERY_FAILED;
    int result = sqlite3_step(query->statement);
    if (result == SQLITE_ROW)
        return QUERY_ROW;
    if (result != SQLITE_DONE)
        read_fail(query->read, db, err);
    (void)sqlite3_finalize(query->statement);
    query->statement = NULL;
    return result == SQLITE_DONE ? QUERY_DONE : QUERY_FAILED;
}

static bool check_words(const struct query *query, struct err *err)
{
    if (!query->damaged)
        return true;
    return err_set(err, ERR_DATA, "the database holds a state this version does not know");
}

bool query_int(struct query *query, int64_t *ret, struct err *err)
{
    if (query_step(query, err) != QUERY_ROW)
        return false;
    *ret = sqlite3_column_int64(query->statement, 0);
    return true;
}

bool query_all(struct query *query, size_t size, void (*fill)(struct query *, void *), void **ret,
               size_t *ret_count, struct err *err)
{
    char *items = NULL;
    size_t count = 0;
    size_t capacity = 0;
    enum query_step step;

    while ((step = query_step(query, err)) == QUERY_ROW) {
        if (count == capacity) {
            size_t larger = capacity == 0 ? 16 : capacity * 2;
            char *grown = arena_alloc_array(query->arena, larger, size);
            if (count > 0)
                memcpy(grown, items, count * size);
            items = grown;
            capacity = larger;
        }
        fill(query, items + count * size);
        count++;
    }
    if (step == QUERY_FAILED || !check_words(query, err))
        return false;
    *ret = items;
    *ret_count = count;
    return true;
}

bool query_one(struct query *query, void (*fill)(struct query *, void *), void *ret,
               struct err *err)
{
    switch (query_step(query, err)) {
    case QUERY_FAILED:
        return false;
    case QUERY_DONE:
        return err_set(err, ERR_NOT_FOUND, "not found");
    case QUERY_ROW:
        break;
    }
    fill(query, ret);
    return check_words(query, err);
}

int64_t query_column(const struct query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

const char *query_column_text(const struct query *query, int column)
{
    const unsigned char *text = sqlite3_column_text(query->statement, column);

    return arena_strdup(query->arena, (const char *)text);
}

static const struct query_order *find_order(const struct query_order *orders, size_t count,
                                            const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(orders[i].name, name) == 0)
            return &orders[i];
    return NULL;
}

bool query_page(struct query *query, const struct query_order *orders, size_t order_count,
                const char *tiebreak, const struct read_page *page, struct err *err)
{
    query_add(query, " ORDER BY ");
    for (size_t i = 0; i < page->order_count; i++) {
        const struct read_order *wanted = &page->order[i];
        const struct query_order *order = find_order(orders, order_count, wanted->name);
        if (order == NULL)
            return err_set(err, ERR_BAD_REQUEST,
                           "Ordering with '%.100s' is disallowed or the attribute does not exist "
                           "on the model",
                           wanted->name);
        query_add(query, order->fragment);
        query_add(query, wanted->descending ? " DESC NULLS LAST, " : " ASC NULLS LAST, ");
    }
    query_add(query, tiebreak);
    query_add(query, page->order_count > 0 && page->order[0].descending ? " DESC" : " ASC");
    query_add(query, " LIMIT ? OFFSET ?");
    query_bind_int(query, page->limit);
    query_bind_int(query, page->offset);
    return true;
}

void query_ranges(struct query *query, const char *const fields[READ_FIELD_COUNT],
                  const struct read_ranges *ranges)
{
    static const char *const operators[READ_OPERATOR_COUNT] = {
        [READ_GTE] = " >= ?", [READ_GT] = " > ?", [READ_LTE] = " <= ?", [READ_LT] = " < ?"};

    for (size_t i = 0; i < ranges->count; i++) {
        const struct read_range *range = &ranges->items[i];
        const char *fragment = fields[range->field];
        query_add(query, " AND ");
        query_add(query, fragment);
        if (strchr(fragment, '?') != NULL)
            query_bind_int(query, ranges->now_us);
        query_add(query, operators[range->op]);
        query_bind_int(query, range->value_us);
    }
}
