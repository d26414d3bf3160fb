#include "base/template_filter.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/timefmt.h"

#include <stdlib.h>
#include <string.h>

/* Instants that a template may reach: years 1 to 9999. */
#define TIME_MIN_US (INT64_C(-62135596800) * US_PER_SECOND)
#define TIME_MAX_US (INT64_C(253402300800) * US_PER_SECOND - 1)
#define DAYS_MAX 3652059

struct context {
    struct arena *arena;
    json_t *owned;
    const struct template_call *call;
    struct err *err;
};

struct filter {
    const char *name;
    size_t arg_count;
    const char *usage;
    bool (*check)(const struct template_call *call, const char **ret_message); /* may be NULL */
    bool (*apply)(struct context *c, struct template_value *value);
};

static void write_date(int64_t local_us, const char *format, struct buf *out)
{
    char bad;

    (void)timefmt_strftime(str_from(format), local_us, out, &bad);
}

static void write_time(const struct template_value *value, struct buf *out)
{
    char text[TIMEFMT_SIZE];

    switch (value->format) {
    case TEMPLATE_FORMAT_TS:
        buf_add_text(out, timefmt_iso_offset(value->time_us, text));
        break;
    case TEMPLATE_FORMAT_DATE:
        write_date(value->time_us + value->offset_us, "%Y-%m-%d", out);
        break;
    case TEMPLATE_FORMAT_NODASH:
        write_date(value->time_us + value->offset_us, "%Y%m%d", out);
        break;
    case TEMPLATE_FORMAT_TS_NODASH:
        write_date(value->time_us, "%Y%m%dT%H%M%S", out);
        break;
    }
}

void template_value_text(const struct template_value *value, struct buf *out)
{
    switch (value->kind) {
    case TEMPLATE_MISSING:
        break;
    case TEMPLATE_STRING:
        buf_add_str(out, value->text);
        break;
    case TEMPLATE_TIME:
        write_time(value, out);
        break;
    case TEMPLATE_JSON:
        if (json_is_string(value->json))
            buf_add(out, json_string_value(value->json), json_string_length(value->json));
        else
            json_dump_canonical(value->json, out);
        break;
    }
}

static void set_text(struct context *c, struct template_value *value, struct buf *text)
{
    struct str copy = arena_str(c->arena, buf_str(text));

    buf_release(text);
    *value = (struct template_value){.kind = TEMPLATE_STRING, .text = copy};
}

/* A date in a string (a param, an output of a task) takes part in date arithmetic too. */
static bool to_time(struct context *c, struct template_value *value)
{
    struct buf text = {0};
    int64_t us = 0;
    bool has_offset = false;

    if (value->kind == TEMPLATE_TIME)
        return true;
    template_value_text(value, &text);
    bool parsed = timefmt_parse(buf_str(&text), &us, &has_offset);
    if (parsed)
        *value = (struct template_value){
            .kind = TEMPLATE_TIME,
            .time_us = us,
            .format = text.len == 10 ? TEMPLATE_FORMAT_DATE : TEMPLATE_FORMAT_TS,
        };
    else
        (void)err_set(c->err, ERR_TEMPLATE, "`%.*s` needs a date or time, not \"%.80s\"",
                      STR_ARG(c->call->name), buf_text(&text));
    buf_release(&text);
    return parsed;
}

static bool shift(struct context *c, struct template_value *value, int64_t by_us)
{
    int64_t us = 0;

    if (!to_time(c, value))
        return false;
    if (__builtin_add_overflow(value->time_us, by_us, &us) || us < TIME_MIN_US + US_PER_DAY ||
        us > TIME_MAX_US - US_PER_DAY)
        return err_set(c->err, ERR_TEMPLATE, "`%.*s` leaves the years 1 to 9999",
                       STR_ARG(c->call->name));
    value->time_us = us;
    return true;
}

static bool check_add_days(const struct template_call *call, const char **ret_message)
{
    *ret_message = "the argument is a number of days, such as -7";
    return call->args[0].is_int && call->args[0].integer >= -DAYS_MAX &&
           call->args[0].integer <= DAYS_MAX;
}

static bool apply_add_days(struct context *c, struct template_value *value)
{
    return shift(c, value, c->call->args[0].integer * US_PER_DAY);
}

static bool signed_duration(struct str text, int64_t *ret_us)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    int64_t us = 0;

    if (!duration_parse(negative ? str_sub(text, 1, text.len) : text, &us))
        return false;
    *ret_us = negative ? -us : us;
    return true;
}

static bool check_add(const struct template_call *call, const char **ret_message)
{
    int64_t us;

    *ret_message = "the argument is a duration, such as 1h30m or -2d";
    return signed_duration(call->args[0].text, &us);
}

static bool apply_add(struct context *c, struct template_value *value)
{
    int64_t us = 0;

    (void)signed_duration(c->call->args[0].text, &us); /* checked before */
    return shift(c, value, us);
}

static bool check_format(const struct template_call *call, const char **ret_message)
{
    struct buf out = {0};
    char bad = 0;
    bool known = timefmt_strftime(call->args[0].text, 0, &out, &bad);

    buf_release(&out);
    *ret_message = "the argument is a date format in quotes, of %Y %m %d %H %M %S %f %j %y %b %B "
                   "%a %A %u %w %%";
    return known && call->args[0].quoted;
}

static bool apply_format(struct context *c, struct template_value *value)
{
    struct buf out = {0};
    char bad;

    if (!to_time(c, value))
        return false;
    (void)timefmt_strftime(c->call->args[0].text, value->time_us + value->offset_us, &out, &bad);
    set_text(c, value, &out);
    return true;
}

static bool apply_time_format(struct context *c, struct template_value *value,
                              enum template_time_format format)
{
    struct buf out = {0};

    if (!to_time(c, value))
        return false;
    value->format = format;
    write_time(value, &out);
    set_text(c, value, &out);
    return true;
}

static bool apply_ds(struct context *c, struct template_value *value)
{
    return apply_time_format(c, value, TEMPLATE_FORMAT_DATE);
}

static bool apply_ds_nodash(struct context *c, struct template_value *value)
{
    return apply_time_format(c, value, TEMPLATE_FORMAT_NODASH);
}

static bool apply_ts(struct context *c, struct template_value *value)
{
    return apply_time_format(c, value, TEMPLATE_FORMAT_TS);
}

static bool apply_ts_nodash(struct context *c, struct template_value *value)
{
    return apply_time_format(c, value, TEMPLATE_FORMAT_TS_NODASH);
}

/* ASCII only: what is not ASCII stays as it is. */
static void change_case(struct context *c, struct template_value *value, char first, char last)
{
    struct buf out = {0};

    template_value_text(value, &out);
    for (size_t i = 0; i < out.len; i++)
        if (out.ptr[i] >= first && out.ptr[i] <= last)
            out.ptr[i] = (char)(out.ptr[i] ^ 0x20);
    set_text(c, value, &out);
}

static bool apply_lower(struct context *c, struct template_value *value)
{
    change_case(c, value, 'A', 'Z');
    return true;
}

static bool apply_upper(struct context *c, struct template_value *value)
{
    change_case(c, value, 'a', 'z');
    return true;
}

static bool check_replace(const struct template_call *call, const char **ret_message)
{
    *ret_message = "the arguments are two strings in quotes, of which the first is not empty";
    return call->args[0].quoted && call->args[1].quoted && call->args[0].text.len > 0;
}

static bool apply_replace(struct context *c, struct template_value *value)
{
    struct str from = c->call->args[0].text;
    struct buf in = {0};
    struct buf out = {0};

    template_value_text(value, &in);
    for (size_t at = 0; at < in.len && out.len <= TEMPLATE_BYTES_MAX;) {
        const char *found = memmem(in.ptr + at, in.len - at, from.ptr, from.len);
        size_t end = found == NULL ? in.len : (size_t)(found - in.ptr);
        buf_add(&out, in.ptr + at, end - at);
        if (found == NULL)
            break;
        buf_add_str(&out, c->call->args[1].text);
        at = end + from.len;
    }
    bool fits = out.len <= TEMPLATE_BYTES_MAX;
    if (!fits)
        (void)err_set(c->err, ERR_TEMPLATE, "`replace` makes more than %d bytes",
                      TEMPLATE_BYTES_MAX);
    buf_release(&in);
    set_text(c, value, &out);
    return fits;
}

static bool check_default(const struct template_call *call, const char **ret_message)
{
    *ret_message = "the argument is a string in quotes or a whole number";
    return call->args[0].quoted || call->args[0].is_int;
}

static bool apply_default(struct context *c, struct template_value *value)
{
    const struct template_arg *arg = &c->call->args[0];

    if (value->kind != TEMPLATE_MISSING)
        return true;
    if (arg->quoted) {
        *value = (struct template_value){.kind = TEMPLATE_STRING, .text = arg->text};
        return true;
    }
    json_t *number = json_integer(arg->integer);
    (void)json_array_append_new(c->owned, number);
    *value = (struct template_value){.kind = TEMPLATE_JSON, .json = number};
    return true;
}

static bool apply_json(struct context *c, struct template_value *value)
{
    struct buf text = {0};
    struct buf out = {0};

    if (value->kind == TEMPLATE_JSON) {
        json_dump_canonical(value->json, &out);
    } else {
        template_value_text(value, &text);
        json_t *string = json_stringn(buf_text(&text), text.len);
        if (string == NULL) {
            buf_release(&text);
            return err_set(c->err, ERR_TEMPLATE, "`json` needs text in UTF-8");
        }
        json_dump_canonical(string, &out);
        json_decref(string);
        buf_release(&text);
    }
    set_text(c, value, &out);
    return true;
}

static bool apply_sh(struct context *c, struct template_value *value)
{
    struct buf text = {0};
    struct buf out = {0};

    template_value_text(value, &text);
    buf_add_char(&out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            buf_add_text(&out, "'\\''");
        else
            buf_add_char(&out, text.ptr[i]);
    }
    buf_add_char(&out, '\'');
    buf_release(&text);
    set_text(c, value, &out);
    return true;
}

static const struct filter filters[] = {
    {"add_days",  1, "add_days(-7)",          check_add_days, apply_add_days },
    {"add",       1, "add(-1h30m)",           check_add,      apply_add      },
    {"format",    1, "format(\"%Y/%m/%d\")",  check_format,   apply_format   },
    {"ds",        0, "ds",                    NULL,           apply_ds       },
    {"ds_nodash", 0, "ds_nodash",             NULL,           apply_ds_nodash},
    {"ts",        0, "ts",                    NULL,           apply_ts       },
    {"ts_nodash", 0, "ts_nodash",             NULL,           apply_ts_nodash},
    {"lower",     0, "lower",                 NULL,           apply_lower    },
    {"upper",     0, "upper",                 NULL,           apply_upper    },
    {"replace",   2, "replace(\"a\", \"b\")", check_replace,  apply_replace  },
    {"default",   1, "default(\"x\")",        check_default,  apply_default  },
    {"json",      0, "json",                  NULL,           apply_json     },
    {"sh",        0, "sh",                    NULL,           apply_sh       },
};

#define FILTER_COUNT (sizeof(filters) / sizeof(filters[0]))

static const struct filter *find_filter(struct str name)
{
    for (size_t i = 0; i < FILTER_COUNT; i++)
        if (str_is(name, filters[i].name))
            return &filters[i];
    return NULL;
}

static bool unknown_filter(const struct template_call *call, struct err *err)
{
    struct buf names = {0};

    for (size_t i = 0; i < FILTER_COUNT; i++)
        buf_printf(&names, "%s%s", i == 0 ? "" : ", ", filters[i].name);
    (void)err_set(err, ERR_TEMPLATE, "unknown filter `%.*s`: there are %s", STR_ARG(call->name),
                  buf_text(&names));
    buf_release(&names);
    return false;
}

static bool check_call(const struct template_call *call, struct err *err)
{
    const struct filter *filter = find_filter(call->name);
    const char *message = NULL;

    if (filter == NULL)
        return unknown_filter(call, err);
    if (call->arg_count != filter->arg_count)
        return err_set(err, ERR_TEMPLATE, "`%s` takes %zu argument%s: write %s", filter->name,
                       filter->arg_count, filter->arg_count == 1 ? "" : "s", filter->usage);
    if (filter->check != NULL && !filter->check(call, &message))
        return err_set(err, ERR_TEMPLATE, "`%s`: %s", filter->name, message);
    return true;
}

bool template_check_calls(const struct template_reference *ref, struct err *err)
{
    for (size_t i = 0; i < ref->call_count; i++) {
        const struct template_call *call = &ref->calls[i];
        bool fine = check_call(call, err);
        /* Changing a text after it was quoted could open the quotes again. */
        if (fine && str_is(call->name, "sh") && i + 1 < ref->call_count)
            fine = err_set(err, ERR_TEMPLATE, "`sh` must be the last filter");
        if (!fine) {
            err->column = (uint32_t)(call->offset + 1);
            return false;
        }
    }
    return true;
}

bool template_apply(struct arena *arena, json_t *owned, const struct template_call *call,
                    struct template_value *value, struct err *err)
{
    const struct filter *filter = find_filter(call->name);
    struct context context = {arena, owned, call, err};

    /* What is missing stays missing through the filters, so that `default` may stand last. */
    if (value->kind == TEMPLATE_MISSING && filter->apply != apply_default)
        return true;
    return filter->apply(&context, value);
}
