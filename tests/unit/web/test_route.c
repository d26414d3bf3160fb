/* The router denies by default; the guard lets only this machine's pages change things; bodies and
 * query parameters are checked strictly. */
#include "base/json.h"
#include "web/body.h"
#include "web/guard.h"
#include "web/params.h"
#include "web/route.h"
#include "web/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void open_request(struct request *request, enum http_method method, const char *target)
{
    struct err err;

    memset(request, 0, sizeof(*request));
    request->method = method;
    assert_true(url_parse(&request->arena, str_from(target), &request->target, &err));
}

static void close_request(struct request *request)
{
    buf_release(&request->response.body);
    arena_release(&request->arena);
}

struct route_case {
    enum http_method method;
    const char *target;
    int status; /* 0 = routed */
    const char *name;
    const char *value;
};

static void finds_routes(void **state)
{
    static const struct route_case cases[] = {
        {HTTP_GET,          "/api/v2/version",               0,   NULL,          NULL },
        {HTTP_GET,          "/api/v2/dags/a.b",              0,   "dag_id",      "a.b"},
        {HTTP_PATCH,        "/api/v2/dags/x",                0,   "dag_id",      "x"  },
        {HTTP_GET,          "/api/v2/dags/~/dagRuns/r%2B1",  0,   "dag_run_id",  "r+1"},
        {HTTP_GET,          "/api/v2/backfills/7/",          0,   "backfill_id", "7"  },
        {HTTP_POST,         "/api/v2/backfills/dry_run",     0,   NULL,          NULL },
        {HTTP_GET,          "/",                             0,   NULL,          NULL },
        {HTTP_GET,          "/api/v2/Version",               404, NULL,          NULL },
        {HTTP_GET,          "/api/v2/version/x",             404, NULL,          NULL },
        {HTTP_GET,          "/api/v2",                       404, NULL,          NULL },
        {HTTP_GET,          "//api/v2/version",              404, NULL,          NULL },
        {HTTP_GET,          "/api/v2//version",              404, NULL,          NULL },
        {HTTP_GET,          "/api/v2/dags//dagRuns",         404, NULL,          NULL },
        {HTTP_GET,          "/x/api/v2/version",             404, NULL,          NULL },
        {HTTP_GET,          "/health",                       404, NULL,          NULL },
        {HTTP_GET,          "/api/v1/dags",                  404, NULL,          NULL },
        {HTTP_DELETE,       "/api/v2/dags/x",                405, NULL,          NULL },
        {HTTP_POST,         "/api/v2/version",               405, NULL,          NULL },
        {HTTP_METHOD_COUNT, "/api/v2/version",               405, NULL,          NULL },
        {HTTP_GET,          "/api/v2/dags?limit=1&owners=a", 0,   NULL,          NULL },
        {HTTP_GET,          "/api/v2/dags?nonsense=1",       422, NULL,          NULL },
        {HTTP_GET,          "/api/v2/dags?limi=1",           422, NULL,          NULL },
        {HTTP_GET,          "/api/v2/version?x=1",           422, NULL,          NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request request;
        open_request(&request, cases[i].method, cases[i].target);
        assert_int_equal(route_find(&request), cases[i].status == 0);
        assert_int_equal(request.response.status, cases[i].status);
        if (cases[i].name != NULL)
            assert_string_equal(route_arg(&request, cases[i].name), cases[i].value);
        close_request(&request);
    }
}

/* Every route can be reached by its own path, and by no other method than its own. */
static void reaches_every_route(void **state)
{
    size_t count = 0;
    const struct route *table = routes(&count);

    (void)state;
    assert_true(count > 30);
    for (size_t i = 0; i < count; i++) {
        struct request request;
        struct buf path = {0};
        for (const char *at = table[i].path; *at != '\0'; at++) {
            if (*at != '{') {
                buf_add_char(&path, *at);
                continue;
            }
            buf_add_text(&path, "value");
            at = strchr(at, '}');
        }
        open_request(&request, table[i].method, buf_text(&path));
        assert_true(route_find(&request));
        assert_ptr_equal(request.route, &table[i]);
        close_request(&request);
        buf_release(&path);
    }
}

struct guard_case {
    enum http_method method;
    const char *host;
    const char *origin;
    const char *fetch_site;
    bool allowed;
};

static void guards(void **state)
{
    static const struct guard_case cases[] = {
        {HTTP_GET,          "localhost:8080",              NULL,                     NULL,          true },
        {HTTP_GET,          "LOCALHOST:8080",              NULL,                     NULL,          true },
        {HTTP_GET,          "127.0.0.1:8080",              NULL,                     NULL,          true },
        {HTTP_GET,          "[::1]:8080",                  NULL,                     NULL,          true },
        {HTTP_GET,          "localhost",                   NULL,                     NULL,          false},
        {HTTP_GET,          "localhost:80800",             NULL,                     NULL,          false},
        {HTTP_GET,          "localhost:8081",              NULL,                     NULL,          false},
        {HTTP_GET,          "localhost.evil.example:8080", NULL,                     NULL,          false},
        {HTTP_GET,          "evil.example",                NULL,                     NULL,          false},
        {HTTP_GET,          "127.0.0.2:8080",              NULL,                     NULL,          false},
        {HTTP_GET,          NULL,                          NULL,                     NULL,          false},
        {HTTP_GET,          "localhost:8080",              "http://evil.example",    "cross-site",  true },
        {HTTP_POST,         "localhost:8080",              NULL,                     NULL,          true },
        {HTTP_POST,         "localhost:8080",              "http://localhost:8080",  "same-origin", true },
        {HTTP_POST,         "localhost:8080",              "http://127.0.0.1:8080",  NULL,          true },
        {HTTP_POST,         "localhost:8080",              "http://localhost:8081",  NULL,          false},
        {HTTP_POST,         "localhost:8080",              "https://localhost:8080", NULL,          false},
        {HTTP_POST,         "localhost:8080",              "null",                   NULL,          false},
        {HTTP_POST,         "localhost:8080",              "",                       NULL,          false},
        {HTTP_PUT,          "localhost:8080",              NULL,                     "cross-site",  false},
        {HTTP_PATCH,        "localhost:8080",              NULL,                     "same-site",   false},
        {HTTP_PATCH,        "localhost:8080",              NULL,                     "none",        true },
        {HTTP_METHOD_COUNT, "localhost:8080",              "http://evil.example",    NULL,          false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request request;
        open_request(&request, cases[i].method, "/api/v2/version");
        request.host = cases[i].host;
        request.origin = cases[i].origin;
        request.fetch_site = cases[i].fetch_site;
        if (guard_check(&request, 8080) != cases[i].allowed)
            fail_msg("case %zu", i);
        assert_int_equal(request.response.status, cases[i].allowed ? 0 : 403);
        close_request(&request);
    }
}

static const char *const choices[] = {"failed", "none", NULL};
/* clang-format 14 crashes on rows of different length. */
/* clang-format off */
static const struct field fields[] = {
    {.name = "id", .type = FIELD_STRING, .flags = FIELD_REQUIRED | FIELD_ID},
    {.name = "flag", .type = FIELD_BOOL},
    {.name = "count", .type = FIELD_INT, .min = 1, .max = 10},
    {.name = "conf", .type = FIELD_OBJECT, .flags = FIELD_NULLABLE},
    {.name = "at", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
    {.name = "choice", .type = FIELD_CHOICE, .choices = choices},
    {.name = "note", .type = FIELD_STRING, .flags = FIELD_NULLABLE, .max = 5},
};
/* clang-format on */

static const char full_body[] =
    "{\"id\":\"a\",\"flag\":true,\"count\":10,\"conf\":{\"x\":[1]},"
    "\"at\":\"2026-01-01T00:00:00+01:00\",\"choice\":\"none\",\"note\":\"12345\"}";

struct body_case {
    const char *body;
    const char *type; /* of the first problem; NULL = accepted */
    size_t problems;
};

static void checks_bodies(void **state)
{
    static const struct body_case cases[] = {
        {"{\"id\":\"a\"}",                                         NULL,                    0},
        {full_body,                                                NULL,                    0},
        {"{\"id\":\"a\",\"conf\":null,\"at\":null,\"note\":null}", NULL,                    0},
        {"",                                                       "missing",               1},
        {"{",                                                      "json_invalid",          1},
        {"{\"id\":\"a\"} x",                                       "json_invalid",          1},
        {"{\"id\":\"a\",\"id\":\"b\"}",                            "json_invalid",          1},
        {"[]",                                                     "model_attributes_type", 1},
        {"\"x\"",                                                  "json_invalid",          1},
        {"{}",                                                     "missing",               1},
        {"{\"id\":1}",                                             "string_type",           1},
        {"{\"id\":null}",                                          "string_type",           1},
        {"{\"id\":\"a/b\"}",                                       "value_error",           1},
        {"{\"id\":\"..\"}",                                        "value_error",           1},
        {"{\"id\":\"a\",\"flag\":\"true\"}",                       "bool_type",             1},
        {"{\"id\":\"a\",\"flag\":1}",                              "bool_type",             1},
        {"{\"id\":\"a\",\"count\":1.0}",                           "int_type",              1},
        {"{\"id\":\"a\",\"count\":\"1\"}",                         "int_type",              1},
        {"{\"id\":\"a\",\"count\":0}",                             "greater_than_equal",    1},
        {"{\"id\":\"a\",\"count\":11}",                            "less_than_equal",       1},
        {"{\"id\":\"a\",\"count\":null}",                          "int_type",              1},
        {"{\"id\":\"a\",\"conf\":[]}",                             "dict_type",             1},
        {"{\"id\":\"a\",\"at\":\"yesterday\"}",                    "datetime_parsing",      1},
        {"{\"id\":\"a\",\"at\":\"2026-01-01T00:00:00\"}",          "timezone_aware",        1},
        {"{\"id\":\"a\",\"at\":1}",                                "datetime_parsing",      1},
        {"{\"id\":\"a\",\"choice\":\"all\"}",                      "enum",                  1},
        {"{\"id\":\"a\",\"note\":\"123456\"}",                     "string_too_long",       1},
        {"{\"id\":\"a\",\"note\":\"a\\u0000b\"}",                  "json_invalid",          1},
        {"{\"id\":\"a\",\"extra\":1}",                             "extra_forbidden",       1},
        {"{\"flag\":0,\"count\":\"x\",\"extra\":1}",               "missing",               4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request request;
        struct err err;
        open_request(&request, HTTP_POST, "/");
        request.content_type = "application/json; charset=utf-8";
        request.body = str_from(cases[i].body);
        json_t *body = body_check(&request, fields, sizeof(fields) / sizeof(fields[0]));
        if ((body != NULL) != (cases[i].type == NULL))
            fail_msg("%s", cases[i].body);
        if (body == NULL) {
            assert_int_equal(request.response.status, 422);
            json_t *answer = json_parse(buf_str(&request.response.body), &err);
            const json_t *detail = json_object_get(answer, "detail");
            assert_int_equal(json_array_size(detail), cases[i].problems);
            assert_string_equal(json_get_string(json_array_get(detail, 0), "type", ""),
                                cases[i].type);
            json_decref(answer);
        }
        json_decref(body);
        close_request(&request);
    }
}

static void refuses_deep_and_foreign_bodies(void **state)
{
    struct request request;
    struct buf deep = {0};

    (void)state;
    open_request(&request, HTTP_POST, "/");
    request.content_type = "text/plain";
    request.body = STR("{\"id\":\"a\"}");
    assert_null(body_check(&request, fields, 1));
    assert_int_equal(request.response.status, 415);
    request.content_type = "application/json";
    for (int i = 0; i < 100000; i++)
        buf_add_text(&deep, "[");
    request.body = buf_str(&deep);
    assert_null(body_check(&request, fields, 1));
    assert_int_equal(request.response.status, 422);
    buf_release(&deep);
    close_request(&request);
}

struct param_case {
    const char *target;
    bool ok;
    int64_t limit;
    size_t orders;
    size_t ranges;
};

static void reads_params(void **state)
{
    static const struct param_case cases[] = {
        {"/x",                                                  true,  50, 0, 0},
        {"/x?limit=0&offset=5",                                 true,  0,  0, 0},
        {"/x?limit=-1",                                         false, 0,  0, 0},
        {"/x?limit=1e3",                                        false, 0,  0, 0},
        {"/x?offset=-1",                                        false, 0,  0, 0},
        {"/x?order_by=-a&order_by=b",                           true,  50, 2, 0},
        {"/x?run_after_gte=2025-01-01T00:00:00.000000%2B0000",  true,  50, 0, 1},
        {"/x?run_after_gte=2025-01-01T00:00:00.000000+0000",    true,  50, 0, 1},
        {"/x?run_after_gte=2025-01-01&run_after_lt=2025-01-02", true,  50, 0, 2},
        {"/x?duration_gt=1.5",                                  true,  50, 0, 1},
        {"/x?duration_gt=-1",                                   false, 0,  0, 0},
        {"/x?duration_gt=nan",                                  false, 0,  0, 0},
        {"/x?end_date_lte=soon",                                false, 0,  0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request request;
        struct read_page page;
        struct read_ranges ranges = {0};
        open_request(&request, HTTP_GET, cases[i].target);
        bool ok = params_page(&request, NULL, &page) && params_ranges(&request, &ranges);
        if (ok != cases[i].ok)
            fail_msg("%s", cases[i].target);
        if (ok) {
            assert_int_equal(page.limit, cases[i].limit);
            assert_int_equal(page.order_count, cases[i].orders);
            assert_int_equal(ranges.count, cases[i].ranges);
        } else {
            assert_int_equal(request.response.status, 422);
        }
        close_request(&request);
    }
}

static void understands_accept(void **state)
{
    struct request request = {0};

    (void)state;
    assert_true(params_accepts(&request, "text/plain"));
    request.accept = "application/x-ndjson, text/*;q=0.5";
    assert_true(params_accepts(&request, "text/plain"));
    assert_true(params_accepts(&request, "application/x-ndjson"));
    assert_false(params_accepts(&request, "application/json"));
    request.accept = "*/*";
    assert_true(params_accepts(&request, "application/json"));
    request.accept = "image/png";
    assert_false(params_accepts(&request, "application/json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_routes),
        cmocka_unit_test(reaches_every_route),
        cmocka_unit_test(guards),
        cmocka_unit_test(checks_bodies),
        cmocka_unit_test(refuses_deep_and_foreign_bodies),
        cmocka_unit_test(reads_params),
        cmocka_unit_test(understands_accept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
