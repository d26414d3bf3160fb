/* The plan as SQL. All names that are not the user's begin with an underscore and stand in tables
 * of our own, so they can't meet a user's. */
#include "tasks/feature/feature.h"

#include "base/str.h"

#include <inttypes.h>
#include <string.h>

static void add_name(struct buf *sql, const char *name)
{
    engine_add_identifier(sql, str_from(name));
}

/* "<prefix>0, <prefix>1, …" for the entity's columns. */
static void add_keys(const struct plan *plan, const char *prefix, struct buf *sql)
{
    for (size_t i = 0; i < plan->entity_count; i++)
        buf_printf(sql, "%s%s%zu", i == 0 ? "" : ", ", prefix, i);
}

static void add_entity_columns(const struct plan *plan, struct buf *sql)
{
    for (size_t i = 0; i < plan->entity_count; i++) {
        add_name(sql, plan->entity[i]);
        buf_printf(sql, " AS _k%zu, ", i);
    }
}

static void compile_labels(const struct plan *plan, struct buf *sql)
{
    buf_add_text(sql, "SELECT row_number() OVER (ORDER BY ");
    for (size_t i = 0; i < plan->entity_count; i++) {
        add_name(sql, plan->entity[i]);
        buf_add_text(sql, ", ");
    }
    add_name(sql, plan->spine.time_column->name);
    for (size_t i = 0; i < plan->keep_count; i++) {
        buf_add_text(sql, ", ");
        add_name(sql, plan->keep[i]->name);
    }
    buf_add_text(sql, ") AS _id, ");
    add_entity_columns(plan, sql);
    columns_add_epoch_us(plan->spine.time_column, sql);
    buf_add_text(sql, " AS _t, ");
    add_name(sql, plan->spine.time_column->name);
    buf_add_text(sql, " AS _time");
    for (size_t i = 0; i < plan->keep_count; i++) {
        buf_add_text(sql, ", ");
        add_name(sql, plan->keep[i]->name);
        buf_printf(sql, " AS _c%zu", i);
    }
    buf_printf(sql, " FROM %s", buf_text(&plan->spine.from));
}

static void compile_seen(const struct plan *plan, struct buf *sql)
{
    buf_add_text(sql, "SELECT row_number() OVER (ORDER BY ");
    add_keys(plan, "_k", sql);
    buf_printf(sql,
               ") AS _id, *, %" PRId64 "::BIGINT AS _t, make_timestamptz(%" PRId64
               "::BIGINT) AS _time FROM (",
               plan->as_of_us, plan->as_of_us);
    for (size_t i = 0; i < plan->source_count; i++) {
        buf_add_text(sql, i == 0 ? "SELECT DISTINCT " : " UNION SELECT DISTINCT ");
        add_keys(plan, "_k", sql);
        buf_printf(sql, " FROM " FEATURE_SCHEMA ".events%zu WHERE _enter <= %" PRId64, i,
                   plan->as_of_us);
    }
    buf_add_text(sql, ")");
}

void compile_spine(const struct plan *plan, struct buf *sql)
{
    buf_add_text(sql, "CREATE TABLE " FEATURE_SCHEMA ".spine AS ");
    if (plan->has_spine)
        compile_labels(plan, sql);
    else
        compile_seen(plan, sql);
}

static void add_value(const struct value *value, struct buf *sql)
{
    if (value->where != NULL)
        buf_printf(sql, "CASE WHEN (%s\n) THEN ", value->where);
    if (value->column == NULL)
        buf_add_text(sql, "1");
    else
        add_name(sql, value->column->name);
    if (value->where != NULL)
        buf_add_text(sql, " END");
}

/* The furthest that any feature of the source looks back; 0 = all of the past. */
static int64_t longest_window(const struct plan *plan, size_t source, bool joined_only)
{
    int64_t longest = 0;

    for (size_t i = 0; i < plan->feature_count; i++) {
        const struct feature *feature = &plan->features[i];
        if (feature->source != source || (joined_only && !feature->is_joined))
            continue;
        if (feature->window_us == 0)
            return 0;
        longest = feature->window_us > longest ? feature->window_us : longest;
    }
    return longest;
}

static void add_event_filter(const struct plan *plan, size_t index, struct span span,
                             struct buf *sql)
{
    int64_t window = plan->has_spine ? longest_window(plan, index, false) : 0;
    const struct feature_source *source = &plan->sources[index];

    buf_printf(sql, " WHERE _t <= %" PRId64, span.max_us);
    if (window > 0)
        buf_printf(sql, " AND _t > %" PRId64, span.min_us - window);
    if (source->available != NULL)
        buf_add_text(sql, " AND _available IS NOT NULL");
    for (size_t i = 0; i < plan->entity_count; i++)
        buf_printf(sql, " AND _k%zu IS NOT NULL", i);
}

void compile_events(const struct plan *plan, size_t index, struct span span, struct buf *sql)
{
    const struct feature_source *source = &plan->sources[index];

    buf_printf(sql, "CREATE TABLE " FEATURE_SCHEMA ".events%zu AS SELECT ", index);
    add_keys(plan, "_k", sql);
    buf_printf(sql, ", _t, %s AS _enter",
               source->available == NULL ? "_t" : "greatest(_t, _available)");
    for (size_t i = 0; i < source->value_count; i++)
        buf_printf(sql, ", _v%zu", i);
    buf_add_text(sql, " FROM (SELECT ");
    add_entity_columns(plan, sql);
    columns_add_epoch_us(source->input.time_column, sql);
    buf_add_text(sql, " AS _t");
    if (source->available != NULL) {
        buf_add_text(sql, ", ");
        columns_add_epoch_us(source->available, sql);
        buf_add_text(sql, " AS _available");
    }
    for (size_t i = 0; i < source->value_count; i++) {
        buf_add_text(sql, ", ");
        add_value(&source->values[i], sql);
        buf_printf(sql, " AS _v%zu", i);
    }
    buf_printf(sql, " FROM %s", buf_text(&source->input.from));
    if (source->where != NULL)
        buf_printf(sql, " WHERE (%s\n)", source->where);
    buf_add_text(sql, ")");
    add_event_filter(plan, index, span, sql);
}

/* Whether some feature needs the cell's sum and not only its count. */
static bool cell_has_sum(const struct plan *plan, size_t source, size_t cell)
{
    for (size_t i = 0; i < plan->feature_count; i++) {
        const struct feature *feature = &plan->features[i];
        if (feature->source == source && !feature->is_joined && feature->cell == cell &&
            feature->aggregate != AGGREGATE_COUNT)
            return true;
    }
    return false;
}

/* Sums of integers are taken in 128 bits, where neither they nor their negation overflow. */
static void add_summand(const struct feature_source *source, const struct cell *cell,
                        struct buf *sql)
{
    const struct column_info *column = source->values[cell->value].column;
    const char *cast = column != NULL && type_class_of(column->type) == TYPE_INT ? "::HUGEINT" : "";

    buf_printf(sql, "_v%zu%s", cell->value, cast);
}

/* What an event adds to each cell when it comes into sight (`leaving` = 0), or takes away when it
 * leaves the windows of that length. */
static void add_changes(const struct plan *plan, size_t index, int64_t leaving, struct buf *sql)
{
    const struct feature_source *source = &plan->sources[index];

    for (size_t i = 0; i < source->cell_count; i++) {
        const struct cell *cell = &source->cells[i];
        bool concerned = leaving == 0 || cell->window_us == leaving;
        struct buf seen = {0};
        if (cell->window_us > 0 && source->available != NULL)
            buf_printf(&seen, " AND _enter < _t + %" PRId64, cell->window_us);
        if (concerned)
            buf_printf(sql, ", CASE WHEN _v%zu IS NOT NULL%s THEN %s1::BIGINT END AS _n%zu",
                       cell->value, buf_text(&seen), leaving == 0 ? "" : "-", i);
        else
            buf_printf(sql, ", NULL AS _n%zu", i);
        if (cell_has_sum(plan, index, i)) {
            if (concerned) {
                buf_printf(sql, ", CASE WHEN true%s THEN %s", buf_text(&seen),
                           leaving == 0 ? "" : "-");
                add_summand(source, cell, sql);
                buf_printf(sql, " END AS _s%zu", i);
            } else {
                buf_printf(sql, ", NULL AS _s%zu", i);
            }
        }
        buf_release(&seen);
    }
}

static void add_nothing(const struct plan *plan, size_t index, struct buf *sql)
{
    for (size_t i = 0; i < plan->sources[index].cell_count; i++)
        buf_add_text(sql, cell_has_sum(plan, index, i) ? ", NULL, NULL" : ", NULL");
}

static bool window_is_new(const struct feature_source *source, size_t cell)
{
    for (size_t i = 0; i < cell; i++)
        if (source->cells[i].window_us == source->cells[cell].window_us)
            return false;
    return source->cells[cell].window_us > 0;
}

/* Changes at a row's own instant come before it: an event at T counts for T, and one at T - window
 * does not. */
void compile_running(const struct plan *plan, size_t index, struct buf *sql)
{
    const struct feature_source *source = &plan->sources[index];

    buf_printf(sql, "CREATE TABLE " FEATURE_SCHEMA ".running%zu AS SELECT * FROM (SELECT _id",
               index);
    for (size_t i = 0; i < source->cell_count; i++) {
        buf_printf(sql, ", sum(_n%zu) OVER w AS _n%zu", i, i);
        if (cell_has_sum(plan, index, i))
            buf_printf(sql, ", sum(_s%zu) OVER w AS _s%zu", i, i);
    }
    buf_add_text(sql, " FROM (SELECT ");
    add_keys(plan, "_k", sql);
    buf_add_text(sql, ", _enter AS _at, NULL::BIGINT AS _id");
    add_changes(plan, index, 0, sql);
    buf_printf(sql, " FROM " FEATURE_SCHEMA ".events%zu", index);
    for (size_t i = 0; i < source->cell_count; i++) {
        if (!window_is_new(source, i))
            continue;
        buf_add_text(sql, " UNION ALL SELECT ");
        add_keys(plan, "_k", sql);
        buf_printf(sql, ", _t + %" PRId64 ", NULL", source->cells[i].window_us);
        add_changes(plan, index, source->cells[i].window_us, sql);
        buf_printf(sql, " FROM " FEATURE_SCHEMA ".events%zu", index);
    }
    buf_add_text(sql, " UNION ALL SELECT ");
    add_keys(plan, "_k", sql);
    buf_add_text(sql, ", _t, _id");
    add_nothing(plan, index, sql);
    buf_add_text(sql, " FROM " FEATURE_SCHEMA ".spine) WINDOW w AS (PARTITION BY ");
    add_keys(plan, "_k", sql);
    buf_add_text(sql, " ORDER BY _at, _id NULLS FIRST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT "
                      "ROW)) WHERE _id IS NOT NULL");
}

/* Floats are added in the order of time and value, so that the last digit does not depend on
 * threads. */
static void add_aggregate(const struct feature *feature, size_t value, struct buf *sql)
{
    switch (feature->aggregate) {
    case AGGREGATE_COUNT:
        buf_printf(sql, "count(e._v%zu)", value);
        return;
    case AGGREGATE_COUNT_DISTINCT:
        buf_printf(sql, "count(DISTINCT e._v%zu)", value);
        return;
    case AGGREGATE_MIN:
    case AGGREGATE_MAX:
        buf_printf(sql, "%s(e._v%zu)", aggregate_name(feature->aggregate), value);
        return;
    case AGGREGATE_FIRST:
        buf_printf(sql, "first(e._v%zu ORDER BY e._t, e._v%zu)", value, value);
        return;
    case AGGREGATE_LAST:
        buf_printf(sql, "last(e._v%zu ORDER BY e._t, e._v%zu)", value, value);
        return;
    case AGGREGATE_SUM:
        buf_printf(sql, "fsum(e._v%zu::DOUBLE ORDER BY e._t, e._v%zu)", value, value);
        return;
    case AGGREGATE_MEAN:
        buf_printf(sql, "favg(e._v%zu::DOUBLE ORDER BY e._t, e._v%zu)", value, value);
        return;
    case AGGREGATE_STDDEV:
        buf_printf(sql, "stddev_samp(e._v%zu::DOUBLE ORDER BY e._t, e._v%zu)", value, value);
        return;
    case AGGREGATE_INVALID:
        return;
    }
}

void compile_joined(const struct plan *plan, size_t index, struct buf *sql)
{
    int64_t window = longest_window(plan, index, true);

    buf_printf(sql, "CREATE TABLE " FEATURE_SCHEMA ".joined%zu AS SELECT l._id", index);
    for (size_t i = 0; i < plan->feature_count; i++) {
        const struct feature *feature = &plan->features[i];
        if (feature->source != index || !feature->is_joined)
            continue;
        buf_add_text(sql, ", ");
        add_aggregate(feature, feature->value, sql);
        buf_printf(sql, " FILTER (WHERE e._v%zu IS NOT NULL", feature->value);
        if (feature->window_us > 0)
            buf_printf(sql, " AND e._t > l._t - %" PRId64, feature->window_us);
        buf_printf(sql, ") AS _f%zu", i);
    }
    buf_printf(sql, " FROM " FEATURE_SCHEMA ".spine l JOIN " FEATURE_SCHEMA ".events%zu e ON ",
               index);
    for (size_t i = 0; i < plan->entity_count; i++)
        buf_printf(sql, "e._k%zu = l._k%zu AND ", i, i);
    buf_add_text(sql, "e._enter <= l._t");
    if (window > 0)
        buf_printf(sql, " AND e._t > l._t - %" PRId64, window);
    buf_add_text(sql, " GROUP BY l._id");
}

static void add_cell_value(const struct feature *feature, struct buf *sql)
{
    size_t s = feature->source;
    size_t c = feature->cell;

    if (feature->aggregate == AGGREGATE_COUNT)
        buf_printf(sql, "coalesce(r%zu._n%zu, 0)", s, c);
    else if (feature->aggregate == AGGREGATE_SUM)
        buf_printf(sql, "CASE WHEN r%zu._n%zu > 0 THEN r%zu._s%zu END", s, c, s, c);
    else
        buf_printf(sql, "CASE WHEN r%zu._n%zu > 0 THEN r%zu._s%zu::DOUBLE / r%zu._n%zu::DOUBLE END",
                   s, c, s, c, s, c);
}

static void add_result_column(const struct plan *plan, size_t index, struct buf *sql)
{
    const struct feature *feature = &plan->features[index];
    bool is_count = feature->aggregate == AGGREGATE_COUNT_DISTINCT;

    buf_add_text(sql, ", CAST(");
    if (feature->fallback != NULL)
        buf_add_text(sql, "coalesce(CAST(");
    if (feature->is_joined)
        buf_printf(sql, is_count ? "coalesce(j%zu._f%zu, 0)" : "j%zu._f%zu", feature->source,
                   index);
    else
        add_cell_value(feature, sql);
    if (feature->fallback != NULL)
        buf_printf(sql, " AS %s), CAST(%s AS %s))", feature->type, feature->fallback,
                   feature->type);
    buf_printf(sql, " AS %s) AS ", feature->type);
    add_name(sql, feature->name);
}

void compile_result(const struct plan *plan, struct buf *sql)
{
    buf_add_text(sql, "SELECT ");
    for (size_t i = 0; i < plan->entity_count; i++) {
        buf_printf(sql, "l._k%zu AS ", i);
        add_name(sql, plan->entity[i]);
        buf_add_text(sql, ", ");
    }
    buf_add_text(sql, "l._time AS ");
    add_name(sql, plan->has_spine ? plan->spine.time_column->name : "as_of");
    for (size_t i = 0; i < plan->keep_count; i++) {
        buf_printf(sql, ", l._c%zu AS ", i);
        add_name(sql, plan->keep[i]->name);
    }
    for (size_t i = 0; i < plan->feature_count; i++)
        add_result_column(plan, i, sql);
    buf_add_text(sql, " FROM " FEATURE_SCHEMA ".spine l");
    for (size_t i = 0; i < plan->source_count; i++) {
        if (plan->sources[i].cell_count > 0)
            buf_printf(sql, " LEFT JOIN " FEATURE_SCHEMA ".running%zu r%zu ON r%zu._id = l._id", i,
                       i, i);
        if (plan->sources[i].joined_count > 0)
            buf_printf(sql, " LEFT JOIN " FEATURE_SCHEMA ".joined%zu j%zu ON j%zu._id = l._id", i,
                       i, i);
    }
    buf_add_text(sql, " ORDER BY l._id");
}

void compile_source_counts(const struct plan *plan, size_t index, struct buf *sql)
{
    const struct feature_source *source = &plan->sources[index];

    buf_add_text(sql, "SELECT count(*) AS rows, count(*) FILTER (WHERE ");
    for (size_t i = 0; i < plan->entity_count; i++) {
        buf_add_text(sql, i == 0 ? "" : " OR ");
        add_name(sql, plan->entity[i]);
        buf_add_text(sql, " IS NULL");
    }
    buf_add_text(sql, ") AS no_entity, count(*) FILTER (WHERE (");
    columns_add_epoch_us(source->input.time_column, sql);
    buf_add_text(sql, ") IS NULL) AS no_time, count(*) FILTER (WHERE ");
    if (source->where != NULL)
        buf_printf(sql, "(%s\n) IS DISTINCT FROM true", source->where);
    else
        buf_add_text(sql, "false");
    buf_printf(sql, ") AS filtered FROM %s", buf_text(&source->input.from));
}
