/* Which ready task starts next. Tasks that want the same thing (slots of one pool, a place of one
 * class at a worker) wait in one lane, in order; so whatever is full blocks its own lanes only, and
 * a blocked task never hides a runnable one. */
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <stdlib.h>

/* Priority; backfills after all else, so that a long one never starves what is due; then the older
 * interval, the older run, the order in the file, the order of mapped items. */
bool ready_is_before(const struct task *a, const struct task *b)
{
    int64_t weight_a = task_spec(a)->priority_weight_total;
    int64_t weight_b = task_spec(b)->priority_weight_total;

    if (weight_a != weight_b)
        return PLANTED(PRIORITY_INVERSION) ? weight_a < weight_b : weight_a > weight_b;
    if (a->run == b->run)
        return a->index != b->index ? a->index < b->index : a->map_index < b->map_index;
    bool fills_a = a->run->row.run_type == RUN_TYPE_BACKFILL;
    bool fills_b = b->run->row.run_type == RUN_TYPE_BACKFILL;
    if (fills_a != fills_b)
        return fills_b;
    int64_t date_a = run_sort_date(a->run);
    int64_t date_b = run_sort_date(b->run);
    return date_a != date_b ? date_a < date_b : a->run->row.id < b->run->row.id;
}

static bool node_is_before(const struct heap_node *a, const struct heap_node *b)
{
    return ready_is_before(HEAP_ENTRY_CONST(a, struct task, ready),
                           HEAP_ENTRY_CONST(b, struct task, ready));
}

static struct task *best_of_queue(const struct ready_queue *queue)
{
    return HEAP_ENTRY(heap_top(&queue->tasks), struct task, ready);
}

static bool queue_is_before(const struct heap_node *a, const struct heap_node *b)
{
    return ready_is_before(best_of_queue(HEAP_ENTRY_CONST(a, struct ready_queue, node)),
                           best_of_queue(HEAP_ENTRY_CONST(b, struct ready_queue, node)));
}

static struct lane *find_lane(struct core *core, const struct dag_task *spec)
{
    struct pool *pool = pools_find(core, spec->pool);

    for (size_t i = 0; i < core->lane_count; i++) {
        struct lane *lane = core->lanes[i];
        if (lane->pool == pool && lane->pool_slots == spec->pool_slots &&
            lane->slot == slot_of(spec))
            return lane;
    }
    struct lane *lane = mem_alloc(sizeof(*lane));
    lane->pool = pool;
    lane->pool_slots = spec->pool_slots;
    lane->slot = slot_of(spec);
    lane->queues.before = queue_is_before;
    core->lanes = mem_resize_array(core->lanes, core->lane_count + 1, sizeof(struct lane *));
    core->lanes[core->lane_count++] = lane;
    return lane;
}

static struct ready_queue *find_queue(struct run *run, struct lane *lane)
{
    for (size_t i = 0; i < run->queue_count; i++)
        if (run->queues[i]->lane == lane)
            return run->queues[i];
    struct ready_queue *queue = mem_alloc(sizeof(*queue));
    queue->lane = lane;
    queue->run = run;
    queue->tasks.before = node_is_before;
    run->queues = mem_resize_array(run->queues, run->queue_count + 1, sizeof(void *));
    run->queues[run->queue_count++] = queue;
    return queue;
}

static bool run_has_room(const struct run *run)
{
    return run->active < run->dag->max_active_tasks + PLANTED(MAX_ACTIVE_TASKS_OFF_BY_ONE);
}

/* Puts a queue into its lane, or takes it out, as it should be now. */
static void place_queue(struct ready_queue *queue)
{
    bool belongs = queue->tasks.count > 0 && run_has_room(queue->run);
    bool is_in = queue->node.place != 0;

    if (belongs && is_in)
        heap_changed(&queue->lane->queues, &queue->node);
    else if (belongs)
        heap_push(&queue->lane->queues, &queue->node);
    else if (is_in)
        heap_remove(&queue->lane->queues, &queue->node);
}

void ready_enqueue(struct core *core, struct task *task)
{
    struct ready_queue *queue = find_queue(task->run, find_lane(core, task_spec(task)));

    heap_push(&queue->tasks, &task->ready);
    place_queue(queue);
}

void ready_dequeue(struct task *task)
{
    struct run *run = task->run;

    for (size_t i = 0; i < run->queue_count; i++) {
        struct ready_queue *queue = run->queues[i];
        struct heap_node *const *nodes = queue->tasks.nodes;
        if (task->ready.place > queue->tasks.count || nodes[task->ready.place - 1] != &task->ready)
            continue;
        if (queue->node.place != 0)
            heap_remove(&queue->lane->queues, &queue->node);
        heap_remove(&queue->tasks, &task->ready);
        place_queue(queue);
        return;
    }
}

void ready_push(struct core *core, struct task *task)
{
    if (limits_apply(task))
        limits_push(core, task);
    else
        ready_enqueue(core, task);
}

void ready_remove(struct core *core, struct task *task)
{
    if (task->waiting.place != 0)
        limits_remove(core, task);
    else if (task->ready.place != 0)
        ready_dequeue(task);
}

void ready_run_limit(struct run *run)
{
    for (size_t i = 0; i < run->queue_count; i++)
        if ((run->queues[i]->node.place != 0) != run_has_room(run))
            place_queue(run->queues[i]);
}

/* Takes the best task out. The lane's heap is put in order while the queue's old place still is
 * right: emptied queues leave first. */
static struct task *pop(struct ready_queue *queue)
{
    struct task *task = best_of_queue(queue);

    heap_remove(&queue->lane->queues, &queue->node);
    heap_remove(&queue->tasks, &task->ready);
    place_queue(queue);
    return task;
}

void ready_dispatch(struct core *core)
{
    for (;;) {
        struct worker *workers[SLOT_KIND_COUNT];
        for (enum slot_kind slot = 0; slot < SLOT_KIND_COUNT; slot++)
            workers[slot] = workers_pick(core, slot);
        struct lane *best = NULL;
        for (size_t i = 0; i < core->lane_count; i++) {
            struct lane *lane = core->lanes[i];
            if (lane->queues.count == 0 || workers[lane->slot] == NULL ||
                !pool_fits(lane->pool, lane->pool_slots))
                continue;
            if (best == NULL || queue_is_before(heap_top(&lane->queues), heap_top(&best->queues)))
                best = lane;
        }
        if (best == NULL)
            return;
        struct ready_queue *queue = HEAP_ENTRY(heap_top(&best->queues), struct ready_queue, node);
        struct task *task = pop(queue);
        if (limits_apply(task))
            limits_taken(task);
        attempts_new(core, task, workers[best->slot]);
        tasks_settle(core); /* an attempt whose templates don't render has ended already */
    }
}

const char *ready_why(struct core *core, const struct task *task)
{
    const struct dag_task *spec = task_spec(task);
    const struct pool *pool = pools_find(core, spec->pool);

    if (!pool->exists)
        return reason_format(core, "no_pool: %s", spec->pool);
    if (pool->slots >= 0 && spec->pool_slots > pool->slots)
        return reason_format(core, "pool_too_small: %s has %lld, %lld wanted", pool->name,
                             (long long)pool->slots, (long long)spec->pool_slots);
    if (!run_has_room(task->run))
        return reason_format(core, "max_active_tasks: %lld/%lld", (long long)task->run->active,
                             (long long)task->run->dag->max_active_tasks);
    const char *limit = limits_why(core, task);
    if (limit != NULL)
        return limit;
    if (!pool_fits(pool, spec->pool_slots))
        return reason_format(core, "pool_full: %s %lld/%lld", pool->name, (long long)pool->used,
                             (long long)pool->slots);
    for (const struct worker *worker = core->workers; worker != NULL; worker = worker->hh.next)
        if (worker->is_known)
            return "workers_busy";
    return "no_worker";
}

void ready_release(struct run *run)
{
    limits_release(run);
    for (size_t i = 0; i < run->queue_count; i++) {
        struct ready_queue *queue = run->queues[i];
        if (queue->node.place != 0)
            heap_remove(&queue->lane->queues, &queue->node);
        heap_release(&queue->tasks);
        free(queue);
    }
    free(run->queues);
    run->queues = NULL;
    run->queue_count = 0;
}

void ready_free(struct core *core)
{
    for (size_t i = 0; i < core->lane_count; i++) {
        heap_release(&core->lanes[i]->queues);
        free(core->lanes[i]);
    }
    free(core->lanes);
    for (size_t i = 0; i < core->pool_count; i++) {
        free(core->pools[i]->name);
        free(core->pools[i]);
    }
    free(core->pools);
}
