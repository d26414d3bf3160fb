#include "tasks/validate/catalogue.h"

#include <string.h>

static const struct catalogue_entry entries[] = {
#define EXPECT_NAMED(text, table, shape, compile, judge, pass, doc)                                \
    {text, pass, rule_compile_##compile, judge_##judge},
#include "tasks/validate/expectations.def"
};

const struct catalogue_entry *catalogue_find(const char *name)
{
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        if (strcmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}
