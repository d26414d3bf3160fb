/* Random worlds: DAGs, workers, crashes and late reports, seeded. The store in memory asserts legal
 * transitions, unique tokens and unique runs; here is checked that everything ends, that limits
 * hold, and that end states are those of a naive reading of the rules. */
#include "base/clock.h"
#include "scheduler/core/backfill_judge.h"
#include "tests/scenarios/dag_script.h"
#include "tests/scenarios/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORLDS 2000
#define STEPS 300

static uint64_t seed;

/* Every other world has clears and marks, too: what runs in it no longer follows from the rules. */
static bool changes_too;

static uint32_t chance(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % below;
}

static struct dag *random_dag(const char *dag_id)
{
    struct buf text = {0};
    uint32_t count = 1 + chance(12);

    for (uint32_t i = 0; i < count; i++) {
        buf_printf(&text, "t%u", i);
        bool any = false;
        for (uint32_t u = 0; u < i; u++) {
            if (chance(3) != 0)
                continue;
            buf_printf(&text, any ? " t%u" : " after t%u", u);
            any = true;
        }
        buf_printf(&text, "; t%u.rule = %s; t%u.retries = %u; t%u.retry_delay = %us\n", i,
                   trigger_rule_name((enum trigger_rule)chance(TRIGGER_RULE_COUNT)), i, chance(3),
                   i, chance(30));
        buf_printf(&text, "t%u.weight = %u; t%u.pool = %s; t%u.pool_slots = %u; t%u.kind = %s\n", i,
                   chance(4), i, chance(2) == 0 ? "small" : "default_pool", i, 1 + chance(2), i,
                   chance(3) == 0 ? "noop" : "command");
    }
    buf_add_text(&text, "t0.max_per_dag = 2\n");
    buf_printf(&text, "max_active_runs = %u; max_active_tasks = %u\n", 1 + chance(3),
               1 + chance(5));
    if (chance(2) == 0)
        buf_printf(&text, "schedule = every %um; start = 2026-01-01; catchup = %s\n", 1 + chance(5),
                   chance(2) == 0 ? "true" : "false");
    struct dag *dag = dag_script(dag_id, buf_text(&text));
    buf_release(&text);
    return dag;
}

static void check_limits(const struct world *world)
{
    int64_t pool_used = 0;
    int64_t running[8] = {0};
    int64_t firsts[8] = {0};

    for (size_t i = 0; i < world->rows.run_count; i++) {
        const struct stored_run *run = &world->rows.runs[i];
        int64_t active = 0;
        for (size_t t = 0; t < run->task_count; t++) {
            if (run->tasks[t].state != TASK_QUEUED && run->tasks[t].state != TASK_RUNNING)
                continue;
            active++;
            firsts[run->row.dag_id[1] - '0'] += t == 0;
            if (strcmp(run->dag->tasks[t].pool, "small") == 0)
                pool_used += run->dag->tasks[t].pool_slots;
        }
        assert_true(active <= run->dag->max_active_tasks);
        if (run->row.state == RUN_RUNNING && run->row.run_type != RUN_TYPE_BACKFILL)
            running[run->row.dag_id[1] - '0']++;
    }
    assert_true(pool_used <= 3);
    assert_true(firsts[0] <= 2 && firsts[1] <= 2);
    /* A run that began under a former version's higher limit goes on. */
    for (int d = 0; d < 2; d++) {
        int64_t limit = 0;
        for (size_t i = 0; i < world->rows.dag_count; i++) {
            const struct dag *dag = world->rows.dags[i];
            if (dag->dag_id[1] - '0' == d && dag->max_active_runs > limit)
                limit = dag->max_active_runs;
        }
        assert_true(running[d] <= limit);
    }
}

static const struct attempt_row *random_attempt(const struct world *world)
{
    size_t count = world->rows.attempt_count;

    for (int i = 0; i < 20 && count > 0; i++) {
        const struct attempt_row *row = &world->rows.attempts[chance((uint32_t)count)];
        if (row->state == TASK_QUEUED || row->state == TASK_RUNNING)
            return row;
    }
    return NULL;
}

static void random_end(struct world *world, const char *token)
{
    uint32_t dice = chance(10);
    enum outcome outcome = dice < 6    ? OUTCOME_SUCCESS
                           : dice < 8  ? OUTCOME_FAILED
                           : dice == 8 ? OUTCOME_SKIPPED
                                       : OUTCOME_FATAL;

    world_ended(world, token, outcome, outcome == OUTCOME_FAILED ? 1 : 0);
}

static void random_backfill(struct world *world)
{
    struct event event = {.kind = EVENT_BACKFILL_CREATE, .request = 1};
    int64_t start = INT64_C(1767225600000000) - 20 * US_PER_MINUTE;

    event.as.backfill_create = (struct event_backfill_create){
        .dag_id = chance(2) == 0 ? "d0" : "d1",
        .from_us = start,
        .to_us = start + chance(20) * US_PER_MINUTE,
        .max_active_runs = 1 + chance(3),
        .reprocess = (enum reprocess)chance(REPROCESS_COUNT),
        .run_backwards = chance(2) == 0,
        .tasks = chance(3) == 0 ? "[\"t1\", \"*2\"]" : NULL,
        .upstream = chance(3) == 0,
        .downstream = chance(3) == 0,
        .on_failure = (enum on_failure)chance(ON_FAILURE_COUNT),
    };
    world_step(world, &event);
}

static void random_control(struct world *world)
{
    struct event event = {.kind = EVENT_BACKFILL_CONTROL, .request = 1};

    struct event_backfill_control *control = &event.as.backfill_control;

    control->id = 1 + chance(3);
    control->action = (enum backfill_action)chance(5);
    control->max_active_runs = chance(4);
    control->on_failure = (enum on_failure)chance(ON_FAILURE_COUNT + 1);
    for (size_t i = 0; i < world->rows.backfill_count; i++)
        if (world->rows.backfills[i].id == control->id)
            control->stored = &world->rows.backfills[i];
    world_step(world, &event);
}

/* Clears, marks and cancels at random; what is refused changes nothing. */
static void random_change(struct world *world)
{
    static const enum task_state states[] = {TASK_SUCCESS, TASK_FAILED, TASK_SKIPPED};
    static const enum run_state run_states[] = {RUN_QUEUED, RUN_SUCCESS, RUN_FAILED};
    static const enum event_kind kinds[] = {EVENT_CLEAR, EVENT_CLEAR, EVENT_MARK_TASKS,
                                            EVENT_MARK_RUN};
    struct event_change change = {0};
    struct task_name name = {NULL, CHOICE_EVERY_INDEX};

    if (world->rows.run_count == 0)
        return;
    const struct stored_run *run = &world->rows.runs[chance((uint32_t)world->rows.run_count)];
    if (chance(3) != 0 && run->task_count > 0) {
        name.task_id = run->tasks[chance((uint32_t)run->task_count)].task_id;
        change.tasks = (struct task_choice){.names = &name, .count = 1};
    }
    change.dag_id = run->row.dag_id;
    change.which.run_id = run->row.run_id;
    change.which.include_past = run->row.logical_date_us != 0 && chance(8) == 0;
    change.tasks.upstream = chance(4) == 0;
    change.tasks.downstream = chance(2) == 0;
    change.tasks.only_failed = chance(4) == 0;
    change.tasks.only_running = chance(8) == 0;
    change.keep_runs = chance(10) == 0;
    change.is_cancel = chance(4) == 0;
    change.task_state = change.is_cancel ? TASK_FAILED : states[chance(3)];
    change.has_run_state = true;
    change.run_state = change.is_cancel ? RUN_FAILED : run_states[chance(3)];
    world_change(world, kinds[chance(4)], &change);
}

static void random_step(struct world *world)
{
    const struct attempt_row *attempt = random_attempt(world);
    struct world_worker *worker = &world->workers[chance((uint32_t)world->worker_count)];

    world->now_us += chance(5) * US_PER_SECOND;
    if (chance(200) == 0)
        world->now_us -= chance(120) * US_PER_SECOND; /* the clock is set back */
    switch (chance(changes_too ? 18 : 16)) {
    case 0:
        world_trigger(world, chance(2) == 0 ? "d0" : "d1", NULL);
        break;
    case 1:
        if (chance(4) == 0)
            world_start_core(world);
        break;
    case 2:
        if (chance(4) == 0)
            world_worker_gone(world, worker);
        break;
    case 3:
        worker->is_connected = chance(2) == 0;
        break;
    case 4:
        world_worker_up(world, worker);
        break;
    case 5:
        random_backfill(world);
        break;
    case 6:
        if (chance(3) == 0)
            random_control(world);
        break;
    case 7:
        if (chance(5) == 0)
            world_load(world, random_dag("d0"));
        break;
    case 8:
        if (world->rows.attempt_count > 0) /* late, doubled or stale */
            world_ended(world,
                        world->rows.attempts[chance((uint32_t)world->rows.attempt_count)].token,
                        OUTCOME_SUCCESS, 0);
        break;
    case 9:
    case 10:
        if (attempt != NULL)
            world_started(world, attempt->token);
        break;
    case 16:
    case 17:
        random_change(world);
        break;
    case 11:
        world_settle(world);
        break;
    case 12:
        if (attempt != NULL && attempt->state == TASK_QUEUED && chance(2) == 0)
            world_given_back(world, attempt->token);
        break;
    default:
        if (attempt != NULL)
            random_end(world, attempt->token);
        break;
    }
    check_limits(world);
}

/* Once nothing goes wrong any more, everything comes to its end. */
static void calm_down(struct world *world)
{
    for (size_t i = 0; i < world->rows.dag_row_count; i++) {
        struct event event = {.kind = EVENT_DAG_GONE,
                              .as.dag_gone.dag_id = world->rows.dag_rows[i].dag_id};
        world_step(world, &event);
    }
    for (int64_t id = 1; id <= (int64_t)world->rows.backfill_count; id++) {
        struct event event = {.kind = EVENT_BACKFILL_CONTROL, .request = 1};
        event.as.backfill_control.id = id;
        event.as.backfill_control.action = BACKFILL_CANCEL;
        world_step(world, &event);
    }
    for (size_t i = 0; i < world->worker_count; i++)
        world_worker_up(world, &world->workers[i]);
    for (int rounds = 0; rounds < 20000; rounds++) {
        const struct attempt_row *attempt = random_attempt(world);
        if (attempt != NULL)
            random_end(world, attempt->token);
        else if (core_next_wakeup(world->core) == INT64_MAX && world->rows.attempt_count > 0 &&
                 core_bound_workers(world->core, &(const char *){NULL}, 1) == 0)
            return;
        else if (core_next_wakeup(world->core) != INT64_MAX) {
            if (world->now_us < core_next_wakeup(world->core))
                world->now_us = core_next_wakeup(world->core);
            world_settle(world);
        }
    }
}

/* Whether a task runs follows from how its upstreams ended in the end, whatever came first. */
static bool naive_runs(const struct stored_run *run, const struct dag_task *spec,
                       const bool *outside)
{
    uint32_t success = 0;
    uint32_t failed = 0;
    uint32_t upstream_failed = 0;
    uint32_t skipped = 0;
    uint32_t all = 0;

    for (uint32_t i = 0; i < spec->upstream_count; i++) {
        if (outside[spec->upstream[i]])
            continue;
        all++;
        enum task_state state = run->tasks[spec->upstream[i]].state;
        success += state == TASK_SUCCESS;
        failed += state == TASK_FAILED;
        upstream_failed += state == TASK_UPSTREAM_FAILED;
        skipped += state == TASK_SKIPPED;
    }
    switch (all == 0 ? TRIGGER_RULE_ALWAYS : spec->trigger_rule) {
    case TRIGGER_RULE_ALL_SUCCESS:
        return success == all;
    case TRIGGER_RULE_ALL_FAILED:
        return failed + upstream_failed == all;
    case TRIGGER_RULE_ALL_DONE_MIN_ONE_SUCCESS:
        return success > 0 && skipped == 0;
    case TRIGGER_RULE_ALL_SKIPPED:
        return skipped == all;
    case TRIGGER_RULE_ONE_SUCCESS:
        return success > 0;
    case TRIGGER_RULE_ONE_FAILED:
        return failed + upstream_failed > 0;
    case TRIGGER_RULE_ONE_DONE:
        return success + failed > 0;
    case TRIGGER_RULE_NONE_FAILED:
        return failed + upstream_failed == 0;
    case TRIGGER_RULE_NONE_FAILED_MIN_ONE_SUCCESS:
        return failed + upstream_failed == 0 && success > 0;
    case TRIGGER_RULE_NONE_SKIPPED:
        return skipped == 0;
    case TRIGGER_RULE_ALL_DONE:
    case TRIGGER_RULE_ALL_DONE_SETUP_SUCCESS: /* without setups */
    case TRIGGER_RULE_ALWAYS:
    case TRIGGER_RULE_COUNT:
        break;
    }
    return true;
}

/* The tasks that the run's backfill, as it was when the run was made, leaves alone. */
static void find_outside(const struct world *world, const struct stored_run *run, bool *outside)
{
    const char *tasks = NULL;
    bool up = false;
    bool down = false;

    for (size_t i = 0; i < world->rows.backfill_count; i++) {
        const struct backfill_row *row = &world->rows.backfills[i];
        if (row->id != run->row.backfill_id)
            continue;
        tasks = row->tasks;
        up = row->upstream;
        down = row->downstream;
    }
    (void)backfill_select(run->dag, tasks, up, down, outside);
}

static void check_rules(const struct stored_run *run, const bool *outside)
{
    bool leaf_failed = false;

    for (size_t t = 0; t < run->task_count; t++) {
        const struct task_row *row = &run->tasks[t];
        const struct dag_task *spec = &run->dag->tasks[t];
        bool ran = row->state == TASK_SUCCESS || row->state == TASK_FAILED ||
                   (row->state == TASK_SKIPPED && strcmp(row->reason, "skipped") == 0);
        if (!outside[t])
            assert_int_equal(ran, naive_runs(run, spec, outside));
        bool is_leaf = true;
        for (uint32_t k = 0; k < spec->downstream_count; k++)
            is_leaf = is_leaf && outside[spec->downstream[k]] && !outside[t];
        leaf_failed = leaf_failed || (is_leaf && task_state_is_failed(row->state));
    }
    assert_int_equal(leaf_failed, run->row.state == RUN_FAILED);
}

static void check_ended(const struct world *world)
{
    for (size_t i = 0; i < world->rows.run_count; i++) {
        const struct stored_run *run = &world->rows.runs[i];
        if (!run_state_is_final(run->row.state))
            fail_msg("run %s of %s is %s", run->row.run_id, run->row.dag_id,
                     run_state_name(run->row.state));
        assert_false(core_has_run(world->core, run->row.id));
        if (changes_too)
            continue;
        if (run->row.started_at_us != 0) {
            bool outside[32];
            assert_true(run->task_count <= sizeof(outside));
            find_outside(world, run, outside);
            check_rules(run, outside);
        }
        for (size_t t = 0; t < run->task_count; t++)
            if (run->row.started_at_us != 0)
                assert_true(task_state_is_final(run->tasks[t].state));
    }
    for (size_t i = 0; i < world->rows.backfill_count; i++) {
        const struct backfill_row *backfill = &world->rows.backfills[i];
        assert_true(backfill->completed_at_us != 0);
        assert_int_equal(backfill->succeeded + backfill->failed, backfill->made);
    }
}

static void run_world(uint64_t number)
{
    struct world world;

    seed = number * UINT64_C(0x9E3779B97F4A7C15) + 1;
    changes_too = number % 2 == 0;
    world_init(&world);
    world.pools[world.pool_count++] = (struct core_pool){"small", 3};
    world.now_us = INT64_C(1767225600000000);
    world_start_core(&world);
    world_load(&world, random_dag("d0"));
    world_load(&world, random_dag("d1"));
    for (int i = 0; i < 2; i++) {
        struct world_worker *worker = world_worker(&world, i == 0 ? "w0" : "w1");
        worker->slots = 1 + chance(3);
        worker->backlog = chance(2);
        worker->shared_slots = 1 + chance(3);
    }
    world_trigger(&world, "d0", NULL);
    for (int i = 0; i < STEPS; i++)
        random_step(&world);
    calm_down(&world);
    check_ended(&world);
    world_release(&world);
}

static void test_worlds(void **state)
{
    /* MILLRACE_SEED replays one world, MILLRACE_WORLDS asks for more of them. */
    const char *only = getenv("MILLRACE_SEED");
    const char *more = getenv("MILLRACE_WORLDS");
    uint64_t count = more == NULL ? WORLDS : strtoull(more, NULL, 10);

    (void)state;
    if (only != NULL) {
        run_world(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t number = 1; number <= count; number++)
        run_world(number);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worlds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
