/* After rendering: strings that templates left in options of other types. */
#include "base/json.h"
#include "base/timefmt.h"
#include "millrace/option.h"

#include <stdlib.h>
#include <string.h>

static struct str text_of(const json_t *value)
{
    return (struct str){json_string_value(value), json_string_length(value)};
}

static bool bad(const struct option *option, const json_t *value, const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, "`%s` must be %s, but its template gave \"%.200s\"",
                   option->key, what, json_string_value(value));
}

static bool in_limits(const struct option *option, double value, struct err *err)
{
    if ((option->min == 0 && option->max == 0) || (value >= option->min && value <= option->max))
        return true;
    return err_set(err, ERR_INVALID, "`%s` must be between %.15g and %.15g", option->key,
                   option->min, option->max);
}

static bool coerce_int(const struct option *option, json_t **value, struct err *err)
{
    int64_t number = 0;

    if (json_is_string(*value)) {
        if (!str_to_int(str_trim(text_of(*value)), &number))
            return bad(option, *value, "an integer", err);
        *value = json_integer(number);
    } else if (json_is_integer(*value)) {
        number = json_integer_value(*value);
    } else {
        return err_set(err, ERR_INVALID, "`%s` must be an integer", option->key);
    }
    return in_limits(option, (double)number, err);
}

static bool coerce_float(const struct option *option, json_t **value, struct err *err)
{
    double number = 0;

    if (json_is_string(*value)) {
        if (!str_to_float(str_trim(text_of(*value)), &number))
            return bad(option, *value, "a number", err);
        *value = json_real(number);
        if (*value == NULL)
            return err_set(err, ERR_INVALID, "`%s` must be a finite number", option->key);
    } else if (json_is_number(*value)) {
        number = json_number_value(*value);
    } else {
        return err_set(err, ERR_INVALID, "`%s` must be a number", option->key);
    }
    return in_limits(option, number, err);
}

static bool coerce_bool(const struct option *option, json_t **value, struct err *err)
{
    struct str text = text_of(*value);

    if (json_is_boolean(*value))
        return true;
    if (!json_is_string(*value))
        return err_set(err, ERR_INVALID, "`%s` must be true or false", option->key);
    if (!str_is(text, "true") && !str_is(text, "false"))
        return bad(option, *value, "true or false", err);
    *value = json_boolean(str_is(text, "true"));
    return true;
}

static bool coerce_text(const struct option *option, json_t **value, struct err *err)
{
    int64_t us;
    bool has_offset;

    if (!json_is_string(
            *value)) { /* a param that is a number keeps its type when it stands alone */
        if (!json_is_number(*value) && !json_is_boolean(*value))
            return err_set(err, ERR_INVALID, "`%s` must be a string", option->key);
        struct buf text = {0};
        json_dump_canonical(*value, &text);
        *value = json_stringn(buf_text(&text), text.len);
        buf_release(&text);
    }
    if (option->type == OPTION_DURATION && !duration_parse(text_of(*value), &us))
        return bad(option, *value, "a duration such as 90s", err);
    if (option->type == OPTION_DATE && !timefmt_parse(text_of(*value), &us, &has_offset))
        return bad(option, *value, "a date or time", err);
    if (option->type == OPTION_ENUM) {
        for (const char *const *choice = option->choices; *choice != NULL; choice++)
            if (str_is(text_of(*value), *choice))
                return true;
        return bad(option, *value, "one of its list", err);
    }
    return true;
}

static bool coerce_one(const struct option *option, json_t *holder, const char *key,
                       struct err *err);

static bool coerce_list(const struct option *option, enum option_type item, json_t **value,
                        struct err *err)
{
    struct option of_item = *option;

    of_item.type = item;
    if (!json_is_array(*value)) {
        json_t *list = json_array();
        (void)json_array_append(list, *value);
        *value = list;
    }
    for (size_t i = 0; i < json_array_size(*value); i++) {
        json_t *cell = json_object();
        (void)json_object_set(cell, "item", json_array_get(*value, i));
        bool fine = coerce_one(&of_item, cell, "item", err);
        if (fine)
            (void)json_array_set(*value, i, json_object_get(cell, "item"));
        json_decref(cell);
        if (!fine)
            return err_wrap(err, "item %zu", i + 1);
    }
    return true;
}

static bool coerce_members(const struct option *option, json_t *map, struct err *err)
{
    const char *key;
    json_t *member;

    json_object_foreach(map, key, member)
    {
        if (json_is_object(member) && !options_coerce(option->fields, member, err))
            return err_wrap(err, "%.100s", key);
    }
    return true;
}

static bool coerce_tagged(const struct option *option, json_t *map, struct err *err)
{
    const char *key;
    json_t *member;

    json_object_foreach(map, key, member)
    {
        const struct option *variant = option_find(option->variants, str_from(key));
        if (variant != NULL && !coerce_one(variant, map, variant->key, err))
            return err_wrap(err, "%.100s", key);
    }
    return true;
}

/* The value's new form in *value: a new reference if it differs from the old pointer. */
static bool coerce(const struct option *option, json_t **value, struct err *err)
{
    switch (option->type) {
    case OPTION_BOOL:
        return coerce_bool(option, value, err);
    case OPTION_INT:
        return coerce_int(option, value, err);
    case OPTION_FLOAT:
        return coerce_float(option, value, err);
    case OPTION_STRING:
    case OPTION_DURATION:
    case OPTION_DATE:
    case OPTION_ENUM:
        return coerce_text(option, value, err);
    case OPTION_STRINGS:
        return coerce_list(option, OPTION_STRING, value, err);
    case OPTION_SCALARS:
        return coerce_list(option, OPTION_SCALAR, value, err);
    case OPTION_OBJECTS:
        return coerce_list(option, OPTION_OBJECT, value, err);
    case OPTION_TAGGEDS:
        return coerce_list(option, OPTION_TAGGED, value, err);
    case OPTION_OBJECT:
        if (json_is_string(*value) && (option->flags & OPTION_OR_STRING))
            return true;
        return json_is_object(*value)
                   ? options_coerce(option->fields, *value, err)
                   : err_set(err, ERR_INVALID, "`%s` must be a map", option->key);
    case OPTION_MAP:
        return option->fields == NULL || coerce_members(option, *value, err);
    case OPTION_TAGGED:
        return coerce_tagged(option, *value, err);
    case OPTION_SCALAR:
        return json_is_string(*value) || json_is_number(*value) || json_is_boolean(*value) ||
               err_set(err, ERR_INVALID, "`%s` must be a string, number or boolean", option->key);
    case OPTION_ANY:
        return true;
    }
    return true;
}

static bool coerce_one(const struct option *option, json_t *holder, const char *key,
                       struct err *err)
{
    json_t *old = json_object_get(holder, key);
    json_t *value = old;

    if (json_is_null(old) && (option->flags & OPTION_NULLABLE))
        return true;
    bool fine = coerce(option, &value, err);
    if (value != old) {
        if (fine)
            (void)json_object_set(holder, key, value);
        json_decref(value);
    }
    return fine;
}

bool options_coerce(const struct option_table *table, json_t *options, struct err *err)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        if (json_object_get(options, option->key) != NULL &&
            !coerce_one(option, options, option->key, err))
            return false;
    }
    return true;
}
