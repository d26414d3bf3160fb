#include "cli/args.h"

#include "base/str.h"

#include <assert.h>
#include <getopt.h>
#include <string.h>

#define ARGS_MAX 32

static bool store(const struct command *command, const struct arg *arg, const char *value)
{
    struct arg_list *list = arg->target;
    int64_t number = 0;

    switch (arg->type) {
    case ARG_FLAG:
        *(bool *)arg->target = true;
        return true;
    case ARG_TEXT:
        *(const char **)arg->target = value;
        return true;
    case ARG_INT:
        if (!str_to_int(str_from(value), &number) || number < 1) {
            (void)command_usage_error(command, "--%s wants a whole number from 1 on, not `%s`",
                                      arg->name, value);
            return false;
        }
        *(int64_t *)arg->target = number;
        return true;
    case ARG_LIST:
        if (list->count == ARG_LIST_MAX) {
            (void)command_usage_error(command, "--%s is given more than %d times", arg->name,
                                      ARG_LIST_MAX);
            return false;
        }
        list->items[list->count++] = value;
        return true;
    }
    return false;
}

int args_parse(const struct command *command, const struct arg *table, size_t count, int argc,
               char **argv)
{
    struct option long_options[ARGS_MAX + 1] = {0};
    char letters[2 * ARGS_MAX + 2] = ":";
    size_t letters_len = 1;

    assert(count <= ARGS_MAX);
    for (size_t i = 0; i < count; i++) {
        int has_value = table[i].type == ARG_FLAG ? no_argument : required_argument;
        long_options[i] = (struct option){table[i].name, has_value, NULL, (int)(1000 + i)};
        if (table[i].letter == 0)
            continue;
        letters[letters_len++] = table[i].letter;
        if (has_value == required_argument)
            letters[letters_len++] = ':';
    }
    optind = 0;
    opterr = 0;
    for (;;) {
        int got = getopt_long(argc, argv, letters, long_options, NULL);
        if (got == -1)
            break;
        const struct arg *arg = got >= 1000 ? &table[got - 1000] : NULL;
        for (size_t i = 0; arg == NULL && i < count; i++)
            if (table[i].letter == got && got != 0)
                arg = &table[i];
        if (arg == NULL) {
            const char *what = got == ':' ? "wants a value" : "is not an option of this command";
            (void)command_usage_error(command, "%s %s", argv[optind - 1], what);
            return -1;
        }
        if (!store(command, arg, optarg))
            return -1;
    }
    int positional = argc - optind;
    memmove(argv + 1, argv + optind, (size_t)positional * sizeof(*argv));
    return positional;
}
