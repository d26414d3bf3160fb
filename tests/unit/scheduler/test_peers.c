/* The scheduler from the outside: workers and web clients that speak frames, restarts, and locks.
 */
#include "tests/unit/scheduler/fixture.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "millrace/messages.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct fixture f;

static const char one_task[] = "dag_id: one\n"
                               "tasks:\n"
                               "  only:\n"
                               "    type: command\n"
                               "    with: {argv: [echo, \"{{ run_id }}\"]}\n";

static int setup(void **context)
{
    (void)context;
    fixture_init(&f, "");
    fixture_write(&f, "one.yaml", one_task);
    return 0;
}

static int teardown(void **context)
{
    (void)context;
    fixture_release(&f);
    return 0;
}

static int64_t trigger(void)
{
    struct fixture_reply reply =
        fixture_command(&f, json_pack("{s:s, s:s, s:s}", "command", "trigger", "dag_id", "one",
                                      "triggered_by", "cli"));

    if (reply.err.code != ERR_NONE)
        fail_msg("trigger: %s", reply.err.message);
    return reply.row;
}

/* The token of the next attempt that the worker is told to start; the caller frees it. */
static char *expect_start(struct peer_end *worker)
{
    json_t *start = peer_expect(&f, worker, "start");

    assert_non_null(start);
    assert_string_equal(json_get_string(start, "dag_id", ""), "one");
    const json_t *attempts = json_object_get(start, "attempts");
    const json_t *attempt = json_array_get(attempts, 0);
    assert_int_equal(json_array_size(attempts), 1);
    assert_string_equal(json_get_string(attempt, "task_kind", ""), "command");
    assert_true(json_is_array(json_object_get(json_object_get(attempt, "options"), "argv")));
    char *token = strdup(json_get_string(attempt, "token", ""));
    json_decref(start);
    return token;
}

static void expect_ack(struct peer_end *worker, const char *token)
{
    json_t *ack = peer_expect(&f, worker, "ack");

    assert_non_null(ack);
    const json_t *tokens = json_object_get(ack, "tokens");
    assert_true(json_array_size(tokens) > 0);
    for (size_t i = 0; i < json_array_size(tokens); i++)
        assert_string_equal(json_string_value(json_array_get(tokens, i)), token);
    json_decref(ack);
}

static void test_a_run_from_trigger_to_success(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    struct peer_end worker = worker_connect(&f, "w1", NULL);
    int64_t run = trigger();
    char *token = expect_start(&worker);

    worker_end_attempt(&worker, token, "success");
    expect_ack(&worker, token);
    assert_int_equal(fixture_run_state(&f, run), RUN_SUCCESS);
    /* The same report again, as after a lost ack: it is acknowledged, and changes nothing. */
    worker_end_attempt(&worker, token, "failed");
    expect_ack(&worker, token);
    assert_int_equal(fixture_run_state(&f, run), RUN_SUCCESS);
    free(token);
    peer_close(&worker);
}

static void test_a_second_scheduler_is_refused(void **context)
{
    (void)context;
    struct scheduler_options options = {.settings = &f.settings};
    struct err err = {0};
    char pid[24];

    fixture_open(&f, NULL);
    assert_null(scheduler_open(&f.loop, &options, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    assert_non_null(strstr(err.message, pid));
}

static void test_an_attempt_outlives_the_scheduler(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    struct peer_end worker = worker_connect(&f, "w1", NULL);
    int64_t run = trigger();
    char *token = expect_start(&worker);

    fixture_close(&f);
    assert_true(peer_wait_closed(&f, &worker));
    (void)close(worker.fd);
    buf_clear(&worker.in);
    fixture_open(&f, NULL);
    struct peer_end again = peer_connect(&f);
    worker_say_hello(&again, "w1", token);
    worker_end_attempt(&again, token, "success");
    json_t *frame = peer_expect(&f, &again, "welcome");
    assert_non_null(frame);
    json_decref(frame);
    expect_ack(&again, token);
    assert_int_equal(fixture_run_state(&f, run), RUN_SUCCESS);
    worker.fd = -1;
    peer_close(&worker);
    peer_close(&again);
    free(token);
}

static void test_a_start_that_was_lost_is_sent_again(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    struct peer_end worker = worker_connect(&f, "w1", NULL);
    int64_t run = trigger();
    char *token = expect_start(&worker);

    /* The connection breaks before the worker has read it: it comes back without the token. */
    (void)close(worker.fd);
    worker.fd = -1;
    struct peer_end again = peer_connect(&f);
    worker_say_hello(&again, "w1", NULL);
    char *same = expect_start(&again);
    assert_string_equal(same, token);
    assert_int_equal(fixture_run_state(&f, run), RUN_RUNNING);
    free(same);
    free(token);
    peer_close(&worker);
    peer_close(&again);
}

static void test_only_a_free_lock_proves_a_worker_gone(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    struct peer_end worker = worker_connect(&f, "w1", NULL);
    int64_t run = trigger();
    char *token = expect_start(&worker);

    (void)close(worker.fd);
    worker.fd = -1;
    for (int i = 0; i < 20; i++)
        fixture_spin(&f);
    assert_int_equal(fixture_run_state(&f, run), RUN_RUNNING);
    peer_close(&worker); /* gives up the lock */
    for (int i = 0; i < 250 && fixture_run_state(&f, run) == RUN_RUNNING; i++)
        fixture_spin(&f);
    assert_int_equal(fixture_run_state(&f, run), RUN_FAILED);
    free(token);
}

static void test_a_worker_that_died_with_the_scheduler_is_found_gone(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    struct peer_end worker = worker_connect(&f, "w1", NULL);
    int64_t run = trigger();
    char *token = expect_start(&worker);

    fixture_close(&f);
    peer_close(&worker);
    fixture_open(&f, NULL);
    for (int i = 0; i < 250 && fixture_run_state(&f, run) == RUN_RUNNING; i++)
        fixture_spin(&f);
    assert_int_equal(fixture_run_state(&f, run), RUN_FAILED);
    free(token);
}

static void test_web_clients_get_replies_and_notes(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    struct peer_end web = peer_connect(&f);

    peer_send(&web, json_pack("{s:s, s:i}", "kind", "web_hello", "protocol", MESSAGES_PROTOCOL));
    peer_send(&web, json_pack("{s:s, s:i, s:s, s:s}", "kind", "command", "id", 41, "command",
                              "trigger", "dag_id", "one"));
    json_t *reply = peer_expect(&f, &web, "reply");
    assert_non_null(reply);
    assert_int_equal(json_get_int(reply, "id", 0), 41);
    assert_null(json_object_get(reply, "error"));
    assert_int_equal(json_get_int(reply, "row", 0), 1);
    json_decref(reply);
    json_t *note = peer_expect(&f, &web, "notify");
    assert_non_null(note);
    assert_true(json_get_int(note, "seq", 0) > 0);
    json_decref(note);
    peer_close(&web);
}

static void test_bad_commands_are_refused_by_name(void **context)
{
    (void)context;
    static const struct {
        const char *document;
        enum err_code code;
        const char *says;
    } cases[] = {
        {"{\"command\": \"fly\"}",                                                                 ERR_BAD_REQUEST, "fly"         },
        {"{}",                                                                                     ERR_BAD_REQUEST, "no command"  },
        {"{\"command\": \"trigger\"}",                                                             ERR_BAD_REQUEST, "dag_id"      },
        {"{\"command\": \"trigger\", \"dag_id\": \"../x\"}",                                       ERR_BAD_REQUEST, "dag_id"      },
        {"{\"command\": \"trigger\", \"dag_id\": 5}",                                              ERR_BAD_REQUEST, "dag_id"      },
        {"{\"command\": \"trigger\", \"dag_id\": \"none\"}",                                       ERR_NOT_FOUND,   "none"        },
        {"{\"command\": \"trigger\", \"dag_id\": \"one\", \"conf\": []}",                          ERR_BAD_REQUEST, "conf"        },
        {"{\"command\": \"trigger\", \"dag_id\": \"one\", \"logical_date\": \"x\"}",
         ERR_BAD_REQUEST,                                                                                           "logical_date"},
        {"{\"command\": \"trigger\", \"dag_id\": \"one\", \"interval_start\": 5}",                 ERR_BAD_REQUEST,
         "interval_end"                                                                                                           },
        {"{\"command\": \"trigger\", \"dag_id\": \"one\", \"logical_date\": 9223372036854775807}",
         ERR_BAD_REQUEST,                                                                                           "logical_date"},
        {"{\"command\": \"backfill_create\", \"dag_id\": \"one\", \"from\": -9223372036854775808,"
         " \"to\": 1}",                                                                   ERR_BAD_REQUEST, "from"        },
        {"{\"command\": \"set_paused\", \"dag_id\": \"one\"}",                                     ERR_BAD_REQUEST, "is_paused"   },
        {"{\"command\": \"backfill_create\", \"dag_id\": \"one\", \"from\": 1}",                   ERR_BAD_REQUEST,
         "to"                                                                                                                     },
        {"{\"command\": \"backfill_control\", \"backfill\": 1, \"action\": \"x\"}",                ERR_BAD_REQUEST,
         "action"                                                                                                                 },
        {"{\"command\": \"backfill_control\", \"backfill\": 1, \"action\": \"pause\"}",
         ERR_NOT_FOUND,                                                                                             "1"           },
    };
    struct err err;

    fixture_open(&f, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture_reply reply =
            fixture_command(&f, json_parse(str_from(cases[i].document), &err));
        if (reply.err.code != cases[i].code || strstr(reply.err.message, cases[i].says) == NULL)
            fail_msg("%s: %s: %s", cases[i].document, err_name(reply.err.code), reply.err.message);
    }
}

static void test_two_triggers_of_one_turn_do_not_collide(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    struct peer_end web = peer_connect(&f);
    int errors = 0;

    peer_send(&web, json_pack("{s:s, s:i}", "kind", "web_hello", "protocol", MESSAGES_PROTOCOL));
    for (int i = 0; i < 2; i++)
        peer_send(&web, json_pack("{s:s, s:i, s:s, s:s, s:s}", "kind", "command", "id", i,
                                  "command", "trigger", "dag_id", "one", "run_id", "mine"));
    for (int i = 0; i < 2; i++) {
        json_t *reply = peer_expect(&f, &web, "reply");
        assert_non_null(reply);
        const json_t *error = json_object_get(reply, "error");
        if (error != NULL) {
            assert_string_equal(json_get_string(error, "code", ""), "conflict");
            errors++;
        }
        json_decref(reply);
    }
    assert_int_equal(errors, 1);
    assert_false(f.has_ended);
    peer_close(&web);
}

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define HELLO "{\"kind\": \"worker_hello\", \"protocol\": " TEXT(MESSAGES_PROTOCOL) ", "

static void test_peers_that_make_no_sense_are_cut_off(void **context)
{
    (void)context;
    static const char *const frames[] = {
        "{\"kind\": \"nonsense\"}",
        "not json",
        "{\"kind\": \"command\", \"id\": 1, \"command\": \"reparse\"}",
        "{\"kind\": \"web_hello\", \"protocol\": 99}",
        HELLO "\"instance\": \"../../x\", \"slots\": 1}",
        HELLO "\"instance\": \"w\", \"tokens\": [5]}",
        HELLO "\"instance\": \"w\", \"slots\": 1, \"backlog\": 9223372036854775807}",
        "{\"kind\": \"started\", \"token\": \"t\"}",
    };

    fixture_open(&f, NULL);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct peer_end peer = peer_connect(&f);
        unsigned char prefix[4] = {(unsigned char)strlen(frames[i]), 0, 0, 0};
        struct err err;
        assert_true(fs_write_all(peer.fd, prefix, 4, &err));
        assert_true(fs_write_all(peer.fd, frames[i], strlen(frames[i]), &err));
        if (!peer_wait_closed(&f, &peer))
            fail_msg("still open after %s", frames[i]);
        peer_close(&peer);
    }
    struct peer_end peer = peer_connect(&f);
    struct err err;
    assert_true(fs_write_all(peer.fd, "\xff\xff\xff\xff", 4, &err));
    assert_true(peer_wait_closed(&f, &peer));
    peer_close(&peer);
}

static void test_workers_that_make_no_sense_are_cut_off(void **context)
{
    (void)context;
    static const char *const frames[] = {
        "{\"kind\": \"ended\"}",
        "{\"kind\": \"ended\", \"results\": [{\"token\": \"t\"}]}",
        "{\"kind\": \"ended\", \"results\": [{\"outcome\": \"success\"}]}",
        "{\"kind\": \"done\", \"tokens\": [\"t\"]}",
        "{\"kind\": \"done\", \"results\": [\"t\"]}",
        "{\"kind\": \"done\", \"results\": [[\"t\", 1]]}",
        "{\"kind\": \"done\", \"results\": [[7, 1, 2]]}",
        "{\"kind\": \"done\", \"results\": [[\"t\", \"early\", 2]]}",
    };

    fixture_open(&f, NULL);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "w%zu", i);
        struct peer_end worker = worker_connect(&f, name, NULL);
        peer_send(&worker, json_loads(frames[i], 0, NULL));
        if (!peer_wait_closed(&f, &worker))
            fail_msg("still open after %s", frames[i]);
        peer_close(&worker);
    }
}

static void test_run_leaves_workers_of_other_dags_alone(void **context)
{
    (void)context;
    static const char other[] = "dag_id: other\n"
                                "tasks:\n"
                                "  x: {type: noop}\n";
    char path[800];

    fixture_open(&f, NULL);
    struct peer_end worker = worker_connect(&f, "w1", NULL);
    int64_t run = trigger();
    char *token = expect_start(&worker);
    fixture_close(&f);
    (void)close(worker.fd);
    worker.fd = -1;

    fixture_write(&f, "other.yaml", other);
    (void)snprintf(path, sizeof(path), "%s/other.yaml", f.dags);
    fixture_open(&f, path);
    assert_string_equal(scheduler_only_dag_id(f.scheduler), "other");
    struct peer_end again = peer_connect(&f);
    worker_say_hello(&again, "w1", token);
    assert_true(peer_wait_closed(&f, &again));
    assert_int_equal(fixture_run_state(&f, run), RUN_RUNNING);
    peer_close(&again);
    peer_close(&worker);
    free(token);
}

static void test_a_full_disk_ends_the_scheduler(void **context)
{
    (void)context;
    struct rlimit before;

    (void)signal(SIGXFSZ, SIG_IGN);
    fixture_open(&f, NULL);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit tight = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    struct peer_end web = peer_connect(&f);
    peer_send(&web, json_pack("{s:s, s:i}", "kind", "web_hello", "protocol", MESSAGES_PROTOCOL));
    peer_send(&web, json_pack("{s:s, s:i, s:s, s:s}", "kind", "command", "id", 1, "command",
                              "trigger", "dag_id", "one"));
    for (int i = 0; i < 250 && !f.has_ended; i++)
        fixture_spin(&f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(f.has_ended);
    assert_int_equal(f.why.code, ERR_IO);
    fixture_close(&f);
    /* Nothing was answered, and nothing of it is there. */
    assert_null(peer_expect(&f, &web, "reply"));
    peer_close(&web);
    fixture_open(&f, NULL);
    assert_int_equal(trigger(), 1);
}

/* The disk is full before the first turn can be committed: that must not look like an open one. */
static void test_a_first_commit_that_fails_fails_the_open(void **context)
{
    (void)context;
    struct scheduler_options options = {.settings = &f.settings};
    struct rlimit before;
    struct err err = {0};

    (void)signal(SIGXFSZ, SIG_IGN);
    fixture_open(&f, NULL);
    fixture_close(&f);
    char *large = mem_alloc(600 * 1000);
    memset(large, '#', 600 * 1000 - 1);
    memcpy(large, one_task, strlen(one_task));
    fixture_write(&f, "one.yaml", large);
    free(large);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit tight = {.rlim_cur = 300 * 1000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    struct scheduler *scheduler = scheduler_open(&f.loop, &options, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_null(scheduler);
    assert_int_equal(err.code, ERR_IO);
    fixture_open(&f, NULL);
    assert_int_equal(trigger(), 1);
}

static void ignore_reply(void *context, const struct decision_reply *reply)
{
    (void)context;
    (void)reply;
}

static void trigger_with(const char *text)
{
    struct fixture_reply reply = fixture_command(
        &f, json_pack("{s:s, s:s, s:s, s:{s:[s, s]}}", "command", "trigger", "dag_id", "one",
                      "triggered_by", "cli", "conf", "big", "echo", text));

    assert_int_equal(reply.err.code, ERR_NONE);
}

/* A worker that has much to read yet, and is told more, gets the time to read it. */
static void test_much_to_tell_cuts_nobody_off(void **context)
{
    (void)context;
    static const char dag[] = "dag_id: one\n"
                              "params: {big: []}\n"
                              "tasks:\n"
                              "  only:\n"
                              "    type: command\n"
                              "    with: {argv: \"{{ params.big }}\"}\n";
    static char bytes[256 * 1024];
    const size_t much = 6 * 1000 * 1000;
    char *text = mem_alloc(much + 1);
    ssize_t got = 0;

    memset(text, 'x', much);
    fixture_write(&f, "one.yaml", dag);
    fixture_open(&f, NULL);
    trigger_with(text);
    struct peer_end worker = worker_connect(&f, "w1", NULL);
    trigger_with("little");
    size_t all = worker.in.len; /* read with the welcome */
    for (int64_t end_us = clock_mono_us() + 30 * US_PER_SECOND;
         all < much && clock_mono_us() < end_us; all += (size_t)got) {
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
        got = recv(worker.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        assert_true(got > 0 || (got < 0 && errno == EAGAIN));
        got = got < 0 ? 0 : got;
    }
    assert_true(all >= much);
    free(text);
    peer_close(&worker);
}

static void stop_at_end(void *context, const struct err *why)
{
    (void)why;
    scheduler_stop(*(struct scheduler **)context);
}

/* Its owner stops it because it has ended, and it ends because of its last turn. */
static void test_a_stop_within_the_stop(void **context)
{
    (void)context;
    struct scheduler *scheduler = NULL;
    struct scheduler_options options = {
        .settings = &f.settings, .observe_context = &scheduler, .ended = stop_at_end};
    struct err err = {0};
    json_t *command = json_pack("{s:s}", "command", "stop");

    scheduler = scheduler_open(&f.loop, &options, &err);
    assert_non_null(scheduler);
    scheduler_submit(scheduler, command, ignore_reply, NULL);
    json_decref(command);
    scheduler_stop(scheduler);
    assert_int_equal(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
    scheduler_free(scheduler);
}

static void test_the_stop_command_is_answered_first(void **context)
{
    (void)context;
    fixture_open(&f, NULL);
    struct fixture_reply reply = fixture_command(&f, json_pack("{s:s}", "command", "stop"));

    assert_int_equal(reply.err.code, ERR_NONE);
    assert_true(f.has_ended);
    assert_int_equal(f.why.code, ERR_NONE);
}

static void test_long_state_paths_work(void **context)
{
    (void)context;
    fixture_release(&f);
    fixture_init(&f,
                 "/a-folder-whose-name-alone-is-longer-than-most/and-another-one-below-it-to-go-"
                 "well-beyond-the-size-of-a-socket-address");
    fixture_write(&f, "one.yaml", one_task);
    assert_true(strlen(f.state) > 108);
    fixture_open(&f, NULL);
    struct peer_end worker = worker_connect(&f, "w1", NULL);
    peer_close(&worker);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_run_from_trigger_to_success),
        TEST(test_a_second_scheduler_is_refused),
        TEST(test_an_attempt_outlives_the_scheduler),
        TEST(test_a_start_that_was_lost_is_sent_again),
        TEST(test_only_a_free_lock_proves_a_worker_gone),
        TEST(test_a_worker_that_died_with_the_scheduler_is_found_gone),
        TEST(test_web_clients_get_replies_and_notes),
        TEST(test_bad_commands_are_refused_by_name),
        TEST(test_two_triggers_of_one_turn_do_not_collide),
        TEST(test_peers_that_make_no_sense_are_cut_off),
        TEST(test_workers_that_make_no_sense_are_cut_off),
        TEST(test_run_leaves_workers_of_other_dags_alone),
        TEST(test_a_full_disk_ends_the_scheduler),
        TEST(test_a_first_commit_that_fails_fails_the_open),
        TEST(test_a_stop_within_the_stop),
        TEST(test_much_to_tell_cuts_nobody_off),
        TEST(test_the_stop_command_is_answered_first),
        TEST(test_long_state_paths_work),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
