/* The core at its interface: commands and their refusals, several events in one turn, wake-ups. */
#include "base/clock.h"
#include "base/timefmt.h"
#include "tests/scenarios/dag_script.h"
#include "tests/scenarios/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1767225600000000) /* 2026-01-01 */

static void begin(struct world *world, const char *dag)
{
    world_init(world);
    world->now_us = NOW;
    world_start_core(world);
    world_load(world, dag_script("etl", dag));
    world_worker_up(world, world_worker(world, "w"));
}

static struct event trigger_event(const char *run_id)
{
    struct event event = {.kind = EVENT_TRIGGER, .now_us = NOW, .request = 7};

    event.as.trigger.dag_id = "etl";
    event.as.trigger.run_id = run_id;
    return event;
}

static const struct decision *find(const struct decisions *out, enum decision_kind kind)
{
    for (size_t i = 0; i < out->count; i++)
        if (out->items[i].kind == kind)
            return &out->items[i];
    return NULL;
}

/* The reply to one command, given in a turn of its own. */
static struct err reply(struct world *world, struct event *event)
{
    core_step(world->core, event, &world->out);
    const struct decision *decision = find(&world->out, DECIDE_REPLY);
    assert_non_null(decision);
    assert_int_equal(decision->as.reply.request, 7);
    struct err err = {0};
    if (decision->as.reply.err != NULL)
        err = *decision->as.reply.err;
    if (err.code != ERR_NONE)
        assert_int_equal(world->out.count, 1); /* nothing is half-applied */
    for (size_t i = 0; i < world->out.count; i++)
        rows_apply(&world->rows, &world->out.items[i]);
    decisions_clear(&world->out);
    return err;
}

static void test_trigger_refusals(void **state)
{
    struct world world;
    char long_id[300];

    (void)state;
    begin(&world, "a");
    memset(long_id, 'x', sizeof(long_id));
    long_id[251] = '\0';
    const struct {
        const char *run_id;
        const char *conf;
        bool run_id_exists;
        bool date_exists;
        enum err_code code;
    } rows[] = {
        {"a b",               NULL,  false, false, ERR_BAD_REQUEST},
        {"",                  NULL,  false, false, ERR_BAD_REQUEST},
        {"..",                NULL,  false, false, ERR_BAD_REQUEST},
        {long_id,             NULL,  false, false, ERR_BAD_REQUEST},
        {"scheduled__x",      NULL,  false, false, ERR_BAD_REQUEST},
        {"asset_triggered__", NULL,  false, false, ERR_BAD_REQUEST},
        {"x",                 "[1]", false, false, ERR_BAD_REQUEST},
        {"x",                 "{",   false, false, ERR_BAD_REQUEST},
        {"x",                 NULL,  true,  false, ERR_CONFLICT   },
        {"x",                 NULL,  false, true,  ERR_CONFLICT   },
        {"manual__x",         "{}",  false, false, ERR_NONE       },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct event event = trigger_event(rows[i].run_id);
        event.as.trigger.conf = rows[i].conf;
        event.as.trigger.run_id_exists = rows[i].run_id_exists;
        event.as.trigger.logical_date_exists = rows[i].date_exists;
        event.as.trigger.logical_date_us = rows[i].date_exists ? NOW : 0;
        struct err err = reply(&world, &event);
        if (err.code != rows[i].code)
            fail_msg("row %zu: %s (%s)", i, err_name(err.code), err.message);
    }
    world_release(&world);
}

static struct dag *dag_with_params(void)
{
    struct dag *dag = dag_script("etl", "a; schedule = cron 0 0 * * *; paused = true; "
                                        "params = {\"s\": \"x\", \"o\": null}");

    dag->param_types = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "s", "string", "i", "integer",
                                 "n", "number", "b", "boolean", "l", "array", "o", "object");
    return dag;
}

/* Both ways to make runs with a conf look at the declared types of the params. */
static void test_conf_of_wrong_type(void **state)
{
    static const struct {
        const char *conf;
        const char *message; /* NULL: accepted */
    } rows[] = {
        {"{\"i\": \"abc\"}",        "param i must be an integer, not a string"             },
        {"{\"i\": 1.5}",            "param i must be an integer, not a number"             },
        {"{\"i\": null}",           "param i must be an integer, not null"                 },
        {"{\"n\": [1]}",            "param n must be a number, not an array"               },
        {"{\"b\": 1}",              "param b must be a boolean, not an integer"            },
        {"{\"l\": {}}",             "param l must be an array, not an object"              },
        {"{\"o\": false}",          "param o must be an object, not a boolean"             },
        {"{\"s\": 5}",              "param s must be a string, not an integer: write \"5\""},
        {"{\"s\": null}",           "param s must be a string, not null"                   },
        {"{\"i\": 1, \"n\": 2}",    NULL                                                   },
        {"{\"n\": 2.5, \"o\": {}}", NULL                                                   },
        {"{\"o\": null}",           NULL                                                   },
        {"{\"free\": [1]}",         NULL                                                   },
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_backfill = i % 2 == 1;
        const char *message = rows[i / 2].message;
        struct world world;
        world_init(&world);
        world.now_us = NOW;
        world_start_core(&world);
        world_load(&world, dag_with_params());
        struct event event = trigger_event("x");
        event.as.trigger.conf = rows[i / 2].conf;
        if (is_backfill) {
            event.kind = EVENT_BACKFILL_CREATE;
            event.as.backfill_create = (struct event_backfill_create){.dag_id = "etl",
                                                                      .from_us = NOW - US_PER_DAY,
                                                                      .to_us = NOW,
                                                                      .max_active_runs = 1,
                                                                      .conf = rows[i / 2].conf};
        }
        struct err err = reply(&world, &event);
        enum err_code refusal = is_backfill ? ERR_INVALID : ERR_BAD_REQUEST;
        if (message == NULL && err.code != ERR_NONE)
            fail_msg("%s was refused: %s", rows[i / 2].conf, err.message);
        if (message != NULL) {
            assert_string_equal(err.message, message);
            assert_int_equal(err.code, refusal);
        }
        world_release(&world);
    }
}

/* The store can't know runs of the same turn: the core does. */
static void test_doubles_within_a_turn(void **state)
{
    struct world world;

    (void)state;
    begin(&world, "a; schedule = cron 0 0 * * *; paused = true");
    struct event first = trigger_event("one");
    first.as.trigger.logical_date_us = NOW - US_PER_DAY;
    struct event same_id = trigger_event("one");
    struct event same_date = trigger_event("two");
    same_date.as.trigger.logical_date_us = NOW - US_PER_DAY;
    core_step(world.core, &first, &world.out);
    core_step(world.core, &same_id, &world.out);
    core_step(world.core, &same_date, &world.out);
    size_t conflicts = 0;
    for (size_t i = 0; i < world.out.count; i++)
        conflicts += world.out.items[i].kind == DECIDE_REPLY &&
                     world.out.items[i].as.reply.err != NULL &&
                     world.out.items[i].as.reply.err->code == ERR_CONFLICT;
    assert_int_equal(conflicts, 2);
    /* The interval of a date is the one that begins with it, as in a backfill. */
    const struct run_row *row = &find(&world.out, DECIDE_RUN_NEW)->as.run.row;
    assert_int_equal(row->interval_start_us, NOW - US_PER_DAY);
    assert_int_equal(row->interval_end_us, NOW);
    world_release(&world);
}

/* Decisions borrow strings of runs and attempts: they must outlive an end in the same turn. */
static void test_end_within_a_turn(void **state)
{
    struct world world;
    struct buf text = {0};

    (void)state;
    begin(&world, "a; a.option = {{ conf.nothing }}");
    for (int i = 0; i < 50; i++) {
        struct event event = trigger_event(NULL);
        core_step(world.core, &event, &world.out); /* begins, fails to render, and ends */
    }
    for (size_t i = 0; i < world.out.count; i++)
        decision_describe(&world.out.items[i], &text);
    assert_non_null(strstr(buf_text(&text), "manual__2026-01-01T00:00:00+00:00_"));
    for (size_t i = 0; i < world.out.count; i++)
        rows_apply(&world.rows, &world.out.items[i]); /* asserts that the 50 run ids differ */
    assert_int_equal(world.rows.run_count, 50);
    decisions_clear(&world.out);
    buf_release(&text);
    world_release(&world);
}

/* A worker that dies in the turn in which it was given an attempt. */
static void test_worker_gone_within_a_turn(void **state)
{
    struct world world;

    (void)state;
    begin(&world, "a");
    struct event trigger = trigger_event("one");
    struct event gone = {.kind = EVENT_WORKER_GONE, .now_us = NOW};
    gone.as.worker_gone.instance = "w";
    core_step(world.core, &trigger, &world.out);
    const char *bound = NULL;
    assert_int_equal(core_bound_workers(world.core, &bound, 1), 1);
    assert_string_equal(bound, "w");
    core_step(world.core, &gone, &world.out);
    assert_int_equal(core_bound_workers(world.core, &bound, 1), 0);
    const struct decision *start = find(&world.out, DECIDE_START);
    assert_string_equal(start->as.start.dag->dag_id, "etl");
    assert_string_equal(start->as.start.run.run_id, "one");
    for (size_t i = 0; i < world.out.count; i++)
        rows_apply(&world.rows, &world.out.items[i]);
    assert_int_equal(world.rows.runs[0].row.state, RUN_FAILED);
    assert_false(core_run_is_live(world.core, 1));
    decisions_clear(&world.out);
    world_release(&world);
}

static void test_wakeups(void **state)
{
    struct world world;

    (void)state;
    begin(&world, "a; schedule = every 1h; start = 2026-01-01");
    assert_int_equal(core_next_wakeup(world.core), NOW + US_PER_HOUR);
    struct event later = trigger_event("later");
    later.as.trigger.run_after_us = NOW + US_PER_MINUTE;
    assert_int_equal(reply(&world, &later).code, ERR_NONE);
    assert_int_equal(core_next_wakeup(world.core), NOW + US_PER_MINUTE);
    assert_int_equal(world.rows.runs[0].row.state, RUN_QUEUED);
    world.now_us = NOW + US_PER_MINUTE;
    world_settle(&world);
    assert_int_equal(world.rows.runs[0].row.state, RUN_RUNNING);
    assert_int_equal(core_next_wakeup(world.core), NOW + US_PER_HOUR);
    /* The clock is set back between the question and the tick: no run before its time, no spin. */
    struct core_want want;
    struct known_run known = {0};
    assert_int_equal(core_wants(world.core, NOW + US_PER_HOUR, &want, 1), 1);
    struct event tick = {.kind = EVENT_TICK, .now_us = NOW + 2 * US_PER_MINUTE};
    tick.as.tick = (struct event_tick){&want, &known, 1};
    core_step(world.core, &tick, &world.out);
    assert_int_equal(world.out.count, 0);
    assert_int_equal(core_next_wakeup(world.core), NOW + US_PER_HOUR);
    world.now_us = NOW + US_PER_HOUR;
    world_settle(&world);
    assert_string_equal(world.rows.runs[1].row.run_id, "scheduled__2026-01-01T00:00:00+00:00");
    world_release(&world);
}

/* Without catchup a late tick may find that the schedule has ended meanwhile. */
static void test_end_date_passes(void **state)
{
    struct world world;

    (void)state;
    begin(&world, "a; schedule = every 1h; start = 2026-01-01; end = 2026-01-01T02:30:00Z");
    world.now_us = NOW + 3 * US_PER_HOUR;
    world_settle(&world);
    assert_int_equal(world.rows.run_count, 0);
    assert_int_equal(core_next_wakeup(world.core), INT64_MAX);
    world_release(&world);
}

/* `millrace run`: nothing is made by schedule. */
static void test_no_schedules(void **state)
{
    struct world world;

    (void)state;
    world_init(&world);
    world.schedules = false;
    world.now_us = NOW;
    world_start_core(&world);
    world_load(&world, dag_script("etl", "a; schedule = every 1h; start = 2025-01-01"));
    assert_int_equal(core_next_wakeup(world.core), INT64_MAX);
    world_release(&world);
}

/* A run of many empty ones: no step is deeper than another. */
static void test_run_without_tasks(void **state)
{
    struct world world;

    (void)state;
    begin(&world, "paused = true");
    for (int i = 0; i < 2000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "r%d", i);
        world_trigger(&world, "etl", name);
    }
    struct event event = {.kind = EVENT_DAG_SET_PAUSED, .as.set_paused.dag_id = "etl"};
    world_step(&world, &event);
    for (size_t i = 0; i < world.rows.run_count; i++)
        assert_int_equal(world.rows.runs[i].row.state, RUN_SUCCESS);
    world_release(&world);
}

/* Queued runs start in the order of their due times, not of their making. */
static void test_order_of_queued_runs(void **state)
{
    struct world world;

    (void)state;
    begin(&world, "a; max_active_runs = 1");
    world_trigger(&world, "etl", "first");
    struct event late = trigger_event("late");
    struct event early = trigger_event("early");
    early.as.trigger.run_after_us = NOW - US_PER_HOUR;
    assert_int_equal(reply(&world, &late).code, ERR_NONE);
    assert_int_equal(reply(&world, &early).code, ERR_NONE);
    world_ended(&world, world.rows.attempts[0].token, OUTCOME_SUCCESS, 0);
    assert_int_equal(world.rows.runs[1].row.state, RUN_QUEUED);
    assert_int_equal(world.rows.runs[2].row.state, RUN_RUNNING);
    world_release(&world);
}

/* A run that is processed again keeps its name and becomes the backfill's, conf included. */
static void test_reprocessed_run(void **state)
{
    struct world world;
    struct event event = trigger_event("mine");

    (void)state;
    begin(&world, "a; schedule = cron 0 0 * * *; paused = true; a.option = {{ conf.x }}");
    event.as.trigger.logical_date_us = NOW - US_PER_DAY;
    event.as.trigger.conf = "{\"x\": \"old\"}";
    struct event unpause = {.kind = EVENT_DAG_SET_PAUSED, .as.set_paused.dag_id = "etl"};
    assert_int_equal(reply(&world, &event).code, ERR_NONE);
    world.schedules = false;
    world_step(&world, &unpause);
    world_ended(&world, world.rows.attempts[0].token, OUTCOME_SUCCESS, 0);
    struct event fill = {.kind = EVENT_BACKFILL_CREATE, .now_us = NOW, .request = 7};
    fill.as.backfill_create = (struct event_backfill_create){.dag_id = "etl",
                                                             .from_us = NOW - US_PER_DAY,
                                                             .to_us = NOW - US_PER_DAY,
                                                             .max_active_runs = 1,
                                                             .reprocess = REPROCESS_COMPLETED,
                                                             .conf = "{\"x\": \"new\"}"};
    assert_int_equal(reply(&world, &fill).code, ERR_NONE);
    world_settle(&world);
    const struct run_row *row = &world.rows.runs[0].row;
    assert_string_equal(row->run_id, "mine");
    assert_int_equal(row->run_type, RUN_TYPE_BACKFILL);
    assert_int_equal(row->backfill_id, 1);
    assert_int_equal(row->clear_number, 1);
    assert_string_equal(row->conf, "{\"x\": \"new\"}");
    assert_int_equal(world.rows.attempt_count, 2);
    assert_int_equal(world.rows.attempts[1].try_number, 2);
    assert_non_null(strstr(world.rows.attempts[1].rendered, "new"));
    world_release(&world);
}

/* The clock is set back by a day: the intervals of a backfill were complete when it was made, so
 * its runs don't wait for the clock, and a cancel finds none that still might begin. */
static void test_backfill_and_clock(void **state)
{
    struct world world;
    struct event event = {.kind = EVENT_BACKFILL_CREATE, .request = 1};

    (void)state;
    begin(&world, "a; schedule = cron 0 0 * * *; paused = true");
    event.as.backfill_create = (struct event_backfill_create){
        .dag_id = "etl", .from_us = NOW - US_PER_DAY, .to_us = NOW, .max_active_runs = 2};
    world_step(&world, &event);
    world.now_us = NOW - US_PER_DAY + US_PER_HOUR;
    world_settle(&world);
    assert_int_equal(world.rows.run_count, 1);
    assert_int_equal(world.rows.runs[0].row.state, RUN_RUNNING);
    assert_int_equal(world.rows.attempt_count, 1);
    world_release(&world);
}

/* A report whose end lies in the future (the clock was set back since) delays no retry. */
static void test_end_in_the_future(void **state)
{
    struct world world;
    struct event event = {.kind = EVENT_ATTEMPT_ENDED};

    (void)state;
    begin(&world, "a; a.retries = 1; a.retry_delay = 10s");
    world_trigger(&world, "etl", "one");
    event.as.attempt_ended = (struct event_attempt_ended){.token = world.rows.attempts[0].token,
                                                          .outcome = OUTCOME_FAILED,
                                                          .exit_code = 1,
                                                          .started_at_us = NOW,
                                                          .ended_at_us = INT64_MAX};
    world_step(&world, &event);
    assert_int_equal(world.rows.runs[0].tasks[0].state, TASK_UP_FOR_RETRY);
    assert_int_equal(world.rows.runs[0].tasks[0].retry_at_us, NOW + 10 * US_PER_SECOND);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trigger_refusals),
        cmocka_unit_test(test_conf_of_wrong_type),
        cmocka_unit_test(test_doubles_within_a_turn),
        cmocka_unit_test(test_end_within_a_turn),
        cmocka_unit_test(test_worker_gone_within_a_turn),
        cmocka_unit_test(test_wakeups),
        cmocka_unit_test(test_end_date_passes),
        cmocka_unit_test(test_no_schedules),
        cmocka_unit_test(test_run_without_tasks),
        cmocka_unit_test(test_order_of_queued_runs),
        cmocka_unit_test(test_reprocessed_run),
        cmocka_unit_test(test_backfill_and_clock),
        cmocka_unit_test(test_end_in_the_future),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
