#include "millrace/task_kind.h"

static const struct option_table noop_options = {
    .name = "with of noop",
    .doc = "A noop takes no options.",
};

const struct task_kind noop_kind = {
    .name = "noop",
    .doc = "Does nothing and succeeds: a joint where branches meet, or a placeholder.",
    .class = TASK_CLASS_SHARED,
    .options = &noop_options,
};
