#include "base/mem.h"
#include "scheduler/dagfile/builder.h"

#include <stdlib.h>
#include <string.h>

struct task_source *builder_find(const struct dag_builder *b, struct str task_id)
{
    struct task_source *found = NULL;

    if (task_id.len > 0)
        HASH_FIND(hh, b->by_id, task_id.ptr, task_id.len, found);
    return found;
}

size_t names_count(const struct node *list)
{
    return list == NULL ? 0 : list->kind == NODE_LIST ? list->item_count : 1;
}

const struct node *names_item(const struct node *list, size_t i)
{
    return list->kind == NODE_LIST ? list->items[i] : list;
}

/* `what` depends on it: "task", "group". */
static void unknown_upstream(struct dag_builder *b, const char *what, struct str id,
                             const struct node *item)
{
    uint32_t count = b->dag->task_count;
    const char **names = mem_alloc_array(count + HASH_COUNT(b->groups_by_id), sizeof(*names));
    struct buf list = {0};

    for (uint32_t i = 0; i < count; i++) {
        names[i] = b->dag->tasks[i].task_id;
        if (list.len < 200)
            buf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
        else if (i + 1 == b->dag->task_count)
            buf_add_text(&list, ", …");
    }
    for (const struct task_group *group = b->groups_by_id; group != NULL; group = group->hh.next)
        names[count++] = arena_str(&b->scratch, group->id).ptr;
    const char *hint = diag_suggest(b->diags, item->text, names, count);
    if (hint == NULL)
        hint = arena_printf(b->diags->arena, "tasks here: %s", buf_text(&list));
    diag_add(b->diags, MR(UNKNOWN_UPSTREAM), item->at, hint,
             "%s `%.*s` depends on unknown task `%.*s`", what, STR_ARG(id), STR_ARG(item->text));
    buf_release(&list);
    free(names);
}

static int compare_indices(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

/* The upstreams of one task, being gathered. */
struct upstreams {
    const struct task_source *task;
    const struct task_group *scope; /* whose names come first */
    bool is_of_group; /* a group's depends_on: the task may name the same; checked by itself */
    uint32_t *indices;
    uint32_t count;
};

static void add_group(struct dag_builder *b, struct upstreams *u, const struct node *item,
                      const struct task_group *group)
{
    if (groups_holds(group, u->task->index)) {
        if (!u->is_of_group)
            diag_add(b->diags, MR(BAD_UPSTREAM), item->at, NULL, "`%.*s` depends on its own group",
                     STR_ARG(u->task->task_id));
        return;
    }
    for (uint32_t i = group->first; i < group->first + group->count; i++) {
        if (b->marks[i] == b->round || !groups_is_leaf(b, group, i))
            continue;
        b->marks[i] = b->round;
        u->indices[u->count++] = i;
    }
}

static void add_upstream(struct dag_builder *b, struct upstreams *u, const struct node *item)
{
    const struct task_source *task = u->task;

    if (item->kind != NODE_STRING)
        return; /* found by the option table */
    const struct named named = groups_resolve(b, u->scope, item->text);
    const struct task_source *found = named.task;
    if (named.group != NULL) {
        add_group(b, u, item, named.group);
        return;
    }
    if (found == NULL) {
        if (!u->is_of_group)
            unknown_upstream(b, "task", task->task_id, item);
        return;
    }
    if (found == task) {
        if (!u->is_of_group)
            diag_add(b->diags, MR(BAD_UPSTREAM), item->at, NULL, "task `%.*s` depends on itself",
                     STR_ARG(task->task_id));
        return;
    }
    if (b->marks[found->index] == b->round) {
        if (!u->is_of_group)
            diag_add(b->diags, MR(BAD_UPSTREAM), item->at, "drop one of the two",
                     "task `%.*s` names `%.*s` twice", STR_ARG(task->task_id),
                     STR_ARG(found->task_id));
        return;
    }
    b->marks[found->index] = b->round;
    u->indices[u->count++] = found->index;
}

static void add_list(struct dag_builder *b, struct upstreams *u, const struct node *list)
{
    for (size_t i = 0; i < names_count(list); i++)
        add_upstream(b, u, names_item(list, i));
}

/* The setups that a teardown names: upstreams like others, and setups even if they don't say so. */
static void add_setups(struct dag_builder *b, struct upstreams *u)
{
    const struct node *node = node_get(u->task->node, "teardown");

    for (size_t i = 0; i < names_count(node); i++) {
        const struct node *item = names_item(node, i);
        const struct task_source *found =
            item->kind == NODE_STRING ? groups_resolve(b, u->scope, item->text).task : NULL;
        if (found == NULL || b->marks[found->index] != b->round)
            add_upstream(b, u, item);
        if (found == NULL || found == u->task)
            continue;
        b->dag->tasks[found->index].is_setup = true;
        if (b->dag->tasks[found->index].is_teardown)
            diag_add(b->diags, MR(BAD_UPSTREAM), item->at, "name it in depends_on",
                     "`%.*s` is a teardown, and no setup", STR_ARG(found->task_id));
    }
}

/* At most how many upstreams a list names. */
static size_t most_of(const struct dag_builder *b, const struct task_group *scope,
                      const struct node *list)
{
    size_t most = names_count(list);

    for (size_t i = 0; i < names_count(list); i++) {
        const struct node *item = names_item(list, i);
        const struct task_group *group =
            item->kind == NODE_STRING ? groups_resolve(b, scope, item->text).group : NULL;
        most += group == NULL ? 0 : group->count;
    }
    return most;
}

/* The depends_on of a group, and within which names it looks; NULL where the task is no root. */
static const struct node *names_of_group(const struct task_group *group,
                                         const struct task_source *task)
{
    return group != NULL && groups_is_root(group, task) ? node_get(group->node, "depends_on")
                                                        : NULL;
}

static void read_upstream(struct dag_builder *b, uint32_t index)
{
    const struct task_source *task = &b->sources[index];
    const struct node *list = node_get(task->node, "depends_on");
    struct dag_task *out = &b->dag->tasks[index];
    struct upstreams u = {.task = task, .scope = task->group};
    size_t most = most_of(b, u.scope, list) + most_of(b, u.scope, node_get(task->node, "teardown"));

    for (const struct task_group *in = task->group; in != NULL; in = in->parent)
        most += most_of(b, in->parent, names_of_group(in, task));
    u.indices = arena_alloc_array(&b->dag->arena, most, sizeof(*u.indices));
    b->round++;
    add_list(b, &u, list);
    if (out->is_teardown)
        add_setups(b, &u);
    u.is_of_group = true;
    for (const struct task_group *in = task->group; in != NULL; in = in->parent) {
        u.scope = in->parent;
        add_list(b, &u, names_of_group(in, task));
    }
    if (u.count > 0)
        qsort(u.indices, u.count, sizeof(*u.indices), compare_indices);
    out->upstream = u.indices;
    out->upstream_count = u.count;
    for (uint32_t i = 0; i < u.count; i++)
        b->dag->tasks[u.indices[i]].downstream_count++;
}

/* What a group names is found for each of its roots; what is wrong with it is told once. */
static void check_names(struct dag_builder *b, const struct task_group *group)
{
    const struct node *list = node_get(group->node, "depends_on");

    for (size_t i = 0; i < names_count(list); i++) {
        const struct node *item = names_item(list, i);
        if (item->kind != NODE_STRING)
            continue;
        struct named named = groups_resolve(b, group->parent, item->text);
        if (named.task == NULL && named.group == NULL)
            unknown_upstream(b, "group", group->id, item);
        else if (named.group != NULL && groups_is_within(group, named.group))
            diag_add(b->diags, MR(BAD_UPSTREAM), item->at, NULL, "group `%.*s` depends on %s",
                     STR_ARG(group->id),
                     named.group == group ? "itself" : "the group that it is in");
        else if (groups_is_within(named.group != NULL ? named.group : named.task->group, group))
            diag_add(b->diags, MR(BAD_UPSTREAM), item->at,
                     "name it in the depends_on of the tasks that wait for it",
                     "group `%.*s` depends on `%.*s`, which is in it", STR_ARG(group->id),
                     STR_ARG(item->text));
    }
}

static void fill_downstream(struct dag *dag)
{
    uint32_t **lists = mem_alloc_array(dag->task_count, sizeof(*lists));

    for (uint32_t i = 0; i < dag->task_count; i++) {
        lists[i] = arena_alloc_array(&dag->arena, dag->tasks[i].downstream_count, sizeof(**lists));
        dag->tasks[i].downstream = lists[i];
        dag->tasks[i].downstream_count = 0;
    }
    for (uint32_t i = 0; i < dag->task_count; i++)
        for (uint32_t k = 0; k < dag->tasks[i].upstream_count; k++) {
            uint32_t up = dag->tasks[i].upstream[k];
            lists[up][dag->tasks[up].downstream_count++] = i;
        }
    free(lists);
}

/* Tasks in an order where each stands behind its upstreams; those in or behind a cycle are left
 * out. Returns how many there are. */
static uint32_t topological_order(const struct dag *dag, uint32_t *order)
{
    uint32_t *missing = mem_alloc_array(dag->task_count, sizeof(*missing));
    uint32_t count = 0;

    for (uint32_t i = 0; i < dag->task_count; i++) {
        missing[i] = dag->tasks[i].upstream_count;
        if (missing[i] == 0)
            order[count++] = i;
    }
    for (uint32_t done = 0; done < count; done++) {
        const struct dag_task *task = &dag->tasks[order[done]];
        for (uint32_t k = 0; k < task->downstream_count; k++)
            if (--missing[task->downstream[k]] == 0)
                order[count++] = task->downstream[k];
    }
    free(missing);
    return count;
}

/* The item of a list that stands for a task, by its name or its group's; or NULL. */
static const struct node *find_item(const struct dag_builder *b, const struct node *list,
                                    const struct task_group *scope, uint32_t upstream)
{
    for (size_t i = 0; i < names_count(list); i++) {
        const struct node *item = names_item(list, i);
        if (item->kind != NODE_STRING)
            continue;
        const struct named found = groups_resolve(b, scope, item->text);
        if ((found.task != NULL && found.task->index == upstream) ||
            (found.group != NULL && groups_holds(found.group, upstream)))
            return item;
    }
    return NULL;
}

static const struct node *edge_node(const struct dag_builder *b, uint32_t index, uint32_t upstream)
{
    const struct task_source *task = &b->sources[index];
    const struct node *item =
        find_item(b, node_get(task->node, "depends_on"), task->group, upstream);

    if (item == NULL)
        item = find_item(b, node_get(task->node, "teardown"), task->group, upstream);
    for (const struct task_group *in = task->group; item == NULL && in != NULL; in = in->parent)
        item = find_item(b, names_of_group(in, task), in->parent, upstream);
    return item == NULL ? task->node : item;
}

/* `path` goes upstream: path[from] depends on path[from+1] …, and the last on path[from]. */
static void report_cycle(struct dag_builder *b, const uint32_t *path, uint32_t from, uint32_t end)
{
    struct buf text = {0};
    uint32_t shown = 0;

    for (uint32_t i = end; i > from; i--) {
        if (shown++ == 20)
            buf_add_text(&text, "… → ");
        if (shown <= 20 || i == from + 1)
            buf_printf(&text, "%s → ", b->dag->tasks[path[i - 1]].task_id);
    }
    buf_add_text(&text, b->dag->tasks[path[end - 1]].task_id);
    const struct node *edge = edge_node(b, path[end - 1], path[from]);
    diag_add(b->diags, MR(CYCLE), edge->at, "take one of these out of depends_on",
             "tasks depend on each other in a circle: %s", buf_text(&text));
    buf_release(&text);
}

/* Each task that the order left out has an upstream that it left out too: going upstream from one
 * ends in a cycle. */
static void find_cycles(struct dag_builder *b, const bool *ordered)
{
    uint32_t *path = mem_alloc_array(b->dag->task_count, sizeof(*path));
    uint32_t first_round = b->round + 1;
    uint32_t *step = mem_alloc_array(b->dag->task_count, sizeof(*step));

    for (uint32_t start = 0; start < b->dag->task_count; start++) {
        uint32_t length = 0;
        uint32_t at = start;
        b->round++;
        while (!ordered[at] && b->marks[at] < first_round) {
            b->marks[at] = b->round;
            step[at] = length;
            path[length++] = at;
            const struct dag_task *task = &b->dag->tasks[at];
            for (uint32_t k = 0; k < task->upstream_count; k++)
                if (!ordered[task->upstream[k]]) {
                    at = task->upstream[k];
                    break;
                }
        }
        if (length > 0 && b->marks[at] == b->round)
            report_cycle(b, path, step[at], length);
    }
    free(step);
    free(path);
}

void graph_build(struct dag_builder *b)
{
    struct dag *dag = b->dag;
    uint32_t *order = mem_alloc_array(dag->task_count, sizeof(*order));
    bool *ordered = mem_alloc_array(dag->task_count, sizeof(*ordered));

    groups_find_ends(b);
    for (const struct task_group *group = b->groups_by_id; group != NULL; group = group->hh.next)
        check_names(b, group);
    for (uint32_t i = 0; i < dag->task_count; i++)
        read_upstream(b, i);
    fill_downstream(dag);
    uint32_t count = topological_order(dag, order);
    for (uint32_t i = 0; i < count; i++)
        ordered[order[i]] = true;
    if (count < dag->task_count)
        find_cycles(b, ordered);
    free(ordered);
    free(order);
}

static int64_t clamp_int32(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : value;
}

/* The neighbours of a task on one side. */
struct side {
    const uint32_t *tasks;
    uint32_t count;
};

static struct side side_of(const struct dag_task *task, bool is_down)
{
    return is_down ? (struct side){task->downstream, task->downstream_count}
                   : (struct side){task->upstream, task->upstream_count};
}

/* Tasks as bits. Relatives mostly stand near each other in the file. */
struct set {
    uint64_t *words; /* NULL = empty, or not needed any more */
    size_t first;    /* the words before it and from `end` on are 0 */
    size_t end;
};

/* A walk against the edges that weights are added along: each task's set of relatives is the union
 * of its neighbours and theirs. A set lives until the last that needs it has it: of a DAG of 10,000
 * tasks all of them would take 12 MB. */
struct weighing {
    struct dag *dag;
    bool is_down;
    bool is_uniform; /* all tasks weigh the same */
    size_t words;    /* of a set */
    struct set *sets;
    uint32_t *wanted_by;
};

static void widen(struct set *set, size_t first, size_t end)
{
    set->first = first < set->first ? first : set->first;
    set->end = end > set->end ? end : set->end;
}

static struct set relatives(struct weighing *w, uint32_t index)
{
    struct side next = side_of(&w->dag->tasks[index], w->is_down);
    struct set mine = {.first = w->words};

    if (next.count == 0)
        return mine;
    mine.words = mem_alloc_array(w->words, sizeof(*mine.words));
    for (uint32_t k = 0; k < next.count; k++) {
        uint32_t other = next.tasks[k];
        struct set *theirs = &w->sets[other];

        mine.words[other / 64] |= UINT64_C(1) << (other % 64);
        widen(&mine, other / 64, other / 64 + 1);
        widen(&mine, theirs->first, theirs->end);
        for (size_t i = theirs->first; i < theirs->end; i++)
            mine.words[i] |= theirs->words[i];
        if (--w->wanted_by[other] == 0) {
            free(theirs->words);
            *theirs = (struct set){.first = w->words};
        }
    }
    return mine;
}

static int64_t sum_of(const struct weighing *w, const struct set *set)
{
    int64_t total = 0;

    for (size_t i = set->first; i < set->end; i++) {
        if (w->is_uniform)
            total += __builtin_popcountll(set->words[i]) * w->dag->tasks[0].priority_weight;
        for (uint64_t bits = w->is_uniform ? 0 : set->words[i]; bits != 0; bits &= bits - 1)
            total += w->dag->tasks[i * 64 + (size_t)__builtin_ctzll(bits)].priority_weight;
    }
    return total;
}

/* Gives the tasks of one weight rule their totals. */
static void weigh(struct dag *dag, const uint32_t *order, uint32_t count, enum weight_rule rule)
{
    struct weighing w = {
        .dag = dag,
        .is_down = rule == WEIGHT_RULE_DOWNSTREAM,
        .is_uniform = true,
        .words = (dag->task_count + 63u) / 64u,
        .sets = mem_alloc_array(dag->task_count, sizeof(struct set)),
        .wanted_by = mem_alloc_array(dag->task_count, sizeof(uint32_t)),
    };

    for (uint32_t i = 0; i < dag->task_count; i++) {
        w.wanted_by[i] = side_of(&dag->tasks[i], !w.is_down).count;
        w.is_uniform &= dag->tasks[i].priority_weight == dag->tasks[0].priority_weight;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = order[w.is_down ? count - 1 - i : i];
        struct dag_task *task = &dag->tasks[index];
        struct set mine = relatives(&w, index);
        if (task->weight_rule == rule)
            task->priority_weight_total = clamp_int32(task->priority_weight + sum_of(&w, &mine));
        if (w.wanted_by[index] > 0)
            w.sets[index] = mine;
        else
            free(mine.words);
    }
    free(w.sets);
    free(w.wanted_by);
}

void graph_weigh(struct dag_builder *b)
{
    struct dag *dag = b->dag;
    uint32_t *order = mem_alloc_array(dag->task_count, sizeof(*order));
    uint32_t count = topological_order(dag, order);
    bool uses[WEIGHT_RULE_COUNT] = {false};

    for (uint32_t i = 0; i < dag->task_count; i++) {
        dag->tasks[i].priority_weight_total = clamp_int32(dag->tasks[i].priority_weight);
        uses[dag->tasks[i].weight_rule] = true;
    }
    if (uses[WEIGHT_RULE_DOWNSTREAM])
        weigh(dag, order, count, WEIGHT_RULE_DOWNSTREAM);
    if (uses[WEIGHT_RULE_UPSTREAM])
        weigh(dag, order, count, WEIGHT_RULE_UPSTREAM);
    free(order);
}

bool graph_is_ancestor(struct dag_builder *b, uint32_t task, uint32_t ancestor)
{
    uint32_t *stack = mem_alloc_array(b->dag->task_count, sizeof(*stack));
    uint32_t depth = 0;
    bool found = false;

    b->round++;
    stack[depth++] = task;
    while (depth > 0 && !found) {
        const struct dag_task *at = &b->dag->tasks[stack[--depth]];
        for (uint32_t k = 0; k < at->upstream_count && !found; k++) {
            uint32_t up = at->upstream[k];
            found = up == ancestor;
            if (b->marks[up] != b->round) {
                b->marks[up] = b->round;
                stack[depth++] = up;
            }
        }
    }
    free(stack);
    return found;
}
