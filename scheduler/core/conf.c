/* A run's conf against the params that its DAG declares. */
#include "base/buf.h"
#include "scheduler/core/parts.h"

#include <stdlib.h>
#include <string.h>

static const char *type_in_words(const char *type)
{
    static const char *const words[][2] = {
        {"string",  "a string"  },
        {"integer", "an integer"},
        {"number",  "a number"  },
        {"boolean", "a boolean" },
        {"array",   "an array"  },
        {"object",  "an object" },
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i][0], type) == 0)
            return words[i][1];
    return type;
}

/* The type's name of a value; an integer is one by its spelling: 5, not 5.0. */
static const char *type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_NULL:
        return "null";
    }
    return "null";
}

static bool value_fits(const char *type, const json_t *value, const json_t *fallback)
{
    if (json_is_null(value))
        return json_is_null(fallback);
    return strcmp(type, type_of(value)) == 0 ||
           (strcmp(type, "number") == 0 && json_is_integer(value));
}

static void refuse(const char *name, const char *type, const json_t *value, struct err *err)
{
    bool is_bare = json_is_number(value) || json_is_boolean(value);
    char *text = NULL;

    /* A number is easily taken for a text: years, versions, postcodes. */
    if (is_bare && strcmp(type, "string") == 0)
        text = json_dumps(value, JSON_ENCODE_ANY);
    if (text != NULL)
        err_set(err, ERR_INVALID, "param %.250s must be a string, not %s: write \"%s\"", name,
                type_in_words(type_of(value)), text);
    else
        err_set(err, ERR_INVALID, "param %.250s must be %s, not %s", name, type_in_words(type),
                type_in_words(type_of(value)));
    free(text);
}

bool conf_fits_params(const struct dag *dag, const json_t *conf, struct err *err)
{
    const char *name;
    json_t *type;

    json_object_foreach((json_t *)(uintptr_t)dag->param_types, name, type)
    {
        const json_t *value = json_object_get(conf, name);
        if (value == NULL ||
            value_fits(json_string_value(type), value, json_object_get(dag->params, name)))
            continue;
        refuse(name, json_string_value(type), value, err);
        return false;
    }
    return true;
}
