#include "millrace/task_kind.h"

static const struct option_table shard_options = {
    .name = "with of shard",
    .doc = "",
};

const struct task_kind shard_kind = {
    .name = "shard",
    .doc = "",
    .class = TASK_CLASS_DATA,
    .options = &shard_options,
};
