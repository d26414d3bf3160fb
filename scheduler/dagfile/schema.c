#include "scheduler/dagfile/schema.h"

#include "millrace/task_kind.h"
#include "scheduler/dagfile/tables.h"

#include <string.h>

#define DURATION_PATTERN "^([0-9]+(\\.[0-9]+)?(w|d|h|ms|m|s))+$"
#define ID_PATTERN "^[A-Za-z0-9_.~:+-]{1,250}$"
#define DATE_PATTERN "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?$"
#define TEMPLATE_PATTERN "\\{\\{[\\s\\S]*\\}\\}"

static json_t *schema_of(const struct option *option);

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

static json_t *of_type(const char *type)
{
    return json_pack("{s:s}", "type", type);
}

static json_t *with_pattern(const char *pattern)
{
    return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

static json_t *any_of(json_t *first, json_t *second)
{
    return json_pack("{s:[o, o]}", "anyOf", first, second);
}

static json_t *table_schema(const struct option_table *table)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    json_t *schema = of_type("object");

    for (size_t i = 0; i < table->count; i++) {
        set(properties, table->options[i].key, schema_of(&table->options[i]));
        if (table->options[i].flags & OPTION_REQUIRED)
            (void)json_array_append_new(required, json_string(table->options[i].key));
    }
    if (table->doc != NULL && *table->doc != '\0')
        set(schema, "description", json_string(table->doc));
    set(schema, "properties", properties);
    set(schema, "additionalProperties", json_false());
    if (json_array_size(required) > 0)
        set(schema, "required", required);
    else
        json_decref(required);
    return schema;
}

static json_t *tagged_schema(const struct option *option)
{
    json_t *properties = json_object();
    json_t *schema = of_type("object");

    for (size_t i = 0; i < option->variants->count; i++)
        set(properties, option->variants->options[i].key, schema_of(&option->variants->options[i]));
    set(schema, "properties", properties);
    set(schema, "additionalProperties", json_false());
    set(schema, "minProperties", json_integer(1));
    set(schema, "maxProperties", json_integer(1));
    return schema;
}

static json_t *number_schema(const struct option *option, const char *type)
{
    json_t *schema = of_type(type);

    if (option->min != 0 || option->max != 0) {
        set(schema, "minimum", json_real(option->min));
        set(schema, "maximum", json_real(option->max));
    }
    return schema;
}

static json_t *enum_schema(const struct option *option)
{
    json_t *choices = json_array();

    for (const char *const *choice = option->choices; *choice != NULL; choice++)
        (void)json_array_append_new(choices, json_string(*choice));
    return json_pack("{s:o}", "enum", choices);
}

static json_t *list_schema(const struct option *option, json_t *item)
{
    json_t *list = json_pack("{s:s, s:O}", "type", "array", "items", item);

    if (option->flags & OPTION_OR_SINGLE)
        return any_of(item, list);
    json_decref(item);
    return list;
}

static json_t *scalar_schema(void)
{
    return json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean");
}

/* Groups stand in groups: theirs is a schema with a name. */
static json_t *map_schema(const struct option *option)
{
    json_t *schema = of_type("object");

    if (option->fields == &group_table)
        set(schema, "additionalProperties", json_pack("{s:s}", "$ref", "#/definitions/task_group"));
    else if (option->fields != NULL)
        set(schema, "additionalProperties", table_schema(option->fields));
    return schema;
}

static json_t *bare_schema(const struct option *option)
{
    switch (option->type) {
    case OPTION_STRING:
        return option->flags & OPTION_ID ? with_pattern(ID_PATTERN) : of_type("string");
    case OPTION_BOOL:
        return option->choices == NULL ? of_type("boolean")
                                       : any_of(of_type("boolean"), enum_schema(option));
    case OPTION_INT:
        return number_schema(option, "integer");
    case OPTION_FLOAT:
        return number_schema(option, "number");
    case OPTION_DURATION:
        return with_pattern(DURATION_PATTERN);
    case OPTION_DATE:
        return with_pattern(DATE_PATTERN);
    case OPTION_ENUM:
        return enum_schema(option);
    case OPTION_STRINGS:
        return list_schema(option, of_type("string"));
    case OPTION_SCALAR:
        return scalar_schema();
    case OPTION_SCALARS:
        return list_schema(option, scalar_schema());
    case OPTION_OBJECT:
        return option->flags & OPTION_OR_STRING
                   ? any_of(of_type("string"), table_schema(option->fields))
                   : table_schema(option->fields);
    case OPTION_OBJECTS:
        return list_schema(option, table_schema(option->fields));
    case OPTION_MAP:
        return map_schema(option);
    case OPTION_TAGGED:
        return tagged_schema(option);
    case OPTION_TAGGEDS:
        return list_schema(option, tagged_schema(option));
    case OPTION_ANY:
        return json_object();
    }
    return json_object();
}

static json_t *schema_of(const struct option *option)
{
    json_t *schema = bare_schema(option);
    bool takes_any =
        option->type == OPTION_STRING || option->type == OPTION_ANY || option->type == OPTION_MAP;

    if ((option->flags & OPTION_TEMPLATE) && !takes_any)
        schema = any_of(schema, with_pattern(TEMPLATE_PATTERN));
    if (option->flags & OPTION_NULLABLE && option->type != OPTION_ANY)
        schema = any_of(schema, of_type("null"));
    if (option->doc != NULL)
        set(schema, "description", json_string(option->doc));
    if (option->fallback != NULL)
        set(schema, "default", json_loads(option->fallback, JSON_DECODE_ANY, NULL));
    return schema;
}

/* For each kind: if `type` is its name, `with` follows its table. */
static void add_kinds(json_t *task)
{
    json_t *rules = json_array();
    size_t count = 0;
    const struct task_kind *const *kinds = task_kinds(&count);

    for (size_t i = 0; i < count; i++) {
        json_t *with = table_schema(kinds[i]->options);
        bool required = json_object_get(with, "required") != NULL;
        json_t *then = json_pack("{s:{s:o}}", "properties", "with", with);
        if (required)
            set(then, "required", json_pack("[s]", "with"));
        (void)json_array_append_new(rules, json_pack("{s:{s:{s:{s:s}}, s:[s]}, s:o}", "if",
                                                     "properties", "type", "const", kinds[i]->name,
                                                     "required", "type", "then", then));
    }
    set(task, "allOf", rules);
}

static json_t *document(json_t *schema, const char *title)
{
    set(schema, "$schema", json_string("http://json-schema.org/draft-07/schema#"));
    set(schema, "title", json_string(title));
    return schema;
}

/* What each of `tasks` of a DAG or group follows. */
static json_t *task_of(json_t *schema)
{
    json_t *tasks = json_object_get(json_object_get(schema, "properties"), "tasks");

    return json_object_get(tasks, "additionalProperties");
}

json_t *schema_of_dag(void)
{
    json_t *schema = table_schema(&dag_table);
    json_t *group = table_schema(&group_table);

    add_kinds(task_of(schema));
    add_kinds(task_of(group));
    set(schema, "definitions", json_pack("{s:o}", "task_group", group));
    return document(schema, "A DAG file of Millrace");
}

json_t *schema_of_settings(void)
{
    return document(table_schema(&settings_table), "millrace.yaml");
}
