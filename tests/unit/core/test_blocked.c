/* Airflow #31185 (blocked tasks slow the loop): there every task that is not over is looked at in
 * each loop. Here what an event costs must not depend on how many tasks are blocked, nor by what.
 * Counted are comparisons in the heaps of ready tasks, and decisions; not time. */
#include "scheduler/core/model.h"
#include "tests/scenarios/dag_script.h"
#include "tests/scenarios/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define STEPS 40
#define TASKS 50 /* of one blocked run */

static uint64_t comparisons;
static heap_before queue_order;
static heap_before task_order;

static bool count_queues(const struct heap_node *a, const struct heap_node *b)
{
    comparisons++;
    return queue_order(a, b);
}

static bool count_tasks(const struct heap_node *a, const struct heap_node *b)
{
    comparisons++;
    return task_order(a, b);
}

/* The heaps that stand now: those of the chain and of all that is blocked. */
static void watch(struct core *core)
{
    for (size_t i = 0; i < core->lane_count; i++) {
        queue_order = core->lanes[i]->queues.before;
        core->lanes[i]->queues.before = count_queues;
    }
    for (struct run *run = core->runs; run != NULL; run = run->hh.next) {
        for (size_t i = 0; i < run->queue_count; i++) {
            task_order = run->queues[i]->tasks.before;
            run->queues[i]->tasks.before = count_tasks;
        }
    }
}

static void count_decision(void *count, const struct decision *decision)
{
    (void)decision;
    ++*(uint64_t *)count;
}

struct blocked {
    const char *name;
    const char *of_task;
    const char *of_dag;
};

static const struct blocked cases[] = {
    {"a pool that is full",  "pool = full",     "max_active_tasks = 1000"},
    {"runs at their limit",  "weight = 9",      "max_active_tasks = 1"   },
    {"tasks at their limit", "max_per_dag = 1", "max_active_tasks = 1000"},
};

struct work {
    uint64_t comparisons;
    uint64_t decisions;
};

/* What it costs to go through a chain of tasks while `runs` runs of blocked ones stand there. */
static struct work measure(const struct blocked *blocked, int runs)
{
    struct world world;
    struct buf text = {0};
    uint64_t decisions = 0;
    struct work work = {0};

    world_init(&world);
    world.pools[world.pool_count++] = (struct core_pool){"full", 0};
    world.pools[0].slots = -1;
    world_start_core(&world);
    for (int i = 0; i < TASKS; i++)
        buf_printf(&text, "t%d; t%d.weight = 9; t%d.%s\n", i, i, i, blocked->of_task);
    buf_printf(&text, "max_active_runs = 1000\n%s\n", blocked->of_dag);
    world_load(&world, dag_script("blocked", buf_text(&text)));
    buf_clear(&text);
    buf_add_text(&text, "c0\n");
    for (int i = 1; i <= STEPS; i++)
        buf_printf(&text, "c%d after c%d\n", i, i - 1);
    world_load(&world, dag_script("chain", buf_text(&text)));
    struct world_worker *worker = world_worker(&world, "w");
    worker->slots = 20000;
    for (int i = 0; i < runs; i++)
        world_trigger(&world, "blocked", NULL);
    world_worker_up(&world, worker);
    world_trigger(&world, "chain", "chain");
    world.observe = count_decision;
    world.observe_context = &decisions;
    watch(world.core);
    comparisons = 0;
    for (int i = 0; i < STEPS; i++) {
        const struct attempt_row *last = &world.rows.attempts[world.rows.attempt_count - 1];
        assert_int_equal(last->run, runs + 1);
        world_ended(&world, last->token, OUTCOME_SUCCESS, 0);
    }
    work = (struct work){comparisons, decisions};
    world_release(&world);
    buf_release(&text);
    return work;
}

static void test_blocked_tasks_cost_nothing(void **context)
{
    (void)context;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct work few = measure(&cases[i], 2);
        struct work many = measure(&cases[i], 100);
        if (many.decisions != few.decisions)
            fail_msg("%s: %llu decisions instead of %llu", cases[i].name,
                     (unsigned long long)many.decisions, (unsigned long long)few.decisions);
        if (many.comparisons > few.comparisons + 8 * STEPS)
            fail_msg("%s: %llu comparisons with 5,000 blocked tasks, %llu with 100", cases[i].name,
                     (unsigned long long)many.comparisons, (unsigned long long)few.comparisons);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked_tasks_cost_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
