/* What an attempt is given: templates rendered from the run, its interval, params, conf, outputs.
 */
#include "base/timefmt.h"
#include "tests/scenarios/dag_script.h"
#include "tests/scenarios/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int64_t at(const char *text)
{
    int64_t us = 0;
    bool has_offset = false;

    assert_true(timefmt_parse(str_from(text), &us, &has_offset));
    return us;
}

struct render_row {
    const char *dag; /* the task is `a`, its option x the template */
    const char *logical_date;
    const char *conf;
    const char *rendered; /* the whole document; NULL = the attempt fails */
    const char *reason;
};

#define DAILY "; schedule = cron 0 0 * * *; timezone = Europe/Brussels"

static const struct render_row rows[] = {
    {"a; a.option = {{ ds }} {{ ds_nodash }} {{ ts }}" DAILY,                                  "2025-12-30T23:00:00Z", NULL,
     "{\"options\":{\"x\":\"2025-12-31 20251231 2025-12-31T00:00:00+01:00\"},\"env\":{}}",                                                                                                                    NULL          },
    {"a; a.option = {{ ts_nodash }}" DAILY,                                                    "2025-12-30T23:00:00Z", NULL,
     "{\"options\":{\"x\":\"20251230T230000\"},\"env\":{}}",                                                                                                                                                  NULL          },
    {"a; a.option = {{ dag_id }}/{{ run_id }}/{{ task_id }}/{{ try_number }}/{{ map_index }}", NULL,
     NULL,                                                                                                                                             "{\"options\":{\"x\":\"etl/one/a/1/-1\"},\"env\":{}}", NULL          },
 /* Without logical date: from the last complete interval at run_after, here 2026-01-01. */
    {"a; a.option = {{ ds }}" DAILY,                                                           NULL,                   NULL,                           "{\"options\":{\"x\":\"2025-12-31\"},\"env\":{}}",
     NULL                                                                                                                                                                                                                   },
    {"a; a.option = {{ ds }}",                                                                 NULL,                   NULL,                           "{\"options\":{\"x\":\"2026-01-01\"},\"env\":{}}",     NULL          },
    {"a; a.option = {{ params.lake }}; params = {\"lake\": \"lake\"}",                         NULL,                   NULL,
     "{\"options\":{\"x\":\"lake\"},\"env\":{}}",                                                                                                                                                             NULL          },
    {"a; a.option = {{ params.lake }}; params = {\"lake\": \"lake\"}",                         NULL,
     "{\"lake\": \"other\"}",                                                                                                                          "{\"options\":{\"x\":\"other\"},\"env\":{}}",          NULL          },
    {"a; a.option = {{ params.n }}; params = {\"n\": 3}",                                      NULL,                   NULL,
     "{\"options\":{\"x\":3},\"env\":{}}",                                                                                                                                                                    NULL          },
    {"a; a.option = {{ conf.deep.key }}",                                                      NULL,                   "{\"deep\": {\"key\": \"v\"}}",
     "{\"options\":{\"x\":\"v\"},\"env\":{}}",                                                                                                                                                                NULL          },
    {"a; a.retries = 3; a.option = {{ conf.nothing }}",                                        NULL,                   NULL,                           NULL,                                                  "conf.nothing"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world world;
        world_init(&world);
        world.now_us = at("2026-01-01T12:00:00Z");
        world_start_core(&world);
        world_load(&world, dag_script("etl", rows[i].dag));
        world.schedules = false;
        world_worker_up(&world, world_worker(&world, "w"));
        struct event event = {.kind = EVENT_TRIGGER, .request = 1};
        event.as.trigger = (struct event_trigger){
            .dag_id = "etl",
            .run_id = "one",
            .logical_date_us = rows[i].logical_date == NULL ? 0 : at(rows[i].logical_date),
            .conf = rows[i].conf,
        };
        world_step(&world, &event);
        assert_int_equal(world.rows.attempt_count, 1);
        const struct attempt_row *attempt = &world.rows.attempts[0];
        const struct task_row *task = &world.rows.runs[0].tasks[0];
        if (rows[i].rendered != NULL) {
            assert_string_equal(attempt->rendered, rows[i].rendered);
            assert_int_equal(task->state, TASK_QUEUED);
        } else {
            /* Another try can't change what a template says, so there is none. */
            assert_int_equal(attempt->outcome, OUTCOME_FATAL);
            assert_int_equal(task->state, TASK_FAILED);
            assert_non_null(strstr(task->reason, rows[i].reason));
            assert_int_equal(world.rows.runs[0].row.state, RUN_FAILED);
            assert_int_equal(world.workers[0].token_count, 0);
        }
        world_release(&world);
    }
}

/* Outputs reach templates downstream, also over a restart in between. */
static void test_outputs(void **state)
{
    struct world world;

    (void)state;
    world_init(&world);
    world.now_us = at("2026-01-01T12:00:00Z");
    world_start_core(&world);
    world_load(&world, dag_script("etl", "a; b after a; c after b; a.outputs_used = true\n"
                                         "b.option = {{ tasks.a.outputs.k }}\n"
                                         "c.option = {{ tasks.a.outputs.k }}!"));
    world_worker_up(&world, world_worker(&world, "w"));
    world_trigger(&world, "etl", "one");
    world_ended(&world, world.rows.attempts[0].token, OUTCOME_SUCCESS, 0);
    assert_string_equal(world.rows.attempts[1].rendered, "{\"options\":{\"x\":\"v\"},\"env\":{}}");
    world_start_core(&world);
    world_worker_up(&world, world_worker(&world, "w"));
    world_ended(&world, world.rows.attempts[1].token, OUTCOME_SUCCESS, 0);
    assert_string_equal(world.rows.attempts[2].rendered, "{\"options\":{\"x\":\"v!\"},\"env\":{}}");
    world_release(&world);
}

/* Items reach the instances, and the instances' outputs what is downstream, over a restart too. */
static void test_mapped(void **state)
{
    static const char *const rendered[] = {
        "{\"options\":{\"x\":\"0 p 1\"},\"env\":{\"E\":\"1\"}}",
        "{\"options\":{\"x\":\"1 p 2\"},\"env\":{\"E\":\"2\"}}",
        "{\"options\":{\"x\":\"2 q 1\"},\"env\":{\"E\":\"1\"}}",
        "{\"options\":{\"x\":\"3 q 2\"},\"env\":{\"E\":\"2\"}}",
    };
    struct world world;

    (void)state;
    world_init(&world);
    world.now_us = at("2026-01-01T12:00:00Z");
    world_start_core(&world);
    world_load(&world, dag_script("etl", "a; b after a; a.outputs_used = true\n"
                                         "params = {\"m\": {\"p\": 1, \"q\": 2}}\n"
                                         "a.expand = {\"m\": \"{{ params.m }}\", \"n\": [1, 2]}\n"
                                         "a.option = {{ map_index }} {{ map.m.key }} {{ map.n }}\n"
                                         "a.env = {\"E\": \"{{ map.n }}\"}\n"
                                         "b.option = {{ tasks.a.outputs.k }}; b.rule = all_done"));
    world_worker(&world, "w")->slots = 2;
    world_worker_up(&world, world_worker(&world, "w"));
    world_trigger(&world, "etl", "one");
    for (size_t i = 0; i < 4; i++) {
        world_start_core(&world);
        world_worker_up(&world, world_worker(&world, "w"));
        assert_string_equal(world.rows.attempts[i].rendered, rendered[i]);
        world.outputs = i == 1 ? "{}" : i == 3 ? "{\"k\":[3]}" : "{\"k\":3}";
        world_ended(&world, world.rows.attempts[i].token, OUTCOME_SUCCESS, 0);
    }
    assert_string_equal(world.rows.attempts[4].rendered,
                        "{\"options\":{\"x\":[3,3,[3]]},\"env\":{}}");
    world_release(&world);
}

static void fill_one_day(struct world *world, enum reprocess reprocess)
{
    struct event event = {.kind = EVENT_BACKFILL_CREATE, .request = 1};

    event.as.backfill_create = (struct event_backfill_create){.dag_id = "etl",
                                                              .from_us = at("2025-12-31"),
                                                              .to_us = at("2025-12-31"),
                                                              .max_active_runs = 1,
                                                              .reprocess = reprocess};
    world_step(world, &event);
    world_settle(world);
}

/* When a run is processed again, the outputs of before are gone, also after a restart. */
static void test_outputs_of_before(void **state)
{
    struct world world;
    struct event silent = {.kind = EVENT_ATTEMPT_ENDED};

    (void)state;
    world_init(&world);
    world.now_us = at("2026-01-01T12:00:00Z");
    world_start_core(&world);
    world_load(&world, dag_script("etl", "a; c; b after a; a.outputs_used = true\n"
                                         "b.option = {{ tasks.a.outputs.k }}\n"
                                         "schedule = cron 0 0 * * *; paused = true"));
    world_worker(&world, "w")->slots = 1;
    world_worker_up(&world, world_worker(&world, "w"));
    fill_one_day(&world, REPROCESS_NONE);
    for (size_t i = 0; i < 3; i++)
        world_ended(&world, world.rows.attempts[i].token, OUTCOME_SUCCESS, 0);
    assert_string_equal(world.rows.attempts[2].rendered, "{\"options\":{\"x\":\"v\"},\"env\":{}}");
    fill_one_day(&world, REPROCESS_COMPLETED);
    silent.as.attempt_ended = (struct event_attempt_ended){
        .token = world.rows.attempts[3].token, .outcome = OUTCOME_SUCCESS, .worker = "w"};
    world_step(&world, &silent);
    world_start_core(&world);
    world_worker_up(&world, world_worker(&world, "w"));
    world_ended(&world, world.rows.attempts[4].token, OUTCOME_SUCCESS, 0);
    assert_int_equal(world.rows.attempt_count, 6);
    assert_int_equal(world.rows.attempts[5].outcome, OUTCOME_FATAL);
    assert_non_null(strstr(world.rows.attempts[5].reason, "tasks.a.outputs.k"));
    world_release(&world);
}

/* What is too large for a frame fails its task: it must never reach the wire. */
static void test_limit(void **state)
{
    const size_t bytes = 9 * 1000 * 1000;
    struct world world;
    struct buf conf = {0};

    (void)state;
    buf_add_text(&conf, "{\"big\": [\"");
    buf_reserve(&conf, bytes);
    memset(conf.ptr + conf.len, 'x', bytes);
    conf.len += bytes;
    buf_add_text(&conf, "\"]}");
    world_init(&world);
    world_start_core(&world);
    world_load(&world, dag_script("etl", "a; a.retries = 3; a.option = {{ conf.big }}"));
    world_worker_up(&world, world_worker(&world, "w"));
    struct event event = {.kind = EVENT_TRIGGER, .request = 1};
    event.as.trigger =
        (struct event_trigger){.dag_id = "etl", .run_id = "one", .conf = buf_text(&conf)};
    world_step(&world, &event);
    assert_int_equal(world.rows.attempts[0].outcome, OUTCOME_FATAL);
    assert_non_null(strstr(world.rows.attempts[0].reason, "over the limit"));
    assert_int_equal(world.rows.runs[0].row.state, RUN_FAILED);
    assert_int_equal(world.workers[0].token_count, 0);
    world_release(&world);
    buf_release(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_outputs_of_before),
        cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
