/* duckq: one SQL query, its rows as JSON lines (or CSV with --csv) on stdout. The end-to-end tests
 * use it to look at datasets without going through a task kind or a server. */
#include "base/buf.h"
#include "base/json.h"
#include "base/jw.h"
#include "tasks/engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_csv(struct str text, struct buf *out)
{
    bool quote = text.len == 0;

    for (size_t i = 0; i < text.len; i++)
        quote = quote || strchr(",\"\r\n", text.ptr[i]) != NULL;
    if (quote)
        engine_add_identifier(out, text); /* "a ""b""": CSV's quoting is SQL's */
    else
        buf_add_str(out, text);
}

static void add_csv_row(struct engine_result *rows, struct buf *out)
{
    for (size_t i = 0; i < engine_column_count(rows); i++) {
        if (i > 0)
            buf_add_char(out, ',');
        if (!engine_is_null(rows, i))
            add_csv(engine_text(rows, i), out);
    }
    buf_add_char(out, '\n');
}

static void add_json_row(struct engine_result *rows, struct buf *out)
{
    json_t *row = json_object();
    char *text = NULL;

    for (size_t i = 0; i < engine_column_count(rows); i++)
        (void)json_object_set_new_nocheck(row, engine_column_name(rows, i), engine_json(rows, i));
    text = json_dumps(row, JSON_COMPACT);
    buf_printf(out, "%s\n", text == NULL ? "null" : text);
    free(text);
    json_decref(row);
}

static bool print_rows(struct engine_result *rows, bool csv, struct err *err)
{
    struct buf out = {0};

    for (size_t i = 0; csv && i < engine_column_count(rows); i++) {
        buf_add_text(&out, i == 0 ? "" : ",");
        add_csv(str_from(engine_column_name(rows, i)), &out);
    }
    if (csv)
        buf_add_char(&out, '\n');
    *err = (struct err){0};
    while (engine_next(rows, err)) {
        if (csv)
            add_csv_row(rows, &out);
        else
            add_json_row(rows, &out);
        if (out.len > 65536) {
            (void)fwrite(buf_text(&out), 1, out.len, stdout);
            buf_clear(&out);
        }
    }
    (void)fwrite(buf_text(&out), 1, out.len, stdout);
    buf_release(&out);
    return err->code == ERR_NONE;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    bool csv = argc > 2 && strcmp(argv[1], "--csv") == 0;

    if (argc != (csv ? 3 : 2)) {
        (void)fprintf(stderr, "usage: duckq [--csv] SQL\n");
        return 2;
    }
    struct engine *engine = engine_open(&err);
    struct engine_result *rows = engine == NULL ? NULL : engine_query(engine, argv[argc - 1], &err);
    bool ok = rows != NULL && print_rows(rows, csv, &err);
    if (!ok)
        (void)fprintf(stderr, "duckq: %s\n", err.message);
    engine_result_free(rows);
    engine_close(engine);
    if (fflush(stdout) != 0)
        return 1;
    return ok ? 0 : 1;
}
