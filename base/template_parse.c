#include "base/template_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct parser {
    struct arena *arena;
    struct str text;
    size_t at;
    struct err *err;
};

__attribute__((format(printf, 3, 4))) static bool fail_at(struct parser *p, size_t offset,
                                                          const char *format, ...)
{
    va_list args;
    struct err err = {.code = ERR_TEMPLATE, .column = (uint32_t)(offset + 1)};

    va_start(args, format);
    (void)vsnprintf(err.message, sizeof(err.message), format, args);
    va_end(args);
    *p->err = err;
    return false;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_.~:+-", c) != NULL);
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void skip_space(struct parser *p)
{
    while (p->at < p->text.len && strchr(" \t\r\n", p->text.ptr[p->at]) != NULL &&
           p->text.ptr[p->at] != '\0')
        p->at++;
}

static bool peek(const struct parser *p, char c)
{
    return p->at < p->text.len && p->text.ptr[p->at] == c;
}

static struct str read_word(struct parser *p)
{
    size_t from = p->at;

    while (p->at < p->text.len && is_word(p->text.ptr[p->at]))
        p->at++;
    return str_sub(p->text, from, p->at);
}

/* A string in single or double quotes with \\, \", \', \n and \t. */
static bool read_quoted(struct parser *p, struct str *ret)
{
    size_t start = p->at;
    char quote = p->text.ptr[p->at++];
    char *out = arena_alloc(p->arena, p->text.len - start + 1);
    size_t len = 0;

    for (; p->at < p->text.len; p->at++) {
        char c = p->text.ptr[p->at];
        if (c == quote) {
            p->at++;
            *ret = (struct str){out, len};
            return true;
        }
        if (c == '\\') {
            if (++p->at >= p->text.len)
                break;
            c = p->text.ptr[p->at];
            if (c != '\\' && c != '"' && c != '\'' && c != 'n' && c != 't')
                return fail_at(p, p->at - 1,
                               "unknown escape in a template's string: \\\\, \\\", \\', \\n and "
                               "\\t are known");
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        out[len++] = c;
    }
    return fail_at(p, start, "the string has no closing %c", quote);
}

static bool read_arg(struct parser *p, struct template_arg *arg)
{
    *arg = (struct template_arg){0};
    if (peek(p, '"') || peek(p, '\'')) {
        arg->quoted = true;
        return read_quoted(p, &arg->text);
    }
    size_t start = p->at;
    arg->text = read_word(p);
    if (arg->text.len == 0)
        return fail_at(p, start, "expected a string, a number or a duration as argument");
    arg->is_int = str_to_int(arg->text, &arg->integer);
    return true;
}

static bool read_args(struct parser *p, struct template_call *call)
{
    p->at++; /* the bracket */
    skip_space(p);
    if (peek(p, ')')) {
        p->at++;
        return true;
    }
    for (;;) {
        skip_space(p);
        if (call->arg_count == TEMPLATE_ARGS_MAX)
            return fail_at(p, p->at, "too many arguments for `%.*s`", STR_ARG(call->name));
        if (!read_arg(p, &call->args[call->arg_count]))
            return false;
        call->arg_count++;
        skip_space(p);
        if (peek(p, ')')) {
            p->at++;
            return true;
        }
        if (!peek(p, ','))
            return fail_at(p, p->at, "expected `,` or `)` after the argument of `%.*s`",
                           STR_ARG(call->name));
        p->at++;
    }
}

static bool read_call(struct parser *p, struct template_reference *ref)
{
    p->at++; /* the bar */
    skip_space(p);
    if (ref->call_count == TEMPLATE_CALLS_MAX)
        return fail_at(p, p->at, "more than %d filters in one template", TEMPLATE_CALLS_MAX);
    struct template_call *call = &ref->calls[ref->call_count++];
    *call = (struct template_call){.offset = p->at};
    call->name = read_word(p);
    if (call->name.len == 0)
        return fail_at(p, call->offset, "expected the name of a filter after `|`");
    skip_space(p);
    return !peek(p, '(') || read_args(p, call);
}

static bool read_head(struct parser *p, struct template_reference *ref)
{
    skip_space(p);
    ref->name_offset = p->at;
    if (peek(p, '"') || peek(p, '\'')) {
        ref->is_literal = true;
        return read_quoted(p, &ref->name);
    }
    if (p->at < p->text.len && is_name_start(p->text.ptr[p->at])) {
        ref->name = read_word(p);
        return true;
    }
    if (p->at >= p->text.len)
        return fail_at(p, ref->start, "`{{` is not closed by `}}`");
    return fail_at(p, p->at, "expected a name such as `ds` or `params.x` after `{{`");
}

static bool read_reference(struct parser *p, struct template_reference *ref)
{
    if (!read_head(p, ref))
        return false;
    for (;;) {
        skip_space(p);
        if (p->at + 1 < p->text.len && peek(p, '}') && p->text.ptr[p->at + 1] == '}') {
            p->at += 2;
            ref->end = p->at;
            return true;
        }
        if (p->at >= p->text.len)
            return fail_at(p, ref->start, "`{{` is not closed by `}}`");
        if (!peek(p, '|'))
            return fail_at(p, p->at,
                           "expected `|` or `}}` in the template: there is no code here, only "
                           "`name | filter`");
        if (!read_call(p, ref))
            return false;
    }
}

enum template_next template_next_reference(struct arena *arena, struct str text, size_t from,
                                           struct template_reference *ret, struct err *err)
{
    const char *start = from < text.len ? memmem(text.ptr + from, text.len - from, "{{", 2) : NULL;

    if (start == NULL)
        return TEMPLATE_NEXT_NONE;
    struct template_reference ref = {.start = (size_t)(start - text.ptr)};
    struct parser p = {arena, text, ref.start + 2, err};
    if (!read_reference(&p, &ref))
        return TEMPLATE_NEXT_BAD;
    *ret = ref;
    return TEMPLATE_NEXT_FOUND;
}
