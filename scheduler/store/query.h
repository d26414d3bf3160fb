/* One read query: assembled from literal fragments, its values bound, its rows copied to an arena.
 * Private to the read_*.c files of this folder.
 *
 * Fragments are string literals of those files: nothing from outside is ever part of the SQL. */
#ifndef MILLRACE_STORE_QUERY_H
#define MILLRACE_STORE_QUERY_H

#include "base/buf.h"
#include "scheduler/store/read.h"

#include <sqlite3.h>

#define QUERY_BINDS_MAX 64

struct query_bind {
    const char *text; /* NULL = the number */
    int64_t number;
};

struct query {
    struct read *read;
    struct arena *arena;
    struct buf sql;
    struct query_bind binds[QUERY_BINDS_MAX];
    size_t bind_count;
    sqlite3_stmt *statement;
    bool damaged; /* a row held a word that is in none of our tables */
};

/* The open connection with a snapshot begun, or NULL. */
sqlite3 *read_connection(struct read *read, struct err *err);

/* ERR_TIMEOUT, ERR_UNREACHABLE or ERR_IO with SQLite's message. */
bool read_fail(struct read *read, sqlite3 *db, struct err *err);

void query_init(struct query *query, struct read *read, struct arena *arena);
void query_release(struct query *query);

void query_add(struct query *query, const char *fragment);
void query_bind_int(struct query *query, int64_t value);
void query_bind_text(struct query *query, const char *value);

/* Adds the fragment with its one value unless the value is NULL. */
void query_where(struct query *query, const char *fragment, const char *value);

/* Takes over conditions and values of another query, for the count of a list. */
void query_add_query(struct query *query, const struct query *other);

enum query_step { QUERY_ROW, QUERY_DONE, QUERY_FAILED };

/* The first call prepares. After anything but QUERY_ROW the statement is closed. */
enum query_step query_step(struct query *query, struct err *err);

/* Runs a query of one row and one integer. */
bool query_int(struct query *query, int64_t *ret, struct err *err);

/* Runs to the end, calling `fill` with a zeroed element per row; the array is in the arena. */
bool query_all(struct query *query, size_t size, void (*fill)(struct query *, void *), void **ret,
               size_t *ret_count, struct err *err);

/* The first row; ERR_NOT_FOUND if there is none. */
bool query_one(struct query *query, void (*fill)(struct query *, void *), void *ret,
               struct err *err);

/* Columns of the current row. */
int64_t query_column(const struct query *query, int column);
const char *query_column_text(const struct query *query, int column);

/* An entry of a list's table of orders; the fragment has "ASC" or "DESC" added, nulls last. */
struct query_order {
    const char *name;
    const char *fragment;
};

/* Adds ORDER BY with `tiebreak` in the direction of the first key, LIMIT and OFFSET. */
bool query_page(struct query *query, const struct query_order *orders, size_t order_count,
                const char *tiebreak, const struct read_page *page, struct err *err);

/* Adds the conditions of the ranges; `fragments` is one of each field and operator. */
void query_ranges(struct query *query, const char *const fields[READ_FIELD_COUNT],
                  const struct read_ranges *ranges);

#endif
