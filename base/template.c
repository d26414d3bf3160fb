#include "base/template.h"

#include "base/template_filter.h"
#include "base/template_parse.h"

#include <string.h>

/* One rendering: what the values borrow lives as long as it. */
struct rendering {
    struct arena arena;
    json_t *owned;
    template_lookup lookup;
    void *context;
    struct err *err;
};

bool template_is(struct str text)
{
    return text.len >= 4 && memmem(text.ptr, text.len, "{{", 2) != NULL;
}

static bool check_reference(const struct template_reference *ref, template_name_check check,
                            void *context, struct err *err)
{
    const char *message = ref->is_literal ? NULL : check(context, ref->name, ref->name_offset);

    if (message != NULL) {
        (void)err_set(err, ERR_TEMPLATE, "%s", message);
        err->column = (uint32_t)(ref->name_offset + 1);
        return false;
    }
    return template_check_calls(ref, err);
}

bool template_check(struct str text, template_name_check check, void *context, struct err *err)
{
    struct arena arena = {0};
    struct template_reference ref;
    enum template_next next;
    bool fine = true;

    for (size_t at = 0; fine; at = ref.end) {
        next = template_next_reference(&arena, text, at, &ref, err);
        if (next == TEMPLATE_NEXT_NONE)
            break;
        fine = next == TEMPLATE_NEXT_FOUND && check_reference(&ref, check, context, err);
    }
    arena_release(&arena);
    return fine;
}

bool template_is_quoted(struct str text, size_t *ret_offset)
{
    struct arena arena = {0};
    struct template_reference ref;
    struct err err;
    bool quoted = true;

    for (size_t at = 0;
         quoted && template_next_reference(&arena, text, at, &ref, &err) == TEMPLATE_NEXT_FOUND;
         at = ref.end) {
        quoted = ref.is_literal ||
                 (ref.call_count > 0 && str_is(ref.calls[ref.call_count - 1].name, "sh"));
        if (!quoted)
            *ret_offset = ref.start;
    }
    arena_release(&arena);
    return quoted;
}

static bool evaluate(struct rendering *r, const struct template_reference *ref,
                     struct template_value *ret)
{
    struct template_value value = {.kind = TEMPLATE_STRING, .text = ref->name};

    if (!template_check_calls(ref, r->err))
        return false;
    if (!ref->is_literal)
        value = r->lookup(r->context, ref->name);
    for (size_t i = 0; i < ref->call_count; i++)
        if (!template_apply(&r->arena, r->owned, &ref->calls[i], &value, r->err)) {
            r->err->column = (uint32_t)(ref->calls[i].offset + 1);
            return false;
        }
    if (value.kind == TEMPLATE_MISSING) {
        (void)err_set(
            r->err, ERR_TEMPLATE,
            "`%.*s` has no value here: give it one, or write `{{ %.*s | default(\"\") }}`",
            STR_ARG(ref->name), STR_ARG(ref->name));
        r->err->column = (uint32_t)(ref->name_offset + 1);
        return false;
    }
    *ret = value;
    return true;
}

static bool render_text(struct rendering *r, struct str text, struct buf *out)
{
    struct template_reference ref;
    struct template_value value;
    size_t start = out->len;
    size_t at = 0;

    for (;;) {
        enum template_next next = template_next_reference(&r->arena, text, at, &ref, r->err);
        if (next == TEMPLATE_NEXT_BAD)
            return false;
        if (next == TEMPLATE_NEXT_NONE)
            break;
        buf_add_str(out, str_sub(text, at, ref.start));
        if (!evaluate(r, &ref, &value))
            return false;
        template_value_text(&value, out);
        if (out->len - start > TEMPLATE_BYTES_MAX)
            return err_set(r->err, ERR_TEMPLATE, "the text renders to more than %d bytes",
                           TEMPLATE_BYTES_MAX);
        at = ref.end;
    }
    buf_add_str(out, str_sub(text, at, text.len));
    return true;
}

static struct rendering rendering_new(template_lookup lookup, void *context, struct err *err)
{
    return (struct rendering){
        .owned = json_array(), .lookup = lookup, .context = context, .err = err};
}

static void rendering_release(struct rendering *r)
{
    json_decref(r->owned);
    arena_release(&r->arena);
}

bool template_render(struct str text, template_lookup lookup, void *context, struct buf *out,
                     struct err *err)
{
    struct rendering r = rendering_new(lookup, context, err);
    struct buf rendered = {0};
    bool fine = render_text(&r, text, &rendered);

    if (fine)
        buf_add_str(out, buf_str(&rendered));
    buf_release(&rendered);
    rendering_release(&r);
    return fine;
}

static json_t *render_string(struct rendering *r, const json_t *string)
{
    struct str text = {json_string_value(string), json_string_length(string)};
    struct template_reference ref;
    struct template_value value;
    struct buf out = {0};
    json_t *result = NULL;

    if (!template_is(text))
        return json_deep_copy(string);
    enum template_next next = template_next_reference(&r->arena, text, 0, &ref, r->err);
    if (next == TEMPLATE_NEXT_BAD)
        return NULL;
    if (next == TEMPLATE_NEXT_FOUND && ref.start == 0 && ref.end == text.len) {
        if (!evaluate(r, &ref, &value))
            return NULL;
        if (value.kind == TEMPLATE_JSON)
            return json_deep_copy(value.json);
    }
    if (render_text(r, text, &out)) {
        result = json_stringn(buf_text(&out), out.len);
        if (result == NULL)
            (void)err_set(r->err, ERR_TEMPLATE, "the text renders to bytes that are not UTF-8");
    }
    buf_release(&out);
    return result;
}

static json_t *render_value(struct rendering *r, const json_t *value);

static json_t *render_object(struct rendering *r, const json_t *object)
{
    json_t *result = json_object();
    const char *key;
    json_t *member;

    json_object_foreach((json_t *)(uintptr_t)object, key, member)
    {
        json_t *rendered = render_value(r, member);
        if (rendered == NULL) {
            (void)err_wrap(r->err, "%.200s", key);
            json_decref(result);
            return NULL;
        }
        (void)json_object_set_new(result, key, rendered);
    }
    return result;
}

static json_t *render_array(struct rendering *r, const json_t *array)
{
    json_t *result = json_array();

    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *rendered = render_value(r, json_array_get(array, i));
        if (rendered == NULL) {
            (void)err_wrap(r->err, "[%zu]", i);
            json_decref(result);
            return NULL;
        }
        (void)json_array_append_new(result, rendered);
    }
    return result;
}

static json_t *render_value(struct rendering *r, const json_t *value)
{
    if (json_is_string(value))
        return render_string(r, value);
    if (json_is_object(value))
        return render_object(r, value);
    if (json_is_array(value))
        return render_array(r, value);
    return json_deep_copy(value);
}

json_t *template_render_json(const json_t *value, template_lookup lookup, void *context,
                             struct err *err)
{
    struct rendering r = rendering_new(lookup, context, err);
    json_t *result = render_value(&r, value);

    rendering_release(&r);
    return result;
}
