/* The environment of an attempt, and finding and launching its program. */
#include "worker/environ.h"
#include "worker/launch.h"
#include "worker/process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_what_is_passed_on(void **state)
{
    static const struct {
        const char *entry;
        bool is_passed;
    } cases[] = {
        {"PATH=/bin",            true },
        {"HOME=",                true },
        {"MILLRACE_STATE=/s",    true },
        {"MILLRACE_TOKEN=x",     false},
        {"MILLRACE_STATEX=x",    false},
        {"MILLRACE_WORKER=x",    false},
        {"NOTIFY_SOCKET=/run/x", false},
        {"LISTEN_FDS=1",         false},
        {"NO_EQUALS_SIGN",       false},
        {"MILL=race",            true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(environ_is_passed(cases[i].entry), cases[i].is_passed);
}

static void test_later_ones_win(void **state)
{
    char one[] = "A=base";
    char two[] = "B=base";
    char three[] = "MILLRACE_TOKEN=sesame";
    char *base[] = {one, two, three, NULL};
    json_t *env = json_pack("{s:s, s:s, s:s, s:i, s:s}", "A", "env", "C", "x y='z'", "D=E", "no",
                            "N", 5, "", "no");
    const struct environ_extra extras[] = {
        {"C2", "extra"},
        {"A",  "extra"},
        {"Z",  NULL   }
    };
    struct arena arena = {0};
    char **list = environ_build(&arena, base, env, extras, 3);
    size_t count = 0;

    (void)state;
    while (list[count] != NULL)
        count++;
    assert_int_equal(count, 4);
    assert_string_equal(environ_get(list, "A"), "extra");
    assert_string_equal(environ_get(list, "B"), "base");
    assert_string_equal(environ_get(list, "C"), "x y='z'");
    assert_string_equal(environ_get(list, "C2"), "extra");
    assert_null(environ_get(list, "MILLRACE_TOKEN"));
    assert_null(environ_get(list, "Z"));
    list = environ_build(&arena, base, NULL, NULL, 0);
    assert_string_equal(environ_get(list, "A"), "base");
    arena_release(&arena);
    json_decref(env);
}

static void test_finding_programs(void **state)
{
    struct err err = {0};
    char *found = launch_find("sh", "/nowhere::relative:/bin", &err);

    (void)state;
    assert_string_equal(found, "/bin/sh");
    free(found);
    found = launch_find("./here/sh", "/bin", &err);
    assert_string_equal(found, "./here/sh");
    free(found);
    assert_null(launch_find("no-such-program", "/bin", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "no-such-program"));
    assert_null(launch_find("", "/bin", &err));
    assert_int_equal(err.code, ERR_INVALID);
    found = launch_find("sh", NULL, &err);
    assert_non_null(found);
    free(found);
}

static int run(const char *program, char *const *argv, struct err *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char *envp[] = {NULL};
    struct launch launch = {.program = program,
                            .argv = argv,
                            .envp = envp,
                            .stdin_fd = null,
                            .stdout_fd = null,
                            .stderr_fd = null,
                            .socket_fd = -1};
    int status = -1;
    pid_t pid;

    if (launch_start(&launch, &pid, err))
        assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(null);
    return status;
}

static void test_launching(void **state)
{
    char sh[] = "sh";
    char c[] = "-c";
    char script[] = "exit 7";
    char *argv[] = {sh, c, script, NULL};
    struct err err = {0};
    int status = run("/bin/sh", argv, &err);

    (void)state;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_int_equal(run("/no/such/program", argv, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "/no/such/program"));
    assert_int_equal(run("/etc/passwd", argv, &err), -1);
    assert_int_equal(err.code, ERR_FORBIDDEN);
    /* A failed launch leaves no zombie. */
    assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
}

static void count_pid(void *context, pid_t pid)
{
    *(pid_t *)context = pid;
}

static void test_children_and_their_marks(void **state)
{
    char sleep_name[] = "sleep";
    char seconds[] = "600";
    char mark[] = "MARK=here";
    char *argv[] = {sleep_name, seconds, NULL};
    char *envp[] = {mark, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct launch launch = {.program = "/bin/sleep",
                            .argv = argv,
                            .envp = envp,
                            .stdin_fd = null,
                            .stdout_fd = null,
                            .stderr_fd = null,
                            .socket_fd = -1};
    struct err err = {0};
    pid_t pid = 0;
    pid_t seen = 0;
    int status;

    (void)state;
    assert_true(launch_start(&launch, &pid, &err));
    process_children(count_pid, &seen);
    assert_int_equal(seen, pid);
    /* The launch returns while the exec is still setting up the new image. */
    while (process_look(pid, "MARK=here") == PROCESS_BLANK)
        (void)usleep(1000);
    assert_int_equal(process_look(pid, "MARK=here"), PROCESS_MARKED);
    assert_int_equal(process_look(pid, "MARK=her"), PROCESS_UNMARKED);
    assert_int_equal(process_look(pid, "MARK=hereafter"), PROCESS_UNMARKED);
    assert_false(process_is_ending(pid));
    assert_true(process_group_lives(pid));
    assert_false(process_kill_marked(pid, "MARK=there"));
    assert_true(process_kill_marked(pid, "MARK=here"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_false(process_group_lives(pid));
    assert_int_equal(process_look(pid, "MARK=here"), PROCESS_BLANK);
    assert_true(process_is_ending(pid));
    (void)close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_passed_on),        cmocka_unit_test(test_later_ones_win),
        cmocka_unit_test(test_finding_programs),         cmocka_unit_test(test_launching),
        cmocka_unit_test(test_children_and_their_marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
