/* The columns of something that can stand after FROM: names and types, found whatever the case,
 * with an error for a missing one that says what there is. */
#ifndef MILLRACE_TASKS_ENGINE_COLUMNS_H
#define MILLRACE_TASKS_ENGINE_COLUMNS_H

#include "tasks/engine/engine.h"

struct column_info {
    char *name;
    char *type; /* as DuckDB spells it: "DECIMAL(12,2)" */
};

struct columns {
    struct column_info *items;
    size_t count;
};

enum type_class { TYPE_INT, TYPE_DECIMAL, TYPE_FLOAT, TYPE_TIME, TYPE_TEXT, TYPE_BLOB, TYPE_OTHER };

/* `from` is SQL: a table's name or read_parquet(…). */
bool columns_read(struct engine *engine, const char *from, struct columns *ret_columns,
                  struct err *err);
void columns_release(struct columns *columns);

/* The column of this name, or NULL. */
const struct column_info *columns_find(const struct columns *columns, const char *name);

/* As columns_find(), but a missing column is ERR_INVALID: "lake/x has no column `y`; did you
 * mean…". `dataset` is for the message. */
const struct column_info *columns_need(const struct columns *columns, const char *dataset,
                                       const char *name, struct err *err);

/* Booleans are integers, dates and timestamps times; TIME and INTERVAL are others. */
enum type_class type_class_of(const char *type);

/* Appends SQL: the microseconds since 1970 of a column of class TYPE_TIME, NULL for infinity. A
 * time without a zone is UTC. */
void columns_add_epoch_us(const struct column_info *column, struct buf *sql);

#endif
