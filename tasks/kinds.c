#include "millrace/task_kind.h"

static const struct task_kind *const kinds[] = {
#define TASK_KIND(name) &name##_kind,
#include "tasks/kinds.def"
#undef TASK_KIND
};

const char *const task_kind_names[] = {
#define TASK_KIND(name) #name,
#include "tasks/kinds.def"
#undef TASK_KIND
    NULL,
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

const struct task_kind *task_kind_find(struct str name)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (str_is(name, kinds[i]->name))
            return kinds[i];
    return NULL;
}

enum task_class task_kind_class(const struct task_kind *kind, const json_t *options)
{
    return kind->class_of == NULL ? kind->class : kind->class_of(options);
}

const struct task_kind *const *task_kinds(size_t *ret_count)
{
    *ret_count = KIND_COUNT;
    return kinds;
}
