#include "millrace/task_kind.h"

static const struct option_table ingest_options = {
    .name = "with of ingest",
    .doc = "",
};

const struct task_kind ingest_kind = {
    .name = "ingest",
    .doc = "",
    .class = TASK_CLASS_DATA,
    .options = &ingest_options,
};
