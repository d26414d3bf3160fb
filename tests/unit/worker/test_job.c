/* Jobs: what makes one, what keeps its result, and that the first verdict stands. */
#include "base/json.h"
#include "worker/supervisor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static json_t *start_document(const char *token, json_int_t run, json_int_t task, json_int_t try,
                              const char *kind)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:i, s:s, s:{}}", "token", token, "run", run, "task",
                     task, "try_number", try, "map_index", -1, "task_kind", kind, "options");
}

static void test_documents_that_make_no_sense(void **state)
{
    static const struct {
        const char *token;
        json_int_t run;
        json_int_t task;
        json_int_t try;
    } cases[] = {
        {"",  1,  0,                   1 },
        {"t", 0,  0,                   1 },
        {"t", -1, 0,                   1 },
        {"t", 1,  -1,                  1 },
        {"t", 1,  (json_int_t)1 << 33, 1 },
        {"t", 1,  0,                   0 },
        {"t", 1,  0,                   -5},
    };
    struct supervisor supervisor = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        json_t *start =
            start_document(cases[i].token, cases[i].run, cases[i].task, cases[i].try, "command");

        assert_null(job_new(&supervisor, start, start, &err));
        assert_int_equal(err.code, ERR_BAD_REQUEST);
        assert_null(supervisor.jobs);
        json_decref(start);
    }
}

static void test_the_table_of_jobs(void **state)
{
    struct supervisor supervisor = {0};
    struct err err = {0};
    json_t *start = start_document("one", 1, 0, 1, "command");
    struct job *job = job_new(&supervisor, start, start, &err);

    (void)state;
    json_decref(start);
    assert_non_null(job);
    assert_int_equal(job->state, JOB_WAITING);
    assert_false(job->is_judged);
    assert_ptr_equal(job_find(&supervisor, "one"), job);
    assert_null(job_find(&supervisor, "on"));
    assert_null(job_find(&supervisor, ""));
    job_free(job);
    assert_null(job_find(&supervisor, "one"));
}

static void test_an_unknown_kind_is_judged_at_once(void **state)
{
    struct supervisor supervisor = {0};
    struct err err = {0};
    json_t *start = start_document("one", 1, 0, 1, "teleport");
    struct job *job = job_new(&supervisor, start, start, &err);

    (void)state;
    json_decref(start);
    assert_true(job->is_judged);
    assert_int_equal(job->outcome, OUTCOME_FATAL);
    assert_non_null(strstr(job->reason, "teleport"));
    job_free(job);
}

static void test_the_first_verdict_stands(void **state)
{
    struct supervisor supervisor = {0};
    struct err err = {0};
    json_t *start = start_document("one", 1, 0, 1, "command");
    struct job *job = job_new(&supervisor, start, start, &err);

    (void)state;
    json_decref(start);
    job_judge(job, OUTCOME_TIMEOUT, "timeout after %s", "1h");
    job_judge(job, OUTCOME_SUCCESS, "%s", "");
    assert_int_equal(job->outcome, OUTCOME_TIMEOUT);
    assert_string_equal(job->reason, "timeout after 1h");
    job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents_that_make_no_sense),
        cmocka_unit_test(test_the_table_of_jobs),
        cmocka_unit_test(test_an_unknown_kind_is_judged_at_once),
        cmocka_unit_test(test_the_first_verdict_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
