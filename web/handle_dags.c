/* DAGs: list, get, pause, details, tasks, versions, source, counts of runs. */
#include "web/handlers.h"

#include "base/json.h"
#include "web/body.h"
#include "web/link.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/problem.h"
#include "web/route.h"
#include "web/versions.h"
#include "web/view.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const state_choices[] = {"queued", "running", "success", "failed", NULL};

/* What GET /dags selects by; tags and owners stand in the DAG files, so rows are matched here. */
struct dag_filter {
    const char *id_pattern; /* as the parameter came; NULL = all */
    bool exclude_stale;
    bool has_paused;
    bool paused;
    bool has_import_errors_set;
    bool has_import_errors;
    const char *last_state; /* JSON arrays; NULL = all */
    json_t *tags;
    json_t *owners;
    bool all_tags;
};

/* LIKE '%pattern%' without case, % and _ being wildcards. */
static bool like(const char *pattern, const char *text)
{
    for (; *pattern != '\0'; pattern++, text++) {
        if (*pattern == '%') {
            while (*pattern == '%')
                pattern++;
            for (; *text != '\0'; text++)
                if (like(pattern, text))
                    return true;
            return *pattern == '\0';
        }
        if (*text == '\0' || (*pattern != '_' && strncasecmp(pattern, text, 1) != 0))
            return false;
    }
    return *text == '\0';
}

static bool parse_filter(struct request *request, struct dag_filter *filter)
{
    static const char *const modes[] = {"any", "all", NULL};
    const char *tags = NULL;
    const char *owners = NULL;
    const char *mode = NULL;
    struct err err;

    filter->exclude_stale = true;
    filter->id_pattern = params_pattern(request, "dag_id_pattern");
    if (filter->id_pattern == NULL)
        filter->id_pattern = params_pattern(request, "dag_display_name_pattern");
    filter->has_paused = request_param(request, "paused") != NULL;
    filter->has_import_errors_set = request_param(request, "has_import_errors") != NULL;
    if (!params_bool(request, "exclude_stale", &filter->exclude_stale) ||
        !params_bool(request, "paused", &filter->paused) ||
        !params_bool(request, "has_import_errors", &filter->has_import_errors) ||
        !params_list(request, "last_dag_run_state", state_choices, &filter->last_state) ||
        !params_list(request, "tags_match_mode", modes, &mode) ||
        !params_list(request, "tags", NULL, &tags) ||
        !params_list(request, "owners", NULL, &owners))
        return false;
    filter->all_tags = mode != NULL && strstr(mode, "all") != NULL;
    filter->tags = tags == NULL ? NULL : json_parse(str_from(tags), &err);
    filter->owners = owners == NULL ? NULL : json_parse(str_from(owners), &err);
    return true;
}

static bool has_tag(const struct dag *dag, const char *tag)
{
    for (size_t i = 0; i < dag->tag_count; i++)
        if (strcmp(dag->tags[i], tag) == 0)
            return true;
    return false;
}

static bool matches_file(const struct dag_filter *filter, const struct dag *dag)
{
    size_t matched = 0;
    size_t i;
    const json_t *value;

    if (dag == NULL)
        return false;
    json_array_foreach(filter->tags, i, value)
    {
        matched += has_tag(dag, json_string_value(value));
    }
    if (filter->tags != NULL &&
        matched < (filter->all_tags ? json_array_size(filter->tags) : (size_t)1))
        return false;
    if (filter->owners == NULL)
        return true;
    json_array_foreach(filter->owners, i, value)
    {
        if (dag->owner != NULL && strcmp(dag->owner, json_string_value(value)) == 0)
            return true;
    }
    return false;
}

static bool matches_last_state(struct web *web, struct request *request,
                               const struct dag_filter *filter, const char *dag_id)
{
    struct run_view *runs = NULL;
    size_t count = 0;
    struct err err;
    char quoted[20];

    if (filter->last_state == NULL)
        return true;
    if (!read_last_runs(web->read, &request->arena, dag_id, 1, &runs, &count, &err) || count == 0)
        return false;
    (void)snprintf(quoted, sizeof(quoted), "\"%s\"", run_state_name(runs[0].run.state));
    return strstr(filter->last_state, quoted) != NULL;
}

static bool matches(struct web *web, struct request *request, const struct dag_filter *filter,
                    const struct dag_row *row, bool has_import_errors)
{
    if ((filter->exclude_stale && row->is_stale) ||
        (filter->has_paused && row->is_paused != filter->paused) ||
        (filter->has_import_errors_set && has_import_errors != filter->has_import_errors) ||
        (filter->id_pattern != NULL && !like(filter->id_pattern, row->dag_id)) ||
        !matches_last_state(web, request, filter, row->dag_id))
        return false;
    if (filter->tags == NULL && filter->owners == NULL)
        return true;
    return matches_file(filter, versions_get(web->versions, row->version_id));
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct dag_row *)a)->dag_id, ((const struct dag_row *)b)->dag_id);
}

/* The next run soonest first; DAGs without one come last. */
static int by_next(const void *a, const void *b)
{
    int64_t x = ((const struct dag_row *)a)->next_end_us;
    int64_t y = ((const struct dag_row *)b)->next_end_us;

    if (x == y)
        return by_id(a, b);
    if (x == 0 || y == 0)
        return x == 0 ? 1 : -1;
    return x < y ? -1 : 1;
}

static bool sort_dags(struct request *request, struct dag_row *rows, size_t count,
                      const struct read_order *order)
{
    bool by_date = strcmp(order->name, "next_dagrun") == 0;

    if (!by_date && strcmp(order->name, "dag_id") != 0 &&
        strcmp(order->name, "dag_display_name") != 0) {
        respond_detail(request, 400,
                       "Ordering with '%.100s' is disallowed or the attribute does not exist on "
                       "the model",
                       order->name);
        return false;
    }
    if (count > 0)
        qsort(rows, count, sizeof(*rows), by_date ? by_next : by_id);
    for (size_t i = 0; order->descending && i < count / 2; i++) {
        struct dag_row swap = rows[i];
        rows[i] = rows[count - 1 - i];
        rows[count - 1 - i] = swap;
    }
    return true;
}

static void write_dag(struct web *web, struct jw *w, const struct dag_row *row,
                      const struct file_errors *errors)
{
    struct view_dag view = {
        .row = row,
        .dag = versions_get(web->versions, row->version_id),
        .dags_folder = web->settings->dags_folder,
        .has_import_errors = file_errors_has(errors, row->file),
    };

    view_dag(w, &view);
}

void handle_dags_list(struct web *web, struct request *request)
{
    struct dag_filter filter = {0};
    struct read_page page;
    struct dag_row *rows = NULL;
    size_t count = 0;
    size_t kept = 0;
    struct file_errors errors;
    struct err err;

    if (!params_page(request, "dag_id", &page) || !parse_filter(request, &filter))
        goto out;
    if (!read_dags(web->read, &request->arena, &rows, &count, &err) ||
        !file_errors_load(web, request, &errors, &err)) {
        respond_err(request, &err);
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        if (matches(web, request, &filter, &rows[i], file_errors_has(&errors, rows[i].file)))
            rows[kept++] = rows[i];
    if (!sort_dags(request, rows, kept, &page.order[0]))
        goto out;
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "dags");
    jw_begin_array(&w);
    for (size_t i = (size_t)page.offset; i < kept && (int64_t)i - page.offset < page.limit; i++)
        write_dag(web, &w, &rows[i], &errors);
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", (int64_t)kept);
    jw_end_object(&w);
out:
    json_decref(filter.tags);
    json_decref(filter.owners);
}

static void answer_dag(struct web *web, struct request *request)
{
    struct dag_row row = {0};
    struct file_errors errors;
    struct err err;

    if (!lookup_dag(web, request, &row))
        return;
    if (!file_errors_load(web, request, &errors, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    write_dag(web, &w, &row, &errors);
}

void handle_dag_get(struct web *web, struct request *request)
{
    answer_dag(web, request);
}

static void patch_done(struct web *web, struct request *request, const struct link_answer *answer)
{
    if (answer->err.code != ERR_NONE)
        respond_err(request, &answer->err);
    else
        answer_dag(web, request);
}

void handle_dag_patch(struct web *web, struct request *request)
{
    static const struct field fields[] = {
        {.name = "is_paused", .type = FIELD_BOOL, .flags = FIELD_REQUIRED},
    };
    const char *dag_id = route_arg(request, "dag_id");
    struct dag_row row = {0};

    for (size_t i = 0; i < request->target.param_count; i++) {
        if (strcmp(request->target.params[i].value, "is_paused") != 0) {
            respond_detail(request, 400,
                           "Only `is_paused` field can be updated through the REST "
                           "API");
            return;
        }
    }
    json_t *body = body_check(request, fields, 1);
    if (body == NULL || !lookup_dag(web, request, &row)) {
        json_decref(body);
        return;
    }
    json_t *command = json_pack("{s:s, s:s, s:b}", "command", "set_paused", "dag_id", dag_id,
                                "is_paused", json_get_bool(body, "is_paused", false));
    json_decref(body);
    link_command(web->link, request, command, patch_done);
}

void handle_dag_details(struct web *web, struct request *request)
{
    struct dag_row row = {0};
    struct version_row version = {0};
    struct file_errors errors;
    int64_t active = 0;
    struct err err;

    if (!lookup_dag(web, request, &row))
        return;
    if (!file_errors_load(web, request, &errors, &err) ||
        !read_live_run_count(web->read, row.dag_id, &active, &err) ||
        !read_version(web->read, &request->arena, row.version_id, &version, &err)) {
        respond_err(request, &err);
        return;
    }
    struct view_dag view = {
        .row = &row,
        .dag = versions_get(web->versions, row.version_id),
        .dags_folder = web->settings->dags_folder,
        .has_import_errors = file_errors_has(&errors, row.file),
        .version = &version,
        .active_runs = active,
    };
    struct jw w = {.out = respond_json(request, 200)};
    view_dag(&w, &view);
}

/* The current version of the DAG in the path, or NULL after answering. */
static const struct dag *current_dag(struct web *web, struct request *request)
{
    struct dag_row row = {0};

    if (!lookup_dag(web, request, &row))
        return NULL;
    const struct dag *dag = versions_get(web->versions, row.version_id);
    if (dag == NULL)
        respond_detail(request, 500, "version %lld of DAG %s can't be read by this program",
                       (long long)row.version_number, row.dag_id);
    return dag;
}

void handle_dag_tasks(struct web *web, struct request *request)
{
    const struct dag *dag = current_dag(web, request);
    const char *order = request_param(request, "order_by");

    if (dag == NULL)
        return;
    if (order != NULL && strcmp(order, "task_id") != 0) {
        respond_detail(request, 400, "'DAG' has no attribute '%.100s' to order its tasks by",
                       order);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "tasks");
    jw_begin_array(&w);
    for (uint32_t i = 0; i < dag->task_count; i++)
        view_task(&w, dag, i);
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", dag->task_count);
    jw_end_object(&w);
}

void handle_dag_task(struct web *web, struct request *request)
{
    const struct dag *dag = current_dag(web, request);
    const char *task_id = route_arg(request, "task_id");

    if (dag == NULL)
        return;
    uint32_t index = dag_find_task(dag, str_from(task_id));
    if (index == UINT32_MAX) {
        respond_detail(request, 404, "Task with id %s was not found", task_id);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    view_task(&w, dag, index);
}

void handle_dag_versions(struct web *web, struct request *request)
{
    const char *dag_id = route_arg(request, "dag_id");
    bool all = strcmp(dag_id, "~") == 0;
    struct dag_row row = {0};
    struct read_page page;
    struct version_row *versions = NULL;
    size_t count = 0;
    int64_t total = 0;
    struct err err;

    if ((!all && !lookup_dag(web, request, &row)) || !params_page(request, NULL, &page))
        return;
    if (!read_versions(web->read, &request->arena, all ? NULL : dag_id, &page, &versions, &count,
                       &total, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "dag_versions");
    jw_begin_array(&w);
    for (size_t i = 0; i < count; i++)
        view_version(&w, versions[i].dag_id, versions[i].number, versions[i].created_at_us);
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", total);
    jw_end_object(&w);
}

void handle_dag_source(struct web *web, struct request *request)
{
    struct dag_row row = {0};
    struct version_row version = {0};
    struct err err;
    int64_t number = 0;

    if (!params_int(request, "version_number", 1, INT32_MAX, &number) ||
        !lookup_dag(web, request, &row))
        return;
    bool found =
        number == 0
            ? read_version(web->read, &request->arena, row.version_id, &version, &err)
            : read_version_number(web->read, &request->arena, row.dag_id, number, &version, &err);
    if (!found) {
        if (err.code == ERR_NOT_FOUND)
            respond_detail(request, 404, "DAG %s has no version %lld", row.dag_id,
                           (long long)number);
        else
            respond_err(request, &err);
        return;
    }
    if (params_accepts(request, "application/json")) {
        struct jw w = {.out = respond_json(request, 200)};
        jw_begin_object(&w);
        jw_key(&w, "content");
        jw_str(&w, version.source);
        jw_kv_string(&w, "dag_id", row.dag_id);
        jw_kv_string(&w, "dag_display_name", row.dag_id);
        jw_kv_int(&w, "version_number", version.number);
        jw_end_object(&w);
    } else if (params_accepts(request, "text/plain")) {
        buf_add_str(respond(request, 200, "text/plain; charset=utf-8"), version.source);
    } else {
        respond_detail(request, 406, "Only application/json or text/plain is supported");
    }
}

static void write_stats(struct jw *w, const struct run_count *counts, size_t count)
{
    int64_t by_state[RUN_STATE_COUNT] = {0};

    for (size_t i = 0; i < count; i++)
        by_state[counts[i].state] = counts[i].count;
    jw_begin_object(w);
    jw_kv_string(w, "dag_id", counts[0].dag_id);
    jw_kv_string(w, "dag_display_name", counts[0].dag_id);
    jw_key(w, "stats");
    jw_begin_array(w);
    for (unsigned state = 0; state < RUN_STATE_COUNT; state++) {
        jw_begin_object(w);
        jw_kv_string(w, "state", run_state_name((enum run_state)state));
        jw_kv_int(w, "count", by_state[state]);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

void handle_dag_stats(struct web *web, struct request *request)
{
    struct run_count *counts = NULL;
    const char *dag_ids = NULL;
    size_t count = 0;
    int64_t total = 0;
    struct err err;

    if (!params_list(request, "dag_ids", NULL, &dag_ids))
        return;
    if (!read_run_counts(web->read, &request->arena, dag_ids, &counts, &count, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "dags");
    jw_begin_array(&w);
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end < count && strcmp(counts[end].dag_id, counts[i].dag_id) == 0)
            end++;
        write_stats(&w, counts + i, end - i);
        total++;
        i = end;
    }
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", total);
    jw_end_object(&w);
}
