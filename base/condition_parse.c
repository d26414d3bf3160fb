/* Conditions: from text to tree, by recursive descent, types checked on the way. */
#include "base/condition_token.h"

#include <string.h>

typedef const struct condition_node *node;

static node parse_or(struct condition_parser *p);

static struct condition_node *add(struct condition_parser *p, enum condition_op op,
                                  enum condition_type type)
{
    struct condition_node *new = arena_alloc(p->arena, sizeof(*new));

    new->op = op;
    new->type = type;
    return new;
}

static node parse_string(struct condition_parser *p)
{
    struct condition_node *new = add(p, CONDITION_OP_LITERAL, CONDITION_STRING);

    return condition_read_string(p, &new->text) ? new : NULL;
}

static node parse_number(struct condition_parser *p)
{
    struct condition_node *new = add(p, CONDITION_OP_LITERAL, CONDITION_NUMBER);
    struct str word = condition_peek_word(p);

    new->is_integer = str_to_int(word, &new->integer);
    if (!new->is_integer && !str_to_float(word, &new->real))
        return condition_fail(p, p->at, "`%.*s` is no number: quote a string", (int)(word.len % 64),
                              word.ptr);
    p->at += word.len;
    return new;
}

static node parse_list(struct condition_parser *p)
{
    struct condition_node *new = add(p, CONDITION_OP_LIST, CONDITION_LIST);
    size_t capacity = (p->text.len - p->at) / 2 + 1; /* an item and a comma each */

    new->items = arena_alloc_array(p->arena, capacity, sizeof(node));
    if (condition_take(p, "]"))
        return new;
    do {
        node item = parse_or(p);
        if (item == NULL)
            return NULL;
        new->items[new->item_count++] = item;
    } while (condition_take(p, ","));
    return condition_take(p, "]") ? new : condition_unexpected(p, "`,` or `]` in the list");
}

static node parse_name(struct condition_parser *p)
{
    struct condition_node *new = add(p, CONDITION_OP_NAME, CONDITION_ANY);

    condition_skip_space(p);
    if (!condition_is_letter(condition_peek(p, 0)))
        return condition_unexpected(p, "a name such as `params.x`");
    new->text = condition_peek_word(p);
    const char *message = p->check(p->context, new->text, &new->type);
    if (message != NULL)
        return condition_fail(p, p->at, "%s", message);
    p->at += new->text.len;
    return new;
}

static node parse_call(struct condition_parser *p, enum condition_op op)
{
    bool is_exists = op == CONDITION_OP_EXISTS;
    struct condition_node *new = add(p, op, is_exists ? CONDITION_BOOL : CONDITION_NUMBER);

    if (!condition_take(p, "("))
        return condition_unexpected(p, "`(`");
    size_t at = p->at;
    new->left = is_exists ? parse_name(p) : parse_or(p);
    if (new->left == NULL)
        return NULL;
    if (!is_exists && !condition_has_length(new->left->type))
        return condition_fail(p, at, "%s has no length", condition_type_name(new->left->type));
    return condition_take(p, ")") ? new : condition_unexpected(p, "`)`");
}

static node parse_word(struct condition_parser *p)
{
    struct str word = condition_peek_word(p);
    struct condition_node *new = NULL;
    size_t start = p->at;

    if (str_is(word, "True") || str_is(word, "False") || str_is(word, "None"))
        return condition_fail(p, start, "write `true`, `false` and `null`");
    if (str_is(word, "and") || str_is(word, "or") || str_is(word, "in"))
        return condition_fail(p, start, "there is nothing before `%.*s`", STR_ARG(word));
    if (!str_is(word, "true") && !str_is(word, "false") && !str_is(word, "null")) {
        p->at += word.len;
        condition_skip_space(p);
        bool is_call = condition_peek(p, 0) == '(';
        if (is_call && str_is(word, "exists"))
            return parse_call(p, CONDITION_OP_EXISTS);
        if (is_call && str_is(word, "length"))
            return parse_call(p, CONDITION_OP_LENGTH);
        p->at = start;
        if (is_call)
            return condition_fail(p, start,
                                  "there are two functions: exists(name) and length(value)");
        return parse_name(p);
    }
    p->at += word.len;
    new = add(p, CONDITION_OP_LITERAL, str_is(word, "null") ? CONDITION_NULL : CONDITION_BOOL);
    new->boolean = str_is(word, "true");
    return new;
}

static node parse_bracket(struct condition_parser *p)
{
    node inner = parse_or(p);

    if (inner == NULL)
        return NULL;
    return condition_take(p, ")") ? inner : condition_unexpected(p, "`)`");
}

static node parse_operand(struct condition_parser *p)
{
    node new = NULL;

    condition_skip_space(p);
    char c = condition_peek(p, 0);
    if (p->depth == CONDITION_DEPTH_MAX)
        return condition_fail(p, p->at, "more than %d brackets within each other",
                              CONDITION_DEPTH_MAX);
    p->depth++;
    if (c == '"' || c == '\'')
        new = parse_string(p);
    else if (condition_is_digit(c) || (c == '-' && condition_is_digit(condition_peek(p, 1))))
        new = parse_number(p);
    else if (condition_take(p, "["))
        new = parse_list(p);
    else if (condition_take(p, "("))
        new = parse_bracket(p);
    else if (condition_is_letter(c))
        new = parse_word(p);
    else
        new = condition_unexpected(p, "a name or a value");
    p->depth--;
    return new;
}

static bool take_comparison(struct condition_parser *p, enum condition_op *ret)
{
    static const struct {
        const char *symbol;
        enum condition_op op;
    } symbols[] = {
        {"==", CONDITION_OP_EQ},
        {"!=", CONDITION_OP_NE},
        {"<=", CONDITION_OP_LE},
        {">=", CONDITION_OP_GE},
        {"<",  CONDITION_OP_LT},
        {">",  CONDITION_OP_GT},
    };
    size_t start = p->at;

    if (condition_take(p, "<>")) {
        p->at -= strlen("<>");
        return false;
    }
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        *ret = symbols[i].op;
        if (condition_take(p, symbols[i].symbol))
            return true;
    }
    *ret = CONDITION_OP_IN;
    if (condition_take_word(p, "in"))
        return true;
    *ret = CONDITION_OP_NOT_IN;
    if (condition_take_word(p, "not") && condition_take_word(p, "in"))
        return true;
    p->at = start;
    return false;
}

static node parse_comparison(struct condition_parser *p)
{
    condition_skip_space(p);
    size_t start = p->at;
    node left = parse_operand(p);
    enum condition_op op = CONDITION_OP_EQ;

    if (left == NULL || !take_comparison(p, &op))
        return left;
    struct condition_node *new = add(p, op, CONDITION_BOOL);
    new->left = left;
    new->right = parse_operand(p);
    if (new->right == NULL)
        return NULL;
    const char *mistake = condition_mistake(p->arena, op, left->type, new->right->type);
    if (mistake != NULL)
        return condition_fail(p, start, "%s", mistake);
    condition_skip_space(p);
    size_t end = p->at;
    if (take_comparison(p, &op))
        return condition_fail(p, end, "comparisons don't chain: join two with `and`");
    return new;
}

/* An operand of `and`, `or` or `not`, or the whole. */
static node want_bool(struct condition_parser *p, node operand, size_t offset)
{
    if (operand == NULL || operand->type == CONDITION_BOOL || operand->type == CONDITION_ANY)
        return operand;
    return condition_fail(p, offset, "%s is neither true nor false: compare it with something",
                          condition_type_name(operand->type));
}

static node parse_not(struct condition_parser *p)
{
    condition_skip_space(p);
    size_t start = p->at;

    if (!condition_take_word(p, "not"))
        return parse_comparison(p);
    if (p->depth == CONDITION_DEPTH_MAX)
        return condition_fail(p, start, "more than %d brackets within each other",
                              CONDITION_DEPTH_MAX);
    p->depth++;
    struct condition_node *new = add(p, CONDITION_OP_NOT, CONDITION_BOOL);
    condition_skip_space(p);
    start = p->at;
    new->left = want_bool(p, parse_not(p), start);
    p->depth--;
    return new->left == NULL ? NULL : new;
}

static node join(struct condition_parser *p, enum condition_op op, node left, size_t start,
                 node right, size_t right_start)
{
    struct condition_node *new = add(p, op, CONDITION_BOOL);

    new->left = want_bool(p, left, start);
    if (new->left == NULL || right == NULL)
        return NULL;
    new->right = want_bool(p, right, right_start);
    return new->right == NULL ? NULL : new;
}

static node parse_and(struct condition_parser *p)
{
    condition_skip_space(p);
    size_t start = p->at;
    node left = parse_not(p);

    while (left != NULL && condition_take_word(p, "and")) {
        condition_skip_space(p);
        size_t right_start = p->at;
        left = join(p, CONDITION_OP_AND, left, start, parse_not(p), right_start);
    }
    return left;
}

static node parse_or(struct condition_parser *p)
{
    condition_skip_space(p);
    size_t start = p->at;
    node left = parse_and(p);

    while (left != NULL && condition_take_word(p, "or")) {
        condition_skip_space(p);
        size_t right_start = p->at;
        left = join(p, CONDITION_OP_OR, left, start, parse_and(p), right_start);
    }
    return left;
}

const struct condition *condition_parse(struct arena *arena, struct str text,
                                        condition_name_check check, void *context, struct err *err)
{
    struct condition *condition = arena_alloc(arena, sizeof(*condition));
    struct condition_parser p = {.arena = arena, .check = check, .context = context, .err = err};

    condition->text = arena_str(arena, text);
    p.text = condition->text;
    if (text.len > CONDITION_BYTES_MAX) {
        condition_fail(&p, 0, "a condition has at most %d bytes", CONDITION_BYTES_MAX);
        return NULL;
    }
    condition_skip_space(&p);
    size_t start = p.at;
    condition->root = parse_or(&p);
    if (condition->root == NULL)
        return NULL;
    condition_skip_space(&p);
    if (p.at < p.text.len)
        condition->root = condition_unexpected(&p, "`and`, `or` or a comparison");
    else
        condition->root = want_bool(&p, condition->root, start);
    if (condition->root == NULL)
        return NULL;
    return condition;
}

struct str condition_text(const struct condition *condition)
{
    return condition->text;
}
