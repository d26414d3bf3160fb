/* timefmt, json, jw, digest, fs: values in and out. */
#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void instants(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool fine;
        bool has_offset;
        const char *utc;
    } cases[] = {
        {"2026-01-02",                  true,  false, "2026-01-02T00:00:00Z"       },
        {"2026-01-02T03:04:05Z",        true,  true,  "2026-01-02T03:04:05Z"       },
        {"2026-01-02 03:04",            true,  false, "2026-01-02T03:04:00Z"       },
        {"2026-01-02T03:04:05.5+01:30", true,  true,  "2026-01-02T01:34:05.500000Z"},
        {"2026-01-02T03:04:05-0200",    true,  true,  "2026-01-02T05:04:05Z"       },
        {"1969-12-31T23:59:59.000001Z", true,  true,  "1969-12-31T23:59:59.000001Z"},
        {"2024-02-29",                  true,  false, "2024-02-29T00:00:00Z"       },
        {"2026-02-29",                  false, false, NULL                         },
        {"2026-13-01",                  false, false, NULL                         },
        {"2026-01-02T25:00",            false, false, NULL                         },
        {"2026-01-02x",                 false, false, NULL                         },
        {"",                            false, false, NULL                         },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t us = 0;
        bool has_offset = false;
        char text[TIMEFMT_SIZE];
        assert_int_equal(timefmt_parse(str_from(cases[i].text), &us, &has_offset), cases[i].fine);
        if (!cases[i].fine)
            continue;
        assert_string_equal(timefmt_utc(us, text), cases[i].utc);
        assert_int_equal(has_offset, cases[i].has_offset);
    }
    for (int64_t day = -800000; day < 800000; day += 997) {
        struct civil civil = civil_from_us(day * US_PER_DAY);
        assert_int_equal(civil_to_days(civil.year, civil.month, civil.day), day);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* -1: refused */
        const char *formatted;
    } cases[] = {
        {"90s",                   90 * US_PER_SECOND, "1m30s"},
        {"1h30m",                 90 * US_PER_MINUTE, "1h30m"},
        {"2d",                    2 * US_PER_DAY,     "2d"   },
        {"250ms",                 250 * US_PER_MS,    "250ms"},
        {"1w",                    7 * US_PER_DAY,     NULL   },
        {"0s",                    0,                  "0s"   },
        {"90",                    -1,                 NULL   },
        {"-1s",                   -1,                 NULL   },
        {"1x",                    -1,                 NULL   },
        {"",                      -1,                 NULL   },
        {"99999999999999999999s", -1,                 NULL   },
        {"101w9999999d",          -1,                 NULL   },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t us = -1;
        struct buf text = {0};
        assert_int_equal(duration_parse(str_from(cases[i].text), &us), cases[i].us >= 0);
        assert_true(us == cases[i].us);
        if (cases[i].formatted != NULL) {
            duration_format(us, &text);
            assert_string_equal(buf_text(&text), cases[i].formatted);
        }
        buf_release(&text);
    }
    struct buf out = {0};
    char bad = 0;
    assert_true(timefmt_strftime(STR("%Y%m%d %j %a %B %%"), 31 * US_PER_DAY, &out, &bad));
    assert_string_equal(buf_text(&out), "19700201 032 Sun February %");
    assert_false(timefmt_strftime(STR("%Q"), 0, &out, &bad));
    assert_int_equal(bad, 'Q');
    buf_release(&out);
}

static void documents(void **state)
{
    (void)state;
    struct buf out = {0};
    struct err err = {0};
    struct jw w = {.out = &out};

    jw_begin_object(&w);
    jw_kv_string(&w, "a", "q\"\\\n\x01\xFF");
    jw_kv_string(&w, "n", NULL);
    jw_kv_int(&w, "i", INT64_MIN);
    jw_kv_real(&w, "r", (double)NAN);
    jw_kv_raw(&w, "raw", "[1,2]");
    jw_kv_time(&w, "t", US_PER_SECOND);
    jw_kv_int(&w, "a key that is longer than the short ones are", 0);
    jw_kv_int(&w, "q\"\xFF", 1);
    jw_key(&w, "l");
    jw_begin_array(&w);
    jw_bool(&w, true);
    jw_null(&w);
    jw_end_array(&w);
    jw_end_object(&w);
    json_t *read = json_parse(buf_str(&out), &err);
    assert_non_null(read);
    assert_string_equal(json_get_string(read, "a", ""), "q\"\\\n\x01\xEF\xBF\xBD");
    assert_true(json_is_null(json_object_get(read, "n")));
    assert_true(json_get_int(read, "i", 0) == INT64_MIN);
    assert_true(json_is_null(json_object_get(read, "r")));
    assert_string_equal(json_get_string(read, "t", ""), "1970-01-01T00:00:01Z");
    assert_int_equal(json_array_size(json_object_get(read, "l")), 2);
    assert_int_equal(json_get_int(read, "a key that is longer than the short ones are", 7), 0);
    assert_int_equal(json_get_int(read, "q\"\xEF\xBF\xBD", 7), 1);
    assert_int_equal(json_get_int(read, "a", 7), 7);
    json_decref(read);
    buf_clear(&out);
    read = json_parse(STR("{\"b\": 1, \"a\": [true]}"), &err);
    json_dump_canonical(read, &out);
    assert_string_equal(buf_text(&out), "{\"a\":[true],\"b\":1}");
    json_decref(read);
    assert_null(json_parse(STR("{\"a\": 1, \"a\": 2}"), &err));
    assert_null(json_parse(STR("{\"a\":\n nope}"), &err));
    assert_int_equal(err.line, 2);
    assert_null(json_parse(STR("{} x"), &err));
    buf_release(&out);
}

static void digests(void **state)
{
    (void)state;
    char hex[SHA256_HEX_SIZE];
    char uuid[37];

    digest_sha256_hex(STR("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_sha256_hex((struct str){0}, hex);
    assert_int_equal(strncmp(hex, "e3b0c44298fc1c14", 16), 0);
    assert_true(digest_xxh3(STR("a"), 1) != digest_xxh3(STR("a"), 2));
    digest_uuid(STR("a"), uuid);
    assert_int_equal(strlen(uuid), 36);
    assert_int_equal(uuid[14], '8');
}

static void files(void **state)
{
    (void)state;
    char folder[] = "/tmp/millrace-fs-XXXXXX";
    struct buf content = {0};
    struct err err = {0};
    int64_t bytes = 0;
    char hex[SHA256_HEX_SIZE];

    assert_non_null(mkdtemp(folder));
    char *deep = fs_join(folder, "a/b");
    char *file = fs_join(deep, "f");
    char *absolute = fs_join(folder, "/etc");
    assert_string_equal(absolute, "/etc");
    assert_true(fs_make_folders(deep, 0700, &err));
    assert_true(fs_make_folders(deep, 0700, &err));
    assert_true(fs_write_file(file, STR("one"), 0600, &err));
    assert_true(fs_write_file(file, STR("abc"), 0600, &err));
    assert_true(fs_read_file(file, 3, &content, &err));
    assert_string_equal(buf_text(&content), "abc");
    assert_false(fs_read_file(file, 2, &content, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_true(digest_sha256_file(file, hex, &bytes, &err));
    assert_int_equal(bytes, 3);
    assert_int_equal(strncmp(hex, "ba7816bf", 8), 0);
    char *outside = mem_strdup("/tmp/millrace-fs-out-XXXXXX");
    assert_non_null(mkdtemp(outside));
    char *link = fs_join(folder, "a/link");
    assert_int_equal(symlink(outside, link), 0);
    assert_true(fs_remove_tree(folder, &err));
    assert_int_equal(access(outside, F_OK), 0); /* the link was not followed */
    assert_int_equal(rmdir(outside), 0);
    assert_true(fs_remove_tree(folder, &err));
    assert_false(fs_read_file(file, 10, &content, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, file));
    free(link);
    free(outside);
    free(absolute);
    free(file);
    free(deep);
    buf_release(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants), cmocka_unit_test(durations), cmocka_unit_test(documents),
        cmocka_unit_test(digests),  cmocka_unit_test(files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
