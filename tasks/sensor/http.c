/* An HTTP answer: its status, and what is in it. */
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tasks/http/client.h"
#include "tasks/sensor/sensor.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* A pattern must not keep the runner busy for ever. */
#define MATCH_LIMIT 1000000

static bool is_yes(const json_t *statuses, int64_t status)
{
    size_t i = 0;
    json_t *item = NULL;

    json_array_foreach(statuses, i, item)
    {
        int64_t number = json_integer_value(item);
        if (json_is_string(item) && !str_to_int(str_from(json_string_value(item)), &number))
            number = 0;
        if (number == status)
            return true;
    }
    return statuses == NULL && status == 200;
}

/* What a service answers while the thing is not there yet, or while it is not well itself. */
static bool is_not_yet(int64_t status)
{
    return status == 404 || status == 408 || status == 425 || status == 429 || status >= 500 ||
           (status >= 200 && status < 300);
}

/* Follows data.jobs.0.state into a document. */
static const json_t *walk(const json_t *value, struct str path)
{
    while (value != NULL && path.len > 0) {
        size_t dot = str_find(path, '.', 0);
        struct str key = str_sub(path, 0, dot);
        int64_t index = -1;
        if (json_is_array(value))
            value =
                str_to_int(key, &index) && index >= 0 ? json_array_get(value, (size_t)index) : NULL;
        else
            value = key.len == 0 ? NULL : json_object_getn(value, key.ptr, key.len);
        path = dot == SIZE_MAX ? (struct str){NULL, 0} : str_sub(path, dot + 1, path.len);
    }
    return value;
}

static bool matches(const char *pattern, struct str text, bool *ret, struct err *err)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    PCRE2_UCHAR message[160];
    pcre2_code *regex = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &code, &offset, NULL);

    if (regex == NULL) {
        (void)pcre2_get_error_message(code, message, sizeof(message));
        return err_set(err, ERR_INVALID, "`matches`, at character %zu: %s", (size_t)offset,
                       (const char *)message);
    }
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(regex, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    (void)pcre2_set_match_limit(context, MATCH_LIMIT);
    code = pcre2_match(regex, (PCRE2_SPTR)(text.ptr == NULL ? "" : text.ptr), text.len, 0, 0, data,
                       context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    pcre2_code_free(regex);
    *ret = code >= 0;
    if (code >= 0 || code == PCRE2_ERROR_NOMATCH)
        return true;
    (void)pcre2_get_error_message(code, message, sizeof(message));
    return err_set(err, ERR_INVALID, "`matches`: %s", (const char *)message);
}

static void add_text(const json_t *value, struct buf *out)
{
    if (json_is_string(value))
        buf_add(out, json_string_value(value), json_string_length(value));
    else if (value != NULL)
        json_dump_canonical(value, out);
}

/* Whether the value at json_path is what is waited for; its text is left in `text`. */
static bool judge_value(const json_t *thing, struct str body, bool *ret, struct buf *text,
                        struct err *err)
{
    const json_t *equals = json_object_get(thing, "equals");
    json_t *document = json_parse(body, err);
    struct buf wanted = {0};

    if (document == NULL)
        return err_wrap(err, "the answer is no JSON");
    const json_t *value = walk(document, str_from(json_get_string(thing, "json_path", "")));
    add_text(value, text);
    if (equals == NULL) {
        *ret = json_object_get(thing, "matches") != NULL ? value != NULL : sensor_is_truthy(value);
    } else {
        add_text(equals, &wanted);
        *ret = value != NULL && strcmp(buf_text(&wanted), buf_text(text)) == 0;
    }
    buf_release(&wanted);
    json_decref(document);
    return true;
}

static bool judge(const json_t *thing, struct str body, bool *ret_found, struct err *err)
{
    const char *pattern = json_get_string(thing, "matches", NULL);
    struct buf text = {0};
    bool ok = true;

    *ret_found = true;
    if (json_get_string(thing, "json_path", NULL) != NULL)
        ok = judge_value(thing, body, ret_found, &text, err);
    else
        buf_add_str(&text, body);
    if (ok && *ret_found && pattern != NULL)
        ok = matches(pattern, buf_str(&text), ret_found, err);
    buf_release(&text);
    return ok;
}

static int64_t get_timeout(const json_t *thing)
{
    int64_t us = INT64_C(30000000);

    (void)duration_parse(str_from(json_get_string(thing, "timeout", "30s")), &us);
    return us;
}

bool sensor_look_at_http(struct attempt *attempt, const json_t *thing, bool *ret_found,
                         struct buf *what, struct err *err)
{
    struct http_response response = {0};
    struct http_request request = {
        .method = json_get_string(thing, "method", "GET"),
        .url = sensor_text(thing, "url"),
        .headers = json_object_get(thing, "headers"),
        .body = str_from(json_get_string(thing, "body", NULL)),
        .timeout_us = get_timeout(thing),
        .bytes_max = (size_t)json_get_int(thing, "max_bytes", 1048576),
        .follow_redirects = json_get_bool(thing, "follow_redirects", false),
    };

    buf_add_text(what, "http ");
    http_add_public_url(request.url, what);
    bool ok = http_perform(&request, &response, err);
    if (ok && is_yes(json_object_get(thing, "status"), response.status)) {
        ok = judge(thing, buf_str(&response.body), ret_found, err);
        if (ok && *ret_found)
            (void)json_object_set_new(attempt->outputs, "status", json_integer(response.status));
    } else if (ok && !is_not_yet(response.status)) {
        ok = err_set(err, ERR_FAILED, "%s answered with status %lld", buf_text(what),
                     (long long)response.status);
    }
    if (ok)
        buf_printf(what, " (status %lld)", (long long)response.status);
    else if (err->code == ERR_UNREACHABLE || err->code == ERR_TIMEOUT) {
        /* Nobody there yet is not yet, too. */
        buf_printf(what, " (%s)", err->code == ERR_TIMEOUT ? "no answer in time" : "unreachable");
        *err = (struct err){0};
        ok = true;
    }
    buf_release(&response.body);
    return ok;
}
