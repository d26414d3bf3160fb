/* Reading a condition's text word by word. Private to base/condition*.c. */
#ifndef MILLRACE_BASE_CONDITION_TOKEN_H
#define MILLRACE_BASE_CONDITION_TOKEN_H

#include "base/condition_node.h"

struct condition_parser {
    struct arena *arena;
    struct str text;
    size_t at;
    int depth;
    condition_name_check check;
    void *context;
    struct err *err;
};

/* Sets the error, at a byte offset of the text; NULL, so that a caller can return it. */
__attribute__((format(printf, 3, 4))) const struct condition_node *
condition_fail(struct condition_parser *p, size_t offset, const char *format, ...);

/* The same for what stands at p->at, in words that know other languages' signs. */
const struct condition_node *condition_unexpected(struct condition_parser *p, const char *expected);

bool condition_is_letter(char c);
bool condition_is_digit(char c);

/* The byte so far ahead, or NUL after the end. */
char condition_peek(const struct condition_parser *p, size_t ahead);
void condition_skip_space(struct condition_parser *p);

/* The word at p->at, empty if there is none. Names and numbers are words. */
struct str condition_peek_word(const struct condition_parser *p);

/* Skips space, and takes the word or sign if it is there. */
bool condition_take_word(struct condition_parser *p, const char *word);
bool condition_take(struct condition_parser *p, const char *sign);

/* A string in single or double quotes at p->at, without them; false with the error set. */
bool condition_read_string(struct condition_parser *p, struct str *ret);

#endif
