/* The pure writers: CRC-32C against published vectors and its two ways against each other, TFRecord
 * and Example byte for byte, tar as libarchive reads it. */
#include "tasks/shard/crc32c.h"
#include "tasks/shard/tar.h"
#include "tasks/shard/tfrecord.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

/* RFC 3720, appendix B.4, and the usual check value. */
static void test_crc_vectors(void **state)
{
    static const char zeros[32] = {0};
    char ones[32];
    char up[32];
    struct crc32c crc;
    const struct {
        struct str bytes;
        uint32_t want;
    } rows[] = {
        {STR("123456789"), 0xE3069283},
        {{zeros, 32},      0x8A9136AA},
        {{ones, 32},       0x62A8AB43},
        {{up, 32},         0x46DD794E},
        {STR(""),          0         },
    };

    (void)state;
    memset(ones, 0xFF, sizeof(ones));
    for (size_t i = 0; i < sizeof(up); i++)
        up[i] = (char)i;
    crc32c_init(&crc);
    for (int way = 0; way < 2; way++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            assert_int_equal(crc32c_of(&crc, rows[i].bytes), rows[i].want);
        crc.use_instruction = false;
    }
}

static void test_crc_ways_agree(void **state)
{
    char bytes[300];
    struct crc32c fast;
    struct crc32c slow;
    uint32_t random = 1;

    (void)state;
    crc32c_init(&fast);
    crc32c_init(&slow);
    slow.use_instruction = false;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (char)(random >> 24);
    }
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; from + len <= sizeof(bytes); len++)
            assert_int_equal(crc32c_of(&fast, (struct str){bytes + from, len}),
                             crc32c_of(&slow, (struct str){bytes + from, len}));
}

/* {"a": int64 [1, -1], "b": bytes ["x"], "c": float [1.5]}, encoded by a script from the
 * definition. */
static void test_example_bytes(void **state)
{
    static const unsigned char want[] = {
        0x0A, 0x31, 0x0A, 0x14, 0x0A, 0x01, 0x61, 0x12, 0x0F, 0x1A, 0x0D, 0x0A, 0x0B,
        0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x0A, 0x0A,
        0x0A, 0x01, 0x62, 0x12, 0x05, 0x0A, 0x03, 0x0A, 0x01, 0x78, 0x0A, 0x0D, 0x0A,
        0x01, 0x63, 0x12, 0x08, 0x12, 0x06, 0x0A, 0x04, 0x00, 0x00, 0xC0, 0x3F};
    struct buf features = {0};
    struct buf values = {0};
    struct buf out = {0};

    (void)state;
    example_add_int(&values, 1);
    example_add_int(&values, -1);
    example_add_feature(&features, STR("a"), FEATURE_INTS, buf_str(&values));
    buf_clear(&values);
    example_add_bytes(&values, STR("x"));
    example_add_feature(&features, STR("b"), FEATURE_BYTES, buf_str(&values));
    buf_clear(&values);
    example_add_float(&values, 1.5F);
    example_add_feature(&features, STR("c"), FEATURE_FLOATS, buf_str(&values));
    example_finish(&out, buf_str(&features));
    assert_int_equal(out.len, sizeof(want));
    assert_memory_equal(out.ptr, want, sizeof(want));
    buf_release(&features);
    buf_release(&values);
    buf_release(&out);
}

/* The record of "abc", its CRCs computed bit by bit elsewhere. */
static void test_record_bytes(void **state)
{
    static const unsigned char want[] = {0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xB0, 0x99,
                                         0x49, 0x0E, 0x61, 0x62, 0x63, 0x6E, 0x57, 0xF1, 0x21};
    struct crc32c crc;
    struct buf out = {0};

    (void)state;
    crc32c_init(&crc);
    tfrecord_add(&crc, &out, STR("abc"));
    assert_int_equal(out.len, sizeof(want));
    assert_memory_equal(out.ptr, want, sizeof(want));
    buf_release(&out);
}

static void assert_archive(struct archive *archive, const char *name, const char *content,
                           size_t len)
{
    struct archive_entry *entry = NULL;
    char bytes[2000];

    assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
    assert_string_equal(archive_entry_pathname(entry), name);
    assert_int_equal(archive_entry_size(entry), len);
    assert_int_equal(archive_entry_mtime(entry), 0);
    assert_int_equal(archive_entry_perm(entry), 0444);
    assert_int_equal(archive_read_data(archive, bytes, sizeof(bytes)), len);
    assert_memory_equal(bytes, content, len);
}

static void test_tar(void **state)
{
    char long_name[TAR_NAME_MAX + 2];
    char block[TAR_BLOCK];
    struct buf out = {0};
    struct err err = {0};
    struct archive *archive = archive_read_new();
    struct archive_entry *entry = NULL;

    (void)state;
    memset(long_name, 'n', sizeof(long_name));
    memset(block, 'x', sizeof(block));
    long_name[TAR_NAME_MAX] = '\0';
    assert_true(tar_add(&out, STR("a.json"), STR("{}"), &err));
    assert_true(tar_add(&out, STR("a.txt"), STR(""), &err));
    assert_true(tar_add(&out, str_from(long_name), (struct str){block, sizeof(block)}, &err));
    long_name[TAR_NAME_MAX] = 'n';
    assert_false(tar_add(&out, (struct str){long_name, TAR_NAME_MAX + 1}, STR(""), &err));
    assert_int_equal(err.code, ERR_LIMIT);
    tar_end(&out);
    assert_int_equal(out.len, 3 * 512 + 512 + 512 + 1024);

    archive_read_support_format_tar(archive);
    assert_int_equal(archive_read_open_memory(archive, out.ptr, out.len), ARCHIVE_OK);
    assert_archive(archive, "a.json", "{}", 2);
    assert_archive(archive, "a.txt", "", 0);
    long_name[TAR_NAME_MAX] = '\0';
    assert_archive(archive, long_name, block, sizeof(block));
    assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_EOF);
    assert_int_equal(archive_read_free(archive), ARCHIVE_OK);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc_vectors),   cmocka_unit_test(test_crc_ways_agree),
        cmocka_unit_test(test_example_bytes), cmocka_unit_test(test_record_bytes),
        cmocka_unit_test(test_tar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
