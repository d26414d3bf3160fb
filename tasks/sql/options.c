#include "millrace/task_kind.h"

static const struct option_table sql_options = {
    .name = "with of sql",
    .doc = "",
};

const struct task_kind sql_kind = {
    .name = "sql",
    .doc = "",
    .class = TASK_CLASS_DATA,
    .options = &sql_options,
};
