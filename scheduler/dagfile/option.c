#include "millrace/option.h"

#include "base/template.h"
#include "base/timefmt.h"
#include "scheduler/dagfile/codes.h"
#include "scheduler/dagfile/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *check_entries(const struct option_table *table, const struct node *map,
                             struct position at, bool has_defaults, struct diags *diags);
static json_t *check_value(const struct option *option, const struct node *node,
                           struct diags *diags);

const struct option *option_find(const struct option_table *table, struct str key)
{
    for (size_t i = 0; i < table->count; i++)
        if (str_is(key, table->options[i].key))
            return &table->options[i];
    return NULL;
}

static const char *expected(const struct option *option)
{
    switch (option->type) {
    case OPTION_STRING:
        return "a string";
    case OPTION_BOOL:
        return option->choices == NULL ? "true or false" : "true, false or a word of its list";
    case OPTION_INT:
        return "an integer";
    case OPTION_FLOAT:
        return "a number";
    case OPTION_DURATION:
        return "a duration such as 90s, 1h30m or 2d";
    case OPTION_DATE:
        return "a date such as 2026-01-31 or 2026-01-31T06:00:00Z";
    case OPTION_ENUM:
        return "one of the words of its list";
    case OPTION_STRINGS:
        return option->flags & OPTION_OR_SINGLE ? "a string or a list of strings"
                                                : "a list of strings";
    case OPTION_SCALAR:
        return "a string, number or boolean";
    case OPTION_SCALARS:
        return "a list of strings, numbers or booleans";
    case OPTION_OBJECT:
        return option->flags & OPTION_OR_STRING ? "a string or a map" : "a map";
    case OPTION_OBJECTS:
        return "a list of maps";
    case OPTION_MAP:
        return "a map";
    case OPTION_TAGGED:
        return "a map with one key";
    case OPTION_TAGGEDS:
        return "a list of maps with one key each";
    case OPTION_ANY:
        return "a value";
    }
    return "a value";
}

static json_t *wrong_type(const struct option *option, const struct node *node, struct diags *diags)
{
    const char *hint = NULL;
    bool wants_text = option->type == OPTION_STRING || option->type == OPTION_STRINGS;

    if (wants_text &&
        (node->kind == NODE_INT || node->kind == NODE_FLOAT || node->kind == NODE_BOOL))
        hint = arena_printf(diags->arena, "quote it: \"%.*s\"", STR_ARG(node->text));
    else if (option->type == OPTION_DURATION && node->kind == NODE_INT)
        hint = arena_printf(diags->arena, "add a unit: %.*ss", STR_ARG(node->text));
    else if (option->type == OPTION_BOOL && node->kind == NODE_STRING)
        hint = "YAML 1.2 knows only true and false";
    else if (option->type == OPTION_INT && node->kind == NODE_STRING)
        hint = "write the number without quotes";
    diag_add(diags, MR(BAD_VALUE), node->at, hint, "`%s` must be %s, not %s", option->key,
             expected(option), node_kind_name(node->kind));
    return NULL;
}

static json_t *bad_text(const struct option *option, const struct node *node, struct diags *diags)
{
    diag_add(diags, option->type == OPTION_DATE ? MR(BAD_DATE) : MR(BAD_VALUE), node->at,
             option->type == OPTION_DURATION ? "units are w, d, h, m, s and ms" : NULL,
             "`%s` must be %s, not `%.*s`", option->key, expected(option),
             node->text.len > 80 ? 80 : (int)node->text.len,
             node->text.ptr == NULL ? "" : node->text.ptr);
    return NULL;
}

static json_t *text_to_json(const struct node *node)
{
    return json_stringn(node->text.len == 0 ? "" : node->text.ptr, node->text.len);
}

/* A string with a template where none may stand would be taken literally: better said now. */
static json_t *no_template(const struct option *option, const struct node *node,
                           struct diags *diags)
{
    diag_add(diags, MR(TEMPLATE), node->at, "write the value itself", "`%s` takes no template",
             option->key);
    return NULL;
}

static json_t *check_string(const struct option *option, const struct node *node,
                            struct diags *diags)
{
    if (node->kind != NODE_STRING)
        return wrong_type(option, node, diags);
    bool is_template = template_is(node->text);
    if (is_template && !(option->flags & OPTION_TEMPLATE))
        return no_template(option, node, diags);
    if ((option->flags & OPTION_ID) && !is_template && !str_is_id(node->text)) {
        diag_add(diags, MR(BAD_ID), node->at,
                 "1 to 250 characters of A-Z a-z 0-9 _ . ~ : + - are allowed",
                 "`%s` is not an id: `%.*s`", option->key,
                 node->text.len > 80 ? 80 : (int)node->text.len, node->text.ptr);
        return NULL;
    }
    return option->flags & OPTION_IN_NODE ? NULL : text_to_json(node);
}

static json_t *check_number(const struct option *option, const struct node *node,
                            struct diags *diags)
{
    bool is_int = node->kind == NODE_INT;
    double value = is_int ? (double)node->scalar.integer : node->scalar.number;

    if (!is_int && (node->kind != NODE_FLOAT || option->type == OPTION_INT))
        return wrong_type(option, node, diags);
    if ((option->min != 0 || option->max != 0) && (value < option->min || value > option->max)) {
        diag_add(diags, MR(BAD_VALUE), node->at, NULL, "`%s` must be between %.15g and %.15g",
                 option->key, option->min, option->max);
        return NULL;
    }
    if (option->type == OPTION_FLOAT)
        return json_real(value);
    return json_integer(node->scalar.integer);
}

static bool is_choice(const struct option *option, struct str text)
{
    for (const char *const *choice = option->choices; *choice != NULL; choice++)
        if (str_is(text, *choice))
            return true;
    return false;
}

static json_t *check_enum(const struct option *option, const struct node *node, struct diags *diags)
{
    size_t count = 0;
    struct buf names = {0};

    if (node->kind != NODE_STRING)
        return wrong_type(option, node, diags);
    if (is_choice(option, node->text))
        return text_to_json(node);
    if (option->type == OPTION_BOOL)
        buf_add_text(&names, "true, false, ");
    for (; option->choices[count] != NULL; count++)
        buf_printf(&names, "%s%s", count == 0 ? "" : ", ", option->choices[count]);
    diag_add(diags, strcmp(option->key, "type") == 0 ? MR(UNKNOWN_TYPE) : MR(BAD_VALUE), node->at,
             diag_suggest(diags, node->text, option->choices, count),
             "`%.*s` is no value of `%s`: there are %s",
             node->text.len > 80 ? 80 : (int)node->text.len, node->text.ptr, option->key,
             buf_text(&names));
    buf_release(&names);
    return NULL;
}

static json_t *check_scalar(const struct option *option, const struct node *node,
                            struct diags *diags)
{
    if (node->kind == NODE_NULL || node->kind == NODE_LIST || node->kind == NODE_MAP)
        return wrong_type(option, node, diags);
    if (node->kind == NODE_STRING)
        return check_string(option, node, diags);
    return node_to_json(node);
}

/* A list whose items are checked as options of the type `item`. */
static json_t *check_list(const struct option *option, enum option_type item,
                          const struct node *node, struct diags *diags)
{
    struct option of_item = *option;
    json_t *list;

    of_item.type = item;
    if (node->kind != NODE_LIST && !(option->flags & OPTION_OR_SINGLE))
        return wrong_type(option, node, diags);
    bool may_be_map = item == OPTION_OBJECT || item == OPTION_TAGGED;
    if (node->kind == NODE_NULL || (node->kind == NODE_MAP && !may_be_map))
        return wrong_type(option, node, diags);
    list = option->flags & OPTION_IN_NODE ? NULL : json_array();
    if (node->kind != NODE_LIST) {
        (void)json_array_append_new(list, check_value(&of_item, node, diags));
        return list;
    }
    of_item.flags &= ~(unsigned)OPTION_OR_SINGLE;
    for (size_t i = 0; i < node->item_count; i++) {
        json_t *value = check_value(&of_item, node->items[i], diags);
        if (option->flags & OPTION_IN_NODE)
            json_decref(value);
        else
            (void)json_array_append_new(list, value);
    }
    return list;
}

static json_t *check_object(const struct option *option, const struct node *node,
                            struct diags *diags)
{
    if ((option->flags & OPTION_OR_STRING) && node->kind == NODE_STRING)
        return check_string(option, node, diags);
    if (node->kind != NODE_MAP)
        return wrong_type(option, node, diags);
    return options_check(option->fields, node, node->at, diags);
}

/* A value without a table: any JSON, but templates only where they are rendered. */
static json_t *check_any(const struct option *option, const struct node *node, struct diags *diags)
{
    if (node->kind == NODE_STRING)
        return check_string(option, node, diags);
    for (size_t i = 0; i < node->item_count; i++)
        json_decref(check_any(option, node->items[i], diags));
    for (size_t i = 0; i < node->entry_count; i++)
        json_decref(check_any(option, node->entries[i].value, diags));
    return node_to_json(node);
}

static json_t *check_map(const struct option *option, const struct node *node, struct diags *diags)
{
    json_t *map;

    if (node->kind != NODE_MAP)
        return wrong_type(option, node, diags);
    map = json_object();
    for (size_t i = 0; i < node->entry_count; i++) {
        const struct node_entry *entry = &node->entries[i];
        json_t *value = NULL;
        if (option->fields == NULL)
            value = check_any(option, entry->value, diags);
        else if (entry->value->kind == NODE_MAP)
            value = check_entries(option->fields, entry->value, entry->value->at,
                                  (option->flags & OPTION_NO_DEFAULTS) == 0, diags);
        else
            diag_add(diags, MR(BAD_VALUE), entry->value->at, NULL, "`%.*s` must be a map, not %s",
                     STR_ARG(entry->key), node_kind_name(entry->value->kind));
        (void)json_object_setn_new(map, entry->key.len == 0 ? "" : entry->key.ptr, entry->key.len,
                                   value);
    }
    return map;
}

static const char *suggest_key(const struct option_table *table, struct str key,
                               struct diags *diags)
{
    const char **names = arena_alloc_array(diags->arena, table->count + 1, sizeof(*names));

    for (const struct option_alias *alias = table->aliases; alias != NULL && alias->word != NULL;
         alias++)
        if (str_is(key, alias->word))
            return arena_printf(diags->arena, "use `%s`", alias->use);
    for (size_t i = 0; i < table->count; i++)
        names[i] = table->options[i].key;
    return diag_suggest(diags, key, names, table->count);
}

static const char *known_keys(const struct option_table *table, struct diags *diags)
{
    struct buf text = {0};
    const char *copy;

    for (size_t i = 0; i < table->count && text.len < 300; i++)
        buf_printf(&text, "%s%s", i == 0 ? "" : ", ", table->options[i].key);
    copy = table->count == 0 ? "it takes no keys"
                             : arena_printf(diags->arena, "keys here: %s", buf_text(&text));
    buf_release(&text);
    return copy;
}

static void unknown_key(const struct option_table *table, const struct node_entry *entry,
                        struct diags *diags)
{
    const char *hint = suggest_key(table, entry->key, diags);

    diag_add(diags, MR(UNKNOWN_KEY), entry->key_at, hint != NULL ? hint : known_keys(table, diags),
             "unknown key `%.*s` in %s", entry->key.len > 80 ? 80 : (int)entry->key.len,
             entry->key.ptr == NULL ? "" : entry->key.ptr, table->name);
}

static json_t *check_tagged(const struct option *option, const struct node *node,
                            struct diags *diags)
{
    static const struct node nothing = {.kind = NODE_NULL};

    if (node->kind != NODE_MAP || node->entry_count != 1)
        return wrong_type(option, node, diags);
    const struct node_entry *entry = &node->entries[0];
    const struct option *variant = option_find(option->variants, entry->key);
    if (variant == NULL) {
        unknown_key(option->variants, entry, diags);
        return NULL;
    }
    json_t *value = entry->value->kind == nothing.kind && variant->fields != NULL
                        ? options_check(variant->fields, NULL, entry->key_at, diags)
                        : check_value(variant, entry->value, diags);
    json_t *map = json_object();
    (void)json_object_set_new(map, variant->key, value);
    return map;
}

static json_t *check_value(const struct option *option, const struct node *node,
                           struct diags *diags)
{
    int64_t us;
    bool has_offset;

    if (node->kind == NODE_NULL && (option->flags & OPTION_NULLABLE))
        return json_null();
    if (node->kind == NODE_STRING && (option->flags & OPTION_TEMPLATE) && template_is(node->text))
        return text_to_json(node);
    switch (option->type) {
    case OPTION_STRING:
        return check_string(option, node, diags);
    case OPTION_BOOL:
        if (node->kind == NODE_STRING && option->choices != NULL)
            return check_enum(option, node, diags);
        return node->kind == NODE_BOOL ? node_to_json(node) : wrong_type(option, node, diags);
    case OPTION_INT:
    case OPTION_FLOAT:
        return check_number(option, node, diags);
    case OPTION_DURATION:
        if (node->kind != NODE_STRING)
            return wrong_type(option, node, diags);
        return duration_parse(node->text, &us) ? text_to_json(node) : bad_text(option, node, diags);
    case OPTION_DATE:
        if (node->kind != NODE_STRING)
            return wrong_type(option, node, diags);
        return timefmt_parse(node->text, &us, &has_offset) ? text_to_json(node)
                                                           : bad_text(option, node, diags);
    case OPTION_ENUM:
        return check_enum(option, node, diags);
    case OPTION_STRINGS:
        return check_list(option, OPTION_STRING, node, diags);
    case OPTION_SCALAR:
        return check_scalar(option, node, diags);
    case OPTION_SCALARS:
        return check_list(option, OPTION_SCALAR, node, diags);
    case OPTION_OBJECT:
        return check_object(option, node, diags);
    case OPTION_OBJECTS:
        return check_list(option, OPTION_OBJECT, node, diags);
    case OPTION_MAP:
        return check_map(option, node, diags);
    case OPTION_TAGGED:
        return check_tagged(option, node, diags);
    case OPTION_TAGGEDS:
        return check_list(option, OPTION_TAGGED, node, diags);
    case OPTION_ANY:
        return check_any(option, node, diags);
    }
    return NULL;
}

/* Finds what is required and not there; `fills`: puts in the defaults of the rest. */
static void fill_in(const struct option_table *table, const struct node *map, struct position at,
                    json_t *fills, struct diags *diags)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        bool matters = (option->flags & OPTION_REQUIRED) || (option->fallback != NULL && fills);
        if (!matters || node_get(map, option->key) != NULL)
            continue;
        if (option->flags & OPTION_REQUIRED)
            diag_add(diags, MR(MISSING_KEY), at,
                     arena_printf(diags->arena, "add `%s: …`: %s", option->key, option->doc),
                     "`%s` is missing in %s", option->key, table->name);
        else
            (void)json_object_set_new(fills, option->key,
                                      json_loads(option->fallback, JSON_DECODE_ANY, NULL));
    }
}

static json_t *check_entries(const struct option_table *table, const struct node *map,
                             struct position at, bool has_defaults, struct diags *diags)
{
    json_t *result = json_object();

    if (map != NULL && map->kind != NODE_MAP) {
        diag_add(diags, MR(BAD_VALUE), map->at, NULL, "%s must be a map, not %s", table->name,
                 node_kind_name(map->kind));
        return result;
    }
    for (size_t i = 0; map != NULL && i < map->entry_count; i++) {
        const struct option *option = option_find(table, map->entries[i].key);
        if (option == NULL)
            unknown_key(table, &map->entries[i], diags);
        else
            (void)json_object_set_new(result, option->key,
                                      check_value(option, map->entries[i].value, diags));
    }
    fill_in(table, map, at, has_defaults ? result : NULL, diags);
    return result;
}

json_t *options_check(const struct option_table *table, const struct node *map, struct position at,
                      struct diags *diags)
{
    return check_entries(table, map, at, true, diags);
}
