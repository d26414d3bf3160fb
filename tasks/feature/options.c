#include "millrace/task_kind.h"

static const struct option_table feature_options = {
    .name = "with of feature",
    .doc = "",
};

const struct task_kind feature_kind = {
    .name = "feature",
    .doc = "",
    .class = TASK_CLASS_DATA,
    .options = &feature_options,
};
