#include "scheduler/dagfile/assets.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 500
#define NODES_MAX 1000

/* A condition on its way: nodes in prefix order, names each once, and the text that shows it. */
struct condition {
    struct dag_builder *b;
    struct asset_node nodes[NODES_MAX];
    uint32_t node_count;
    const char *names[NODES_MAX];
    uint32_t name_count;
    struct buf text;
};

/* The name as it is compared: a dataset may be written with or without a slash at its end. */
static struct str trimmed(struct str name)
{
    while (name.len > 1 && name.ptr[name.len - 1] == '/')
        name.len--;
    return str_starts(name, STR("./")) ? str_sub(name, 2, name.len) : name;
}

static const char *read_name(struct dag_builder *b, const struct node *node)
{
    struct str name = node->kind == NODE_STRING ? trimmed(node->text) : (struct str){0};

    if (node->kind != NODE_STRING || name.len == 0 || name.len > NAME_BYTES_MAX) {
        diag_add(b->diags, MR(BAD_VALUE), node->at, "write its name, such as lake/events",
                 "an asset is a name of 1 to %d bytes", NAME_BYTES_MAX);
        return NULL;
    }
    for (size_t i = 0; i + 1 < name.len; i++) {
        if (name.ptr[i] == '{' && name.ptr[i + 1] == '{') {
            diag_add(b->diags, MR(BAD_VALUE), node->at,
                     "a partition is no part of the name: write lake/events",
                     "the name of an asset takes no template");
            return NULL;
        }
    }
    return arena_str(&b->dag->arena, name).ptr;
}

static uint32_t add_name(struct condition *c, const char *name)
{
    for (uint32_t i = 0; i < c->name_count; i++)
        if (strcmp(c->names[i], name) == 0)
            return i;
    c->names[c->name_count] = name;
    return c->name_count++;
}

static struct asset_node *add_node(struct condition *c, const struct node *node,
                                   enum asset_node_kind kind)
{
    if (c->node_count == NODES_MAX) {
        diag_add(c->b->diags, MR(LIMIT), node->at, NULL,
                 "a schedule on assets has at most %d names, any and all", NODES_MAX);
        return NULL;
    }
    struct asset_node *added = &c->nodes[c->node_count++];
    *added = (struct asset_node){.kind = kind, .size = 1};
    return added;
}

static void read_node(struct condition *c, const struct node *node);

static void read_list(struct condition *c, const struct node *list, enum asset_node_kind kind)
{
    uint32_t at = c->node_count;
    struct asset_node *added = add_node(c, list, kind);

    if (added == NULL)
        return;
    if (list->kind != NODE_LIST || list->item_count == 0) {
        diag_add(c->b->diags, MR(BAD_VALUE), list->at, "write [lake/events, lake/labels]",
                 "a schedule on assets needs a list of at least one name");
        return;
    }
    buf_add_text(&c->text, at == 0 ? "" : "(");
    for (size_t i = 0; i < list->item_count; i++) {
        if (i > 0)
            buf_add_text(&c->text, kind == ASSET_ALL ? " and " : " or ");
        read_node(c, list->items[i]);
    }
    buf_add_text(&c->text, at == 0 ? "" : ")");
    c->nodes[at].size = c->node_count - at;
}

static void read_node(struct condition *c, const struct node *node)
{
    if (node->kind == NODE_LIST) {
        read_list(c, node, ASSET_ALL);
        return;
    }
    if (node->kind == NODE_MAP) {
        bool is_any = node->entry_count == 1 && str_is(node->entries[0].key, "any");
        if (is_any || (node->entry_count == 1 && str_is(node->entries[0].key, "all")))
            read_list(c, node->entries[0].value, is_any ? ASSET_ANY : ASSET_ALL);
        else
            diag_add(c->b->diags, MR(UNKNOWN_KEY), node->at, "write {any: [a, b]} or {all: [a, b]}",
                     "a condition on assets is a map of `any` or `all`");
        return;
    }
    const char *name = read_name(c->b, node);
    struct asset_node *added = name == NULL ? NULL : add_node(c, node, ASSET_IS_NEW);
    if (added == NULL)
        return;
    added->asset = add_name(c, name);
    buf_add_text(&c->text, name);
}

void assets_read_schedule(struct dag_builder *b, const struct node *schedule)
{
    const struct node *partition = node_get(schedule, "per_partition");
    const struct node *every = node_get(schedule, "every");
    struct condition *c = mem_alloc(sizeof(*c));
    struct arena *arena = &b->dag->arena;

    c->b = b;
    if (every != NULL)
        diag_add(b->diags, MR(BAD_VALUE), every->at, "take one of them out",
                 "a schedule is either on assets or every so often");
    buf_add_text(&c->text, "assets: ");
    read_node(c, node_get(schedule, "assets"));
    bool per_partition =
        partition != NULL && partition->kind == NODE_BOOL && partition->scalar.boolean;
    buf_add_text(&c->text, per_partition ? ", per partition" : "");
    const char **names = arena_alloc_array(arena, c->name_count, sizeof(*names));
    struct asset_node *nodes = arena_alloc_array(arena, c->node_count, sizeof(*nodes));
    for (uint32_t i = 0; i < c->name_count; i++)
        names[i] = c->names[i];
    for (uint32_t i = 0; i < c->node_count; i++)
        nodes[i] = c->nodes[i];
    b->dag->schedule = (struct schedule){
        .kind = SCHEDULE_ASSETS,
        .text = arena_str(arena, buf_str(&c->text)).ptr,
        .assets = names,
        .asset_count = c->name_count,
        .condition = nodes,
        .per_partition = per_partition,
    };
    buf_release(&c->text);
    free(c);
}

void assets_read_outlets(struct dag_builder *b, const struct node *outlets, struct dag_task *task)
{
    task->updates_target = outlets == NULL && task->kind != NULL && task->kind->publishes;
    if (outlets == NULL)
        return;
    size_t count = outlets->kind == NODE_LIST ? outlets->item_count : 1;
    const char **names = arena_alloc_array(&b->dag->arena, count, sizeof(*names));
    for (size_t i = 0; i < count; i++) {
        const struct node *outlet = outlets->kind == NODE_LIST ? outlets->items[i] : outlets;
        if (outlet->kind != NODE_STRING)
            continue; /* found by the option table */
        const char *name = read_name(b, outlet);
        if (name != NULL)
            names[task->outlet_count++] = name;
    }
    task->outlets = names;
}
