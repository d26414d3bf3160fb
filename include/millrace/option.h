/* Option tables: one description of a set of options, from which come the check of the DAG file,
 * the defaults, `millrace schema`, and the reference docs.
 *
 * Tables are constant data. A task kind's table stands in tasks/K/options.c; those of the DAG, the
 * task and millrace.yaml in scheduler/dagfile. Checked options become a JSON object with defaults
 * filled in (numbers and booleans typed, durations and templates as strings). */
#ifndef MILLRACE_OPTION_H
#define MILLRACE_OPTION_H

#include "base/err.h"
#include "millrace/diag.h"

#include <jansson.h>

enum option_type {
    OPTION_STRING,
    OPTION_BOOL, /* or, where it has `choices`, one of these words, kept as a string */
    OPTION_INT,
    OPTION_FLOAT,
    OPTION_DURATION, /* "90s" */
    OPTION_DATE,     /* a date or instant (base/timefmt.h) */
    OPTION_ENUM,     /* one of `choices` */
    OPTION_STRINGS,  /* a list of strings */
    OPTION_SCALAR,   /* any string, number or boolean */
    OPTION_SCALARS,  /* a list of those */
    OPTION_OBJECT,   /* a map whose keys `fields` describes */
    OPTION_OBJECTS,  /* a list of such maps */
    OPTION_MAP,      /* a map of free keys; values as `fields` describes, or any JSON without it */
    OPTION_TAGGED,   /* a map with exactly one key, named in `variants`: {expect_x: {…}} */
    OPTION_TAGGEDS,  /* a list of those */
    OPTION_ANY,      /* any JSON */
};

enum option_flag {
    OPTION_REQUIRED = 1 << 0,
    OPTION_TEMPLATE = 1 << 1, /* strings may hold {{ … }}; non-string types take a template too */
    OPTION_NULLABLE = 1 << 2,
    OPTION_ID = 1 << 3,          /* a string that must satisfy str_is_id() */
    OPTION_OR_SINGLE = 1 << 4,   /* STRINGS and SCALARS: one value stands for a list of one */
    OPTION_OR_STRING = 1 << 5,   /* OBJECT: a plain string is accepted too (kept as a string) */
    OPTION_IN_NODE = 1 << 6,     /* checked, but read from the node: a list's items are left out */
    OPTION_NO_DEFAULTS = 1 << 7, /* MAP: defaults are not filled into its values */
};

struct option_table;

struct option {
    const char *key;
    enum option_type type;
    unsigned flags;
    const char *fallback;       /* default as JSON text ("3", "\"zstd\"", "[]"); NULL = absent */
    const char *doc;            /* one or two sentences, for schema, docs and hover texts */
    const char *const *choices; /* ENUM, BOOL: NULL-terminated */
    double min;                 /* INT, FLOAT: inclusive; both 0 = no limits */
    double max;
    const struct option_table *fields;   /* OBJECT, OBJECTS, MAP */
    const struct option_table *variants; /* TAGGED(S): each option of it is a variant (an OBJECT) */
};

/* A word of another system, or a former name: its use is an error that says what to write. */
struct option_alias {
    const char *word; /* "schedule_interval" */
    const char *use;  /* "schedule" */
};

struct option_table {
    const char *name; /* "task", "with of ingest" */
    const char *doc;
    const struct option *options;
    size_t count;
    const struct option_alias *aliases; /* NULL-terminated by word == NULL; may be NULL */
};

const struct option *option_find(const struct option_table *table, struct str key);

/* Checks a map against a table: unknown, missing, doubled and ill-typed keys each become a finding.
 * Returns the options as a new JSON object with defaults filled in, which is complete only if no
 * error was found. Never NULL. `map` may be NULL: an empty map at `at`. Templates are only
 * recognised here; dagfile checks their names. */
json_t *options_check(const struct option_table *table, const struct node *map, struct position at,
                      struct diags *diags);

/* After rendering: turns the strings that templates left in options of other types into those
 * types. False (ERR_INVALID) names the option. Changes `options` in place. */
bool options_coerce(const struct option_table *table, json_t *options, struct err *err);

#endif
