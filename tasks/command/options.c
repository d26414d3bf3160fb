#include "millrace/task_kind.h"

static const struct option_table command_options = {
    .name = "with of command",
    .doc = "",
};

const struct task_kind command_kind = {
    .name = "command",
    .doc = "",
    .class = TASK_CLASS_COMMAND,
    .options = &command_options,
};
