/* From the options to a plan: datasets opened, columns resolved, results typed. */
#include "tasks/feature/feature.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tasks/engine/instant.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const aggregate_names[] = {"count", "count_distinct", "sum",  "mean",  "min",
                                              "max",   "first",          "last", "stddev"};

const char *aggregate_name(enum aggregate aggregate)
{
    return aggregate < AGGREGATE_INVALID ? aggregate_names[aggregate] : "?";
}

enum aggregate aggregate_from(const char *name)
{
    for (int i = 0; i < AGGREGATE_INVALID; i++)
        if (strcmp(aggregate_names[i], name) == 0)
            return (enum aggregate)i;
    return AGGREGATE_INVALID;
}

static bool input_open(struct engine *engine, const json_t *options, struct input *input,
                       struct err *err)
{
    input->path = json_get_string(options, "dataset", "");
    input->time = json_get_string(options, "time", "");
    input->dataset = dataset_open(input->path, err);
    if (input->dataset == NULL)
        return false;
    dataset_add_source(input->dataset, &input->from);
    if (!columns_read(engine, buf_text(&input->from), &input->columns, err))
        return err_wrap(err, "read %s", input->path);
    input->time_column = columns_need(&input->columns, input->path, input->time, err);
    if (input->time_column == NULL)
        return false;
    if (type_class_of(input->time_column->type) != TYPE_TIME)
        return err_set(err, ERR_INVALID,
                       "%s: the time `%s` is %s, but a DATE or TIMESTAMP is needed", input->path,
                       input->time, input->time_column->type);
    return true;
}

static void input_release(struct input *input)
{
    columns_release(&input->columns);
    buf_release(&input->from);
    dataset_free(input->dataset);
}

static bool check_where(struct engine *engine, const struct input *input, const char *where,
                        struct err *err)
{
    struct buf sql = {0};

    if (where == NULL)
        return true;
    buf_printf(&sql, "SELECT CAST((%s\n) AS BOOLEAN) FROM %s", where, buf_text(&input->from));
    bool ok = engine_check_select(engine, buf_text(&sql), err) ||
              err_wrap(err, "where on %s", input->path);
    buf_release(&sql);
    return ok;
}

static bool make_entity(struct plan *plan, struct err *err)
{
    const json_t *entity = json_object_get(plan->options, "entity");
    size_t count = json_is_string(entity) ? 1 : json_array_size(entity);

    if (count == 0)
        return err_set(err, ERR_INVALID, "entity names no column");
    plan->entity = mem_alloc_array(count, sizeof(*plan->entity));
    for (size_t i = 0; i < count; i++)
        plan->entity[i] =
            json_string_value(json_is_string(entity) ? entity : json_array_get(entity, i));
    plan->entity_count = count;
    return true;
}

/* Text never meets numbers: DuckDB would cast one to the other, row by row, and fail half-way. */
static bool check_entity_types(const struct plan *plan, const struct input *input,
                               const struct input *first, struct err *err)
{
    for (size_t i = 0; i < plan->entity_count; i++) {
        const struct column_info *a =
            columns_need(&input->columns, input->path, plan->entity[i], err);
        const struct column_info *b = columns_find(&first->columns, plan->entity[i]);
        if (a == NULL)
            return false;
        if (b != NULL &&
            (type_class_of(a->type) == TYPE_TEXT) != (type_class_of(b->type) == TYPE_TEXT))
            return err_set(err, ERR_INVALID,
                           "the entity's `%s` is %s in %s and %s in %s: make them one type",
                           plan->entity[i], b->type, first->path, a->type, input->path);
    }
    return true;
}

static bool is_named(const struct plan *plan, const struct column_info *column)
{
    if (column == plan->spine.time_column)
        return true;
    for (size_t i = 0; i < plan->entity_count; i++)
        if (columns_find(&plan->spine.columns, plan->entity[i]) == column)
            return true;
    return false;
}

static bool make_keep(struct plan *plan, const json_t *options, struct err *err)
{
    const json_t *keep = json_object_get(options, "keep");
    bool all = keep == NULL || json_is_null(keep);
    size_t count = all                    ? plan->spine.columns.count
                   : json_is_string(keep) ? 1
                                          : json_array_size(keep);

    plan->keep = mem_alloc_array(count, sizeof(*plan->keep));
    for (size_t i = 0; i < count; i++) {
        const json_t *name = json_is_string(keep) ? keep : json_array_get(keep, i);
        const struct column_info *column =
            all ? &plan->spine.columns.items[i]
                : columns_need(&plan->spine.columns, plan->spine.path, json_string_value(name),
                               err);
        if (column == NULL)
            return err_wrap(err, "keep");
        if (!is_named(plan, column))
            plan->keep[plan->keep_count++] = column;
    }
    return true;
}

static bool make_spine(struct engine *engine, struct plan *plan, struct err *err)
{
    const json_t *options = json_object_get(plan->options, "spine");

    plan->has_spine = json_is_object(options);
    if (!plan->has_spine)
        return true;
    if (!input_open(engine, options, &plan->spine, err) ||
        !check_entity_types(plan, &plan->spine, &plan->spine, err))
        return err_wrap(err, "spine");
    return make_keep(plan, options, err);
}

static bool make_source(struct engine *engine, struct plan *plan, const json_t *options,
                        struct err *err)
{
    struct feature_source *source = &plan->sources[plan->source_count];
    const struct input *first = plan->has_spine ? &plan->spine : &plan->sources[0].input;
    const char *available = json_get_string(options, "available", NULL);

    plan->source_count++;
    source->where = json_get_string(options, "where", NULL);
    if (!input_open(engine, options, &source->input, err) ||
        !check_entity_types(plan, &source->input, first, err) ||
        !check_where(engine, &source->input, source->where, err))
        return false;
    if (plan->strict && available == NULL)
        return err_set(err, ERR_INVALID, "strict_availability needs `available`");
    if (available == NULL)
        return true;
    const struct column_info *column =
        columns_need(&source->input.columns, source->input.path, available, err);
    if (column != NULL && type_class_of(column->type) != TYPE_TIME)
        return err_set(err, ERR_INVALID, "%s: `available: %s` is %s, not a DATE or TIMESTAMP",
                       source->input.path, available, column->type);
    source->available = plan->strict ? column : NULL;
    return column != NULL;
}

static bool make_sources(struct engine *engine, struct plan *plan, struct err *err)
{
    json_t *sources = json_object_get(plan->options, "sources");
    const char *name = NULL;
    json_t *options = NULL;

    if (json_object_size(sources) == 0)
        return err_set(err, ERR_INVALID, "there are no sources");
    plan->sources = mem_alloc_array(json_object_size(sources), sizeof(*plan->sources));
    json_object_foreach(sources, name, options)
    {
        plan->sources[plan->source_count].name = name;
        if (!make_source(engine, plan, options, err))
            return err_wrap(err, "source `%s`", name);
    }
    return true;
}

static bool text_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static size_t find_value(struct feature_source *source, const struct feature *feature)
{
    for (size_t i = 0; i < source->value_count; i++)
        if (source->values[i].column == feature->column &&
            text_same(source->values[i].where, feature->where))
            return i;
    source->values =
        mem_resize_array(source->values, source->value_count + 1, sizeof(*source->values));
    source->values[source->value_count] = (struct value){feature->column, feature->where};
    return source->value_count++;
}

static size_t find_cell(struct feature_source *source, const struct feature *feature)
{
    for (size_t i = 0; i < source->cell_count; i++)
        if (source->cells[i].value == feature->value &&
            source->cells[i].window_us == feature->window_us)
            return i;
    source->cells = mem_resize_array(source->cells, source->cell_count + 1, sizeof(*source->cells));
    source->cells[source->cell_count] = (struct cell){feature->value, feature->window_us};
    return source->cell_count++;
}

static char *decimal_sum_type(const char *type)
{
    struct buf text = {0};

    buf_printf(&text, "DECIMAL(38%s", strchr(type, ','));
    return buf_take(&text);
}

static bool type_result(struct feature *feature, const struct input *input, struct err *err)
{
    const char *type = feature->column == NULL ? "BIGINT" : feature->column->type;
    enum type_class class = type_class_of(type);
    bool is_number = class == TYPE_INT || class == TYPE_DECIMAL || class == TYPE_FLOAT;

    switch (feature->aggregate) {
    case AGGREGATE_COUNT:
    case AGGREGATE_COUNT_DISTINCT:
        feature->type = mem_strdup("BIGINT");
        return true;
    case AGGREGATE_MIN:
    case AGGREGATE_MAX:
    case AGGREGATE_FIRST:
    case AGGREGATE_LAST:
        feature->type = mem_strdup(type);
        return true;
    case AGGREGATE_SUM:
    case AGGREGATE_MEAN:
    case AGGREGATE_STDDEV:
    case AGGREGATE_INVALID:
        break;
    }
    if (!is_number)
        return err_set(err, ERR_INVALID, "%s needs numbers, but `%s` of %s is %s",
                       aggregate_name(feature->aggregate), feature->column->name, input->path,
                       type);
    if (feature->aggregate != AGGREGATE_SUM || class == TYPE_FLOAT)
        feature->type = mem_strdup("DOUBLE");
    else
        feature->type = class == TYPE_INT ? mem_strdup("BIGINT") : decimal_sum_type(type);
    return true;
}

/* Counts and exact sums can be subtracted; all else needs the events of each window together. */
static bool needs_join(const struct feature *feature)
{
    if (feature->aggregate == AGGREGATE_COUNT)
        return false;
    if (feature->aggregate != AGGREGATE_SUM && feature->aggregate != AGGREGATE_MEAN)
        return true;
    return type_class_of(feature->column->type) == TYPE_FLOAT;
}

static char *literal_of(const json_t *value)
{
    struct buf text = {0};
    struct buf sql = {0};

    if (json_is_string(value))
        buf_add_text(&text, json_string_value(value));
    else
        json_dump_canonical(value, &text);
    engine_add_literal(&sql, buf_str(&text));
    buf_release(&text);
    return buf_take(&sql);
}

static bool check_default(struct engine *engine, const struct feature *feature, struct err *err)
{
    struct buf sql = {0};

    if (feature->fallback == NULL)
        return true;
    buf_printf(&sql, "SELECT CAST(%s AS %s)", feature->fallback, feature->type);
    bool ok = engine_run(engine, buf_text(&sql), NULL, err);
    buf_release(&sql);
    return ok ||
           err_set(err, ERR_INVALID, "the default %s is no %s", feature->fallback, feature->type);
}

static bool find_source(const struct plan *plan, const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < plan->source_count; i++)
        if (strcmp(plan->sources[i].name, name) == 0) {
            *ret_index = i;
            return true;
        }
    return false;
}

static bool read_feature(const struct plan *plan, const json_t *options, struct feature *feature,
                         struct err *err)
{
    const char *column = json_get_string(options, "column", NULL);
    const char *window = json_get_string(options, "window", NULL);
    const char *name = json_get_string(options, "source", "");
    const json_t *fallback = json_object_get(options, "default");

    feature->aggregate = aggregate_from(json_get_string(options, "agg", ""));
    feature->where = json_get_string(options, "where", NULL);
    if (feature->aggregate == AGGREGATE_INVALID)
        return err_set(err, ERR_INVALID, "unknown agg '%s'", json_get_string(options, "agg", ""));
    if (!find_source(plan, name, &feature->source))
        return err_set(err, ERR_INVALID, "there is no source `%s`", name);
    const struct input *input = &plan->sources[feature->source].input;
    if (column == NULL && feature->aggregate != AGGREGATE_COUNT)
        return err_set(err, ERR_INVALID, "%s needs a column", aggregate_name(feature->aggregate));
    if (column != NULL) {
        feature->column = columns_need(&input->columns, input->path, column, err);
        if (feature->column == NULL)
            return false;
    }
    if (window != NULL &&
        (!duration_parse(str_from(window), &feature->window_us) || feature->window_us <= 0))
        return err_set(err, ERR_INVALID, "window '%s' is no length of time to look back", window);
    if (fallback != NULL && !json_is_null(fallback))
        feature->fallback = literal_of(fallback);
    return type_result(feature, input, err);
}

static bool make_feature(struct engine *engine, struct plan *plan, const json_t *options,
                         struct err *err)
{
    struct feature *feature = &plan->features[plan->feature_count++];

    if (!read_feature(plan, options, feature, err) || !check_default(engine, feature, err))
        return false;
    struct feature_source *source = &plan->sources[feature->source];
    if (!check_where(engine, &source->input, feature->where, err))
        return false;
    feature->value = find_value(source, feature);
    feature->is_joined = needs_join(feature);
    if (feature->is_joined)
        source->joined_count++;
    else
        feature->cell = find_cell(source, feature);
    return true;
}

static bool make_features(struct engine *engine, struct plan *plan, struct err *err)
{
    json_t *features = json_object_get(plan->options, "features");
    const char *name = NULL;
    json_t *options = NULL;

    if (json_object_size(features) == 0)
        return err_set(err, ERR_INVALID, "there are no features");
    plan->features = mem_alloc_array(json_object_size(features), sizeof(*plan->features));
    json_object_foreach(features, name, options)
    {
        plan->features[plan->feature_count].name = name;
        if (!make_feature(engine, plan, options, err))
            return err_wrap(err, "feature `%s`", name);
    }
    return true;
}

static bool make_as_of(const struct attempt *attempt, struct plan *plan, struct err *err)
{
    const char *text = json_get_string(plan->options, "as_of", NULL);

    if (plan->has_spine)
        return true;
    plan->as_of_us = attempt->interval_end_us;
    if (text == NULL && plan->as_of_us == 0)
        return err_set(err, ERR_INVALID,
                       "a snapshot needs `as_of`: this run has no data interval to end with");
    if (text == NULL)
        return true;
    return instant_parse(attempt->engine, text, attempt->timezone, &plan->as_of_us, err) ||
           err_wrap(err, "as_of");
}

/* Without a spine's columns at load time, a feature may still meet one of them here. */
static bool check_names(const struct plan *plan, struct err *err)
{
    for (size_t i = 0; i < plan->feature_count; i++)
        for (size_t k = 0; k < plan->keep_count; k++)
            if (strcasecmp(plan->features[i].name, plan->keep[k]->name) == 0)
                return err_set(err, ERR_INVALID,
                               "feature `%s` has the name of a column kept from %s: rename one, "
                               "or list the others in `keep`",
                               plan->features[i].name, plan->spine.path);
    return true;
}

bool plan_make(const struct attempt *attempt, struct plan *plan, struct err *err)
{
    plan->options = attempt->options;
    plan->strict = json_get_bool(attempt->options, "strict_availability", false);
    return make_entity(plan, err) && make_spine(attempt->engine, plan, err) &&
           make_as_of(attempt, plan, err) && make_sources(attempt->engine, plan, err) &&
           make_features(attempt->engine, plan, err) && check_names(plan, err);
}

void plan_release(struct plan *plan)
{
    for (size_t i = 0; i < plan->feature_count; i++) {
        free(plan->features[i].fallback);
        free(plan->features[i].type);
    }
    for (size_t i = 0; i < plan->source_count; i++) {
        input_release(&plan->sources[i].input);
        free(plan->sources[i].values);
        free(plan->sources[i].cells);
    }
    input_release(&plan->spine);
    free(plan->features);
    free(plan->sources);
    free(plan->keep);
    free(plan->entity);
    *plan = (struct plan){0};
}
