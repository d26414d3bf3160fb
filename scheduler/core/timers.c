/* One heap of instants at which the core wants to be woken. */
#include "scheduler/core/parts.h"

/* What a timer is of. */
struct place {
    int64_t id; /* run or callback */
    uint32_t task;
    int32_t map_index;
};

static struct place place_of(const struct timer *timer)
{
    const struct task *task = NULL;

    switch (timer->kind) {
    case TIMER_RETRY:
    case TIMER_WAIT:
        task = HEAP_ENTRY_CONST(timer, struct task, timer);
        return (struct place){task->run->row.id, task->index, task->map_index};
    case TIMER_RUN:
    case TIMER_RUN_TIMEOUT:
        return (struct place){.id = HEAP_ENTRY_CONST(timer, struct run, timer)->row.id};
    case TIMER_DEADLINE:
        return (struct place){.id = HEAP_ENTRY_CONST(timer, struct run, deadline)->row.id};
    case TIMER_CALLBACK:
        break;
    }
    return (struct place){.id = HEAP_ENTRY_CONST(timer, struct callback, timer)->row.id};
}

/* Among equal times by what they are of, not by when they were armed: that is another order after a
 * restart. */
bool timer_is_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct timer *x = HEAP_ENTRY_CONST(a, struct timer, node);
    const struct timer *y = HEAP_ENTRY_CONST(b, struct timer, node);

    if (x->at_us != y->at_us)
        return x->at_us < y->at_us;
    if (x->kind != y->kind)
        return x->kind < y->kind;
    const struct place p = place_of(x);
    const struct place q = place_of(y);
    if (p.id != q.id)
        return p.id < q.id;
    return p.task != q.task ? p.task < q.task : p.map_index < q.map_index;
}

bool timer_is_before_of_dag(const struct heap_node *a, const struct heap_node *b)
{
    const struct timer *x = HEAP_ENTRY_CONST(a, struct timer, node);
    const struct timer *y = HEAP_ENTRY_CONST(b, struct timer, node);

    return x->at_us != y->at_us ? x->at_us < y->at_us : x->order < y->order;
}

void timer_arm(struct core *core, struct heap *heap, struct timer *timer, int64_t at_us)
{
    timer_disarm(heap, timer);
    timer->at_us = at_us;
    timer->order = ++core->timer_count;
    heap_push(heap, &timer->node);
}

void timer_disarm(struct heap *heap, struct timer *timer)
{
    if (timer->node.place != 0)
        heap_remove(heap, &timer->node);
}

void timers_expire(struct core *core)
{
    for (;;) {
        struct heap_node *top = heap_top(&core->timers);
        if (top == NULL || HEAP_ENTRY(top, struct timer, node)->at_us > core->now_us)
            return;
        struct timer *timer = HEAP_ENTRY(top, struct timer, node);
        heap_remove(&core->timers, top);
        switch (timer->kind) {
        case TIMER_RETRY:
            task_schedule(core, HEAP_ENTRY(timer, struct task, timer));
            break;
        case TIMER_WAIT:
            wait_wake(core, HEAP_ENTRY(timer, struct task, timer));
            break;
        case TIMER_DEADLINE:
            deadline_passed(core, HEAP_ENTRY(timer, struct run, deadline));
            break;
        case TIMER_CALLBACK:
            callback_due(core, HEAP_ENTRY(timer, struct callback, timer));
            break;
        case TIMER_RUN:
            run_enqueue(core, HEAP_ENTRY(timer, struct run, timer));
            break;
        case TIMER_RUN_TIMEOUT:
            run_timed_out(core, HEAP_ENTRY(timer, struct run, timer));
            break;
        }
    }
}
