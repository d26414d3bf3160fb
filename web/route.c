#include "web/route.h"

#include "base/jw.h"
#include "web/handlers.h"
#include "web/problem.h"

#include <assert.h>
#include <string.h>

static const struct route table[] = {
#define ROUTE(method, path, handler, params, summary)                                              \
    {HTTP_##method, path, summary, params, handle_##handler},
#include "web/routes.def"
#undef ROUTE
};

#define ROUTE_COUNT (sizeof(table) / sizeof(table[0]))

const struct route *routes(size_t *ret_count)
{
    *ret_count = ROUTE_COUNT;
    return table;
}

/* Takes the next segment of a pattern; false at its end. */
static bool next_segment(const char **pattern, struct str *ret)
{
    if (**pattern != '/' || (*pattern)[1] == '\0')
        return false;
    const char *start = *pattern + 1;
    size_t len = strcspn(start, "/");
    *ret = (struct str){start, len};
    *pattern = start + len;
    return true;
}

static bool matches(const struct route *route, struct request *request)
{
    const struct target *target = &request->target;
    const char *pattern = route->path;
    struct str expected;
    size_t args = 0;
    size_t i = 0;

    for (; next_segment(&pattern, &expected); i++) {
        if (i == target->segment_count)
            return false;
        if (expected.ptr[0] == '{') {
            if (target->segments[i][0] == '\0')
                return false;
            assert(args < HTTP_ARGS_MAX);
            request->path_args[args++] = target->segments[i];
        } else if (!str_is(expected, target->segments[i])) {
            return false;
        }
    }
    return i == target->segment_count;
}

const char *route_arg(const struct request *request, const char *name)
{
    const char *pattern = request->route->path;
    struct str segment;
    size_t args = 0;

    while (next_segment(&pattern, &segment)) {
        if (segment.ptr[0] != '{')
            continue;
        if (str_is(str_sub(segment, 1, segment.len - 1), name))
            return request->path_args[args];
        args++;
    }
    return NULL;
}

static bool knows_param(const struct route *route, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = route->params; *at != '\0';) {
        size_t word = strcspn(at, " ");
        if (word == len && memcmp(at, name, len) == 0)
            return true;
        at += word;
        at += strspn(at, " ");
    }
    return false;
}

/* A filter that is not applied would answer another question than the one asked. */
static bool check_params(struct request *request)
{
    for (size_t i = 0; i < request->target.param_count; i++) {
        const struct http_param *param = &request->target.params[i];
        if (!knows_param(request->route, param->name)) {
            problem_query(request, param->name, "extra_forbidden",
                          "This query parameter is not supported here");
            return false;
        }
    }
    return true;
}

/* Airflow 2's addresses: scripts get told where things went. */
static bool answer_moved(struct request *request)
{
    const struct target *target = &request->target;
    bool health = target->segment_count == 1 && strcmp(target->segments[0], "health") == 0;
    bool v1 = target->segment_count >= 2 && strcmp(target->segments[0], "api") == 0 &&
              strcmp(target->segments[1], "v1") == 0;

    if (!health && !v1)
        return false;
    struct jw w = {.out = respond_json(request, 404)};
    jw_begin_object(&w);
    jw_kv_string(&w, "error",
                 health ? "Moved in Airflow 3. Please use config /api/v2/monitor/health"
                        : "/api/v1 has been removed in Airflow 3, please use its upgraded version "
                          "/api/v2 instead.");
    jw_end_object(&w);
    return true;
}

bool route_find(struct request *request)
{
    struct buf allowed = {0};

    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!matches(&table[i], request))
            continue;
        if (table[i].method == request->method) {
            request->route = &table[i];
            buf_release(&allowed);
            return check_params(request);
        }
        buf_printf(&allowed, "%s%s", allowed.len > 0 ? ", " : "",
                   http_method_name(table[i].method));
    }
    if (allowed.len > 0) {
        respond_detail(request, 405, "Method Not Allowed");
        respond_header(request, "Allow", arena_strdup(&request->arena, buf_text(&allowed)));
    } else if (!answer_moved(request)) {
        respond_detail(request, 404, "Not Found");
    }
    buf_release(&allowed);
    return false;
}
