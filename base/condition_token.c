#include "base/condition_token.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef const struct condition_node *node;

__attribute__((format(printf, 3, 4))) node condition_fail(struct condition_parser *p, size_t offset,
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

bool condition_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool condition_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Task ids and numbers with an exponent hold more than letters: there is no arithmetic here. */
static bool is_word(char c)
{
    return condition_is_letter(c) || condition_is_digit(c) ||
           (c != '\0' && strchr(".~:+-", c) != NULL);
}

char condition_peek(const struct condition_parser *p, size_t ahead)
{
    return p->at + ahead < p->text.len ? p->text.ptr[p->at + ahead] : '\0';
}

void condition_skip_space(struct condition_parser *p)
{
    while (p->at < p->text.len && memchr(" \t\r\n", p->text.ptr[p->at], 4) != NULL)
        p->at++;
}

struct str condition_peek_word(const struct condition_parser *p)
{
    size_t end = p->at;

    while (end < p->text.len && is_word(p->text.ptr[end]))
        end++;
    return str_sub(p->text, p->at, end);
}

bool condition_take_word(struct condition_parser *p, const char *word)
{
    condition_skip_space(p);
    if (!str_is(condition_peek_word(p), word))
        return false;
    p->at += strlen(word);
    return true;
}

bool condition_take(struct condition_parser *p, const char *symbol)
{
    condition_skip_space(p);
    if (!str_starts(str_sub(p->text, p->at, p->text.len), str_from(symbol)))
        return false;
    p->at += strlen(symbol);
    return true;
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

node condition_unexpected(struct condition_parser *p, const char *expected)
{
    struct str rest = str_sub(p->text, p->at, p->text.len);
    const char *use = foreign_word(rest);

    if (use != NULL)
        return condition_fail(p, p->at, "%s", use);
    if (rest.len == 0)
        return condition_fail(p, p->at, "expected %s at the end", expected);
    return condition_fail(p, p->at, "expected %s", expected);
}

bool condition_read_string(struct condition_parser *p, struct str *ret)
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
        if (c == '\\' && p->at + 1 < p->text.len) {
            c = p->text.ptr[++p->at];
            if (c != '\\' && c != '"' && c != '\'' && c != 'n' && c != 't') {
                condition_fail(p, p->at - 1,
                               "unknown escape: \\\\, \\\", \\', \\n and \\t are known");
                return false;
            }
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        out[len++] = c;
    }
    condition_fail(p, start, "the string has no closing %c", quote);
    return false;
}
