#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>

int command_usage_error(const struct command *command, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "millrace %s: ", command->name);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry `millrace %s --help`.\n", command->name);
    return err_exit_code(ERR_USAGE);
}

int command_fail(const struct err *err)
{
    fprintf(stderr, "error: %s\n", err->message);
    return err_exit_code(err->code);
}
