#include "base/jw.h"

#include "base/timefmt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void before_value(struct jw *w)
{
    if (w->need_comma)
        buf_add_char(w->out, ',');
    w->need_comma = true;
}

static void begin(struct jw *w, char bracket)
{
    before_value(w);
    buf_add_char(w->out, bracket);
    w->need_comma = false;
}

static void end(struct jw *w, char bracket)
{
    buf_add_char(w->out, bracket);
    w->need_comma = true;
}

void jw_begin_object(struct jw *w)
{
    begin(w, '{');
}

void jw_end_object(struct jw *w)
{
    end(w, '}');
}

void jw_begin_array(struct jw *w)
{
    begin(w, '[');
}

void jw_end_array(struct jw *w)
{
    end(w, ']');
}

static void add_escaped(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"':
        buf_add_text(out, "\\\"");
        break;
    case '\\':
        buf_add_text(out, "\\\\");
        break;
    case '\n':
        buf_add_text(out, "\\n");
        break;
    case '\r':
        buf_add_text(out, "\\r");
        break;
    case '\t':
        buf_add_text(out, "\\t");
        break;
    default:
        buf_printf(out, "\\u%04x", c);
        break;
    }
}

/* Whether a text is printable ASCII that needs no escaping, as nearly all are. */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\')
            return false;
    }
    return true;
}

/* Adds text that is known to be UTF-8, copying the runs between characters that need escaping. */
static void add_text(struct buf *out, struct str s)
{
    size_t start = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F)
            continue;
        buf_add(out, s.ptr + start, i - start);
        add_escaped(out, c);
        start = i + 1;
    }
    buf_add(out, s.len == 0 ? "" : s.ptr + start, s.len - start);
}

/* Bytes that are not UTF-8 are replaced one by one; only damaged text comes here. */
static void add_repaired(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len;) {
        size_t len = 1;
        while (len <= 4 && !str_is_utf8(str_sub(s, i, i + len)))
            len++;
        if (len > 4 || i + len > s.len) {
            buf_add_text(out, "\xEF\xBF\xBD");
            i++;
        } else {
            add_text(out, str_sub(s, i, i + len));
            i += len;
        }
    }
}

void jw_str(struct jw *w, struct str value)
{
    before_value(w);
    buf_add_char(w->out, '"');
    if (is_plain(value))
        buf_add_str(w->out, value);
    else if (str_is_utf8(value))
        add_text(w->out, value);
    else
        add_repaired(w->out, value);
    buf_add_char(w->out, '"');
}

void jw_string(struct jw *w, const char *value)
{
    if (value == NULL)
        jw_null(w);
    else
        jw_str(w, str_from(value));
}

/* A short key in one piece: frames are made of little else. */
void jw_key(struct jw *w, const char *key)
{
    char text[32];
    size_t len = strlen(key);

    if (len > sizeof(text) - 4 || !is_plain((struct str){key, len})) {
        jw_str(w, (struct str){key, len});
        buf_add_char(w->out, ':');
    } else {
        char *at = text;
        if (w->need_comma)
            *at++ = ',';
        *at++ = '"';
        memcpy(at, key, len);
        memcpy(at + len, "\":", 2);
        buf_add(w->out, text, (size_t)(at - text) + len + 2);
    }
    w->need_comma = false;
}

/* Digits without printf, which costs more than all else of a number. */
void jw_int(struct jw *w, int64_t value)
{
    char digits[20];
    char *at = digits + sizeof(digits);
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    before_value(w);
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        *--at = '-';
    buf_add(w->out, at, (size_t)(digits + sizeof(digits) - at));
}

void jw_real(struct jw *w, double value)
{
    char text[40];

    if (!isfinite(value)) {
        jw_null(w);
        return;
    }
    before_value(w);
    /* The shorter form is used where it reads back as the same number. */
    (void)snprintf(text, sizeof(text), "%.15g", value);
    if (strtod(text, NULL) != value)
        (void)snprintf(text, sizeof(text), "%.17g", value);
    buf_add_text(w->out, text);
    if (strcspn(text, ".eE") == strlen(text))
        buf_add_text(w->out, ".0");
}

void jw_bool(struct jw *w, bool value)
{
    before_value(w);
    buf_add_text(w->out, value ? "true" : "false");
}

void jw_null(struct jw *w)
{
    before_value(w);
    buf_add_text(w->out, "null");
}

void jw_raw(struct jw *w, struct str document)
{
    before_value(w);
    buf_add_str(w->out, document);
}

void jw_time(struct jw *w, int64_t us)
{
    char text[TIMEFMT_SIZE];

    jw_string(w, us == 0 ? NULL : timefmt_utc(us, text));
}

void jw_kv_string(struct jw *w, const char *key, const char *value)
{
    jw_key(w, key);
    jw_string(w, value);
}

void jw_kv_int(struct jw *w, const char *key, int64_t value)
{
    jw_key(w, key);
    jw_int(w, value);
}

void jw_kv_real(struct jw *w, const char *key, double value)
{
    jw_key(w, key);
    jw_real(w, value);
}

void jw_kv_bool(struct jw *w, const char *key, bool value)
{
    jw_key(w, key);
    jw_bool(w, value);
}

void jw_kv_null(struct jw *w, const char *key)
{
    jw_key(w, key);
    jw_null(w);
}

void jw_kv_raw(struct jw *w, const char *key, const char *document)
{
    jw_key(w, key);
    if (document == NULL)
        jw_null(w);
    else
        jw_raw(w, str_from(document));
}

void jw_kv_time(struct jw *w, const char *key, int64_t us)
{
    jw_key(w, key);
    jw_time(w, us);
}
