#include "base/condition_node.h"

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

bool condition_has_length(enum condition_type type)
{
    return type == CONDITION_ANY || type == CONDITION_STRING || type == CONDITION_LIST ||
           type == CONDITION_MAP;
}

static bool is_ordered(enum condition_type type)
{
    return type == CONDITION_ANY || type == CONDITION_NUMBER || type == CONDITION_STRING;
}

/* What is wrong with comparing values of these types; NULL if nothing is, as far as is known. */
const char *condition_mistake(struct arena *arena, enum condition_op op, enum condition_type a,
                              enum condition_type b)
{
    const char *left = condition_type_name(a);
    const char *right = condition_type_name(b);
    bool differ = a != b && a != CONDITION_ANY && b != CONDITION_ANY;

    if (op == CONDITION_OP_IN || op == CONDITION_OP_NOT_IN) {
        if (!condition_has_length(b))
            return arena_printf(arena, "`in` looks into a list, a map or a string, not %s", right);
        if ((b == CONDITION_STRING || b == CONDITION_MAP) && a != CONDITION_ANY &&
            a != CONDITION_STRING)
            return arena_printf(arena, "`in` finds a string in %s, not %s", right, left);
        return NULL;
    }
    if (op == CONDITION_OP_EQ || op == CONDITION_OP_NE) {
        if (differ && a != CONDITION_NULL && b != CONDITION_NULL)
            return arena_printf(arena, "%s can't equal %s", left, right);
        return NULL;
    }
    if (!is_ordered(a) || !is_ordered(b) || differ)
        return arena_printf(arena, "two numbers or two strings have an order, not %s and %s", left,
                            right);
    return NULL;
}
