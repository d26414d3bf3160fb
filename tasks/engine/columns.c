#include "tasks/engine/columns.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LISTED_MAX 20

bool columns_read(struct engine *engine, const char *from, struct columns *ret_columns,
                  struct err *err)
{
    struct columns columns = {0};
    struct err problem = {0};
    struct buf sql = {0};

    buf_printf(&sql, "DESCRIBE SELECT * FROM %s", from);
    struct engine_result *rows = engine_query(engine, buf_text(&sql), &problem);
    buf_release(&sql);
    while (rows != NULL && engine_next(rows, &problem)) {
        columns.items = mem_resize_array(columns.items, columns.count + 1, sizeof(*columns.items));
        struct str name = engine_text(rows, 0);
        columns.items[columns.count].name = mem_dup(name.ptr, name.len);
        struct str type = engine_text(rows, 1);
        columns.items[columns.count++].type = mem_dup(type.ptr, type.len);
    }
    engine_result_free(rows);
    if (problem.code != ERR_NONE) {
        columns_release(&columns);
        *err = problem;
        return false;
    }
    *ret_columns = columns;
    return true;
}

void columns_release(struct columns *columns)
{
    for (size_t i = 0; i < columns->count; i++) {
        free(columns->items[i].name);
        free(columns->items[i].type);
    }
    free(columns->items);
    *columns = (struct columns){0};
}

const struct column_info *columns_find(const struct columns *columns, const char *name)
{
    for (size_t i = 0; i < columns->count; i++)
        if (strcasecmp(columns->items[i].name, name) == 0)
            return &columns->items[i];
    return NULL;
}

static const char *nearest(const struct columns *columns, const char *name)
{
    const char *best = NULL;
    size_t best_distance = strlen(name) / 3 + 1;

    for (size_t i = 0; i < columns->count; i++) {
        size_t distance = str_distance(str_from(name), str_from(columns->items[i].name));
        if (distance <= best_distance && (best == NULL || distance < best_distance)) {
            best = columns->items[i].name;
            best_distance = distance;
        }
    }
    return best;
}

const struct column_info *columns_need(const struct columns *columns, const char *dataset,
                                       const char *name, struct err *err)
{
    const struct column_info *column = columns_find(columns, name);
    const char *best = column == NULL ? nearest(columns, name) : NULL;
    struct buf text = {0};

    if (column != NULL)
        return column;
    if (best != NULL) {
        buf_printf(&text, "did you mean `%s`?", best);
    } else {
        buf_add_text(&text, "it has ");
        for (size_t i = 0; i < columns->count && i < LISTED_MAX; i++)
            buf_printf(&text, "%s%s", i == 0 ? "" : ", ", columns->items[i].name);
        buf_add_text(&text, columns->count > LISTED_MAX ? ", …" : "");
    }
    err_set(err, ERR_INVALID, "%s has no column `%s`: %s", dataset, name, buf_text(&text));
    buf_release(&text);
    return NULL;
}

enum type_class type_class_of(const char *type)
{
    static const struct {
        const char *type;
        enum type_class class;
    } classes[] = {
        {"BOOLEAN",                  TYPE_INT  },
        {"TINYINT",                  TYPE_INT  },
        {"SMALLINT",                 TYPE_INT  },
        {"INTEGER",                  TYPE_INT  },
        {"BIGINT",                   TYPE_INT  },
        {"HUGEINT",                  TYPE_INT  },
        {"UTINYINT",                 TYPE_INT  },
        {"USMALLINT",                TYPE_INT  },
        {"UINTEGER",                 TYPE_INT  },
        {"UBIGINT",                  TYPE_INT  },
        {"UHUGEINT",                 TYPE_INT  },
        {"FLOAT",                    TYPE_FLOAT},
        {"DOUBLE",                   TYPE_FLOAT},
        {"DATE",                     TYPE_TIME },
        {"TIMESTAMP",                TYPE_TIME },
        {"TIMESTAMP_S",              TYPE_TIME },
        {"TIMESTAMP_MS",             TYPE_TIME },
        {"TIMESTAMP_NS",             TYPE_TIME },
        {"TIMESTAMP WITH TIME ZONE", TYPE_TIME },
        {"VARCHAR",                  TYPE_TEXT },
        {"BLOB",                     TYPE_BLOB },
    };

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (strcmp(type, classes[i].type) == 0)
            return classes[i].class;
    if (strncmp(type, "DECIMAL(", 8) == 0 && type[strlen(type) - 1] == ')')
        return TYPE_DECIMAL;
    return TYPE_OTHER;
}

void columns_add_epoch_us(const struct column_info *column, struct buf *sql)
{
    /* The coarse and fine timestamp types lack some of the functions that TIMESTAMP has. */
    const char *cast = strncmp(column->type, "TIMESTAMP_", 10) == 0 ? "::TIMESTAMP" : "";

    buf_add_text(sql, "CASE WHEN isfinite(");
    engine_add_identifier(sql, str_from(column->name));
    buf_printf(sql, "%s) THEN epoch_us(", cast);
    engine_add_identifier(sql, str_from(column->name));
    buf_printf(sql, "%s) END", cast);
}
