/* What the files of tasks/engine share; nothing outside the folder includes it. */
#ifndef MILLRACE_TASKS_ENGINE_INTERNAL_H
#define MILLRACE_TASKS_ENGINE_INTERNAL_H

#include "tasks/engine/engine.h"

#include <duckdb.h>

struct engine {
    duckdb_database database;
    duckdb_connection connection;
    size_t streaming; /* results on `connection` whose rows are not all read */
};

/* A column of the current chunk, with pointers straight into DuckDB's vectors. */
struct column {
    duckdb_type type;     /* how the vector is to be read */
    duckdb_type internal; /* DECIMAL and ENUM: the integer type behind it */
    uint8_t width;        /* DECIMAL */
    uint8_t scale;
    const char *name; /* owned by the result */
    char *type_name;  /* as DuckDB spells it; owned */
    char **labels;    /* ENUM: owned */
    size_t label_count;
    const void *data;
    uint64_t *validity;
    struct buf text; /* backs engine_text() of the current row */
};

/* Sets `err` from a message of DuckDB's, with the code that fits its type. Returns false. */
bool engine_fail(struct err *err, duckdb_error_type type, const char *message);

/* Appends the text of a value of a type that has none of its own in the vector. */
void engine_format(const struct column *column, size_t row, struct buf *out);

/* The value of an integer vector of this type, sign-extended. UBIGINT and HUGEINT are clamped. */
int64_t engine_read_int(duckdb_type type, const void *data, size_t row);

/* Appends the type's name: "DECIMAL(10,2)", "STRUCT(\"a\" INTEGER)". */
void engine_add_type_name(duckdb_logical_type type, struct buf *out);

/* Makes a C function known to SQL: `types` are its parameters' and then its result's. */
bool engine_register(duckdb_connection connection, const char *name, const duckdb_type *types,
                     size_t parameter_count, duckdb_scalar_function_t run, struct err *err);

/* A function that reads a text as a value of a fixed size. NULL gives NULL; what can't be read
 * gives NULL too, or an error of the statement when it is `required`. */
struct text_function {
    const char *name;
    duckdb_type type;
    size_t size; /* of a value in bytes */
    bool required;
    bool (*read)(struct str text, void *value);
};

/* `function` must live as long as the database. */
bool engine_register_text(duckdb_connection connection, const struct text_function *function,
                          struct err *err);

bool engine_register_xxh3(duckdb_connection connection, struct err *err);
bool engine_register_strict(duckdb_connection connection, struct err *err);

#endif
