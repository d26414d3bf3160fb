#include "tasks/validate/text.h"

#include "tasks/validate/sqltext.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void write_members(struct jw *w, const json_t *value)
{
    void *at = json_object_iter((json_t *)(uintptr_t)value);

    jw_begin_object(w);
    for (; at != NULL; at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        jw_key(w, json_object_iter_key(at));
        text_write(w, json_object_iter_value(at));
    }
    jw_end_object(w);
}

void text_write(struct jw *w, const json_t *value)
{
    size_t i;
    json_t *item;

    if (json_is_object(value)) {
        write_members(w, value);
    } else if (json_is_array(value)) {
        jw_begin_array(w);
        json_array_foreach(value, i, item) text_write(w, item);
        jw_end_array(w);
    } else if (json_is_string(value)) {
        jw_str(w, (struct str){json_string_value(value), json_string_length(value)});
    } else if (json_is_integer(value)) {
        jw_int(w, json_integer_value(value));
    } else if (json_is_real(value)) {
        jw_real(w, json_real_value(value));
    } else if (json_is_boolean(value)) {
        jw_bool(w, json_is_true(value));
    } else {
        jw_null(w);
    }
}

const char *text_json(struct arena *arena, json_t *value)
{
    struct buf text = {0};
    struct jw w = {.out = &text};

    text_write(&w, value);
    const char *copy = arena_strdup(arena, buf_text(&text));
    buf_release(&text);
    json_decref(value);
    return copy;
}

static void add_real(double value, struct jw *w)
{
    if (isfinite(value))
        jw_real(w, value);
    else
        jw_string(w, isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
}

void text_add_value(struct engine_result *result, size_t column, struct jw *w)
{
    const char *type = engine_column_type(result, column);

    if (engine_is_null(result, column))
        jw_null(w);
    else if (strcmp(type, "BOOLEAN") == 0)
        jw_bool(w, engine_bool(result, column));
    else if (sqltext_type_is_float(type))
        add_real(engine_real(result, column), w);
    else if (sqltext_type_is_number(type))
        jw_raw(w, engine_text(result, column)); /* digits, with a point if there is a scale */
    else
        jw_str(w, engine_text(result, column));
}

const char *text_value(struct arena *arena, struct engine_result *result, size_t column)
{
    struct buf text = {0};
    struct jw w = {.out = &text};

    text_add_value(result, column, &w);
    const char *copy = arena_strdup(arena, buf_text(&text));
    buf_release(&text);
    return copy;
}
