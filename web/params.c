#include "web/params.h"

#include "base/clock.h"
#include "base/jw.h"
#include "base/timefmt.h"
#include "web/problem.h"

#include <string.h>
#include <strings.h>

bool params_int(struct request *request, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    const char *text = request_param(request, name);
    int64_t value = 0;
    char message[100];

    if (text == NULL)
        return true;
    if (!str_to_int(str_from(text), &value)) {
        problem_query(request, name, "int_parsing", "Input should be a valid integer");
        return false;
    }
    if (value < min || value > max) {
        (void)snprintf(message, sizeof(message), "Input should be between %lld and %lld",
                       (long long)min, (long long)max);
        problem_query(request, name, value < min ? "greater_than_equal" : "less_than_equal",
                      message);
        return false;
    }
    *ret = value;
    return true;
}

bool params_bool(struct request *request, const char *name, bool *ret)
{
    const char *text = request_param(request, name);

    if (text == NULL)
        return true;
    if (strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0) {
        *ret = true;
        return true;
    }
    if (strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0) {
        *ret = false;
        return true;
    }
    problem_query(request, name, "bool_parsing", "Input should be a valid boolean");
    return false;
}

static void add_order(struct read_page *page, const char *text)
{
    bool descending = text[0] == '-';

    page->order[page->order_count++] = (struct read_order){text + descending, descending};
}

bool params_page(struct request *request, const char *order, struct read_page *ret)
{
    struct read_page page = {.limit = PARAMS_LIMIT_DEFAULT};

    if (!params_int(request, "limit", 0, PARAMS_LIMIT_MAX, &page.limit) ||
        !params_int(request, "offset", 0, INT32_MAX, &page.offset))
        return false;
    for (size_t i = 0; i < request->target.param_count; i++) {
        const struct http_param *param = &request->target.params[i];
        if (strcmp(param->name, "order_by") != 0)
            continue;
        if (page.order_count == READ_ORDERS_MAX) {
            respond_detail(request, 400, "Ordering with more than %d parameters is not allowed",
                           READ_ORDERS_MAX);
            return false;
        }
        add_order(&page, param->value);
    }
    if (page.order_count == 0 && order != NULL)
        add_order(&page, order);
    *ret = page;
    return true;
}

/* An instant; one without an offset is UTC. A "+" that came as a space is put back. */
static bool parse_time(struct request *request, const char *text, int64_t *ret)
{
    char *copy = arena_strdup(&request->arena, text);
    char *space = strrchr(copy, ' ');
    bool has_offset = false;

    if (space != NULL && space - copy > 10)
        *space = '+';
    return timefmt_parse(str_from(copy), ret, &has_offset);
}

static bool add_range(struct request *request, struct read_ranges *ranges, const char *name,
                      const char *text, struct read_range range)
{
    double seconds = 0;

    if (range.field == READ_DURATION) {
        if (!str_to_float(str_from(text), &seconds) || !(seconds >= 0 && seconds < 1e12)) {
            problem_query(request, name, "float_parsing", "Input should be a number of seconds");
            return false;
        }
        range.value_us = (int64_t)(seconds * 1e6);
    } else if (!parse_time(request, text, &range.value_us)) {
        problem_query(request, name, "datetime_parsing",
                      "Input should be a valid datetime, as in 2026-01-31T00:00:00Z");
        return false;
    }
    ranges->items[ranges->count++] = range;
    return true;
}

bool params_ranges(struct request *request, struct read_ranges *ret)
{
    static const char *const fields[READ_FIELD_COUNT] = {
        [READ_RUN_AFTER] = "run_after",   [READ_LOGICAL_DATE] = "logical_date",
        [READ_START_DATE] = "start_date", [READ_END_DATE] = "end_date",
        [READ_UPDATED_AT] = "updated_at", [READ_DURATION] = "duration",
    };
    static const char *const operators[READ_OPERATOR_COUNT] = {
        [READ_GTE] = "gte", [READ_GT] = "gt", [READ_LTE] = "lte", [READ_LT] = "lt"};
    char name[40];

    ret->now_us = clock_wall_us();
    for (unsigned field = 0; field < READ_FIELD_COUNT; field++) {
        for (unsigned op = 0; op < READ_OPERATOR_COUNT; op++) {
            (void)snprintf(name, sizeof(name), "%s_%s", fields[field], operators[op]);
            const char *text = request_param(request, name);
            struct read_range range = {(enum read_field)field, (enum read_operator)op, 0};
            if (text != NULL && !add_range(request, ret, name, text, range))
                return false;
        }
    }
    return true;
}

static bool is_choice(const char *const *choices, const char *value)
{
    for (size_t i = 0; choices[i] != NULL; i++)
        if (strcmp(choices[i], value) == 0)
            return true;
    return false;
}

bool params_list(struct request *request, const char *name, const char *const *choices,
                 const char **ret)
{
    struct buf text = {0};
    struct jw w = {.out = &text};
    bool any = false;

    jw_begin_array(&w);
    for (size_t i = 0; i < request->target.param_count; i++) {
        const struct http_param *param = &request->target.params[i];
        if (strcmp(param->name, name) != 0)
            continue;
        if (choices != NULL && !is_choice(choices, param->value)) {
            struct buf message = {0};
            buf_add_text(&message, "Input should be one of");
            for (size_t c = 0; choices[c] != NULL; c++)
                buf_printf(&message, " '%s'", choices[c]);
            problem_query(request, name, "enum", buf_text(&message));
            buf_release(&message);
            buf_release(&text);
            return false;
        }
        jw_string(&w, param->value);
        any = true;
    }
    jw_end_array(&w);
    *ret = any ? arena_strdup(&request->arena, buf_text(&text)) : NULL;
    buf_release(&text);
    return true;
}

bool params_int_list(struct request *request, const char *name, const char **ret)
{
    struct buf text = {0};
    struct jw w = {.out = &text};
    bool any = false;

    jw_begin_array(&w);
    for (size_t i = 0; i < request->target.param_count; i++) {
        const struct http_param *param = &request->target.params[i];
        int64_t value = 0;
        if (strcmp(param->name, name) != 0)
            continue;
        if (!str_to_int(str_from(param->value), &value)) {
            problem_query(request, name, "int_parsing", "Input should be a valid integer");
            buf_release(&text);
            return false;
        }
        jw_int(&w, value);
        any = true;
    }
    jw_end_array(&w);
    *ret = any ? arena_strdup(&request->arena, buf_text(&text)) : NULL;
    buf_release(&text);
    return true;
}

const char *params_pattern(struct request *request, const char *name)
{
    const char *text = request_param(request, name);

    if (text == NULL || strcmp(text, "~") == 0)
        return NULL;
    return arena_printf(&request->arena, "%%%s%%", text);
}

bool params_accepts(const struct request *request, const char *type)
{
    const char *accept = request->accept;
    size_t major = strcspn(type, "/");

    if (accept == NULL)
        return true;
    while (*accept != '\0') {
        accept += strspn(accept, " ,\t");
        size_t len = strcspn(accept, ",; \t");
        if (len == 3 && strncmp(accept, "*/*", 3) == 0)
            return true;
        if (len == strlen(type) && strncasecmp(accept, type, len) == 0)
            return true;
        if (len == major + 2 && strncasecmp(accept, type, major) == 0 && accept[len - 1] == '*')
            return true;
        accept += strcspn(accept, ",");
    }
    return false;
}
