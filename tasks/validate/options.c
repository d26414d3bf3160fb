#include "millrace/task_kind.h"

static const struct option_table validate_options = {
    .name = "with of validate",
    .doc = "",
};

const struct task_kind validate_kind = {
    .name = "validate",
    .doc = "",
    .class = TASK_CLASS_DATA,
    .options = &validate_options,
};
