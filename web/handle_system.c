/* The system: version, health, import errors, pools, the OpenAPI document. */
#include "web/handlers.h"

#include "web/link.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/route.h"
#include "web/versions.h"
#include "web/view.h"

#include <string.h>
#include <strings.h>

void handle_version(struct web *web, struct request *request)
{
    struct jw w = {.out = respond_json(request, 200)};

    (void)web;
    jw_begin_object(&w);
    jw_kv_string(&w, "version", MILLRACE_VERSION);
    jw_kv_null(&w, "git_version");
    jw_end_object(&w);
}

static void write_health(struct jw *w, const char *part, bool healthy, const char *heartbeat,
                         int64_t heartbeat_us)
{
    jw_key(w, part);
    jw_begin_object(w);
    jw_kv_string(w, "status", healthy ? "healthy" : "unhealthy");
    if (heartbeat != NULL)
        jw_kv_time(w, heartbeat, heartbeat_us);
    jw_end_object(w);
}

void handle_health(struct web *web, struct request *request)
{
    bool up = link_is_up(web->link);
    int64_t seen = link_last_seen_us(web->link);
    int64_t seq = 0;
    struct err err;
    bool database = read_last_seq(web->read, &seq, &err);
    struct jw w = {.out = respond_json(request, 200)};

    jw_begin_object(&w);
    write_health(&w, "metadatabase", database, NULL, 0);
    write_health(&w, "scheduler", up, "latest_scheduler_heartbeat", seen);
    jw_key(&w, "triggerer");
    jw_begin_object(&w);
    jw_kv_null(&w, "status");
    jw_kv_null(&w, "latest_triggerer_heartbeat");
    jw_end_object(&w);
    write_health(&w, "dag_processor", up, "latest_dag_processor_heartbeat", seen);
    jw_end_object(&w);
}

void handle_import_errors_list(struct web *web, struct request *request)
{
    struct read_page page;
    struct import_error_row *rows = NULL;
    size_t count = 0;
    int64_t total = 0;
    struct err err;

    if (!params_page(request, "id", &page))
        return;
    if (!read_import_errors(web->read, &request->arena, params_pattern(request, "filename_pattern"),
                            &page, &rows, &count, &total, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "import_errors");
    jw_begin_array(&w);
    for (size_t i = 0; i < count; i++)
        view_import_error(&w, &rows[i]);
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", total);
    jw_end_object(&w);
}

void handle_import_error_get(struct web *web, struct request *request)
{
    struct import_error_row row = {0};
    int64_t id = 0;
    struct err err;

    if (!lookup_int(request, "import_error_id", &id))
        return;
    if (!read_import_error(web->read, &request->arena, id, &row, &err)) {
        if (err.code == ERR_NOT_FOUND)
            respond_detail(request, 404,
                           "The ImportError with import_error_id: `%lld` was not found",
                           (long long)id);
        else
            respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    view_import_error(&w, &row);
}

/* Slots of one pool in use, by what its task instances do. */
struct pool_use {
    int64_t running;
    int64_t queued;
    int64_t scheduled;
    int64_t deferred;
};

static struct pool_use count_use(struct web *web, const char *pool, const struct task_count *counts,
                                 size_t count)
{
    struct pool_use use = {0};

    for (size_t i = 0; i < count; i++) {
        const struct dag *dag = versions_get(web->versions, counts[i].version_id);
        if (dag == NULL || counts[i].task >= dag->task_count ||
            strcmp(dag->tasks[counts[i].task].pool, pool) != 0)
            continue;
        int64_t slots = counts[i].count * dag->tasks[counts[i].task].pool_slots;
        use.running += counts[i].state == TASK_RUNNING ? slots : 0;
        use.queued += counts[i].state == TASK_QUEUED ? slots : 0;
        use.scheduled += counts[i].state == TASK_SCHEDULED ? slots : 0;
        use.deferred += counts[i].state == TASK_DEFERRED ? slots : 0;
    }
    return use;
}

static void write_pool(struct jw *w, const struct pool_row *pool, const struct pool_use *use)
{
    int64_t occupied = use->running + use->queued;
    int64_t open = pool->slots < 0 ? INT32_MAX : pool->slots - occupied;

    jw_begin_object(w);
    jw_kv_string(w, "name", pool->name);
    jw_kv_int(w, "slots", pool->slots);
    jw_kv_string(w, "description", pool->description);
    jw_kv_bool(w, "include_deferred", false);
    jw_kv_int(w, "occupied_slots", occupied);
    jw_kv_int(w, "running_slots", use->running);
    jw_kv_int(w, "queued_slots", use->queued);
    jw_kv_int(w, "scheduled_slots", use->scheduled);
    jw_kv_int(w, "open_slots", open > 0 ? open : 0);
    jw_kv_int(w, "deferred_slots", use->deferred);
    jw_kv_null(w, "team_name");
    jw_end_object(w);
}

struct pools {
    struct pool_row *rows;
    size_t count;
    struct task_count *counts;
    size_t task_count;
};

static bool load_pools(struct web *web, struct request *request, struct pools *pools)
{
    struct err err;

    if (read_pools(web->read, &request->arena, &pools->rows, &pools->count, &err) &&
        read_live_task_counts(web->read, &request->arena, &pools->counts, &pools->task_count, &err))
        return true;
    respond_err(request, &err);
    return false;
}

/* Whether a pool's name holds the pattern, without case. */
static bool holds(const char *name, const char *pattern)
{
    return pattern == NULL || strcmp(pattern, "~") == 0 || strcasestr(name, pattern) != NULL;
}

void handle_pools_list(struct web *web, struct request *request)
{
    const char *pattern = request_param(request, "pool_name_pattern");
    struct read_page page;
    struct pools pools = {0};
    int64_t matched = 0;

    if (!params_page(request, "name", &page) || !load_pools(web, request, &pools))
        return;
    if (strcmp(page.order[0].name, "name") != 0 && strcmp(page.order[0].name, "id") != 0 &&
        strcmp(page.order[0].name, "pool") != 0) {
        respond_detail(request, 400,
                       "Ordering with '%.100s' is disallowed or the attribute does not exist on "
                       "the model",
                       page.order[0].name);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    jw_begin_object(&w);
    jw_key(&w, "pools");
    jw_begin_array(&w);
    for (size_t i = 0; i < pools.count; i++) {
        size_t at = page.order[0].descending ? pools.count - 1 - i : i;
        const struct pool_row *pool = &pools.rows[at];
        if (!holds(pool->name, pattern))
            continue;
        struct pool_use use = count_use(web, pool->name, pools.counts, pools.task_count);
        if (matched >= page.offset && matched - page.offset < page.limit)
            write_pool(&w, pool, &use);
        matched++;
    }
    jw_end_array(&w);
    jw_kv_int(&w, "total_entries", matched);
    jw_end_object(&w);
}

void handle_pool_get(struct web *web, struct request *request)
{
    const char *name = route_arg(request, "pool_name");
    struct pools pools = {0};

    if (!load_pools(web, request, &pools))
        return;
    for (size_t i = 0; i < pools.count; i++) {
        if (strcmp(pools.rows[i].name, name) != 0)
            continue;
        struct pool_use use = count_use(web, name, pools.counts, pools.task_count);
        struct jw w = {.out = respond_json(request, 200)};
        write_pool(&w, &pools.rows[i], &use);
        return;
    }
    respond_detail(request, 404, "The Pool with name: `%s` was not found", name);
}

static void write_parameter(struct jw *w, const char *where, struct str name)
{
    jw_begin_object(w);
    jw_key(w, "name");
    jw_str(w, name);
    jw_kv_string(w, "in", where);
    jw_kv_bool(w, "required", strcmp(where, "path") == 0);
    jw_kv_raw(w, "schema", "{\"type\":\"string\"}");
    jw_end_object(w);
}

static void write_parameters(struct jw *w, const struct route *route)
{
    jw_key(w, "parameters");
    jw_begin_array(w);
    for (const char *open = strchr(route->path, '{'); open != NULL; open = strchr(open + 1, '{'))
        write_parameter(w, "path", (struct str){open + 1, strcspn(open + 1, "}")});
    for (const char *at = route->params; *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        write_parameter(w, "query", (struct str){at, len});
        at += len;
    }
    jw_end_array(w);
}

static void write_operation(struct jw *w, const struct route *route)
{
    char method[10] = {0};

    (void)snprintf(method, sizeof(method), "%s", http_method_name(route->method));
    for (char *c = method; *c != '\0'; c++)
        *c = (char)(*c + ('a' - 'A'));
    jw_key(w, method);
    jw_begin_object(w);
    jw_kv_string(w, "summary", route->summary);
    write_parameters(w, route);
    if (route->method == HTTP_POST || route->method == HTTP_PATCH)
        jw_kv_raw(w, "requestBody",
                  "{\"required\":true,\"content\":{\"application/json\":{\"schema\":"
                  "{\"type\":\"object\"}}}}");
    jw_kv_raw(w, "responses",
              "{\"200\":{\"description\":\"Done\"},"
              "\"4XX\":{\"description\":\"Refused; the body has a detail\"}}");
    jw_end_object(w);
}

void handle_openapi(struct web *web, struct request *request)
{
    struct jw w = {.out = respond_json(request, 200)};
    size_t count = 0;
    const struct route *table = routes(&count);

    (void)web;
    jw_begin_object(&w);
    jw_kv_string(&w, "openapi", "3.1.0");
    jw_key(&w, "info");
    jw_begin_object(&w);
    jw_kv_string(&w, "title", "Millrace");
    jw_kv_string(&w, "version", MILLRACE_VERSION);
    jw_end_object(&w);
    jw_key(&w, "paths");
    jw_begin_object(&w);
    for (size_t i = 0; i < count;) {
        const char *path = table[i].path; /* routes of one path stand together */
        jw_key(&w, path);
        jw_begin_object(&w);
        for (; i < count && strcmp(table[i].path, path) == 0; i++)
            write_operation(&w, &table[i]);
        jw_end_object(&w);
    }
    jw_end_object(&w);
    jw_end_object(&w);
}
