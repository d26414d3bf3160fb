/* shard: what is read back by other code equals the dataset, for every format and awkward value;
 * splits keep their promises; the same bytes every time; errors that name what is wrong. */
#include "tasks/shard/crc32c.h"
#include "test_feature_fixture.h"

#include <archive.h>
#include <archive_entry.h>

/* Nulls, empty texts and blobs, zero bytes, UTF-8, long values, extremes. */
static const char odd_sql[] =
    "SELECT i::INTEGER AS id, CASE WHEN i % 3 = 0 THEN NULL WHEN i = 1 THEN (-9223372036854775808) "
    "ELSE -i END::BIGINT AS n, CASE WHEN i % 4 = 0 THEN NULL WHEN i = 1 THEN 'nan' WHEN i = 2 THEN "
    "'-infinity' ELSE i / 8.0 END::DOUBLE AS f, CASE WHEN i % 5 = 0 THEN NULL WHEN i = 1 THEN '' "
    "WHEN i = 2 THEN repeat('grüße ', 2000) ELSE 'a\"b\\' || chr(10) || i END AS t, "
    "CASE WHEN i % 6 = 0 THEN NULL WHEN i = 1 THEN ''::BLOB WHEN i = 2 THEN "
    "'\\x00\\xFF\\x00'::BLOB ELSE i::VARCHAR::BLOB END AS b, (i - 2) / 100::DECIMAL(6,2) AS d, "
    "i % 2 = 0 AS flag, TIMESTAMPTZ '2026-01-01 00:00:00+00' + i::INTEGER * INTERVAL 1 HOUR AS ts, "
    "[i, -i]::INTEGER[] AS ints, [i / 4.0, 0.5]::FLOAT[] AS floats, ['x', i::VARCHAR] AS texts, "
    "DATE '2026-01-01' AS day FROM range(40) t(i)";

static struct err run_shard(struct fixture *f, const char *options)
{
    struct err err = {0};

    if (!shard_run(fixture_attempt(f, options), &err) && err.code == ERR_NONE)
        fail_msg("failed without an error");
    return err;
}

static void must_shard(struct fixture *f, const char *options)
{
    struct err err = run_shard(f, options);

    if (err.code != ERR_NONE)
        fail_msg("%s", err.message);
}

/* The manifest of what is published at a path. */
static json_t *manifest_of(const char *path)
{
    struct err err = {0};
    struct buf text = {0};
    char *file = fs_join(path, "_manifest.json");

    assert_true(fs_read_file(file, 1 << 20, &text, &err));
    json_t *manifest = json_parse(buf_str(&text), &err);
    assert_non_null(manifest);
    free(file);
    buf_release(&text);
    return manifest;
}

/* The path of a file by its place in the manifest, which must call it `name`; NULL where there is
 * none. Published names have the version before the first dot. */
static char *file_of(const char *path, size_t index, const char *name)
{
    json_t *manifest = manifest_of(path);
    json_t *files = json_object_get(json_object_get(manifest, "content"), "files");
    const json_t *file = json_array_get(files, index);
    struct buf out = {0};

    if (file == NULL) {
        json_decref(manifest);
        return NULL;
    }
    assert_string_equal(json_get_string(file, "path", ""), name);
    const char *dot = strchr(name, '.');
    buf_printf(&out, "%s/%.*s-%s%s", path, (int)(dot - name), name,
               json_get_string(manifest, "version", ""), dot);
    json_decref(manifest);
    return buf_take(&out);
}

/* A reader of TFRecord that shares nothing with the writer but the CRC, which has tests of its own.
 */
static uint64_t little(const unsigned char *at, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static bool crc_holds(const struct crc32c *crc, const unsigned char *at, size_t len)
{
    uint32_t plain = crc32c_of(crc, (struct str){(const char *)at, len});

    return little(at + len, 4) == (((plain >> 15) | (plain << 17)) + 0xA282EAD8U);
}

/* The next record; its data is NULL at the end, and *ret_good false where a CRC or length is wrong.
 */
static struct str next_record(const struct crc32c *crc, struct str file, size_t *at, bool *ret_good)
{
    const unsigned char *bytes = (const unsigned char *)file.ptr + *at;
    size_t left = file.len - *at;

    *ret_good = left == 0;
    if (left < 16 || !crc_holds(crc, bytes, 8))
        return (struct str){0};
    uint64_t len = little(bytes, 8);
    if (len > left - 16 || !crc_holds(crc, bytes + 12, len))
        return (struct str){0};
    *ret_good = true;
    *at += 16 + len;
    return (struct str){file.ptr + *at - len - 4, len};
}

static uint64_t read_varint(struct str *in)
{
    uint64_t value = 0;

    for (unsigned shift = 0;; shift += 7) {
        assert_true(in->len > 0 && shift < 70);
        unsigned char byte = (unsigned char)in->ptr[0];
        *in = str_sub(*in, 1, in->len);
        value |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
}

static struct str read_field(struct str *in, unsigned *ret_tag)
{
    *ret_tag = (unsigned)read_varint(in);
    assert_int_equal(*ret_tag & 7, 2);
    uint64_t len = read_varint(in);
    assert_true(len <= in->len);
    struct str field = str_sub(*in, 0, len);
    *in = str_sub(*in, len, in->len);
    return field;
}

/* The Feature of a key: its list's tag and content; false where the Example has none. */
static bool find_feature(struct str example, const char *key, unsigned *ret_kind,
                         struct str *ret_list)
{
    unsigned tag = 0;
    struct str features = read_field(&example, &tag);

    while (features.len > 0) {
        struct str entry = read_field(&features, &tag);
        struct str name = read_field(&entry, &tag);
        struct str feature = read_field(&entry, &tag);
        if (!str_is(name, key))
            continue;
        *ret_list = read_field(&feature, ret_kind);
        return true;
    }
    return false;
}

static struct str inner(struct str list)
{
    unsigned tag = 0;
    struct str bytes = read_field(&list, &tag);

    assert_int_equal(tag, 0x0A);
    return bytes;
}

static void assert_int_feature(struct str example, const char *key, bool is_null, int64_t want)
{
    struct str list = {0};
    unsigned kind = 0;

    assert_int_equal(find_feature(example, key, &kind, &list), !is_null);
    if (is_null)
        return;
    assert_int_equal(kind, 0x1A);
    struct str packed = inner(list);
    assert_int_equal((int64_t)read_varint(&packed), want);
}

static void assert_float_feature(struct str example, const char *key, bool is_null, double want)
{
    struct str list = {0};
    unsigned kind = 0;
    float value = 0;

    assert_int_equal(find_feature(example, key, &kind, &list), !is_null);
    if (is_null)
        return;
    assert_int_equal(kind, 0x12);
    struct str packed = inner(list);
    assert_true(packed.len >= sizeof(value));
    memcpy(&value, packed.ptr, sizeof(value));
    float narrow = (float)want;
    assert_memory_equal(&value, &narrow, sizeof(value));
}

static void assert_bytes_feature(struct str example, const char *key, bool is_null, struct str want)
{
    struct str list = {0};
    unsigned kind = 0;

    assert_int_equal(find_feature(example, key, &kind, &list), !is_null);
    if (is_null)
        return;
    assert_int_equal(kind, 0x0A);
    struct str bytes = inner(list);
    assert_int_equal(bytes.len, want.len);
    if (want.len > 0)
        assert_memory_equal(bytes.ptr, want.ptr, want.len);
}

static void assert_example(struct str example, struct engine_result *row)
{
    assert_int_feature(example, "id", false, engine_int(row, 0));
    assert_int_feature(example, "n", engine_is_null(row, 1), engine_int(row, 1));
    assert_float_feature(example, "f", engine_is_null(row, 2), engine_real(row, 2));
    assert_bytes_feature(example, "t", engine_is_null(row, 3), engine_text(row, 3));
    assert_bytes_feature(example, "b", engine_is_null(row, 4), engine_blob(row, 4));
    assert_float_feature(example, "d", false, engine_real(row, 5));
    assert_int_feature(example, "flag", false, engine_bool(row, 6));
    assert_int_feature(example, "ts", false, engine_int(row, 7));
    assert_int_feature(example, "ints", false, engine_int(row, 0));
    assert_float_feature(example, "floats", false, (double)engine_int(row, 0) / 4.0);
    assert_bytes_feature(example, "texts", false, STR("x"));
}

static void test_tfrecord_round_trip(void **state)
{
    struct fixture *f = *state;
    struct crc32c crc;
    struct err err = {0};
    size_t records = 0;

    crc32c_init(&crc);
    fixture_publish(f, "lake/odd", odd_sql);
    must_shard(f, "{'dataset': 'lake/odd', 'target': 'shards/odd', 'format': 'tfrecord', 'size': "
                  "{'rows': 16}}");
    fixture_load(f, "odd", "lake/odd");
    struct engine_result *row =
        engine_query(f->engine, "SELECT * REPLACE (epoch_us(ts) AS ts) FROM odd ORDER BY id", &err);
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        struct buf file = {0};
        bool good = true;
        (void)snprintf(name, sizeof(name), "shard-%05zu-of-00003.tfrecord", i);
        char *path = file_of("shards/odd", i, name);
        assert_true(fs_read_file(path, 1 << 20, &file, &err));
        for (size_t at = 0; at < file.len; records++) {
            struct str example = next_record(&crc, buf_str(&file), &at, &good);
            assert_true(good && engine_next(row, &err));
            assert_example(example, row);
        }
        buf_release(&file);
        free(path);
    }
    assert_int_equal(records, 40);
    assert_null(file_of("shards/odd", 3, ""));
    engine_result_free(row);
}

/* One flipped bit anywhere is found. */
static void test_tfrecord_damage(void **state)
{
    struct fixture *f = *state;
    struct crc32c crc;
    struct err err = {0};
    struct buf file = {0};

    crc32c_init(&crc);
    fixture_publish(f, "lake/odd", "SELECT 7 AS id, 'text' AS t");
    must_shard(f, "{'dataset': 'lake/odd', 'target': 'shards/odd', 'format': 'tfrecord'}");
    char *path = file_of("shards/odd", 0, "shard-00000-of-00001.tfrecord");
    assert_true(fs_read_file(path, 1 << 20, &file, &err));
    for (size_t i = 0; i < file.len * 8; i++) {
        size_t at = 0;
        bool good = true;
        file.ptr[i / 8] = (char)(file.ptr[i / 8] ^ (1 << (i % 8)));
        (void)next_record(&crc, buf_str(&file), &at, &good);
        assert_false(good);
        file.ptr[i / 8] = (char)(file.ptr[i / 8] ^ (1 << (i % 8)));
    }
    buf_release(&file);
    free(path);
}

/* Reads one member, whose name must be <nine digits>.<extension>. */
static struct str read_member(struct archive *archive, struct archive_entry **entry, size_t sample,
                              const char *extension, char *bytes, size_t size)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%09zu.%s", sample, extension);
    assert_int_equal(archive_read_next_header(archive, entry), ARCHIVE_OK);
    assert_string_equal(archive_entry_pathname(*entry), name);
    assert_int_equal(archive_entry_perm(*entry), 0444);
    la_ssize_t len = archive_read_data(archive, bytes, size);
    assert_true(len >= 0 && (size_t)len < size);
    return (struct str){bytes, (size_t)len};
}

static void assert_json(struct str text, struct engine_result *row)
{
    struct err err = {0};
    json_t *json = json_parse(text, &err);
    char ts[40];

    if (json == NULL)
        fail_msg("%.*s: %s", STR_ARG(text), err.message);
    assert_int_equal(json_get_int(json, "id", -1), engine_int(row, 0));
    assert_int_equal(json_is_null(json_object_get(json, "n")), engine_is_null(row, 1));
    assert_true(json_get_int(json, "n", 0) == engine_int(row, 1));
    bool is_finite = !engine_is_null(row, 2) && engine_int(row, 0) > 2;
    assert_int_equal(json_is_number(json_object_get(json, "f")), is_finite);
    if (is_finite)
        assert_true(json_get_number(json, "f", 0) == engine_real(row, 2));
    assert_true(json_get_number(json, "d", 9) == engine_real(row, 5));
    assert_int_equal(json_get_bool(json, "flag", false), engine_bool(row, 6));
    (void)snprintf(ts, sizeof(ts), "2026-01-%02dT%02d:00:00Z", (int)(engine_int(row, 0) / 24) + 1,
                   (int)(engine_int(row, 0) % 24));
    assert_string_equal(json_get_string(json, "ts", ""), ts);
    assert_string_equal(json_get_string(json, "day", ""), "2026-01-01");
    assert_int_equal(json_array_size(json_object_get(json, "ints")), 2);
    assert_int_equal(json_object_size(json), 10);
    json_decref(json);
}

static void assert_same(struct str got, struct str want)
{
    assert_int_equal(got.len, want.len);
    if (want.len > 0)
        assert_memory_equal(got.ptr, want.ptr, want.len);
}

static void test_webdataset_round_trip(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    static char bytes[32768];
    size_t sample = 0;

    fixture_publish(f, "lake/odd", odd_sql);
    must_shard(f, "{'dataset': 'lake/odd', 'target': 'shards/odd', 'format': 'webdataset', "
                  "'extensions': {'t': 'txt', 'b': 'bin'}, 'size': {'rows': 30}}");
    fixture_load(f, "odd", "lake/odd");
    struct engine_result *row = engine_query(f->engine, "SELECT * FROM odd ORDER BY id", &err);
    for (size_t i = 0; i < 2; i++) {
        char *path = file_of("shards/odd", i, i == 0 ? "shard-000000.tar" : "shard-000001.tar");
        struct archive *archive = archive_read_new();
        struct archive_entry *entry = NULL;
        archive_read_support_format_tar(archive);
        assert_int_equal(archive_read_open_filename(archive, path, 10240), ARCHIVE_OK);
        for (size_t n = i == 0 ? 30 : 10; n > 0; n--, sample++) {
            assert_true(engine_next(row, &err));
            if (!engine_is_null(row, 4))
                assert_same(read_member(archive, &entry, sample, "bin", bytes, sizeof(bytes)),
                            engine_blob(row, 4));
            assert_json(read_member(archive, &entry, sample, "json", bytes, sizeof(bytes)), row);
            if (!engine_is_null(row, 3))
                assert_same(read_member(archive, &entry, sample, "txt", bytes, sizeof(bytes)),
                            engine_text(row, 3));
        }
        assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_EOF);
        assert_int_equal(archive_read_free(archive), ARCHIVE_OK);
        free(path);
    }
    engine_result_free(row);
}

static void test_parquet_round_trip(void **state)
{
    struct fixture *f = *state;

    fixture_publish(f, "lake/odd", odd_sql);
    must_shard(f, "{'dataset': 'lake/odd', 'target': 'shards/odd', 'format': 'parquet', 'shuffle': "
                  "{'seed': 3}, 'size': {'rows': 9}}");
    fixture_load(f, "odd", "lake/odd");
    fixture_load(f, "shards", "shards/odd");
    assert_int_equal(fixture_int(f, "SELECT count(*) FROM (FROM odd EXCEPT ALL FROM shards)"), 0);
    assert_int_equal(fixture_int(f, "SELECT count(*) FROM shards"), 40);
    assert_int_equal(json_get_int(f->attempt.outputs, "shards", 0), 5);
    assert_int_equal(json_get_int(f->attempt.outputs, "files", 0), 5);
}

#define TEMPORAL                                                                                   \
    "'split': {'kind': 'temporal', 'time': 'ts', 'cutoffs': ['2026-01-11', "                       \
    "'2026-01-21T00:00:00Z'], 'gap': '2d'}"

/* 1000 rows, one an hour from 2026-01-01, and 7 without a time. */
static const char hours_sql[] =
    "SELECT i % 50 AS u, i, CASE WHEN i < 1000 THEN TIMESTAMP '2026-01-01' + i::INTEGER * INTERVAL "
    "1 HOUR END AS ts, i % 4 = 0 AS churned FROM range(1007) t(i)";

static void test_temporal_split(void **state)
{
    struct fixture *f = *state;

    fixture_publish(f, "lake/hours", hours_sql);
    must_shard(f, "{'dataset': 'lake/hours', 'target': 'shards/h', 'format': 'parquet', 'label': "
                  "'churned', " TEMPORAL "}");
    json_t *manifest = manifest_of("shards/h");
    json_t *content = json_object_get(manifest, "content");
    json_t *splits = json_object_get(content, "splits");
    json_t *counts = json_object_get(content, "counts");
    assert_int_equal(json_get_int(json_object_get(splits, "train"), "rows", 0), 240);
    assert_int_equal(json_get_int(json_object_get(splits, "validation"), "rows", 0), 192);
    assert_int_equal(json_get_int(json_object_get(splits, "test"), "rows", 0), 472);
    assert_string_equal(json_get_string(json_object_get(splits, "train"), "max_time", ""),
                        "2026-01-10T23:00:00Z");
    assert_string_equal(json_get_string(json_object_get(splits, "validation"), "min_time", ""),
                        "2026-01-13T00:00:00Z");
    assert_int_equal(
        json_get_int(json_object_get(json_object_get(splits, "train"), "labels"), "true", 0), 60);
    assert_int_equal(json_get_int(counts, "rows_in", 0), 1007);
    assert_int_equal(json_get_int(counts, "rows_out", 0), 904);
    assert_int_equal(json_get_int(counts, "in_gap", 0), 96);
    assert_int_equal(json_get_int(counts, "no_time", 0), 7);
    json_decref(manifest);
}

/* No key is in two splits, shares are about right, and nothing is lost. */
static void test_hash_split(void **state)
{
    struct fixture *f = *state;

    fixture_publish(f, "lake/users", "SELECT i % 5000 AS u, i FROM range(20000) t(i)");
    must_shard(f, "{'dataset': 'lake/users', 'target': 'shards/u', 'format': 'parquet', 'split': "
                  "{'kind': 'hash', 'key': ['u'], 'fractions': {'train': 0.8, 'validation': 0.1, "
                  "'test': 0.1}, 'seed': 5}}");
    struct buf sql = {0};
    buf_add_text(&sql, "CREATE TABLE split AS SELECT u, i, split_part(filename, '/', 3) AS s FROM "
                       "read_parquet('shards/u/*/*.parquet', filename = true)");
    fixture_run(f, buf_text(&sql));
    assert_int_equal(fixture_int(f, "SELECT count(DISTINCT i) FROM split"), 20000);
    assert_int_equal(
        fixture_int(f, "SELECT max(n) FROM (SELECT count(DISTINCT s) n FROM split GROUP BY u)"), 1);
    int64_t train = fixture_int(f, "SELECT count(*) FROM split WHERE s = 'train'");
    assert_in_range(train, 15500, 16500);
    assert_in_range(fixture_int(f, "SELECT count(*) FROM split WHERE s = 'test'"), 1700, 2300);
    buf_release(&sql);
}

static void get_version(struct fixture *f, char out[64])
{
    (void)snprintf(out, 64, "%s", json_get_string(f->attempt.outputs, "version", "none"));
}

/* Threads and the order of what is read do not matter to a shuffle; the seed does. */
static void test_same_bytes(void **state)
{
    static const char *const formats[] = {"webdataset", "tfrecord", "parquet"};
    struct fixture *f = *state;
    char options[512];
    char first[64];
    char again[64];
    char other[64];

    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(options, sizeof(options),
                       "{'dataset': 'lake/hours', 'target': 'shards/h%zu', 'format': '%s', 'size': "
                       "{'mb': 0.01}, 'shuffle': {'seed': 42}, " TEMPORAL "}",
                       i, formats[i]);
        fixture_publish(f, "lake/hours", hours_sql);
        must_shard(f, options);
        assert_true(json_get_int(f->attempt.outputs, "files", 0) >= 3);
        get_version(f, first);
        fixture_run(f, "SET threads=3");
        must_shard(f, options);
        get_version(f, again);
        assert_string_equal(first, again);
        assert_true(json_get_bool(f->attempt.outputs, "unchanged", false));
        *strstr(options, "42") = '5';
        must_shard(f, options);
        get_version(f, other);
        assert_string_not_equal(first, other);
    }
}

static void test_order_is_shuffled(void **state)
{
    struct fixture *f = *state;

    fixture_publish(f, "lake/hours", hours_sql);
    must_shard(f, "{'dataset': 'lake/hours', 'target': 'shards/h', 'format': 'parquet'}");
    fixture_load(f, "plain", "shards/h");
    assert_int_equal(fixture_int(f, "SELECT count(*) FROM (SELECT i < lag(i) OVER () AS down FROM "
                                    "plain) WHERE down"),
                     0);
    must_shard(f, "{'dataset': 'lake/hours', 'target': 'shards/h', 'format': 'parquet', 'shuffle': "
                  "{'seed': 1}}");
    fixture_load(f, "mixed", "shards/h");
    assert_in_range(fixture_int(f, "SELECT count(*) FROM (SELECT i < lag(i) OVER () AS down FROM "
                                   "mixed) WHERE down"),
                    400, 600);
}

static void test_own_keys(void **state)
{
    struct fixture *f = *state;
    struct archive *archive = archive_read_new();
    struct archive_entry *entry = NULL;

    fixture_publish(f, "lake/k", "SELECT 'a' || (i // 2) AS k, i % 2 AS side FROM range(4) t(i)");
    must_shard(f, "{'dataset': 'lake/k', 'target': 'shards/k', 'format': 'webdataset', 'key': "
                  "['k', 'side'], 'columns': ['side']}");
    char *path = file_of("shards/k", 0, "shard-000000.tar");
    archive_read_support_format_tar(archive);
    assert_int_equal(archive_read_open_filename(archive, path, 10240), ARCHIVE_OK);
    assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
    assert_string_equal(archive_entry_pathname(entry), "a0-0.json");
    assert_int_equal(archive_entry_size(entry), strlen("{\"side\":0}"));
    assert_int_equal(archive_read_free(archive), ARCHIVE_OK);
    free(path);
}

static void test_errors(void **state)
{
#define SHARD(format, rest)                                                                        \
    "{'dataset': 'lake/odd', 'target': 'shards/bad', 'format': '" format "'" rest "}"
    static const struct {
        const char *options;
        enum err_code code;
        const char *says;
    } rows[] = {
        {SHARD("parquet",                                                    ", 'columns': ['idd']"),                                                   ERR_INVALID,
         "lake/odd has no column `idd`: did you mean `id`?"},
        {SHARD("webdataset",                                                                  ""),                                                                                                                          ERR_INVALID,"`b` is a BLOB, which a .json can't hold"},
        {SHARD("webdataset",                         ", 'columns': ['id'], 'extensions': {'b': 'bin'}"),                                                                                                  ERR_INVALID,
         "`b` is not among `columns`"},
        {SHARD("webdataset",                                                       ", 'columns': ['id'], 'key': 'flag'"),                                                                                                                  ERR_DATA,
         "20 rows of lake/odd have the key 'false'"},
        {SHARD("webdataset",", 'columns': ['id'], 'key': 'd'"),ERR_DATA,"can't name a sample"},
        {SHARD("tfrecord",
         ", 'split': {'kind': 'temporal', 'time': 'ts', 'cutoffs': ['2027-01-01']}"),
         ERR_DATA, "'test' would be empty"},
        {SHARD("tfrecord",                                                                  ", 'split': {'kind': 'temporal', 'time': 'ts', 'cutoffs': "
                           "['2026-01-02', '2026-01-01']}"),
         ERR_INVALID,"'2026-01-01' is not after"},
        {SHARD("tfrecord",                                           ", 'split': {'kind': 'temporal', 'time': 't', 'cutoffs': ['x']}"),
         ERR_INVALID,"the time `t` of lake/odd is VARCHAR"},
        {SHARD("tfrecord",                                                        ", 'split': {'kind': 'hash', 'key': 'id', 'fractions': {'a': 0.5}}"),
         ERR_INVALID,                                  "add up to 0.5"},
        {SHARD("tfrecord",", 'split': {'kind': 'hash', 'key': 'id', 'fractions': {'../a': 1}}"),
         ERR_INVALID,"can't be the name of a folder"},
        {"{'dataset': 'lake/no', 'target': 'shards/bad', 'format': 'parquet'}",                                                   ERR_NOT_FOUND,
         "lake/no"},
        {"{'dataset': 'lake/empty', 'target': 'shards/bad', 'format': 'parquet'}",                                                                  ERR_DATA,
         "lake/empty has no rows"},
        {"{'dataset': 'lake/struct', 'target': 'shards/bad', 'format': 'tfrecord'}",                                   ERR_INVALID,
         "which an Example can't hold"},
    };
    struct fixture *f = *state;

    fixture_publish(f, "lake/odd", odd_sql);
    fixture_publish(f, "lake/empty", "SELECT 1 AS a WHERE false");
    fixture_publish(f, "lake/struct", "SELECT {'a': 1} AS s");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = run_shard(f, rows[i].options);
        if (err.code != rows[i].code || strstr(err.message, rows[i].says) == NULL)
            fail_msg("row %zu: %s: %s", i, err_name(err.code), err.message);
        assert_int_equal(access("shards/bad", F_OK), -1);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tfrecord_round_trip),
        TEST(test_tfrecord_damage),
        TEST(test_webdataset_round_trip),
        TEST(test_parquet_round_trip),
        TEST(test_temporal_split),
        TEST(test_hash_split),
        TEST(test_same_bytes),
        TEST(test_order_is_shuffled),
        TEST(test_own_keys),
        TEST(test_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
