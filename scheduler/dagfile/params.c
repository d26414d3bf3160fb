#include "scheduler/dagfile/params.h"

#include <string.h>

struct param_type {
    const char *name;
    unsigned kinds; /* bits of enum node_kind */
};

static const struct param_type types[] = {
    {"string",  1u << NODE_STRING                    },
    {"integer", 1u << NODE_INT                       },
    {"number",  (1u << NODE_INT) | (1u << NODE_FLOAT)},
    {"boolean", 1u << NODE_BOOL                      },
    {"array",   1u << NODE_LIST                      },
    {"object",  1u << NODE_MAP                       },
};

#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

static const char *const declaration_keys[] = {"type", "default", "description"};

#define DECLARATION_KEY_COUNT (sizeof(declaration_keys) / sizeof(declaration_keys[0]))

/* A map is a declaration if it has `type` or `default`; else it is itself the default. */
static bool is_declaration(const struct node *value)
{
    return node_get(value, "type") != NULL || node_get(value, "default") != NULL;
}

/* At most one slip, or one of two swapped letters: a default may be a map of any keys. */
static const char *near_key(struct str key)
{
    for (size_t i = 0; i < DECLARATION_KEY_COUNT; i++) {
        struct str known = str_from(declaration_keys[i]);
        if (key.len > 2 && str_distance(key, known) <= (known.len > 4 ? 2 : 1))
            return declaration_keys[i];
    }
    return NULL;
}

static bool is_type_name(const struct node *value)
{
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (value->kind == NODE_STRING && str_is(value->text, types[i].name))
            return true;
    return false;
}

/* A map that is a default by the rule, but was clearly meant as a declaration: all of its keys are
 * nearly those of one, or one that is nearly `type` names a type. */
static void check_default_map(struct dag_builder *b, const struct node *value)
{
    const struct node_entry *found = NULL;
    bool all_near = true;
    bool names_type = false;

    for (size_t i = 0; value->kind == NODE_MAP && i < value->entry_count; i++) {
        const struct node_entry *entry = &value->entries[i];
        const char *near = near_key(entry->key);
        all_near = all_near && near != NULL;
        if (near == NULL || str_is(entry->key, near))
            continue;
        bool is_type = near == declaration_keys[0] && is_type_name(entry->value);
        if (found == NULL || (is_type && !names_type))
            found = entry;
        names_type = names_type || is_type;
    }
    if (found == NULL || (!all_near && !names_type))
        return;
    diag_add(b->diags, MR(BAD_PARAM), found->key_at,
             arena_printf(b->diags->arena,
                          "did you mean `%s`? A map as a default is written `default: {…}`",
                          near_key(found->key)),
             "a param's declaration has no key `%.*s`", STR_ARG(found->key));
}

static const struct param_type *find_type(struct dag_builder *b, const struct node *node)
{
    const char *names[TYPE_COUNT];

    for (size_t i = 0; i < TYPE_COUNT; i++) {
        names[i] = types[i].name;
        if (node->kind == NODE_STRING && str_is(node->text, types[i].name))
            return &types[i];
    }
    const char *hint = diag_suggest(b->diags, node->text, names, TYPE_COUNT);
    diag_add(b->diags, MR(BAD_PARAM), node->at,
             hint != NULL ? hint : "types: string, integer, number, boolean, array, object",
             "no type of a param");
    return NULL;
}

static void check_keys(struct dag_builder *b, const struct node *declaration)
{
    for (size_t i = 0; i < declaration->entry_count; i++) {
        const struct node_entry *entry = &declaration->entries[i];
        bool known = false;
        for (size_t k = 0; k < DECLARATION_KEY_COUNT; k++)
            known = known || str_is(entry->key, declaration_keys[k]);
        if (!known)
            diag_add(b->diags, MR(UNKNOWN_KEY), entry->key_at,
                     diag_suggest(b->diags, entry->key, declaration_keys, DECLARATION_KEY_COUNT),
                     "unknown key `%.*s` in a param: it has type, default and description",
                     STR_ARG(entry->key));
    }
}

static void read_declaration(struct dag_builder *b, const struct node_entry *param,
                             json_t *defaults, json_t *declared_types)
{
    const struct node *type_node = node_get(param->value, "type");
    const struct node *fallback = node_get(param->value, "default");
    const struct param_type *type = type_node == NULL ? NULL : find_type(b, type_node);

    check_keys(b, param->value);
    if (type != NULL)
        (void)json_object_setn_new(declared_types, param->key.ptr, param->key.len,
                                   json_string(type->name));
    if (fallback == NULL)
        return;
    if (type != NULL && fallback->kind != NODE_NULL && !(type->kinds & (1u << fallback->kind)))
        diag_add(b->diags, MR(BAD_PARAM), fallback->at, NULL,
                 "the default of `%.*s` must be of type %s, not %s", STR_ARG(param->key),
                 type->name, node_kind_name(fallback->kind));
    (void)json_object_setn_new(defaults, param->key.ptr, param->key.len, node_to_json(fallback));
}

void params_read(struct dag_builder *b)
{
    const struct node *params = node_get(b->root, "params");
    json_t *defaults = json_object();
    json_t *declared_types = json_object();

    b->params_declared = json_object();
    for (size_t i = 0; params != NULL && i < params->entry_count; i++) {
        const struct node_entry *param = &params->entries[i];
        if (!str_is_id(param->key)) {
            diag_add(b->diags, MR(BAD_ID), param->key_at, NULL, "the param's name is no id");
            continue;
        }
        (void)json_object_setn_new(b->params_declared, param->key.ptr, param->key.len, json_true());
        if (is_declaration(param->value)) {
            read_declaration(b, param, defaults, declared_types);
        } else {
            check_default_map(b, param->value);
            (void)json_object_setn_new(defaults, param->key.ptr, param->key.len,
                                       node_to_json(param->value));
        }
    }
    b->dag->params = defaults;
    b->dag->param_types = declared_types;
}
