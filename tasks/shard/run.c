/* shard: from a dataset to published shards. */
#include "base/fs.h"
#include "base/json.h"
#include "tasks/shard/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool make_folder(const struct shard_plan *plan, size_t split,
                        const struct publication *publication, struct err *err)
{
    if (plan->splits[split].name[0] == '\0')
        return true;
    char *path = fs_join(publication_folder(publication), plan->splits[split].name);
    bool ok = fs_make_folders(path, 0777, err);
    free(path);
    return ok;
}

static bool write_splits(struct shard_plan *plan, struct publication *publication, struct err *err)
{
    for (size_t i = 0; i < plan->split_count; i++) {
        const struct split *split = &plan->splits[i];
        if (split->rows == 0)
            continue;
        bool ok = make_folder(plan, i, publication, err) &&
                  (plan->format == FORMAT_PARQUET ? parquet_write(plan, i, publication, err)
                                                  : samples_write(plan, i, publication, err));
        if (!ok)
            return split->name[0] == '\0' ? false : err_wrap(err, "split '%s'", split->name);
        printf("%s: %" PRId64 " rows in %" PRId64 " shards\n",
               split->name[0] == '\0' ? "all" : split->name, split->rows, split->shards);
    }
    return plan->format != FORMAT_PARQUET || publication_describe_parquet(publication, err);
}

/* What a reader of the shards wants to know without opening them. */
static void describe_columns(const struct shard_plan *plan, json_t *content)
{
    json_t *columns = json_array();

    for (size_t i = 0; i < plan->chosen_count; i++) {
        json_t *column = json_pack("{s:s, s:s}", "name", plan->chosen[i].info->name, "type",
                                   plan->chosen[i].info->type);
        if (plan->chosen[i].extension != NULL)
            (void)json_object_set_new(column, "extension", json_string(plan->chosen[i].extension));
        (void)json_array_append_new(columns, column);
    }
    (void)json_object_set_new(content, "fields", columns);
}

static int64_t rows_out(const struct shard_plan *plan)
{
    return plan->rows_in - plan->no_time - plan->in_gap;
}

static void describe(const struct shard_plan *plan, struct publication *publication)
{
    json_t *content = publication_content(publication);
    json_t *splits = json_object();

    for (size_t i = 0; i < plan->split_count; i++) {
        const struct split *split = &plan->splits[i];
        json_t *facts = json_deep_copy(split->facts);
        (void)json_object_set_new(facts, "rows", json_integer((json_int_t)split->rows));
        (void)json_object_set_new(facts, "shards", json_integer((json_int_t)split->shards));
        (void)json_object_set_new(splits, split->name[0] == '\0' ? "all" : split->name, facts);
    }
    (void)json_object_set_new(content, "splits", splits);
    (void)json_object_set(content, "format", json_object_get(plan->attempt->options, "format"));
    for (const char *const *key = (const char *const[]){"split", "shuffle", NULL}; *key != NULL;
         key++)
        if (json_is_object(json_object_get(plan->attempt->options, *key)))
            (void)json_object_set(content, *key, json_object_get(plan->attempt->options, *key));
    describe_columns(plan, content);
    (void)json_object_set_new(
        content, "counts",
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "rows_in", (json_int_t)plan->rows_in, "rows_out",
                  (json_int_t)rows_out(plan), "filtered",
                  (json_int_t)(plan->no_time + plan->in_gap), "no_time", (json_int_t)plan->no_time,
                  "in_gap", (json_int_t)plan->in_gap));
    dataset_add_inputs(plan->dataset, publication);
}

static void fill_outputs(const struct shard_plan *plan, json_t *outputs)
{
    json_t *splits = json_object();
    int64_t shards = 0;

    for (size_t i = 0; i < plan->split_count; i++) {
        const struct split *split = &plan->splits[i];
        (void)json_object_set_new(splits, split->name[0] == '\0' ? "all" : split->name,
                                  json_integer((json_int_t)split->rows));
        shards += split->shards;
    }
    (void)json_object_set_new(outputs, "splits", splits);
    (void)json_object_set_new(outputs, "shards", json_integer((json_int_t)shards));
    (void)json_object_set_new(outputs, "rows_in", json_integer((json_int_t)plan->rows_in));
    (void)json_object_set_new(outputs, "filtered",
                              json_integer((json_int_t)(plan->no_time + plan->in_gap)));
}

static bool publish(struct attempt *attempt, struct shard_plan *plan, struct err *err)
{
    struct publication *publication =
        publication_begin(attempt, json_get_string(attempt->options, "target", ""), err);
    bool unchanged = false;
    bool ok = publication != NULL && write_splits(plan, publication, err);

    if (ok) {
        describe(plan, publication);
        fill_outputs(plan, attempt->outputs);
        ok = publication_commit(publication, &unchanged, err);
    }
    publication_free(publication);
    if (!ok)
        return false;
    printf("%" PRId64 " rows in, %" PRId64 " out, %" PRId64 " in gaps, %" PRId64
           " without time%s\n",
           plan->rows_in, rows_out(plan), plan->in_gap, plan->no_time,
           unchanged ? "; the same as published already" : "");
    return true;
}

static bool is_unchanged(const struct attempt *attempt, const struct shard_plan *plan)
{
    json_t *before = published_candidate(attempt, json_get_string(attempt->options, "target", ""));
    json_t *list = json_array();

    dataset_list_inputs(plan->dataset, list);
    bool same = published_is_unchanged(attempt, before, list);
    json_decref(list);
    json_decref(before);
    return same;
}

bool shard_run(struct attempt *attempt, struct err *err)
{
    struct shard_plan plan = {0};
    struct err problem = {0};
    bool ok = shard_plan_make(attempt, &plan, &problem);

    if (ok && !is_unchanged(attempt, &plan))
        ok = splits_load(&plan, &problem) && publish(attempt, &plan, &problem);

    shard_plan_release(&plan);
    if (!ok)
        *err = problem;
    return ok;
}
