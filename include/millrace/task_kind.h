/* Task kinds: what the scheduler's side knows of one — its name, its options, its load-time check.
 * The running side is in include/millrace/attempt.h. A new kind is one folder in tasks/ and one
 * line in tasks/kinds.def; one of TASK_CLASS_SHARED is also named in worker/shared.c and in
 * tasks/CMakeLists.txt, since the worker links no other. */
#ifndef MILLRACE_TASK_KIND_H
#define MILLRACE_TASK_KIND_H

#include "millrace/option.h"

enum task_class {
    TASK_CLASS_DATA,    /* a runner of its own, with DuckDB open */
    TASK_CLASS_COMMAND, /* a program launched without a shell */
    TASK_CLASS_SHARED,  /* no data, no sandbox: many attempts share one runner, and are told of
                         * nothing but their options */
    TASK_CLASS_LIGHT,   /* a look at something outside: a runner without DuckDB, used again */
};

struct task_kind {
    const char *name; /* the DAG file's `type` */
    const char *doc;
    enum task_class class;
    const struct option_table *options; /* of `with` */
    bool publishes; /* its target is an asset, its outputs say `dataset` and `partition` */
    int version;    /* raised when the same options and inputs give another output than before */

    /* What the table can't say (columns named twice, a window without a time column, …): adds its
     * findings. `with` may be NULL. The function may be NULL. */
    void (*check)(const struct node *with, struct diags *diags);

    /* The class of one task, for kinds where it depends on the options; NULL: always `class`. */
    enum task_class (*class_of)(const json_t *options);
};

/* The class of a task of this kind with these options. */
enum task_class task_kind_class(const struct task_kind *kind, const json_t *options);

#define TASK_KIND(name) extern const struct task_kind name##_kind;
#include "tasks/kinds.def"
#undef TASK_KIND

/* The kind with this name, or NULL; all kinds in table order. */
const struct task_kind *task_kind_find(struct str name);
const struct task_kind *const *task_kinds(size_t *ret_count);

/* Their names in the same order, ended by NULL. */
extern const char *const task_kind_names[];

#endif
