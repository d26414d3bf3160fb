/* millrace: the command line, and through hidden commands the scheduler and web processes. */
#include "cli/command.h"

#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
#define COMMAND(name) &name##_command,
#include "cli/commands.def"
#undef COMMAND
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
    fputs("millrace " MILLRACE_VERSION " - pipelines that feed models\n\n"
          "Usage: millrace COMMAND [ARGUMENTS]\n\nCommands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!commands[i]->hidden)
            fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n`millrace COMMAND --help` tells more. Exit codes: 0 done, 1 failed, 2 wrong usage,\n"
          "3 not found, 4 not allowed, 5 findings, 6 run failed, 7 no server, 8 conflict,\n"
          "9 timed out, 130 interrupted. A closed pipe (`| head`) ends a command quietly, by\n"
          "SIGPIPE; `run` and `serve` go on.\n",
          out);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *nearest = NULL;
    size_t nearest_distance = 3;

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        size_t distance = str_distance(str_from(name), str_from(commands[i]->name));
        if (!commands[i]->hidden && distance < nearest_distance) {
            nearest = commands[i]->name;
            nearest_distance = distance;
        }
    }
    fprintf(stderr, "millrace: there is no command `%s`", name);
    if (nearest != NULL)
        fprintf(stderr, ": did you mean `%s`?", nearest);
    fputs("\nTry `millrace --help`.\n", stderr);
    return err_exit_code(ERR_USAGE);
}

/* Whether --help or -h stands among the arguments before a "--". */
static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Output that could not be written (a full disk) must not look like success. A reader that has seen
 * enough is no failure: what goes on without one ends as if all had been read. */
static int finish(int exit_code)
{
    bool was_lost = ferror(stdout) != 0; /* what it was for is not known any more */

    if (fflush(stdout) != 0 && errno == EPIPE)
        return exit_code;
    if (ferror(stdout) != 0 && !was_lost)
        perror("millrace: writing the output");
    else if (was_lost)
        fputs("millrace: the output could not be written\n", stderr);
    else
        return exit_code;
    return exit_code == 0 ? err_exit_code(ERR_FAILED) : exit_code;
}

int main(int argc, char **argv)
{
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    log_init("millrace");
    if (argc < 2) {
        print_help(stderr);
        return err_exit_code(ERR_USAGE);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("millrace " MILLRACE_VERSION);
        return finish(0);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return finish(0);
    }
    const struct command *command = find_command(argv[1]);
    if (command == NULL)
        return unknown_command(argv[1]);
    if (wants_help(argc - 1, argv + 1)) {
        fputs(command->usage, stdout);
        return finish(0);
    }
    if (command->goes_on)
        (void)signal(SIGPIPE, SIG_IGN);
    return finish(command->run(argc - 1, argv + 1));
}
