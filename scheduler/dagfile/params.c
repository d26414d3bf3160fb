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

/* A map is a declaration if it has `type` or `default`; else it is itself the default. */
static bool is_declaration(const struct node *value)
{
    return node_get(value, "type") != NULL || node_get(value, "default") != NULL;
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
        for (size_t k = 0; k < 3; k++)
            known = known || str_is(entry->key, declaration_keys[k]);
        if (!known)
            diag_add(b->diags, MR(UNKNOWN_KEY), entry->key_at,
                     diag_suggest(b->diags, entry->key, declaration_keys, 3),
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
        if (is_declaration(param->value))
            read_declaration(b, param, defaults, declared_types);
        else
            (void)json_object_setn_new(defaults, param->key.ptr, param->key.len,
                                       node_to_json(param->value));
    }
    b->dag->params = defaults;
    b->dag->param_types = declared_types;
}
