/* Conditions: the evaluation. */
#include "base/condition_node.h"

#include "base/json.h"
#include "base/template_filter.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_VALUE_BYTES 80
#define SHOWN_BYTES 400

struct evaluation {
    template_lookup lookup;
    void *context;
    struct buf *values;
    struct err *err;
};

typedef const struct condition_node *node;

static json_t *evaluate(struct evaluation *e, node n);

static enum condition_type type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return CONDITION_MAP;
    case JSON_ARRAY:
        return CONDITION_LIST;
    case JSON_STRING:
        return CONDITION_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return CONDITION_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return CONDITION_BOOL;
    case JSON_NULL:
        break;
    }
    return CONDITION_NULL;
}

/* The words by which a message names an operand. */
static const char *what(node n, const json_t *value, char *out, size_t size)
{
    if (n->op == CONDITION_OP_NAME)
        (void)snprintf(out, size, "`%.*s` (%s)", (int)(n->text.len > 80 ? 80 : n->text.len),
                       n->text.ptr, condition_type_name(type_of(value)));
    else
        (void)snprintf(out, size, "%s", condition_type_name(type_of(value)));
    return out;
}

/* NULL where the name has no value. */
static json_t *look_up(struct evaluation *e, struct str name)
{
    struct template_value value = e->lookup(e->context, name);
    struct buf text = {0};
    json_t *result = NULL;

    if (value.kind == TEMPLATE_MISSING)
        return NULL;
    if (value.kind == TEMPLATE_JSON)
        return json_incref((json_t *)(uintptr_t)value.json);
    template_value_text(&value, &text);
    result = json_stringn(buf_text(&text), text.len);
    buf_release(&text);
    return result;
}

static void show(struct evaluation *e, struct str name, const json_t *value)
{
    struct buf text = {0};
    struct buf entry = {0};

    json_dump_ordered(value, &text);
    buf_printf(&entry, "%.*s = %.*s%s", STR_ARG(name), SHOWN_VALUE_BYTES, buf_text(&text),
               text.len > SHOWN_VALUE_BYTES ? "…" : "");
    bool is_new = memmem(buf_text(e->values), e->values->len, buf_text(&entry), entry.len) == NULL;
    if (is_new && e->values->len + entry.len <= SHOWN_BYTES) {
        if (e->values->len > 0)
            buf_add_text(e->values, ", ");
        buf_add_str(e->values, buf_str(&entry));
    }
    buf_release(&entry);
    buf_release(&text);
}

static json_t *evaluate_name(struct evaluation *e, node n)
{
    json_t *value = look_up(e, n->text);

    if (value == NULL)
        (void)err_set(e->err, ERR_TEMPLATE, "`%.*s` has no value here: ask exists(%.*s) first",
                      STR_ARG(n->text), STR_ARG(n->text));
    else
        show(e, n->text, value);
    return value;
}

static json_t *evaluate_literal(node n)
{
    switch (n->type) {
    case CONDITION_NULL:
        return json_null();
    case CONDITION_BOOL:
        return json_boolean(n->boolean);
    case CONDITION_NUMBER:
        return n->is_integer ? json_integer(n->integer) : json_real(n->real);
    case CONDITION_STRING:
        return json_stringn(n->text.ptr, n->text.len);
    case CONDITION_ANY:
    case CONDITION_LIST:
    case CONDITION_MAP:
        break;
    }
    return json_null();
}

static json_t *evaluate_list(struct evaluation *e, node n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n->item_count; i++) {
        json_t *item = evaluate(e, n->items[i]);
        if (item == NULL) {
            json_decref(list);
            return NULL;
        }
        (void)json_array_append_new(list, item);
    }
    return list;
}

/* Whether the number is less than (-1), equal to (0) or more than (1) the other; whole numbers are
 * compared exactly. */
static int order_numbers(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a);
        json_int_t y = json_integer_value(b);
        return x < y ? -1 : x > y;
    }
    double x = json_number_value(a);
    double y = json_number_value(b);
    return x < y ? -1 : x > y;
}

static int order_strings(const json_t *a, const json_t *b)
{
    size_t x = json_string_length(a);
    size_t y = json_string_length(b);
    int order = memcmp(json_string_value(a), json_string_value(b), x < y ? x : y);

    if (order != 0)
        return order < 0 ? -1 : 1;
    return x < y ? -1 : x > y;
}

static bool equals(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return order_numbers(a, b) == 0;
    return json_equal(a, b);
}

static bool contains(const json_t *whole, const json_t *part)
{
    if (json_is_object(whole))
        return json_object_getn(whole, json_string_value(part), json_string_length(part)) != NULL;
    if (json_is_string(whole))
        return memmem(json_string_value(whole), json_string_length(whole), json_string_value(part),
                      json_string_length(part)) != NULL;
    for (size_t i = 0; i < json_array_size(whole); i++)
        if (equals(json_array_get(whole, i), part))
            return true;
    return false;
}

static json_t *mismatch(struct evaluation *e, node n, const json_t *a, const json_t *b)
{
    char left[200];
    char right[200];

    (void)err_set(e->err, ERR_TEMPLATE, "%s and %s can't be compared",
                  what(n->left, a, left, sizeof(left)), what(n->right, b, right, sizeof(right)));
    return NULL;
}

static json_t *compare(struct evaluation *e, node n, const json_t *a, const json_t *b)
{
    enum condition_type left = type_of(a);
    enum condition_type right = type_of(b);
    bool is_in = n->op == CONDITION_OP_IN || n->op == CONDITION_OP_NOT_IN;
    bool is_equality = n->op == CONDITION_OP_EQ || n->op == CONDITION_OP_NE;

    if (is_in) {
        bool fits =
            right == CONDITION_LIST ||
            (left == CONDITION_STRING && (right == CONDITION_STRING || right == CONDITION_MAP));
        return fits ? json_boolean(contains(b, a) == (n->op == CONDITION_OP_IN))
                    : mismatch(e, n, a, b);
    }
    if (is_equality) {
        if (left != right && left != CONDITION_NULL && right != CONDITION_NULL)
            return mismatch(e, n, a, b);
        return json_boolean(equals(a, b) == (n->op == CONDITION_OP_EQ));
    }
    if (left != right || (left != CONDITION_NUMBER && left != CONDITION_STRING))
        return mismatch(e, n, a, b);
    int order = left == CONDITION_NUMBER ? order_numbers(a, b) : order_strings(a, b);
    if (n->op == CONDITION_OP_LT)
        return json_boolean(order < 0);
    if (n->op == CONDITION_OP_LE)
        return json_boolean(order <= 0);
    return json_boolean(n->op == CONDITION_OP_GT ? order > 0 : order >= 0);
}

static json_t *evaluate_comparison(struct evaluation *e, node n)
{
    json_t *left = evaluate(e, n->left);
    json_t *right = left == NULL ? NULL : evaluate(e, n->right);
    json_t *result = right == NULL ? NULL : compare(e, n, left, right);

    json_decref(left);
    json_decref(right);
    return result;
}

static bool truth(struct evaluation *e, node n, bool *ret)
{
    json_t *value = evaluate(e, n);
    char words[200];

    if (value == NULL)
        return false;
    bool fine = json_is_boolean(value);
    if (fine)
        *ret = json_is_true(value);
    else
        (void)err_set(e->err, ERR_TEMPLATE, "%s is neither true nor false",
                      what(n, value, words, sizeof(words)));
    json_decref(value);
    return fine;
}

static json_t *evaluate_logic(struct evaluation *e, node n)
{
    bool value = false;

    if (!truth(e, n->left, &value))
        return NULL;
    if (n->op == CONDITION_OP_NOT)
        return json_boolean(!value);
    if (value == (n->op == CONDITION_OP_OR))
        return json_boolean(value);
    return truth(e, n->right, &value) ? json_boolean(value) : NULL;
}

static json_t *evaluate_exists(struct evaluation *e, node n)
{
    json_t *value = look_up(e, n->left->text);
    bool exists = value != NULL;

    if (exists)
        show(e, n->left->text, value);
    json_decref(value);
    return json_boolean(exists);
}

static json_t *evaluate_length(struct evaluation *e, node n)
{
    json_t *value = evaluate(e, n->left);
    json_t *result = NULL;
    char words[200];

    if (value == NULL)
        return NULL;
    if (json_is_array(value))
        result = json_integer((json_int_t)json_array_size(value));
    else if (json_is_object(value))
        result = json_integer((json_int_t)json_object_size(value));
    else if (json_is_string(value))
        result = json_integer((json_int_t)json_string_length(value));
    else
        (void)err_set(e->err, ERR_TEMPLATE, "%s has no length",
                      what(n->left, value, words, sizeof(words)));
    json_decref(value);
    return result;
}

/* A new reference, or NULL with e->err set. The depth is limited by the parser. */
static json_t *evaluate(struct evaluation *e, node n)
{
    switch (n->op) {
    case CONDITION_OP_LITERAL:
        return evaluate_literal(n);
    case CONDITION_OP_LIST:
        return evaluate_list(e, n);
    case CONDITION_OP_NAME:
        return evaluate_name(e, n);
    case CONDITION_OP_NOT:
    case CONDITION_OP_AND:
    case CONDITION_OP_OR:
        return evaluate_logic(e, n);
    case CONDITION_OP_EQ:
    case CONDITION_OP_NE:
    case CONDITION_OP_LT:
    case CONDITION_OP_LE:
    case CONDITION_OP_GT:
    case CONDITION_OP_GE:
    case CONDITION_OP_IN:
    case CONDITION_OP_NOT_IN:
        return evaluate_comparison(e, n);
    case CONDITION_OP_EXISTS:
        return evaluate_exists(e, n);
    case CONDITION_OP_LENGTH:
        return evaluate_length(e, n);
    }
    return NULL;
}

bool condition_evaluate(const struct condition *condition, template_lookup lookup, void *context,
                        bool *ret, struct buf *values, struct err *err)
{
    struct evaluation e = {lookup, context, values, err};

    return truth(&e, condition->root, ret);
}
