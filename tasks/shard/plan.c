/* From the options to a plan: the dataset opened, its columns chosen and found. */
#include "base/json.h"
#include "base/mem.h"
#include "tasks/shard/shard.h"

#include <stdlib.h>
#include <string.h>

#define MB 1e6

static enum shard_format format_from(const char *name)
{
    if (strcmp(name, "tfrecord") == 0)
        return FORMAT_TFRECORD;
    return strcmp(name, "parquet") == 0 ? FORMAT_PARQUET : FORMAT_WEBDATASET;
}

static size_t names_count(const json_t *names)
{
    return json_is_string(names) ? 1 : json_array_size(names);
}

static const char *name_at(const json_t *names, size_t i)
{
    return json_string_value(json_is_string(names) ? names : json_array_get(names, i));
}

static bool find_columns(const struct shard_plan *plan, const json_t *names,
                         const struct column_info ***ret_columns, size_t *ret_count,
                         struct err *err)
{
    size_t count = names_count(names);
    const struct column_info **columns = mem_alloc_array(count, sizeof(*columns));

    for (size_t i = 0; i < count; i++) {
        columns[i] = columns_need(&plan->columns, plan->path, name_at(names, i), err);
        if (columns[i] == NULL) {
            free(columns);
            return false;
        }
    }
    *ret_columns = columns;
    *ret_count = count;
    return true;
}

static bool find_column(const struct shard_plan *plan, const json_t *options, const char *option,
                        const struct column_info **ret_column, struct err *err)
{
    const char *name = json_get_string(options, option, NULL);

    if (name == NULL)
        return true;
    const struct column_info *column = columns_need(&plan->columns, plan->path, name, err);
    if (column == NULL)
        return err_wrap(err, "%s", option);
    *ret_column = column;
    return true;
}

static bool choose_columns(struct shard_plan *plan, const json_t *names, struct err *err)
{
    bool all = names == NULL || json_is_null(names);
    size_t count = all ? plan->columns.count : names_count(names);

    plan->chosen = mem_alloc_array(count, sizeof(*plan->chosen));
    for (size_t i = 0; i < count; i++) {
        const struct column_info *column =
            all ? &plan->columns.items[i]
                : columns_need(&plan->columns, plan->path, name_at(names, i), err);
        if (column == NULL)
            return err_wrap(err, "columns");
        for (size_t k = 0; k < i; k++)
            if (plan->chosen[k].info == column)
                return err_set(err, ERR_INVALID, "columns: `%s` is named twice", column->name);
        plan->chosen[i].info = column;
        plan->chosen_count++;
    }
    return count > 0 || err_set(err, ERR_INVALID, "columns names no column");
}

static bool check_extension(const struct shard_plan *plan, const char *column,
                            const char *extension, struct err *err)
{
    size_t len = extension == NULL ? 0 : strlen(extension);

    if (len == 0 || strspn(extension, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != len ||
        extension[0] == '.')
        return err_set(err, ERR_INVALID,
                       "extensions: '%s' of `%s` should be lower-case letters and digits, as jpg",
                       extension == NULL ? "" : extension, column);
    if (strcmp(extension, "json") == 0)
        return err_set(err, ERR_INVALID,
                       "extensions: json of `%s` is the extension of all other columns", column);
    for (size_t i = 0; i < plan->chosen_count; i++)
        if (plan->chosen[i].extension != NULL && strcmp(plan->chosen[i].extension, extension) == 0)
            return err_set(err, ERR_INVALID, "extensions: two columns have '%s'", extension);
    return true;
}

static bool set_extensions(struct shard_plan *plan, json_t *extensions, struct err *err)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(extensions, name, value)
    {
        const struct column_info *column = columns_need(&plan->columns, plan->path, name, err);
        if (column == NULL)
            return err_wrap(err, "extensions");
        if (!check_extension(plan, name, json_string_value(value), err))
            return false;
        bool found = false;
        for (size_t i = 0; i < plan->chosen_count; i++)
            if (plan->chosen[i].info == column) {
                plan->chosen[i].extension = json_string_value(value);
                found = true;
            }
        if (!found)
            return err_set(err, ERR_INVALID, "extensions: `%s` is not among `columns`", name);
    }
    return true;
}

static void set_sizes(struct shard_plan *plan, const json_t *size)
{
    double mb = json_get_number(size, "mb", 0);

    plan->rows_max = json_get_int(size, "rows", INT64_MAX);
    plan->bytes_max = mb > 0 ? (int64_t)(mb * MB) : INT64_MAX;
    if (mb <= 0 && plan->rows_max == INT64_MAX)
        plan->bytes_max = (int64_t)(256 * MB);
}

static bool open_dataset(struct shard_plan *plan, struct err *err)
{
    plan->path = json_get_string(plan->attempt->options, "dataset", "");
    plan->dataset = dataset_open(plan->path, err);
    if (plan->dataset == NULL)
        return false;
    dataset_add_source(plan->dataset, &plan->from);
    return columns_read(plan->attempt->engine, buf_text(&plan->from), &plan->columns, err) ||
           err_wrap(err, "read %s", plan->path);
}

/* Columns that the format can't hold are found before any row is read. */
static bool check_encodings(const struct shard_plan *plan, struct err *err)
{
    if (plan->format == FORMAT_PARQUET)
        return true;
    struct sample_encoder *encoder = encoder_new(plan, err);
    encoder_free(encoder);
    return encoder != NULL;
}

bool shard_plan_make(const struct attempt *attempt, struct shard_plan *plan, struct err *err)
{
    const json_t *options = attempt->options;
    const json_t *split = json_object_get(options, "split");
    const json_t *shuffle = json_object_get(options, "shuffle");

    plan->attempt = attempt;
    plan->format = format_from(json_get_string(options, "format", ""));
    plan->is_shuffled = json_is_object(shuffle);
    plan->shuffle_seed = json_get_int(shuffle, "seed", 0);
    plan->split_seed = json_get_int(split, "seed", 0);
    set_sizes(plan, json_object_get(options, "size"));
    return open_dataset(plan, err) &&
           choose_columns(plan, json_object_get(options, "columns"), err) &&
           set_extensions(plan, json_object_get(options, "extensions"), err) &&
           find_columns(plan, json_object_get(options, "key"), &plan->keys, &plan->key_count,
                        err) &&
           find_columns(plan, json_object_get(split, "key"), &plan->split_keys,
                        &plan->split_key_count, err) &&
           find_column(plan, options, "label", &plan->label, err) &&
           find_column(plan, split, "time", &plan->time, err) && splits_make(plan, err) &&
           check_encodings(plan, err);
}

void shard_plan_release(struct shard_plan *plan)
{
    for (size_t i = 0; i < plan->split_count; i++)
        json_decref(plan->splits[i].facts);
    columns_release(&plan->columns);
    buf_release(&plan->from);
    dataset_free(plan->dataset);
    free(plan->chosen);
    free(plan->keys);
    free(plan->split_keys);
    *plan = (struct shard_plan){0};
}
