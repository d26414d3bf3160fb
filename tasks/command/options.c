/* The options of `command`: a program and its arguments, launched without a shell. The task's `env`
 * is an option of every task (scheduler/dagfile). */
#include "millrace/task_kind.h"

static const struct option options[] = {
    {.key = "argv",
     .type = OPTION_STRINGS,
     .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
     .doc = "The program and its arguments, each its own string; no shell reads them. A name "
            "without a slash is looked up in PATH, one with a slash is relative to cwd."},
    {.key = "cwd",
     .type = OPTION_STRING,
     .flags = OPTION_TEMPLATE,
     .doc = "The folder the program starts in, relative to the project's base folder, which is "
            "the default."                                                              },
};

static const struct option_alias aliases[] = {
    {"command",      "argv"},
    {"cmd",          "argv"},
    {"args",         "argv"},
    {"bash_command", "argv"},
    {"script",       "argv"},
    {"run",          "argv"},
    {"dir",          "cwd" },
    {"working_dir",  "cwd" },
    {NULL,           NULL  },
};

static const struct option_table command_options = {
    .name = "with of command",
    .doc = "Runs a program. Exit code 0 is success, 99 is skipped, any other is a failure. Results "
           "go as a JSON object of at most 64 KiB into the file that $MILLRACE_OUTPUT names; "
           "$MILLRACE_TEMP is a folder that is removed afterwards.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
    .aliases = aliases,
};

static void check_command(const struct node *with, struct diags *diags)
{
    const struct node *argv = node_get(with, "argv");

    if (argv == NULL || argv->kind != NODE_LIST)
        return; /* the table has said so */
    if (argv->item_count == 0)
        diag_add(diags, "MR0250", argv->at, "write the program and its arguments: [date, -u]",
                 "`argv` is empty");
    else if (argv->items[0]->text.len == 0)
        diag_add(diags, "MR0250", argv->items[0]->at, "the first string of `argv` is the program",
                 "the program's name is empty");
}

const struct task_kind command_kind = {
    .name = "command",
    .doc = "Runs a program without a shell.",
    .class = TASK_CLASS_COMMAND,
    .options = &command_options,
    .check = check_command,
};
