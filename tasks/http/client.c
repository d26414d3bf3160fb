#include "tasks/http/client.h"

#include "base/clock.h"
#include "tasks/http/secret.h"

#include <curl/curl.h>
#include <string.h>

#define REDIRECTS_MAX 5
#define CONNECT_TIMEOUT_MS 10000

void http_add_public_url(const char *url, struct buf *out)
{
    struct str text = str_from(url);
    const char *scheme = text.len == 0 ? NULL : memmem(text.ptr, text.len, "://", 3);
    size_t host = scheme == NULL ? 0 : (size_t)(scheme - text.ptr) + 3;
    size_t end = host + strcspn(text.ptr == NULL ? "" : text.ptr + host, "?#");
    size_t path = host + strcspn(text.ptr == NULL ? "" : text.ptr + host, "/?#");
    size_t from = host;

    for (size_t i = host; i < path; i++)
        if (text.ptr[i] == '@')
            from = i + 1;
    buf_add_str(out, str_sub(text, 0, host));
    buf_add_str(out, str_sub(text, from, end));
}

struct receiver {
    struct buf *body;
    size_t bytes_max;
    bool is_over;
};

static size_t receive(char *bytes, size_t size, size_t count, void *context)
{
    struct receiver *receiver = context;
    size_t len = size * count;

    if (receiver->body->len + len > receiver->bytes_max) {
        receiver->is_over = true;
        return 0;
    }
    buf_add(receiver->body, bytes, len);
    return len;
}

static bool has_line_end(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

/* Names and values come from templates: a line end in one would be another header. */
static bool add_header(struct curl_slist **list, const char *name, const json_t *value,
                       struct err *err)
{
    struct buf line = {0};
    struct buf text = {0};

    bool ok = secret_value(value, &text, err) || err_wrap(err, "header %.100s", name);
    if (ok && (has_line_end(name) || has_line_end(buf_text(&text)) || strchr(name, ':') != NULL))
        ok = err_set(err, ERR_INVALID, "header %.100s: neither name nor value may hold line ends",
                     name);
    if (ok) {
        /* curl's way to send a header without a value is a semicolon. */
        buf_printf(&line, text.len == 0 ? "%s;" : "%s: %s", name, buf_text(&text));
        *list = curl_slist_append(*list, buf_text(&line));
    }
    buf_release(&line);
    buf_release(&text);
    return ok;
}

static bool add_headers(const struct http_request *request, struct curl_slist **list,
                        struct err *err)
{
    const char *name = NULL;
    json_t *value = NULL;

    for (size_t i = 0; request->extra != NULL && request->extra[i] != NULL; i++)
        *list = curl_slist_append(*list, request->extra[i]);
    json_object_foreach((json_t *)(uintptr_t)request->headers, name, value)
    {
        if (!add_header(list, name, value, err))
            return false;
    }
    return true;
}

static void set_up(CURL *curl, const struct http_request *request, struct receiver *receiver,
                   struct curl_slist *headers)
{
    long timeout_ms = (long)(request->timeout_us / US_PER_MS);

    (void)curl_easy_setopt(curl, CURLOPT_URL, request->url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms < 1 ? 1L : timeout_ms);
    (void)curl_easy_setopt(
        curl, CURLOPT_CONNECTTIMEOUT_MS,
        timeout_ms < CONNECT_TIMEOUT_MS && timeout_ms > 0 ? timeout_ms : (long)CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request->follow_redirects ? 1L : 0L);
    (void)curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "millrace/" MILLRACE_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, receiver);
    if (request->body.ptr != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.ptr);
    }
    if (strcmp(request->method, "HEAD") == 0)
        (void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static bool fail(const struct http_request *request, const struct receiver *receiver, CURLcode code,
                 struct err *err)
{
    struct buf url = {0};

    http_add_public_url(request->url, &url);
    if (receiver->is_over)
        (void)err_set(err, ERR_LIMIT, "%.500s: the answer is over the limit of %zu bytes",
                      buf_text(&url), receiver->bytes_max);
    else if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        (void)err_set(err, ERR_INVALID, "%.500s is no http or https URL", buf_text(&url));
    else
        (void)err_set(err, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNREACHABLE,
                      "%.500s: %s", buf_text(&url), curl_easy_strerror(code));
    buf_release(&url);
    return false;
}

bool http_perform(const struct http_request *request, struct http_response *ret, struct err *err)
{
    struct receiver receiver = {.body = &ret->body, .bytes_max = request->bytes_max};
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    long status = 0;

    if (curl == NULL)
        return err_set(err, ERR_FAILED, "libcurl can't be set up");
    bool ok = add_headers(request, &headers, err);
    if (ok) {
        set_up(curl, request, &receiver, headers);
        CURLcode code = curl_easy_perform(curl);
        ok = code == CURLE_OK || fail(request, &receiver, code, err);
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        ret->status = status;
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return ok;
}
