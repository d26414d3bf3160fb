#include "tasks/validate/sqltext.h"

#include "base/buf.h"
#include "tasks/engine/engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *keep(struct arena *arena, struct buf *text)
{
    const char *copy = arena_strdup(arena, buf_text(text));

    buf_release(text);
    return copy;
}

const char *sqltext_identifier(struct arena *arena, const char *name)
{
    struct buf text = {0};

    engine_add_identifier(&text, str_from(name));
    return keep(arena, &text);
}

const char *sqltext_quoted(struct arena *arena, const char *literal)
{
    struct buf text = {0};

    engine_add_literal(&text, str_from(literal));
    return keep(arena, &text);
}

const char *sqltext_number(struct arena *arena, double value)
{
    char text[40];

    if (!isfinite(value))
        return isnan(value) ? "'NaN'::DOUBLE" : value < 0 ? "'-inf'::DOUBLE" : "'inf'::DOUBLE";
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return arena_strdup(arena, text);
}

const char *sqltext_literal(struct arena *arena, const json_t *value)
{
    if (json_is_string(value))
        return sqltext_quoted(arena, json_string_value(value));
    if (json_is_integer(value))
        return arena_printf(arena, "%" PRId64, (int64_t)json_integer_value(value));
    if (json_is_real(value))
        return sqltext_number(arena, json_real_value(value));
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    return "NULL";
}

bool sqltext_type_is_text(const char *type)
{
    return strcmp(type, "VARCHAR") == 0 || strncmp(type, "ENUM", 4) == 0;
}

bool sqltext_type_is_float(const char *type)
{
    return strcmp(type, "DOUBLE") == 0 || strcmp(type, "FLOAT") == 0;
}

bool sqltext_type_is_number(const char *type)
{
    static const char *const names[] = {"TINYINT",   "SMALLINT", "INTEGER", "BIGINT",  "UTINYINT",
                                        "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(type, names[i]) == 0)
            return true;
    return sqltext_type_is_float(type) || strncmp(type, "DECIMAL", 7) == 0;
}

bool sqltext_type_is_time(const char *type)
{
    return strcmp(type, "DATE") == 0 || strncmp(type, "TIMESTAMP", 9) == 0;
}

const char *sqltext_member(struct arena *arena, const json_t *value, const char *type)
{
    if (sqltext_type_is_text(type)) {
        if (json_is_string(value) || json_is_null(value))
            return sqltext_literal(arena, value);
        return sqltext_quoted(arena, sqltext_literal(arena, value));
    }
    if (sqltext_type_is_number(type) && json_is_number(value))
        return sqltext_literal(arena, value);
    return arena_printf(arena, "TRY_CAST(%s AS %s)", sqltext_literal(arena, value), type);
}

/* The index behind a quoted part that begins at `at`, or 0 when it is not closed. A doubled quote
 * reads as two quoted parts, which comes to the same. */
static size_t skip_quoted(const char *text, size_t at)
{
    const char *end = strchr(text + at + 1, text[at]);

    return end == NULL ? 0 : (size_t)(end - text) + 1;
}

bool sqltext_check_expression(const char *text, struct err *err)
{
    int depth = 0;

    for (size_t i = 0; text[i] != '\0';) {
        char c = text[i];
        if (c == '\'' || c == '"') {
            i = skip_quoted(text, i);
            if (i == 0)
                return err_set(err, ERR_INVALID, "row_condition: a quote is not closed in `%s`",
                               text);
            continue;
        }
        if (c == ';' || (c == '-' && text[i + 1] == '-') || (c == '/' && text[i + 1] == '*'))
            return err_set(err, ERR_INVALID,
                           "row_condition must be one SQL expression without `;` and comments: "
                           "`%s`",
                           text);
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
        if (depth < 0)
            break;
        i++;
    }
    if (depth != 0)
        return err_set(err, ERR_INVALID, "row_condition: parentheses don't match in `%s`", text);
    return true;
}
