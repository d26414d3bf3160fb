#include "web/body.h"

#include "base/timefmt.h"
#include "web/problem.h"

#include <string.h>
#include <strings.h>

#define DEPTH_MAX 32

/* Opens and closes outside strings: measured before parsing, so that no parser recurses deep. */
static bool is_shallow(struct str text)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                return false;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

static bool check_string(struct problems *problems, const struct field *field, const json_t *value)
{
    struct str text = {json_string_value(value), json_string_length(value)};

    if (!json_is_string(value)) {
        problem_body(problems, field->name, "string_type", "Input should be a valid string", value);
        return false;
    }
    if (field->max > 0 && (int64_t)text.len > field->max) {
        char message[80];
        (void)snprintf(message, sizeof(message), "String should have at most %lld characters",
                       (long long)field->max);
        problem_body(problems, field->name, "string_too_long", message, NULL);
        return false;
    }
    if ((field->flags & FIELD_ID) != 0 && !str_is_id(text)) {
        problem_body(problems, field->name, "value_error",
                     "Input should be 1 to 250 characters of A-Z a-z 0-9 _ . ~ : + -", value);
        return false;
    }
    if (memchr(text.ptr, '\0', text.len) != NULL) {
        problem_body(problems, field->name, "value_error", "Input should not hold a NUL", NULL);
        return false;
    }
    return true;
}

static bool check_int(struct problems *problems, const struct field *field, const json_t *value)
{
    char message[80];

    if (!json_is_integer(value)) {
        problem_body(problems, field->name, "int_type", "Input should be a valid integer", value);
        return false;
    }
    if (json_integer_value(value) < field->min || json_integer_value(value) > field->max) {
        bool low = json_integer_value(value) < field->min;
        (void)snprintf(message, sizeof(message), "Input should be %s than or equal to %lld",
                       low ? "greater" : "less", (long long)(low ? field->min : field->max));
        problem_body(problems, field->name, low ? "greater_than_equal" : "less_than_equal", message,
                     value);
        return false;
    }
    return true;
}

static bool check_time(struct problems *problems, const struct field *field, const json_t *value)
{
    int64_t us = 0;
    bool has_offset = false;

    if (!json_is_string(value) ||
        !timefmt_parse(str_from(json_string_value(value)), &us, &has_offset)) {
        problem_body(problems, field->name, "datetime_parsing",
                     "Input should be a valid datetime, as in 2026-01-31T00:00:00Z", value);
        return false;
    }
    if (!has_offset) {
        problem_body(problems, field->name, "timezone_aware",
                     "Input should have timezone info, as in 2026-01-31T00:00:00Z", value);
        return false;
    }
    return true;
}

static bool check_choice(struct problems *problems, const struct field *field, const json_t *value)
{
    struct buf message = {0};

    buf_add_text(&message, "Input should be ");
    for (size_t i = 0; field->choices[i] != NULL; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), field->choices[i]) == 0) {
            buf_release(&message);
            return true;
        }
        buf_printf(&message, "%s'%s'",
                   i == 0                          ? ""
                   : field->choices[i + 1] == NULL ? " or "
                                                   : ", ",
                   field->choices[i]);
    }
    problem_body(problems, field->name, "enum", buf_text(&message), value);
    buf_release(&message);
    return false;
}

static void check_field(struct problems *problems, const struct field *field, const json_t *value)
{
    if (value == NULL) {
        if ((field->flags & FIELD_REQUIRED) != 0)
            problem_body(problems, field->name, "missing", "Field required", NULL);
        return;
    }
    if (json_is_null(value) && (field->flags & FIELD_NULLABLE) != 0)
        return;
    switch (field->type) {
    case FIELD_STRING:
        (void)check_string(problems, field, value);
        return;
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            problem_body(problems, field->name, "bool_type", "Input should be a valid boolean",
                         value);
        return;
    case FIELD_INT:
        (void)check_int(problems, field, value);
        return;
    case FIELD_OBJECT:
        if (!json_is_object(value))
            problem_body(problems, field->name, "dict_type", "Input should be a valid dictionary",
                         value);
        return;
    case FIELD_LIST:
        if (!json_is_array(value))
            problem_body(problems, field->name, "list_type", "Input should be a valid list", value);
        return;
    case FIELD_TIME:
        (void)check_time(problems, field, value);
        return;
    case FIELD_CHOICE:
        (void)check_choice(problems, field, value);
        return;
    }
}

static const struct field *find_field(const struct field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static json_t *parse(struct request *request, struct problems *problems)
{
    struct err err;

    if (request->body.len == 0) {
        problem_body(problems, NULL, "missing", "Field required", NULL);
        return NULL;
    }
    if (!is_shallow(request->body)) {
        problem_body(problems, NULL, "json_invalid", "JSON is nested deeper than 32 levels", NULL);
        return NULL;
    }
    json_t *body = json_parse(request->body, &err);
    if (body == NULL) {
        char message[300];
        (void)snprintf(message, sizeof(message), "JSON decode error: %.250s", err.message);
        problem_body(problems, NULL, "json_invalid", message, NULL);
    } else if (!json_is_object(body)) {
        problem_body(problems, NULL, "model_attributes_type",
                     "Input should be a valid dictionary or object to extract fields from", body);
        json_decref(body);
        body = NULL;
    }
    return body;
}

json_t *body_check(struct request *request, const struct field *fields, size_t count)
{
    struct problems problems = {.request = request};
    const char *name;
    json_t *value;

    /* Only this type: a page of another origin can't send it without asking first. */
    if (request->content_type == NULL ||
        strncasecmp(request->content_type, "application/json", 16) != 0) {
        respond_detail(request, 415, "the body must be sent as Content-Type: application/json");
        return NULL;
    }
    json_t *body = parse(request, &problems);
    for (size_t i = 0; body != NULL && i < count; i++)
        check_field(&problems, &fields[i], json_object_get(body, fields[i].name));
    json_object_foreach(body, name, value)
    {
        if (find_field(fields, count, name) == NULL)
            problem_body(&problems, name, "extra_forbidden", "Extra inputs are not permitted",
                         value);
    }
    if (problems.count == 0)
        return body;
    problem_end(&problems);
    json_decref(body);
    return NULL;
}

int64_t body_time(const json_t *body, const char *name)
{
    const char *text = json_get_string(body, name, NULL);
    bool has_offset = false;
    int64_t us = 0;

    if (text != NULL)
        (void)timefmt_parse(str_from(text), &us, &has_offset);
    return us;
}
