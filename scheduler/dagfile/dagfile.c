#include "scheduler/dagfile/dagfile.h"

#include "base/digest.h"
#include "base/fs.h"
#include "base/timefmt.h"
#include "scheduler/core/cron.h"
#include "scheduler/core/zone.h"
#include "scheduler/dagfile/assets.h"
#include "scheduler/dagfile/builder.h"
#include "scheduler/dagfile/params.h"
#include "scheduler/dagfile/tables.h"
#include "scheduler/dagfile/task.h"

#include <stdlib.h>
#include <string.h>

static const char *keep_text(struct dag_builder *b, const json_t *options, const char *key)
{
    return arena_strdup(&b->dag->arena, json_string_value(json_object_get(options, key)));
}

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void read_tags(struct dag_builder *b, const json_t *options)
{
    const json_t *tags = json_object_get(options, "tags");
    size_t count = json_array_size(tags);
    const char **out = arena_alloc_array(&b->dag->arena, count, sizeof(*out));

    for (size_t i = 0; i < count; i++)
        out[i] = arena_strdup(&b->dag->arena, json_string_value(json_array_get(tags, i)));
    if (count > 0)
        qsort(out, count, sizeof(*out), compare_texts);
    b->dag->tags = out;
    b->dag->tag_count = count;
}

static void read_cron(struct dag_builder *b, const struct node *node)
{
    struct err err = {0};
    struct schedule *schedule = &b->dag->schedule;

    schedule->text = arena_str(&b->dag->arena, node->text).ptr;
    if (str_is(node->text, "@once")) {
        schedule->kind = SCHEDULE_ONCE;
        return;
    }
    if (str_is(node->text, "@continuous")) {
        schedule->kind = SCHEDULE_CONTINUOUS;
        return;
    }
    schedule->kind = SCHEDULE_CRON;
    schedule->cron = cron_parse(&b->dag->arena, node->text, &err);
    if (schedule->cron != NULL)
        return;
    size_t offset = err.column == 0 ? 0 : err.column - 1;
    size_t length = 0;
    while (offset + length < node->text.len && node->text.ptr[offset + length] != ' ')
        length++;
    diag_add(b->diags, MR(BAD_CRON),
             err.column == 0 ? node->at : document_position(b->text, node, offset, length),
             "five fields: minute hour day month weekday, or @daily, @hourly, {every: 15m}", "%s",
             err.message);
}

static void read_every(struct dag_builder *b, const struct node *node)
{
    const struct node *every = node_get(node, "every");
    const struct node *assets = node_get(node, "assets");
    int64_t us = 0;

    if (assets != NULL) {
        assets_read_schedule(b, node);
        return;
    }
    if (every == NULL) {
        diag_add(b->diags, MR(MISSING_KEY), node->at, "add `every: 15m` or `assets: [lake/events]`",
                 "`every` or `assets` is missing in schedule");
        return;
    }
    if (every->kind != NODE_STRING || !duration_parse(every->text, &us))
        return; /* found by the option table */
    if (us < 1000000) {
        diag_add(b->diags, MR(BAD_VALUE), every->at, NULL, "`every` must be at least 1s");
        return;
    }
    b->dag->schedule = (struct schedule){
        .kind = SCHEDULE_EVERY,
        .text = arena_printf(&b->dag->arena, "every %.*s", STR_ARG(every->text)),
        .every_us = us,
    };
}

static void read_schedule(struct dag_builder *b)
{
    const struct node *node = node_get(b->root, "schedule");

    if (node != NULL && node->kind == NODE_STRING)
        read_cron(b, node);
    else if (node != NULL && node->kind == NODE_MAP)
        read_every(b, node);
}

static void read_zone(struct dag_builder *b, const json_t *options)
{
    const struct node *node = node_get(b->root, "timezone");
    const char *name = keep_text(b, options, "timezone");
    struct err err = {0};

    b->dag->timezone = name == NULL ? "UTC" : name;
    b->dag->zone = zonefile_load(&b->dag->arena, str_from(b->dag->timezone), &err);
    if (b->dag->zone != NULL)
        return;
    b->dag->zone = zone_utc();
    diag_add(b->diags, MR(BAD_TIMEZONE), node == NULL ? b->root->at : node->at, NULL, "%s",
             err.message);
}

/* 0 if the date is not given or was refused. */
static int64_t read_date(struct dag_builder *b, const char *key)
{
    int64_t us = 0;
    bool has_offset = false;

    if (!timefmt_parse(node_get_text(b->root, key), &us, &has_offset))
        return 0;
    return has_offset ? us : zone_to_utc_us(b->dag->zone, us);
}

static void read_dates(struct dag_builder *b)
{
    b->dag->start_date_us = read_date(b, "start_date");
    b->dag->end_date_us = read_date(b, "end_date");
    if (b->dag->end_date_us != 0 && b->dag->start_date_us > b->dag->end_date_us)
        diag_add(b->diags, MR(BAD_DATE), node_get(b->root, "end_date")->at, NULL,
                 "end_date is before start_date");
}

/* A continuous DAG has one run at a time: no other number may be asked for. */
static void check_continuous(struct dag_builder *b)
{
    const struct node *given = node_get(b->root, "max_active_runs");

    if (b->dag->schedule.kind != SCHEDULE_CONTINUOUS)
        return;
    if (given != NULL && b->dag->max_active_runs != 1)
        diag_add(b->diags, MR(BAD_VALUE), given->at, "write 1, or leave it out",
                 "with schedule @continuous `max_active_runs` is 1: a run begins when the last "
                 "one has ended");
    b->dag->max_active_runs = 1;
}

/* `catchup`: true is all, false is latest. */
static bool reads_all(const json_t *catchup)
{
    return json_is_true(catchup) ||
           (json_is_string(catchup) && strcmp(json_string_value(catchup), "all") == 0);
}

static void read_options(struct dag_builder *b, const json_t *options)
{
    struct dag *dag = b->dag;

    dag->dag_id = keep_text(b, options, "dag_id");
    dag->description = keep_text(b, options, "description");
    dag->doc = keep_text(b, options, "doc");
    dag->owner = keep_text(b, options, "owner");
    dag->catchup = reads_all(json_object_get(options, "catchup"));
    dag->paused_upon_creation = json_is_true(json_object_get(options, "paused_upon_creation"));
    dag->max_active_runs = json_integer_value(json_object_get(options, "max_active_runs"));
    dag->max_active_tasks = json_integer_value(json_object_get(options, "max_active_tasks"));
    dag->fail_fast = json_is_true(json_object_get(options, "fail_fast"));
    (void)duration_parse(str_from(json_string_value(json_object_get(options, "dagrun_timeout"))),
                         &dag->dagrun_timeout_us);
    dag->max_failed_in_row =
        json_integer_value(json_object_get(options, "max_consecutive_failed_dag_runs"));
    callbacks_read(options, NULL, &dag->callbacks);
    deadlines_read(b, options);
    read_tags(b, options);
    read_zone(b, options);
    read_schedule(b);
    check_continuous(b);
    read_dates(b);
}

/* Airflow's rule too: where the first failure ends the run, nothing can wait for failures. */
static void check_fail_fast(struct dag_builder *b)
{
    for (uint32_t i = 0; b->dag->fail_fast && i < b->dag->task_count; i++) {
        const struct dag_task *task = &b->dag->tasks[i];
        const struct node *own = node_get(b->sources[i].node, "trigger_rule");
        if (task->trigger_rule == TRIGGER_RULE_ALL_SUCCESS || task->is_teardown)
            continue;
        diag_add(b->diags, MR(BAD_VALUE), own != NULL ? own->at : b->sources[i].at,
                 "take out `trigger_rule`, or `fail_fast`",
                 "with `fail_fast` every trigger rule must be all_success, not %s",
                 trigger_rule_name(task->trigger_rule));
    }
}

/* What setups cost grows with their number times the size of the graph. */
static void derive_setups(struct dag_builder *b)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < b->dag->task_count; i++) {
        count += b->dag->tasks[i].is_setup;
        if (!b->dag->tasks[i].is_setup || count != DAGFILE_SETUPS_MAX + 1)
            continue;
        diag_add(b->diags, MR(LIMIT), b->sources[i].at, NULL, "a DAG has at most %d setups",
                 DAGFILE_SETUPS_MAX);
        return;
    }
    dag_derive(b->dag);
}

static void check_document(struct dag_builder *b)
{
    json_t *options = options_check(&dag_table, b->root, b->root->at, b->diags);

    read_options(b, options);
    params_read(b);
    tasks_read(b, options);
    check_fail_fast(b);
    if (b->dag->task_count > 0) {
        size_t before = b->diags->error_count;
        graph_build(b);
        flow_read(b);
        references_check(b);
        targets_check(b);
        if (b->diags->error_count == before)
            graph_weigh(b);
        if (b->diags->error_count == before)
            derive_setups(b);
    }
    json_decref(options);
}

/* The struct lies in its own arena, as dag_unref() expects. */
static struct dag *new_dag(void)
{
    struct arena arena = {0};
    struct dag *dag = arena_alloc(&arena, sizeof(*dag));

    dag->arena = arena;
    dag->references = 1;
    return dag;
}

struct dag *dagfile_parse(const struct dagfile_input *input, struct diags *diags)
{
    struct dag_builder b = {.input = input, .diags = diags, .text = document_text(input->source)};
    size_t errors = diags->error_count;

    b.dag = new_dag();
    b.dag->file = arena_strdup(&b.dag->arena, input->file);
    b.root = document_parse(&b.scratch, input->source, diags);
    if (b.root != NULL && b.root->kind == NODE_MAP) {
        check_document(&b);
    } else if (b.root != NULL) {
        diag_add(diags, MR(MISSING_KEY), b.root->at,
                 "a DAG file begins with `dag_id: …` and has `tasks: …`", "%s",
                 b.root->kind == NODE_NULL ? "the file is empty" : "the file is no map of keys");
    }
    HASH_CLEAR(hh, b.by_id);
    HASH_CLEAR(hh, b.groups_by_id);
    free(b.marks);
    json_decref(b.params_declared);
    json_decref(b.no_options);
    arena_release(&b.scratch);
    if (diags->error_count > errors) {
        dag_unref(b.dag);
        return NULL;
    }
    b.dag->source = arena_str(&b.dag->arena, input->source);
    digest_sha256_hex(b.dag->source, b.dag->hash);
    return b.dag;
}

struct dag *dagfile_load(const char *path, const struct dagfile_input *input,
                         struct buf *ret_source, struct diags *diags)
{
    struct dagfile_input loaded = *input;
    struct err err = {0};

    if (!fs_read_file(path, DAGFILE_BYTES_MAX, ret_source, &err)) {
        diag_add(diags, err.code == ERR_LIMIT ? MR(LIMIT) : MR(UNREADABLE),
                 (struct position){1, 1, 1}, NULL, "%s", err.message);
        return NULL;
    }
    loaded.source = buf_str(ret_source);
    return dagfile_parse(&loaded, diags);
}
