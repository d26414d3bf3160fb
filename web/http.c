#include "web/http.h"

#include "base/jw.h"

#include <assert.h>
#include <string.h>

static const char *const method_names[HTTP_METHOD_COUNT] = {"GET", "POST", "PUT", "PATCH",
                                                            "DELETE"};

const char *http_method_name(enum http_method method)
{
    return method < HTTP_METHOD_COUNT ? method_names[method] : "?";
}

enum http_method http_method_parse(const char *name)
{
    if (strcmp(name, "HEAD") == 0)
        return HTTP_GET;
    for (unsigned i = 0; i < HTTP_METHOD_COUNT; i++)
        if (strcmp(name, method_names[i]) == 0)
            return (enum http_method)i;
    return HTTP_METHOD_COUNT;
}

struct buf *respond(struct request *request, int status, const char *content_type)
{
    struct response *response = &request->response;

    response->status = status;
    response->content_type = content_type;
    buf_clear(&response->body);
    return &response->body;
}

struct buf *respond_json(struct request *request, int status)
{
    return respond(request, status, "application/json");
}

void respond_detail(struct request *request, int status, const char *format, ...)
{
    struct jw w = {.out = respond_json(request, status)};
    struct buf text = {0};
    va_list args;

    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    jw_begin_object(&w);
    jw_kv_string(&w, "detail", buf_text(&text));
    jw_end_object(&w);
    buf_release(&text);
    if (status == 503)
        respond_header(request, "Retry-After", "2");
}

void respond_header(struct request *request, const char *name, const char *value)
{
    struct response *response = &request->response;

    assert(response->header_count < HTTP_HEADERS_MAX);
    response->headers[response->header_count++] = (struct http_param){name, value};
}

const char *request_param(const struct request *request, const char *name)
{
    const struct target *target = &request->target;

    for (size_t i = 0; i < target->param_count; i++)
        if (strcmp(target->params[i].name, name) == 0)
            return target->params[i].value;
    return NULL;
}
