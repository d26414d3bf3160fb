/* The parsed form of a condition. Private to base/condition*.c. */
#ifndef MILLRACE_BASE_CONDITION_NODE_H
#define MILLRACE_BASE_CONDITION_NODE_H

#include "base/condition.h"

enum condition_op {
    CONDITION_OP_LITERAL,
    CONDITION_OP_LIST,
    CONDITION_OP_NAME,
    CONDITION_OP_NOT,
    CONDITION_OP_AND,
    CONDITION_OP_OR,
    CONDITION_OP_EQ,
    CONDITION_OP_NE,
    CONDITION_OP_LT,
    CONDITION_OP_LE,
    CONDITION_OP_GT,
    CONDITION_OP_GE,
    CONDITION_OP_IN,
    CONDITION_OP_NOT_IN,
    CONDITION_OP_EXISTS,
    CONDITION_OP_LENGTH,
};

struct condition_node {
    enum condition_op op;
    enum condition_type type; /* of its value; of a literal never ANY */
    struct str text;          /* NAME, and a literal STRING */
    bool boolean;             /* a literal BOOL */
    bool is_integer;          /* a literal NUMBER */
    int64_t integer;
    double real;
    const struct condition_node *left; /* the operand where there is only one */
    const struct condition_node *right;
    const struct condition_node **items; /* LIST */
    size_t item_count;
};

struct condition {
    struct str text;
    const struct condition_node *root;
};

/* "a number", for messages. */
const char *condition_type_name(enum condition_type type);

/* Whether length() knows what to say. */
bool condition_has_length(enum condition_type type);

/* What is wrong with comparing values of these types, as a message in the arena; NULL if nothing
 * is, as far as is known. */
const char *condition_mistake(struct arena *arena, enum condition_op op, enum condition_type a,
                              enum condition_type b);

#endif
