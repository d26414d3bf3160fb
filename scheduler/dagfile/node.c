#include "millrace/node.h"

#include "scheduler/dagfile/document.h"

const struct node *node_get(const struct node *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP)
        return NULL;
    struct str wanted = str_from(key);
    for (size_t i = 0; i < map->entry_count; i++)
        if (str_eq(map->entries[i].key, wanted))
            return map->entries[i].value;
    return NULL;
}

struct str node_get_text(const struct node *map, const char *key)
{
    const struct node *value = node_get(map, key);

    return value == NULL || value->kind != NODE_STRING ? (struct str){0} : value->text;
}

const char *node_kind_name(enum node_kind kind)
{
    switch (kind) {
    case NODE_NULL:
        return "nothing";
    case NODE_BOOL:
        return "a boolean";
    case NODE_INT:
        return "an integer";
    case NODE_FLOAT:
        return "a number";
    case NODE_STRING:
        return "a string";
    case NODE_LIST:
        return "a list";
    case NODE_MAP:
        return "a map";
    }
    return "?";
}

static json_t *list_to_json(const struct node *node)
{
    json_t *list = json_array();

    for (size_t i = 0; i < node->item_count; i++)
        (void)json_array_append_new(list, node_to_json(node->items[i]));
    return list;
}

static json_t *map_to_json(const struct node *node)
{
    json_t *map = json_object();

    for (size_t i = 0; i < node->entry_count; i++)
        (void)json_object_setn_new(map, node->entries[i].key.ptr, node->entries[i].key.len,
                                   node_to_json(node->entries[i].value));
    return map;
}

json_t *node_to_json(const struct node *node)
{
    switch (node->kind) {
    case NODE_NULL:
        return json_null();
    case NODE_BOOL:
        return json_boolean(node->scalar.boolean);
    case NODE_INT:
        return json_integer(node->scalar.integer);
    case NODE_FLOAT:
        return json_real(node->scalar.number);
    case NODE_STRING:
        return json_stringn(node->text.ptr, node->text.len);
    case NODE_LIST:
        return list_to_json(node);
    case NODE_MAP:
        return map_to_json(node);
    }
    return json_null();
}
