/* Splits: which row goes where, what each of them holds, and the order of rows in it. */
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tasks/engine/instant.h"
#include "tasks/shard/shard.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 10000
#define LABELS_MAX 1000

static bool add_split(struct shard_plan *plan, const char *name, struct err *err)
{
    bool is_plain = str_is_id(str_from(name)) && name[0] != '.' && name[0] != '_';

    if (plan->split_count == SPLITS_MAX)
        return err_set(err, ERR_INVALID, "there are more than %d splits", SPLITS_MAX);
    if (!is_plain)
        return err_set(err, ERR_INVALID, "split: '%s' can't be the name of a folder", name);
    for (size_t i = 0; i < plan->split_count; i++)
        if (strcmp(plan->splits[i].name, name) == 0)
            return err_set(err, ERR_INVALID, "split: '%s' is named twice", name);
    plan->splits[plan->split_count++] = (struct split){.name = name, .facts = json_object()};
    return true;
}

static const char *item_at(const json_t *list, size_t i)
{
    return json_string_value(json_is_string(list) ? list : json_array_get(list, i));
}

static size_t items_of(const json_t *list)
{
    return json_is_string(list) ? 1 : json_array_size(list);
}

static const char *name_of(const json_t *names, size_t index, size_t count)
{
    if (names != NULL && !json_is_null(names))
        return item_at(names, index);
    if (index == 0)
        return "train";
    return index + 1 == count ? "test" : "validation";
}

static bool set_bounds(struct shard_plan *plan, const json_t *cutoffs, struct err *err)
{
    const struct attempt *attempt = plan->attempt;

    plan->splits[0].from_us = INT64_MIN;
    for (size_t i = 0; i + 1 < plan->split_count; i++) {
        int64_t us = 0;
        if (!instant_parse(attempt->engine, item_at(cutoffs, i), attempt->timezone, &us, err))
            return err_wrap(err, "split: cutoffs");
        if (us <= plan->splits[i].from_us)
            return err_set(err, ERR_INVALID,
                           "split: the cutoff '%s' is not after the one before it and its gap",
                           item_at(cutoffs, i));
        plan->splits[i].to_us = us;
        plan->splits[i + 1].from_us = us + plan->gap_us;
    }
    plan->splits[plan->split_count - 1].to_us = INT64_MAX;
    return true;
}

static bool make_temporal(struct shard_plan *plan, const json_t *options, struct err *err)
{
    const json_t *cutoffs = json_object_get(options, "cutoffs");
    const json_t *names = json_object_get(options, "names");
    const char *gap = json_get_string(options, "gap", "0s");
    size_t count = items_of(cutoffs) + 1;
    bool named = names != NULL && !json_is_null(names);

    plan->kind = SPLIT_TEMPORAL;
    if (plan->time == NULL)
        return err_set(err, ERR_INVALID, "split: kind temporal needs `time`");
    if (type_class_of(plan->time->type) != TYPE_TIME)
        return err_set(err, ERR_INVALID,
                       "split: the time `%s` of %s is %s, but a DATE or TIMESTAMP is needed",
                       plan->time->name, plan->path, plan->time->type);
    if (count == 1 || (named ? items_of(names) != count : count > 3))
        return err_set(err, ERR_INVALID, "split: %zu cutoffs need %zu names", count - 1, count);
    if (!duration_parse(str_from(gap), &plan->gap_us))
        return err_set(err, ERR_INVALID, "split: the gap '%s' is no length of time", gap);
    for (size_t i = 0; i < count; i++)
        if (!add_split(plan, name_of(named ? names : NULL, i, count), err))
            return false;
    return set_bounds(plan, cutoffs, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct split *)a)->name, ((const struct split *)b)->name);
}

/* Names in order, so that the order of the keys in the file does not decide who goes where. */
static bool make_hash(struct shard_plan *plan, json_t *fractions, struct err *err)
{
    const char *name = NULL;
    json_t *share = NULL;
    double sum = 0;

    plan->kind = SPLIT_HASH;
    if (plan->split_key_count == 0)
        return err_set(err, ERR_INVALID, "split: kind hash needs `key`");
    json_object_foreach(fractions, name, share) if (!add_split(plan, name, err)) return false;
    qsort(plan->splits, plan->split_count, sizeof(plan->splits[0]), compare_names);
    for (size_t i = 0; i < plan->split_count; i++) {
        double part = json_number_value(json_object_get(fractions, plan->splits[i].name));
        if (!(part > 0 && part <= 1))
            return err_set(err, ERR_INVALID, "split: the share of `%s` is not between 0 and 1",
                           plan->splits[i].name);
        plan->splits[i].bucket_from = (int64_t)llround(sum * BUCKETS);
        sum += part;
        plan->splits[i].bucket_to = (int64_t)llround(sum * BUCKETS);
    }
    return fabs(sum - 1) < 1e-6 ||
           err_set(err, ERR_INVALID, "split: the fractions add up to %g, not to 1", sum);
}

bool splits_make(struct shard_plan *plan, struct err *err)
{
    json_t *options = json_object_get(plan->attempt->options, "split");
    const char *kind = json_get_string(options, "kind", "none");

    if (strcmp(kind, "temporal") == 0)
        return make_temporal(plan, options, err);
    if (strcmp(kind, "hash") == 0)
        return make_hash(plan, json_object_get(options, "fractions"), err);
    plan->kind = SPLIT_NONE;
    plan->split_count = 1;
    plan->splits[0] = (struct split){.name = "", .facts = json_object()};
    return true;
}

/* Several columns as one text; the separators can't be confused with what people write. */
static void add_key_text(const struct column_info *const *columns, size_t count, struct buf *sql)
{
    for (size_t i = 0; i < count; i++) {
        buf_add_text(sql, i == 0 ? "coalesce(CAST(" : " || chr(31) || coalesce(CAST(");
        engine_add_identifier(sql, str_from(columns[i]->name));
        buf_add_text(sql, " AS VARCHAR), chr(30))");
    }
}

static void add_split_expression(const struct shard_plan *plan, struct buf *sql)
{
    if (plan->kind == SPLIT_NONE) {
        buf_add_text(sql, "0");
        return;
    }
    buf_add_text(sql, "CASE ");
    for (size_t i = 0; i < plan->split_count; i++) {
        const struct split *split = &plan->splits[i];
        if (plan->kind == SPLIT_HASH)
            buf_printf(sql, "WHEN _bucket >= %" PRId64 " AND _bucket < %" PRId64 " THEN %zu ",
                       split->bucket_from, split->bucket_to, i);
        else if (i == 0)
            buf_printf(sql, "WHEN _t < %" PRId64 " THEN 0 ", split->to_us);
        else
            buf_printf(sql, "WHEN _t >= %" PRId64 " AND _t < %" PRId64 " THEN %zu ", split->from_us,
                       split->to_us, i);
    }
    buf_add_text(sql, "END");
}

/* What the order is made from: the sample's key, else all columns but blobs. */
static void add_shuffle_hash(const struct shard_plan *plan, struct buf *sql)
{
    const struct column_info **columns = mem_alloc_array(plan->chosen_count, sizeof(*columns));
    size_t count = 0;

    for (size_t i = 0; i < plan->chosen_count; i++)
        if (type_class_of(plan->chosen[i].info->type) != TYPE_BLOB)
            columns[count++] = plan->chosen[i].info;
    buf_add_text(sql, ", millrace_xxh3(");
    if (plan->key_count > 0)
        add_key_text(plan->keys, plan->key_count, sql);
    else if (count > 0)
        add_key_text(columns, count, sql);
    else
        buf_add_text(sql, "''");
    buf_printf(sql, ", %" PRId64 "::UBIGINT) AS _h", plan->shuffle_seed);
    free(columns);
}

static void add_sample_key(const struct shard_plan *plan, struct buf *sql)
{
    for (size_t i = 0; i < plan->key_count; i++) {
        buf_add_text(sql, i == 0 ? ", CAST(" : " || '-' || CAST(");
        engine_add_identifier(sql, str_from(plan->keys[i]->name));
        buf_add_text(sql, " AS VARCHAR)");
    }
    buf_add_text(sql, plan->key_count > 0 ? " AS _key" : "");
}

static void compile_rows(const struct shard_plan *plan, struct buf *sql)
{
    buf_add_text(sql, "CREATE TABLE " SHARD_SCHEMA ".rows AS SELECT *, ");
    add_split_expression(plan, sql);
    buf_add_text(sql, " AS _split FROM (SELECT ");
    for (size_t i = 0; i < plan->chosen_count; i++) {
        engine_add_identifier(sql, str_from(plan->chosen[i].info->name));
        buf_printf(sql, " AS _c%zu, ", i);
    }
    if (plan->time != NULL)
        columns_add_epoch_us(plan->time, sql);
    else
        buf_add_text(sql, "NULL::BIGINT");
    buf_add_text(sql, " AS _t");
    if (plan->kind == SPLIT_HASH) {
        buf_add_text(sql, ", millrace_xxh3(");
        add_key_text(plan->split_keys, plan->split_key_count, sql);
        buf_printf(sql, ", %" PRId64 "::UBIGINT) %% %d AS _bucket", plan->split_seed, BUCKETS);
    }
    if (plan->label != NULL) {
        buf_add_text(sql, ", CAST(");
        engine_add_identifier(sql, str_from(plan->label->name));
        buf_add_text(sql, " AS VARCHAR) AS _label");
    }
    if (plan->is_shuffled)
        add_shuffle_hash(plan, sql);
    add_sample_key(plan, sql);
    buf_printf(sql, " FROM %s)", buf_text(&plan->from));
}

void splits_add_rows(const struct shard_plan *plan, size_t split, struct buf *sql)
{
    buf_printf(sql, " WHERE _split = %zu", split);
    if (!plan->is_shuffled)
        return;
    buf_add_text(sql, " ORDER BY _h");
    for (size_t i = 0; i < plan->chosen_count; i++)
        buf_printf(
            sql,
            type_class_of(plan->chosen[i].info->type) == TYPE_BLOB ? ", md5(_c%zu)" : ", _c%zu", i);
}

static void add_time_facts(json_t *facts, struct engine_result *rows)
{
    char text[TIMEFMT_SIZE];

    if (engine_is_null(rows, 2))
        return;
    (void)json_object_set_new(facts, "min_time",
                              json_string(timefmt_utc(engine_int(rows, 2), text)));
    (void)json_object_set_new(facts, "max_time",
                              json_string(timefmt_utc(engine_int(rows, 3), text)));
}

/* The first row that a promise of the splits does not hold for. */
static bool check_order(const struct shard_plan *plan, const int64_t *min, const int64_t *max,
                        struct err *err)
{
    for (size_t i = 0; i < plan->split_count; i++)
        if (plan->splits[i].rows == 0)
            return err_set(err, ERR_DATA,
                           "split: '%s' would be empty: no row of %s lies between its cutoffs",
                           plan->splits[i].name, plan->path);
    for (size_t i = 0; i + 1 < plan->split_count; i++)
        if (max[i] >= min[i + 1] || min[i + 1] - max[i] <= plan->gap_us)
            return err_set(err, ERR_FAILED, "split: '%s' reaches into '%s'", plan->splits[i].name,
                           plan->splits[i + 1].name);
    return true;
}

static bool count_splits(struct shard_plan *plan, struct err *err)
{
    int64_t min[SPLITS_MAX] = {0};
    int64_t max[SPLITS_MAX] = {0};
    struct err problem = {0};
    struct engine_result *rows = engine_query(
        plan->attempt->engine,
        "SELECT _split, count(*), min(_t), max(_t), count(*) - count(_t) FROM " SHARD_SCHEMA
        ".rows GROUP BY _split",
        &problem);

    while (rows != NULL && engine_next(rows, &problem)) {
        int64_t count = engine_int(rows, 1);
        plan->rows_in += count;
        if (engine_is_null(rows, 0)) {
            plan->no_time = engine_int(rows, 4);
            plan->in_gap = count - plan->no_time;
            continue;
        }
        size_t i = (size_t)engine_int(rows, 0);
        assert(i < plan->split_count);
        plan->splits[i].rows = count;
        min[i] = engine_int(rows, 2);
        max[i] = engine_int(rows, 3);
        add_time_facts(plan->splits[i].facts, rows);
    }
    engine_result_free(rows);
    if (problem.code != ERR_NONE) {
        *err = problem;
        return false;
    }
    if (plan->rows_in == 0)
        return err_set(err, ERR_DATA, "%s has no rows", plan->path);
    return plan->kind != SPLIT_TEMPORAL || check_order(plan, min, max, err);
}

static bool count_labels(struct shard_plan *plan, struct err *err)
{
    struct err problem = {0};

    if (plan->label == NULL)
        return true;
    struct engine_result *rows =
        engine_query(plan->attempt->engine,
                     "SELECT _split, coalesce(_label, 'null'), count(*) FROM " SHARD_SCHEMA
                     ".rows WHERE _split IS NOT NULL GROUP BY ALL ORDER BY ALL",
                     &problem);
    while (rows != NULL && engine_next(rows, &problem)) {
        json_t *facts = plan->splits[(size_t)engine_int(rows, 0)].facts;
        json_t *labels = json_object_get(facts, "labels");
        struct str label = engine_text(rows, 1);
        char *name = mem_dup(label.ptr, label.len);
        if (labels == NULL) {
            labels = json_object();
            (void)json_object_set_new(facts, "labels", labels);
        }
        if (json_object_size(labels) < LABELS_MAX)
            (void)json_object_set_new(labels, name, json_integer(engine_int(rows, 2)));
        free(name);
    }
    engine_result_free(rows);
    if (problem.code != ERR_NONE)
        *err = problem;
    return problem.code == ERR_NONE;
}

/* A sample's key is part of a file's name in the tar: unique, and without what readers cut at. */
static bool check_keys(struct shard_plan *plan, struct err *err)
{
    struct err problem = {0};

    if (plan->key_count == 0 || plan->format != FORMAT_WEBDATASET)
        return true;
    struct engine_result *rows = engine_query(
        plan->attempt->engine,
        "SELECT coalesce(_key, 'null'), count(*) FROM " SHARD_SCHEMA
        ".rows WHERE _split IS NOT NULL GROUP BY _key HAVING count(*) > 1 OR _key IS NULL OR NOT "
        "regexp_full_match(_key, '[^./[:cntrl:]]+') ORDER BY 2 DESC, 1 LIMIT 1",
        &problem);
    if (rows != NULL && engine_next(rows, &problem)) {
        int64_t count = engine_int(rows, 1);
        if (count > 1)
            err_set(&problem, ERR_DATA,
                    "key: %" PRId64 " rows of %s have the key '%.*s', but each sample needs its "
                    "own: add a column to `key`",
                    count, plan->path, STR_ARG(engine_text(rows, 0)));
        else
            err_set(&problem, ERR_DATA,
                    "key: '%.*s' in %s can't name a sample: a key is not empty and has no '.', "
                    "'/' or control characters",
                    STR_ARG(engine_text(rows, 0)), plan->path);
    }
    engine_result_free(rows);
    if (problem.code != ERR_NONE)
        *err = problem;
    return problem.code == ERR_NONE;
}

bool splits_load(struct shard_plan *plan, struct err *err)
{
    struct engine *engine = plan->attempt->engine;
    struct buf sql = {0};

    compile_rows(plan, &sql);
    bool ok =
        engine_run(engine, "DROP SCHEMA IF EXISTS " SHARD_SCHEMA " CASCADE", NULL, err) &&
        engine_run(engine, "CREATE SCHEMA " SHARD_SCHEMA, NULL, err) &&
        (engine_run(engine, buf_text(&sql), NULL, err) || err_wrap(err, "read %s", plan->path));
    buf_release(&sql);
    return ok && count_splits(plan, err) && count_labels(plan, err) && check_keys(plan, err);
}
