/* Assets in the reference model. */
#include "tests/sim/reference.h"

#include <string.h>

static bool holds(const struct asset_node *node, const bool *is_new)
{
    bool all = true;
    bool any = false;

    if (node->kind == ASSET_IS_NEW)
        return is_new[node->asset];
    for (uint32_t at = 1; at < node->size; at += node[at].size) {
        bool it_does = holds(&node[at], is_new);
        all = all && it_does;
        any = any || it_does;
    }
    return node->kind == ASSET_ALL ? all : any;
}

static struct reference_batch *get_batch(struct reference_dag *dag, const char *partition)
{
    for (size_t i = 0; i < dag->batch_count; i++)
        if (strcmp(dag->batches[i].partition, partition) == 0)
            return &dag->batches[i];
    dag->batches[dag->batch_count] = (struct reference_batch){.partition = partition};
    return &dag->batches[dag->batch_count++];
}

static void gather(struct reference *r, struct reference_dag *dag, uint32_t asset,
                   const char *partition)
{
    const struct schedule *schedule = &dag->dag->schedule;

    if (schedule->per_partition && partition[0] == '\0')
        return;
    struct reference_batch *batch = get_batch(dag, schedule->per_partition ? partition : "");
    batch->is_new[asset] = true;
    if (batch->completed == 0 && holds(schedule->condition, batch->is_new))
        batch->completed = ++r->last;
    reference_touch(r, dag->dag);
}

void reference_update(struct reference *r, const char *asset, const char *partition)
{
    for (size_t i = 0; i < r->dag_count; i++)
        for (uint32_t k = 0; k < r->dags[i].dag->schedule.asset_count; k++)
            if (strcmp(r->dags[i].dag->schedule.assets[k], asset) == 0)
                gather(r, &r->dags[i], k, partition);
}

/* A text value out of outputs as dags_add_dataset() writes them; "" if it is not there. */
static const char *text_in(struct reference *r, const char *outputs, const char *key)
{
    const char *at = outputs == NULL ? NULL : strstr(outputs, key);

    if (at == NULL)
        return "";
    at += strlen(key);
    return arena_str(r->arena, (struct str){at, strcspn(at, "\"")}).ptr;
}

void reference_succeeded(struct reference *r, const struct dag_task *spec, const char *outputs)
{
    const char *partition = text_in(r, outputs, "\"partition\":\"");
    const char *dataset = text_in(r, outputs, "\"dataset\":\"");

    if (outputs != NULL && strstr(outputs, "\"unchanged\":true") != NULL)
        return;
    for (uint32_t i = 0; i < spec->outlet_count; i++)
        reference_update(r, spec->outlets[i], partition);
    if (spec->updates_target && dataset[0] != '\0')
        reference_update(r, dataset, partition);
}

static struct reference_batch *first_complete(struct reference_dag *dag)
{
    struct reference_batch *first = NULL;

    for (size_t i = 0; i < dag->batch_count; i++)
        if (dag->batches[i].completed != 0 &&
            (first == NULL || dag->batches[i].completed < first->completed))
            first = &dag->batches[i];
    return first;
}

void reference_touch(struct reference *r, const struct dag *dag)
{
    for (size_t i = 0; i < r->dag_count; i++)
        if (r->dags[i].dag == dag && r->dags[i].touched == 0 && first_complete(&r->dags[i]) != NULL)
            r->dags[i].touched = ++r->last;
}

static int64_t count_live(const struct reference *r, const struct dag *dag)
{
    int64_t count = 0;

    for (size_t i = 0; i < r->run_count; i++)
        count += r->runs[i]->dates.dag == dag && !run_state_is_final(r->runs[i]->state);
    return count;
}

static struct reference_dag *first_touched(struct reference *r)
{
    struct reference_dag *first = NULL;

    for (size_t i = 0; i < r->dag_count; i++)
        if (r->dags[i].touched != 0 && (first == NULL || r->dags[i].touched < first->touched))
            first = &r->dags[i];
    return first;
}

const struct dag *reference_take(struct reference *r, const char **ret_partition)
{
    struct reference_dag *dag = NULL;

    while ((dag = first_touched(r)) != NULL) {
        struct reference_batch *batch = first_complete(dag);
        if (batch != NULL && count_live(r, dag->dag) < dag->dag->max_active_runs) {
            *ret_partition = batch->partition;
            *batch = dag->batches[--dag->batch_count];
            return dag->dag;
        }
        dag->touched = 0;
    }
    return NULL;
}
