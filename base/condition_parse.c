/* Conditions: from text to tree, by recursive descent, types checked on the way. */
#include "base/condition_node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct parser {
    struct arena *arena;
    struct str text;
    size_t at;
    int depth;
    condition_name_check check;
    void *context;
    struct err *err;
};

typedef const struct condition_node *node;

static node parse_or(struct parser *p);

const char *condition_type_name(enum condition_type type)
{
    static const char *const names[] = {
        [CONDITION_ANY] = "a value",     [CONDITION_NULL] = "null",
        [CONDITION_BOOL] = "a boolean",  [CONDITION_NUMBER] = "a number",
        [CONDITION_STRING] = "a string", [CONDITION_LIST] = "a list",
        [CONDITION_MAP] = "a map",
    };

    return names[type];
}

__attribute__((format(printf, 3, 4))) static node fail(struct parser *p, size_t offset,
                                                       const char *format, ...)
{
    va_list args;
    struct err err = {.code = ERR_TEMPLATE, .column = (uint32_t)(offset + 1)};

    va_start(args, format);
    (void)vsnprintf(err.message, sizeof(err.message), format, args);
    va_end(args);
    *p->err = err;
    return NULL;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Task ids and numbers with an exponent hold more than letters: there is no arithmetic here. */
static bool is_word(char c)
{
    return is_letter(c) || is_digit(c) || (c != '\0' && strchr(".~:+-", c) != NULL);
}

static char peek(const struct parser *p, size_t ahead)
{
    return p->at + ahead < p->text.len ? p->text.ptr[p->at + ahead] : '\0';
}

static void skip_space(struct parser *p)
{
    while (p->at < p->text.len && memchr(" \t\r\n", p->text.ptr[p->at], 4) != NULL)
        p->at++;
}

static struct str peek_word(struct parser *p)
{
    size_t end = p->at;

    while (end < p->text.len && is_word(p->text.ptr[end]))
        end++;
    return str_sub(p->text, p->at, end);
}

static bool take_word(struct parser *p, const char *word)
{
    skip_space(p);
    if (!str_is(peek_word(p), word))
        return false;
    p->at += strlen(word);
    return true;
}

static bool take(struct parser *p, const char *symbol)
{
    skip_space(p);
    if (!str_starts(str_sub(p->text, p->at, p->text.len), str_from(symbol)))
        return false;
    p->at += strlen(symbol);
    return true;
}

static struct condition_node *add(struct parser *p, enum condition_op op, enum condition_type type)
{
    struct condition_node *new = arena_alloc(p->arena, sizeof(*new));

    new->op = op;
    new->type = type;
    return new;
}

/* What other languages write. */
static const char *foreign_word(struct str rest)
{
    static const char *const words[][2] = {
        {"&&", "write `and` for `&&`"                                },
        {"||", "write `or` for `||`"                                 },
        {"!",  "write `not` for `!`, and `!=` in one piece"          },
        {"=",  "write `==` to compare"                               },
        {"{{", "write the condition without {{ }}: it is no template"},
        {"}}", "write the condition without {{ }}: it is no template"},
        {"<>", "write `!=` for `<>`"                                 },
        {"|",  "there are no filters in a condition"                 },
        {"*",  "there is no arithmetic in a condition"               },
        {"/",  "there is no arithmetic in a condition"               },
        {"+",  "there is no arithmetic in a condition"               },
        {"-",  "there is no arithmetic in a condition"               },
        {"$",  "write names as they are, without $"                  },
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_starts(rest, str_from(words[i][0])))
            return words[i][1];
    return NULL;
}

static node unexpected(struct parser *p, const char *expected)
{
    struct str rest = str_sub(p->text, p->at, p->text.len);
    const char *use = foreign_word(rest);

    if (use != NULL)
        return fail(p, p->at, "%s", use);
    if (rest.len == 0)
        return fail(p, p->at, "expected %s at the end", expected);
    return fail(p, p->at, "expected %s", expected);
}

static node parse_string(struct parser *p)
{
    size_t start = p->at;
    char quote = p->text.ptr[p->at++];
    char *out = arena_alloc(p->arena, p->text.len - start + 1);
    struct condition_node *new = add(p, CONDITION_OP_LITERAL, CONDITION_STRING);
    size_t len = 0;

    for (; p->at < p->text.len; p->at++) {
        char c = p->text.ptr[p->at];
        if (c == quote) {
            p->at++;
            new->text = (struct str){out, len};
            return new;
        }
        if (c == '\\' && p->at + 1 < p->text.len) {
            c = p->text.ptr[++p->at];
            if (c != '\\' && c != '"' && c != '\'' && c != 'n' && c != 't')
                return fail(p, p->at - 1, "unknown escape: \\\\, \\\", \\', \\n and \\t are known");
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        out[len++] = c;
    }
    return fail(p, start, "the string has no closing %c", quote);
}

static node parse_number(struct parser *p)
{
    struct condition_node *new = add(p, CONDITION_OP_LITERAL, CONDITION_NUMBER);
    struct str word = peek_word(p);

    new->is_integer = str_to_int(word, &new->integer);
    if (!new->is_integer && !str_to_float(word, &new->real))
        return fail(p, p->at, "`%.*s` is no number: quote a string", (int)(word.len % 64),
                    word.ptr);
    p->at += word.len;
    return new;
}

static node parse_list(struct parser *p)
{
    struct condition_node *new = add(p, CONDITION_OP_LIST, CONDITION_LIST);
    size_t capacity = (p->text.len - p->at) / 2 + 1; /* an item and a comma each */

    new->items = arena_alloc_array(p->arena, capacity, sizeof(node));
    if (take(p, "]"))
        return new;
    do {
        node item = parse_or(p);
        if (item == NULL)
            return NULL;
        new->items[new->item_count++] = item;
    } while (take(p, ","));
    return take(p, "]") ? new : unexpected(p, "`,` or `]` in the list");
}

static node parse_name(struct parser *p)
{
    struct condition_node *new = add(p, CONDITION_OP_NAME, CONDITION_ANY);

    skip_space(p);
    if (!is_letter(peek(p, 0)))
        return unexpected(p, "a name such as `params.x`");
    new->text = peek_word(p);
    const char *message = p->check(p->context, new->text, &new->type);
    if (message != NULL)
        return fail(p, p->at, "%s", message);
    p->at += new->text.len;
    return new;
}

static bool has_length(enum condition_type type)
{
    return type == CONDITION_ANY || type == CONDITION_STRING || type == CONDITION_LIST ||
           type == CONDITION_MAP;
}

static node parse_call(struct parser *p, enum condition_op op)
{
    bool is_exists = op == CONDITION_OP_EXISTS;
    struct condition_node *new = add(p, op, is_exists ? CONDITION_BOOL : CONDITION_NUMBER);

    if (!take(p, "("))
        return unexpected(p, "`(`");
    size_t at = p->at;
    new->left = is_exists ? parse_name(p) : parse_or(p);
    if (new->left == NULL)
        return NULL;
    if (!is_exists && !has_length(new->left->type))
        return fail(p, at, "%s has no length", condition_type_name(new->left->type));
    return take(p, ")") ? new : unexpected(p, "`)`");
}

static node parse_word(struct parser *p)
{
    struct str word = peek_word(p);
    struct condition_node *new = NULL;
    size_t start = p->at;

    if (str_is(word, "True") || str_is(word, "False") || str_is(word, "None"))
        return fail(p, start, "write `true`, `false` and `null`");
    if (str_is(word, "and") || str_is(word, "or") || str_is(word, "in"))
        return fail(p, start, "there is nothing before `%.*s`", STR_ARG(word));
    if (!str_is(word, "true") && !str_is(word, "false") && !str_is(word, "null")) {
        p->at += word.len;
        skip_space(p);
        bool is_call = peek(p, 0) == '(';
        if (is_call && str_is(word, "exists"))
            return parse_call(p, CONDITION_OP_EXISTS);
        if (is_call && str_is(word, "length"))
            return parse_call(p, CONDITION_OP_LENGTH);
        p->at = start;
        if (is_call)
            return fail(p, start, "there are two functions: exists(name) and length(value)");
        return parse_name(p);
    }
    p->at += word.len;
    new = add(p, CONDITION_OP_LITERAL, str_is(word, "null") ? CONDITION_NULL : CONDITION_BOOL);
    new->boolean = str_is(word, "true");
    return new;
}

static node parse_bracket(struct parser *p)
{
    node inner = parse_or(p);

    if (inner == NULL)
        return NULL;
    return take(p, ")") ? inner : unexpected(p, "`)`");
}

static node parse_operand(struct parser *p)
{
    node new = NULL;

    skip_space(p);
    char c = peek(p, 0);
    if (p->depth == CONDITION_DEPTH_MAX)
        return fail(p, p->at, "more than %d brackets within each other", CONDITION_DEPTH_MAX);
    p->depth++;
    if (c == '"' || c == '\'')
        new = parse_string(p);
    else if (is_digit(c) || (c == '-' && is_digit(peek(p, 1))))
        new = parse_number(p);
    else if (take(p, "["))
        new = parse_list(p);
    else if (take(p, "("))
        new = parse_bracket(p);
    else if (is_letter(c))
        new = parse_word(p);
    else
        new = unexpected(p, "a name or a value");
    p->depth--;
    return new;
}

static bool take_comparison(struct parser *p, enum condition_op *ret)
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

    if (take(p, "<>")) {
        p->at -= strlen("<>");
        return false;
    }
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        *ret = symbols[i].op;
        if (take(p, symbols[i].symbol))
            return true;
    }
    *ret = CONDITION_OP_IN;
    if (take_word(p, "in"))
        return true;
    *ret = CONDITION_OP_NOT_IN;
    if (take_word(p, "not") && take_word(p, "in"))
        return true;
    p->at = start;
    return false;
}

static bool is_ordered(enum condition_type type)
{
    return type == CONDITION_ANY || type == CONDITION_NUMBER || type == CONDITION_STRING;
}

/* What is wrong with comparing values of these types; NULL if nothing is, as far as is known. */
static const char *compare_mistake(struct parser *p, enum condition_op op, enum condition_type a,
                                   enum condition_type b)
{
    const char *left = condition_type_name(a);
    const char *right = condition_type_name(b);
    bool differ = a != b && a != CONDITION_ANY && b != CONDITION_ANY;

    if (op == CONDITION_OP_IN || op == CONDITION_OP_NOT_IN) {
        if (!has_length(b))
            return arena_printf(p->arena, "`in` looks into a list, a map or a string, not %s",
                                right);
        if ((b == CONDITION_STRING || b == CONDITION_MAP) && a != CONDITION_ANY &&
            a != CONDITION_STRING)
            return arena_printf(p->arena, "`in` finds a string in %s, not %s", right, left);
        return NULL;
    }
    if (op == CONDITION_OP_EQ || op == CONDITION_OP_NE) {
        if (differ && a != CONDITION_NULL && b != CONDITION_NULL)
            return arena_printf(p->arena, "%s can't equal %s", left, right);
        return NULL;
    }
    if (!is_ordered(a) || !is_ordered(b) || differ)
        return arena_printf(p->arena, "two numbers or two strings have an order, not %s and %s",
                            left, right);
    return NULL;
}

static node parse_comparison(struct parser *p)
{
    skip_space(p);
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
    const char *mistake = compare_mistake(p, op, left->type, new->right->type);
    if (mistake != NULL)
        return fail(p, start, "%s", mistake);
    skip_space(p);
    size_t end = p->at;
    if (take_comparison(p, &op))
        return fail(p, end, "comparisons don't chain: join two with `and`");
    return new;
}

/* An operand of `and`, `or` or `not`, or the whole. */
static node want_bool(struct parser *p, node operand, size_t offset)
{
    if (operand == NULL || operand->type == CONDITION_BOOL || operand->type == CONDITION_ANY)
        return operand;
    return fail(p, offset, "%s is neither true nor false: compare it with something",
                condition_type_name(operand->type));
}

static node parse_not(struct parser *p)
{
    skip_space(p);
    size_t start = p->at;

    if (!take_word(p, "not"))
        return parse_comparison(p);
    if (p->depth == CONDITION_DEPTH_MAX)
        return fail(p, start, "more than %d brackets within each other", CONDITION_DEPTH_MAX);
    p->depth++;
    struct condition_node *new = add(p, CONDITION_OP_NOT, CONDITION_BOOL);
    skip_space(p);
    start = p->at;
    new->left = want_bool(p, parse_not(p), start);
    p->depth--;
    return new->left == NULL ? NULL : new;
}

static node join(struct parser *p, enum condition_op op, node left, size_t start, node right,
                 size_t right_start)
{
    struct condition_node *new = add(p, op, CONDITION_BOOL);

    new->left = want_bool(p, left, start);
    if (new->left == NULL || right == NULL)
        return NULL;
    new->right = want_bool(p, right, right_start);
    return new->right == NULL ? NULL : new;
}

static node parse_and(struct parser *p)
{
    skip_space(p);
    size_t start = p->at;
    node left = parse_not(p);

    while (left != NULL && take_word(p, "and")) {
        skip_space(p);
        size_t right_start = p->at;
        left = join(p, CONDITION_OP_AND, left, start, parse_not(p), right_start);
    }
    return left;
}

static node parse_or(struct parser *p)
{
    skip_space(p);
    size_t start = p->at;
    node left = parse_and(p);

    while (left != NULL && take_word(p, "or")) {
        skip_space(p);
        size_t right_start = p->at;
        left = join(p, CONDITION_OP_OR, left, start, parse_and(p), right_start);
    }
    return left;
}

const struct condition *condition_parse(struct arena *arena, struct str text,
                                        condition_name_check check, void *context, struct err *err)
{
    struct condition *condition = arena_alloc(arena, sizeof(*condition));
    struct parser p = {.arena = arena, .check = check, .context = context, .err = err};

    condition->text = arena_str(arena, text);
    p.text = condition->text;
    if (text.len > CONDITION_BYTES_MAX) {
        fail(&p, 0, "a condition has at most %d bytes", CONDITION_BYTES_MAX);
        return NULL;
    }
    skip_space(&p);
    size_t start = p.at;
    condition->root = parse_or(&p);
    if (condition->root == NULL)
        return NULL;
    skip_space(&p);
    if (p.at < p.text.len)
        condition->root = unexpected(&p, "`and`, `or` or a comparison");
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
