#include "scheduler/store/statements.h"

#include "scheduler/store/pages.h"

#include <assert.h>
#include <limits.h>

static const char *const statement_names[] = {
#define STATEMENT(name, sql) #name,
#include "scheduler/store/statements.def"
#undef STATEMENT
};

struct bind bind_begin(struct store *store, enum statement statement)
{
    return (struct bind){.store = store, .stmt = store->statements[statement], .status = SQLITE_OK};
}

static void note(struct bind *bind, int status)
{
    if (bind->status == SQLITE_OK)
        bind->status = status;
}

void bind_int(struct bind *bind, int64_t value)
{
    note(bind, sqlite3_bind_int64(bind->stmt, ++bind->at, value));
}

void bind_null(struct bind *bind)
{
    note(bind, sqlite3_bind_null(bind->stmt, ++bind->at));
}

void bind_time(struct bind *bind, int64_t us)
{
    if (us == 0)
        bind_null(bind);
    else
        bind_int(bind, us);
}

void bind_str(struct bind *bind, struct str text)
{
    const char *ptr = text.ptr == NULL ? "" : text.ptr;

    note(bind,
         sqlite3_bind_text64(bind->stmt, ++bind->at, ptr, text.len, SQLITE_STATIC, SQLITE_UTF8));
}

void bind_text(struct bind *bind, const char *text)
{
    if (text == NULL)
        bind_null(bind);
    else
        bind_str(bind, str_from(text));
}

static bool fail(const struct bind *bind, struct err *err)
{
    const char *name = "a statement";

    bind->store->is_broken = true;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        if (bind->store->statements[i] == bind->stmt)
            name = statement_names[i];
    if (pages_are_damaged(bind->store->db))
        return err_set(err, ERR_IO,
                       "%s is damaged (%s: %s): move state.db* away and restore a backup, see "
                       "docs/operations.md",
                       bind->store->path, name, sqlite3_errmsg(bind->store->db));
    return err_set(err, ERR_IO, "%s: %s: %s", bind->store->path, name,
                   sqlite3_errmsg(bind->store->db));
}

bool bind_step(struct bind *bind, bool *ret_row, struct err *err)
{
    if (bind->status != SQLITE_OK)
        return fail(bind, err);
    /* What was bound the last time is not cleared: all of it has to be replaced. */
    assert(bind->at == sqlite3_bind_parameter_count(bind->stmt));
    int status = sqlite3_step(bind->stmt);
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        return fail(bind, err);
    *ret_row = status == SQLITE_ROW;
    return true;
}

void bind_end(struct bind *bind)
{
    (void)sqlite3_reset(bind->stmt);
}

bool bind_run(struct bind *bind, struct err *err)
{
    bool row = false;
    bool ok = bind_step(bind, &row, err);

    bind_end(bind);
    return ok;
}

bool bind_run_one(struct bind *bind, struct err *err)
{
    if (!bind_run(bind, err))
        return false;
    if (sqlite3_changes(bind->store->db) != 1)
        return err_set(err, ERR_FAILED, "%s: `%s` met %d rows instead of one", bind->store->path,
                       sqlite3_sql(bind->stmt), sqlite3_changes(bind->store->db));
    return true;
}

int64_t column_int(struct columns *columns)
{
    return sqlite3_column_int64(columns->stmt, columns->at++);
}

int64_t column_int_or(struct columns *columns, int64_t null_value)
{
    bool is_null = sqlite3_column_type(columns->stmt, columns->at) == SQLITE_NULL;
    int64_t value = column_int(columns);

    return is_null ? null_value : value;
}

bool column_bool(struct columns *columns)
{
    return column_int(columns) != 0;
}

struct str column_name(struct columns *columns)
{
    const unsigned char *text = sqlite3_column_text(columns->stmt, columns->at);
    int len = sqlite3_column_bytes(columns->stmt, columns->at++);

    return (struct str){(const char *)text, text == NULL ? 0 : (size_t)len};
}

struct str column_str(struct columns *columns)
{
    return arena_str(columns->arena, column_name(columns));
}

char *column_text(struct columns *columns)
{
    struct str text = column_name(columns);

    return text.ptr == NULL ? NULL : arena_printf(columns->arena, "%.*s", STR_ARG(text));
}
