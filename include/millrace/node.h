/* A YAML document as a tree of values that know where they stand in the file.
 *
 * scheduler/dagfile builds it; option checks (include/millrace/option.h) and the load-time checks
 * of the task kinds read it. All of it lives in one arena. */
#ifndef MILLRACE_NODE_H
#define MILLRACE_NODE_H

#include "base/str.h"

enum node_kind { NODE_NULL, NODE_BOOL, NODE_INT, NODE_FLOAT, NODE_STRING, NODE_LIST, NODE_MAP };

struct position {
    uint32_t line;   /* 1-based */
    uint32_t column; /* 1-based, in bytes */
    uint32_t length; /* bytes to underline; at least 1 */
};

struct node;

struct node_entry {
    struct str key;
    struct position key_at;
    struct node *value;
};

struct node {
    enum node_kind kind;
    struct position at;
    struct str text; /* scalars: as written, without quotes */
    union {
        union {
            bool boolean;
            int64_t integer;
            double number;
        } scalar;
        struct node **items;        /* lists */
        struct node_entry *entries; /* maps, in file order, keys unique */
    };
    uint32_t item_count;  /* 0 unless a list */
    uint32_t entry_count; /* 0 unless a map */
};

/* The value under `key` of a map, or NULL (also when `map` is NULL or no map). */
const struct node *node_get(const struct node *map, const char *key);

/* The text of a string entry, or an empty str. */
struct str node_get_text(const struct node *map, const char *key);

/* "a string", "a list", …: for messages. */
const char *node_kind_name(enum node_kind kind);

#endif
