#include "scheduler/dagfile/scalar.h"

#include <math.h>
#include <string.h>

static bool is_one_of(struct str text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (str_is(text, *words))
            return true;
    return false;
}

static size_t digits(struct str text, size_t at)
{
    size_t start = at;

    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
        at++;
    return at - start;
}

static bool is_float(struct str text)
{
    size_t at = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+') ? 1 : 0;
    size_t whole = digits(text, at);
    size_t fraction = 0;

    at += whole;
    if (at < text.len && text.ptr[at] == '.') {
        fraction = digits(text, at + 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        at++;
        if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+'))
            at++;
        size_t exponent = digits(text, at);
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return at == text.len;
}

/* The value of a hexadecimal or octal digit, or 99. */
static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 99;
}

/* "0x1F" and "0o17". */
static bool read_based(struct str text, bool *ret_fits, int64_t *ret)
{
    int64_t base = 0;
    int64_t value = 0;

    if (str_starts(text, STR("0x")))
        base = 16;
    else if (str_starts(text, STR("0o")))
        base = 8;
    if (base == 0 || text.len == 2)
        return false;
    *ret_fits = true;
    for (size_t i = 2; i < text.len; i++) {
        unsigned digit = digit_value(text.ptr[i]);
        if (digit >= base)
            return false;
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, (int64_t)digit, &value)) {
            *ret_fits = false;
            value = 0;
        }
    }
    *ret = value;
    return true;
}

static const char *resolve_number(struct node *node)
{
    struct str text = node->text;
    bool fits = true;
    size_t sign = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+') ? 1 : 0;
    bool is_int = text.len > sign && sign + digits(text, sign) == text.len;

    if (is_int)
        fits = str_to_int(text, &node->scalar.integer);
    else
        is_int = read_based(text, &fits, &node->scalar.integer);
    if (is_int && !fits)
        return "the integer does not fit into 64 bits: quote it to make it a string";
    if (is_int) {
        node->kind = NODE_INT;
        return NULL;
    }
    if (!is_float(text))
        return NULL;
    double number = 0;
    struct str unsigned_text = text.ptr[0] == '+' ? str_sub(text, 1, text.len) : text;
    if (!str_to_float(unsigned_text, &number) || !isfinite(number))
        return "the number is out of range: quote it to make it a string";
    node->kind = NODE_FLOAT;
    node->scalar.number = number;
    return NULL;
}

/* Whether the first two characters say already that it is a string, as they do of most names. */
static bool is_word(struct str text)
{
    if (text.len == 0 || strchr("~+-.0123456789", text.ptr[0]) != NULL)
        return false;
    if (strchr("nNtTfF", text.ptr[0]) == NULL)
        return true;
    return text.len == 1 || strchr("uUrRaA", text.ptr[1]) == NULL;
}

const char *scalar_resolve(struct node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const not_finite[] = {".inf",  ".Inf",  ".INF",  "-.inf", "-.Inf",
                                             "-.INF", "+.inf", "+.Inf", "+.INF", ".nan",
                                             ".NaN",  ".NAN",  NULL};

    node->kind = NODE_STRING;
    if (is_word(node->text))
        return NULL;
    if (is_one_of(node->text, nulls)) {
        node->kind = NODE_NULL;
    } else if (is_one_of(node->text, trues) || is_one_of(node->text, falses)) {
        node->kind = NODE_BOOL;
        node->scalar.boolean = is_one_of(node->text, trues);
    } else if (is_one_of(node->text, not_finite)) {
        return "infinity and NaN have no place in a DAG file: quote it to make it a string";
    } else {
        return resolve_number(node);
    }
    return NULL;
}
