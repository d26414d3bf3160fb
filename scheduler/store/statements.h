/* The writer's connection: its prepared statements, and helpers to bind and read columns in order.
 * Private to scheduler/store. */
#ifndef MILLRACE_STORE_STATEMENTS_H
#define MILLRACE_STORE_STATEMENTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "scheduler/store/store.h"

#include <sqlite3.h>

enum statement {
#define STATEMENT(name, sql) STATEMENT_##name,
#include "scheduler/store/statements.def"
#undef STATEMENT
    STATEMENT_COUNT
};

/* What store_put_*() queued for the next commit; its strings are owned copies. */
struct store_put {
    enum statement statement;
    char *texts[3];
    int64_t numbers[2];
};

struct store {
    sqlite3 *db;
    char *path;
    int mark_fd; /* -1 = not open */
    sqlite3_stmt *statements[STATEMENT_COUNT];
    char instance[17];
    struct store_identity identity;
    int64_t last_seq;
    int64_t wal_pages;    /* not checkpointed */
    int64_t wal_frames;   /* in the WAL when it was last written */
    int64_t wal_reserved; /* its bytes that are there, frames or zeros */
    struct store_put *puts;
    size_t put_count;
    size_t put_capacity;
    bool is_broken; /* something failed: nothing may be written any more */
};

/* Notes how far the store is committed; after each commit. */
void store_set_mark(const struct store *store);

/* In a transaction that has begun: whether this store may write. Another process can have taken the
 * state over although the lock was ours (its file was removed, or the file system does not lock):
 * only the newest epoch writes. */
bool store_check_epoch(struct store *store, struct err *err);

/* Binds parameters from ?1 on, one after the other. A failed bind is found by bind_run(). */
struct bind {
    struct store *store;
    sqlite3_stmt *stmt;
    int at;
    int status;
};

struct bind bind_begin(struct store *store, enum statement statement);
void bind_int(struct bind *bind, int64_t value);
void bind_time(struct bind *bind, int64_t us); /* 0 = NULL; also for optional ids */
void bind_null(struct bind *bind);
void bind_text(struct bind *bind, const char *text); /* NULL = NULL */
void bind_str(struct bind *bind, struct str text);

/* Runs a statement without rows, and resets it. False: `err` names the statement. */
bool bind_run(struct bind *bind, struct err *err);

/* As bind_run(); exactly one row must have been changed. */
bool bind_run_one(struct bind *bind, struct err *err);

/* Steps a query: true with *ret_row telling whether there is a row. The caller ends with
 * bind_end(), also after an error. */
bool bind_step(struct bind *bind, bool *ret_row, struct err *err);
void bind_end(struct bind *bind);

/* Reads columns from 0 on, one after the other. Strings are copied into the arena. */
struct columns {
    sqlite3_stmt *stmt;
    struct arena *arena;
    int at;
};

int64_t column_int(struct columns *columns); /* NULL = 0 */
int64_t column_int_or(struct columns *columns, int64_t null_value);
bool column_bool(struct columns *columns);
char *column_text(struct columns *columns); /* NULL = NULL */
struct str column_str(struct columns *columns);
struct str column_name(struct columns *columns); /* not copied: valid until the next step */

#endif
