#include "millrace/task_kind.h"

static const struct option_table noop_options = {
    .name = "with of noop",
    .doc = "",
};

const struct task_kind noop_kind = {
    .name = "noop",
    .doc = "",
    .class = TASK_CLASS_SHARED,
    .options = &noop_options,
};
