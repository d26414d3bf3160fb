/* Rules out of the DAG file's options and out of Great Expectations' suites. */
#include "tasks/validate/rule.h"

#include "base/json.h"
#include "base/mem.h"
#include "millrace/task_kind.h"
#include "tasks/validate/catalogue.h"

#include <stdlib.h>
#include <string.h>

/* Arguments of GX that say how it computes or reports, not what must hold. */
static const char *const ignored_kwargs[] = {
    "result_format",
    "catch_exceptions",
    "include_config",
    "batch_id",
    "auto",
    "allow_relative_error",
    "profiler_config",
    "condition_parser",
    "parse_strings_as_datetimes",
    "windows",
    "rendered_content",
    NULL,
};

static const char *const attributes[] = {"severity", "meta", "id", "description", NULL};

static bool is_among(const char *const *names, const char *name)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static const struct option_table *expectations_table(void)
{
    return option_find(validate_kind.options, STR("expectations"))->variants;
}

/* The name as the catalogue has it: former names stand in the option table as aliases. */
static const char *current_name(const char *name)
{
    const struct option_alias *alias = expectations_table()->aliases;

    for (; alias != NULL && alias->word != NULL; alias++)
        if (strcmp(alias->word, name) == 0)
            return alias->use;
    return name;
}

static enum severity severity_from(const char *name)
{
    if (strcmp(name, "warning") == 0)
        return SEVERITY_WARNING;
    return strcmp(name, "info") == 0 ? SEVERITY_INFO : SEVERITY_CRITICAL;
}

const char *severity_name(enum severity severity)
{
    switch (severity) {
    case SEVERITY_CRITICAL:
        return "critical";
    case SEVERITY_WARNING:
        return "warning";
    case SEVERITY_INFO:
        return "info";
    }
    return "critical";
}

static const char *join_strings(struct arena *arena, const json_t *list)
{
    const char *joined = "";
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item) joined =
        arena_printf(arena, "%s%s%s", joined, i == 0 ? "" : ", ",
                     json_is_string(item) ? json_string_value(item) : "?");
    return joined;
}

static const char *subject_of(const json_t *kwargs, struct arena *arena)
{
    const char *column = json_get_string(kwargs, "column", NULL);
    const char *a = json_get_string(kwargs, "column_A", NULL);
    const char *b = json_get_string(kwargs, "column_B", NULL);

    if (column != NULL)
        return column;
    if (a != NULL && b != NULL)
        return arena_printf(arena, "%s, %s", a, b);
    return join_strings(arena, json_object_get(kwargs, "column_list"));
}

static void add_rule(struct rules *rules, struct rule *rule)
{
    if (rules->count == rules->capacity) {
        rules->capacity = mem_grow(rules->capacity, rules->count + 1);
        rules->items = mem_resize_array(rules->items, rules->capacity, sizeof(struct rule *));
    }
    rules->items[rules->count++] = rule;
}

/* Makes the rule of an expectation whose arguments, attributes among them, are in `kwargs`. */
static struct rule *make_rule(struct arena *arena, const char *name, const json_t *source)
{
    struct rule *rule = arena_alloc(arena, sizeof(*rule));
    const char *key;
    json_t *value;

    rule->entry = catalogue_find(name);
    rule->source = json_deep_copy(source);
    rule->kwargs = json_object();
    json_object_foreach(rule->source, key, value) if (!json_is_null(value) &&
                                                      !is_among(attributes, key) &&
                                                      !is_among(ignored_kwargs, key))(void)
        json_object_set(rule->kwargs, key, value);
    rule->severity = severity_from(json_get_string(rule->source, "severity", "critical"));
    rule->meta = json_object_get(rule->source, "meta");
    rule->id = json_get_string(rule->source, "id", NULL);
    rule->description = json_get_string(rule->source, "description", NULL);
    rule->mostly = json_get_number(rule->kwargs, "mostly", 1);
    rule->condition = json_get_string(rule->kwargs, "row_condition", NULL);
    rule->subject = subject_of(rule->kwargs, arena);
    rule->counts_missing = true;
    return rule;
}

/* One value stands for a list of one: the compilers see lists only. */
static void wrap_single(const struct option *field, json_t *kwargs)
{
    json_t *value = json_object_get(kwargs, field->key);
    bool is_list = field->type == OPTION_STRINGS || field->type == OPTION_SCALARS;

    if (is_list && value != NULL && !json_is_array(value) && !json_is_null(value))
        (void)json_object_set_new(kwargs, field->key, json_pack("[O]", value));
}

/* Options that are not given take their defaults. */
static void fill_defaults(const struct option_table *table, json_t *kwargs)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *field = &table->options[i];
        if (json_object_get(kwargs, field->key) == NULL && field->fallback != NULL)
            (void)json_object_set_new(kwargs, field->key,
                                      json_loads(field->fallback, JSON_DECODE_ANY, NULL));
        wrap_single(field, kwargs);
    }
}

bool rules_add_options(struct rules *rules, struct arena *arena, const json_t *expectations,
                       struct err *err)
{
    size_t i;
    json_t *item;

    json_array_foreach(expectations, i, item)
    {
        const char *name = json_object_iter_key(json_object_iter(item));
        const struct option *variant =
            name == NULL ? NULL : option_find(expectations_table(), str_from(name));
        if (variant == NULL)
            return err_set(err, ERR_INVALID, "expectations[%zu]: unknown expectation %s", i,
                           name == NULL ? "" : name);
        json_t *kwargs = json_is_object(json_object_get(item, name))
                             ? json_deep_copy(json_object_get(item, name))
                             : json_object();
        fill_defaults(variant->fields, kwargs);
        add_rule(rules, make_rule(arena, name, kwargs));
        json_decref(kwargs);
    }
    return true;
}

static bool is_scalar(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static bool all_items(const json_t *list, bool strings)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i,
                       item) if (strings ? !json_is_string(item)
                                         : !is_scalar(item) && !json_is_null(item)) return false;
    return json_is_array(list);
}

static bool enum_fits(const struct option *field, const json_t *value)
{
    return json_is_string(value) && is_among(field->choices, json_string_value(value));
}

static bool number_fits(const struct option *field, const json_t *value)
{
    if (!json_is_number(value) || (field->type == OPTION_INT && !json_is_integer(value)))
        return false;
    bool has_limits = field->min != 0 || field->max != 0;
    double number = json_number_value(value);
    return !has_limits || (number >= field->min && number <= field->max);
}

/* What the option table asks of a value; suites don't pass through the check of the DAG file. */
static bool value_fits(const struct option *field, const json_t *value)
{
    switch (field->type) {
    case OPTION_STRING:
    case OPTION_DURATION:
    case OPTION_DATE:
        return json_is_string(value);
    case OPTION_BOOL:
        return json_is_boolean(value);
    case OPTION_INT:
    case OPTION_FLOAT:
        return number_fits(field, value);
    case OPTION_ENUM:
        return enum_fits(field, value);
    case OPTION_STRINGS:
        return json_is_string(value) || all_items(value, true);
    case OPTION_SCALAR:
        return is_scalar(value);
    case OPTION_SCALARS:
        return is_scalar(value) || all_items(value, false);
    case OPTION_OBJECT:
    case OPTION_MAP:
    case OPTION_TAGGED:
        return json_is_object(value);
    case OPTION_OBJECTS:
    case OPTION_TAGGEDS:
        return json_is_array(value);
    case OPTION_ANY:
        return true;
    }
    return true;
}

static bool check_kwargs(const struct option_table *table, json_t *kwargs, struct err *err)
{
    const char *key;
    json_t *value;

    json_object_foreach(kwargs, key, value)
    {
        const struct option *field = option_find(table, str_from(key));
        if (is_among(ignored_kwargs, key))
            continue;
        if (field == NULL)
            return err_set(err, ERR_INVALID, "unknown argument %s", key);
        if (!json_is_null(value) && !value_fits(field, value))
            return err_set(err, ERR_INVALID, "argument %s has a value that does not fit: %s", key,
                           field->doc);
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct option *field = &table->options[i];
        const json_t *given = json_object_get(kwargs, field->key);
        bool is_absent = given == NULL || json_is_null(given);
        if (is_absent && (field->flags & OPTION_REQUIRED) != 0)
            return err_set(err, ERR_INVALID, "argument %s is missing", field->key);
    }
    fill_defaults(table, kwargs);
    return true;
}

static bool add_suite_entry(struct rules *rules, struct arena *arena, const json_t *entry,
                            struct err *err)
{
    const char *type = json_get_string(entry, "type", NULL);

    if (type == NULL)
        type = json_get_string(entry, "expectation_type", NULL); /* GX 0.18 */
    if (type == NULL)
        return err_set(err, ERR_INVALID, "neither `type` nor `expectation_type`");
    const struct option *variant = option_find(expectations_table(), str_from(current_name(type)));
    if (variant == NULL)
        return err_set(err, ERR_INVALID, "unknown expectation %s", type);
    const json_t *given = json_object_get(entry, "kwargs");
    json_t *kwargs = json_is_object(given) ? json_deep_copy(given) : json_object();
    for (const char *const *name = attributes; *name != NULL; name++)
        if (json_object_get(entry, *name) != NULL)
            (void)json_object_set(kwargs, *name, json_object_get(entry, *name));
    bool ok = check_kwargs(variant->fields, kwargs, err) || err_wrap(err, "%s", type);
    if (ok)
        add_rule(rules, make_rule(arena, variant->key, kwargs));
    json_decref(kwargs);
    return ok;
}

bool rules_add_suite(struct rules *rules, struct arena *arena, const json_t *suite, struct err *err)
{
    const json_t *list = json_object_get(suite, "expectations");
    const char *name = json_get_string(suite, "name", NULL);
    size_t i;
    json_t *entry;

    if (!json_is_array(list))
        return err_set(err, ERR_INVALID,
                       "a suite is an object with the list `expectations`, and this has none");
    if (name == NULL)
        name = json_get_string(suite, "expectation_suite_name", NULL);
    json_array_foreach(
        list, i, entry) if (!add_suite_entry(rules, arena, entry,
                                             err)) return err_wrap(err, "expectations[%zu]", i);
    rules->suite_name = arena_strdup(arena, name);
    return true;
}

void rules_release(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        json_decref(rules->items[i]->kwargs);
        json_decref(rules->items[i]->source);
    }
    free(rules->items);
    *rules = (struct rules){0};
}

const char *rule_title(const struct rule *rule, struct arena *arena)
{
    if (rule->subject[0] == '\0')
        return rule->entry->name;
    return arena_printf(arena, "%s(%s)", rule->entry->name, rule->subject);
}
