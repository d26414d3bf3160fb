/* The line splitter and the attempt's log file. */
#include "base/fs.h"
#include "worker/attempt_log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void collect(void *context, struct str line)
{
    buf_add_char(context, '[');
    buf_add_str(context, line);
    buf_add_char(context, ']');
}

static void test_pieces_of_any_size_give_the_same_lines(void **state)
{
    static const struct {
        const char *bytes;
        const char *lines;
    } cases[] = {
        {"",                ""                 },
        {"a",               "[a]"              },
        {"a\n",             "[a]"              },
        {"\n\n",            "[][]"             },
        {"a\nb\n",          "[a][b]"           },
        {"a\r\nb\r\n\r\n",  "[a][b][]"         },
        {"one\ntwo\nthree", "[one][two][three]"},
        {"x\ry\n",          "[x\ry]"           },
        {"last\r",          "[last]"           },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t piece = 1; piece <= strlen(cases[i].bytes) + 1; piece++) {
            struct lines lines = {0};
            struct buf out = {0};
            struct str rest = str_from(cases[i].bytes);

            while (rest.len > 0) {
                size_t n = piece < rest.len ? piece : rest.len;

                lines_feed(&lines, str_sub(rest, 0, n), collect, &out);
                rest = str_sub(rest, n, rest.len);
            }
            lines_flush(&lines, collect, &out);
            assert_string_equal(buf_text(&out), cases[i].lines);
            lines_release(&lines);
            buf_release(&out);
        }
}

static void count(void *context, struct str line)
{
    size_t *sizes = context;

    sizes[0]++;
    sizes[sizes[0]] = line.len;
}

static void test_a_long_line_is_cut(void **state)
{
    static const size_t pieces[] = {1000, LINES_BYTES_MAX - 1, LINES_BYTES_MAX, LINES_BYTES_MAX + 1,
                                    3 * LINES_BYTES_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct lines lines = {0};
        struct buf text = {0};
        size_t sizes[8] = {0};

        for (size_t k = 0; k < 2 * LINES_BYTES_MAX + 5; k++)
            buf_add_char(&text, 'x');
        buf_add_text(&text, "\nend\n");
        for (size_t at = 0; at < text.len; at += pieces[i])
            lines_feed(&lines, str_sub(buf_str(&text), at, at + pieces[i]), count, sizes);
        lines_flush(&lines, count, sizes);
        assert_int_equal(sizes[0], 4);
        assert_int_equal(sizes[1], LINES_BYTES_MAX);
        assert_int_equal(sizes[2], LINES_BYTES_MAX);
        assert_int_equal(sizes[3], 5);
        assert_int_equal(sizes[4], 3);
        lines_release(&lines);
        buf_release(&text);
    }
}

static char *make_folder(void)
{
    static const char name[] = "/tmp/millrace-log-XXXXXX";
    char *folder = strdup(name);

    assert_non_null(mkdtemp(folder));
    return folder;
}

static void remove_folder(char *folder)
{
    struct err err = {0};

    assert_true(fs_remove_tree(folder, &err));
    free(folder);
}

static void test_the_log_has_stamped_lines(void **state)
{
    char *folder = make_folder();
    char *path = fs_join(folder, "a/b/one.log");
    struct attempt_log log;
    struct buf text = {0};
    struct err err = {0};

    (void)state;
    attempt_log_open(&log, path);
    attempt_log_note(&log, "two\nlines %d", 1);
    attempt_log_feed(&log, LOG_STDOUT, STR("hel"));
    attempt_log_feed(&log, LOG_STDERR, STR("oops\n"));
    attempt_log_feed(&log, LOG_STDOUT, STR("lo\nrest"));
    attempt_log_close(&log);
    assert_true(fs_read_file(path, 4096, &text, &err));
    /* Every line begins with a stamp of 27 bytes. */
    static const char *const lines[] = {" millrace two lines 1", " stderr oops", " stdout hello",
                                        " stdout rest"};
    struct str rest = buf_str(&text);
    for (size_t i = 0; i < 4; i++) {
        size_t end = str_find(rest, '\n', 0);

        assert_true(end != SIZE_MAX && end > 27);
        assert_true(str_is(str_sub(rest, 27, end), lines[i]));
        assert_int_equal(rest.ptr[26], 'Z');
        rest = str_sub(rest, end + 1, rest.len);
    }
    assert_int_equal(rest.len, 0);
    buf_release(&text);
    free(path);
    remove_folder(folder);
}

static void test_the_limit_is_said_once(void **state)
{
    char *folder = make_folder();
    char *path = fs_join(folder, "log");
    struct attempt_log log;
    struct buf text = {0};
    struct err err = {0};

    (void)state;
    attempt_log_open(&log, path);
    log.bytes_max = 200;
    for (int i = 0; i < 100; i++)
        attempt_log_feed(&log, LOG_STDOUT, STR("0123456789\n"));
    attempt_log_note(&log, "the end");
    attempt_log_close(&log);
    assert_true(fs_read_file(path, 4096, &text, &err));
    const char *said = strstr(buf_text(&text), "the log is full at 200 bytes");
    assert_non_null(said);
    assert_null(strstr(said + 1, "the log is full"));
    assert_non_null(strstr(said, "millrace the end\n"));
    buf_release(&text);
    free(path);
    remove_folder(folder);
}

/* /dev/full is a disk that is always full. */
static void test_a_full_disk_drops_and_counts(void **state)
{
    struct attempt_log log;

    (void)state;
    attempt_log_open(&log, "/dev/full");
    assert_true(log.fd >= 0);
    attempt_log_feed(&log, LOG_STDOUT, STR("one\ntwo\n"));
    assert_true(log.dropped > 0);
    int64_t before = log.dropped;
    attempt_log_feed(&log, LOG_STDOUT, STR("three\n"));
    assert_true(log.dropped > before);
    attempt_log_close(&log);
}

static void test_space_again_gives_a_marker(void **state)
{
    char *folder = make_folder();
    char *path = fs_join(folder, "log");
    struct attempt_log log;
    struct buf text = {0};
    struct err err = {0};

    (void)state;
    attempt_log_open(&log, path);
    int file = log.fd;
    log.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    attempt_log_feed(&log, LOG_STDOUT, STR("lost\n"));
    assert_int_equal(close(log.fd), 0);
    log.fd = file;
    attempt_log_feed(&log, LOG_STDOUT, STR("kept\n"));
    attempt_log_close(&log);
    assert_true(fs_read_file(path, 4096, &text, &err));
    assert_non_null(strstr(buf_text(&text), "bytes dropped: No space left on device]\n"));
    assert_non_null(strstr(buf_text(&text), "stdout kept\n"));
    assert_null(strstr(buf_text(&text), "lost"));
    buf_release(&text);
    free(path);
    remove_folder(folder);
}

static void test_a_log_that_can_not_be_opened_harms_nothing(void **state)
{
    struct attempt_log log;

    (void)state;
    attempt_log_open(&log, "/dev/null/no/log");
    assert_int_equal(log.fd, -1);
    attempt_log_feed(&log, LOG_STDOUT, STR("text"));
    attempt_log_note(&log, "text");
    attempt_log_close(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_any_size_give_the_same_lines),
        cmocka_unit_test(test_a_long_line_is_cut),
        cmocka_unit_test(test_the_log_has_stamped_lines),
        cmocka_unit_test(test_the_limit_is_said_once),
        cmocka_unit_test(test_a_full_disk_drops_and_counts),
        cmocka_unit_test(test_space_again_gives_a_marker),
        cmocka_unit_test(test_a_log_that_can_not_be_opened_harms_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
