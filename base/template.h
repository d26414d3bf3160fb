/* Templates: `{{ name | filter(args) | … }}` in the strings of a DAG file. No code, no loops.
 *
 * A text is checked when the DAG is loaded (template_check) and rendered when an attempt starts
 * (template_render_json). Pure: all values come from the caller through a lookup function. */
#ifndef MILLRACE_BASE_TEMPLATE_H
#define MILLRACE_BASE_TEMPLATE_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

/* A value a name stands for. */
enum template_value_kind { TEMPLATE_MISSING, TEMPLATE_STRING, TEMPLATE_TIME, TEMPLATE_JSON };

/* How a TIME is written when no filter says otherwise. Date arithmetic keeps it, so that
 * `{{ ds | add_days(-7) }}` is a date again. DATE and NODASH are civil dates of the DAG's zone. */
enum template_time_format {
    TEMPLATE_FORMAT_TS,        /* 2026-01-02T00:00:00+00:00: ts, logical_date, data_interval_* */
    TEMPLATE_FORMAT_DATE,      /* 2026-01-02: ds */
    TEMPLATE_FORMAT_NODASH,    /* 20260102: ds_nodash */
    TEMPLATE_FORMAT_TS_NODASH, /* 20260102T000000 in UTC: ts_nodash */
};

struct template_value {
    enum template_value_kind kind;
    struct str text;    /* STRING */
    int64_t time_us;    /* TIME: an instant in UTC */
    int64_t offset_us;  /* TIME: of the DAG's zone at that instant, for dates and formats */
    const json_t *json; /* JSON */
    enum template_time_format format; /* TIME */
};

/* Answers a dotted name ("ds", "params.lake", "tasks.a.outputs.version"). MISSING means that the
 * name is legal but has no value now. */
typedef struct template_value (*template_lookup)(void *context, struct str name);

/* Called by template_check() for each reference: `name` with its offset in the text. Returns NULL
 * when the name is legal, else a message (static or in the caller's arena). */
typedef const char *(*template_name_check)(void *context, struct str name, size_t offset);

/* Whether the text holds "{{". */
bool template_is(struct str text);

/* Checks syntax, filters and their arguments, and every name. On failure err->column is the 1-based
 * byte offset in the text. */
bool template_check(struct str text, template_name_check check, void *context, struct err *err);

/* Whether every reference of a text that template_check() accepted ends in `| sh`; if not,
 * `ret_offset` is where the first one without it begins. */
bool template_is_quoted(struct str text, size_t *ret_offset);

/* The most bytes one text may render to; more is ERR_TEMPLATE. */
#define TEMPLATE_BYTES_MAX (1024 * 1024)

/* Renders one text. A text that is exactly one reference to a JSON value keeps its type in
 * template_render_json(); here it becomes compact JSON (strings bare). ERR_TEMPLATE names what is
 * missing. Filters: add_days(n), add(duration), format("%Y…"), ds, ds_nodash, ts, ts_nodash, lower,
 * upper, replace("a","b"), default("x"), json, sh (quoted for a POSIX shell; always the last one).
 * A string in place of a name stands for itself: `{{ "{{" }}` writes two braces. */
bool template_render(struct str text, template_lookup lookup, void *context, struct buf *out,
                     struct err *err);

/* A deep copy of `value` with every string rendered; object keys are left alone. NULL on failure,
 * the message wrapped with the path of the option. */
json_t *template_render_json(const json_t *value, template_lookup lookup, void *context,
                             struct err *err);

#endif
