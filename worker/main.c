/* millrace-worker: supervises the attempts of one machine, or serves as its own shared runner. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/shared.h"
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EXIT_USAGE 2

static const char usage[] =
    "usage: millrace-worker --state DIR [--base DIR] [--slots N] [--memory BYTES]\n"
    "                       [--staging SECONDS] [--managed]\n"
    "\n"
    "Runs the attempts that the scheduler of a state folder hands out. `millrace serve` and\n"
    "`millrace run` start one by themselves.\n"
    "\n"
    "  --state DIR     the state folder (where scheduler.sock is)\n"
    "  --base DIR      the folder that paths in DAGs are relative to (default: this folder)\n"
    "  --slots N       attempts at once (default: the number of processors)\n"
    "  --memory BYTES  for one data attempt (default: 60 % of the memory over the slots)\n"
    "  --staging SECONDS  how long what dead attempts left beside a lake is kept (0: for ever)\n"
    "  --managed       slots, memory and staging follow what the scheduler says, so that a worker\n"
    "                  that is taken over by another `serve` is what that one was started with\n"
    "  --version       print the version and exit\n"
    "\n"
    "SIGTERM: takes no more attempts and ends when those that run have ended; a second one stops\n"
    "them.\n";

enum option_id {
    ID_STATE = 1000,
    ID_BASE,
    ID_SLOTS,
    ID_MEMORY,
    ID_STAGING,
    ID_MANAGED,
    ID_VERSION,
    ID_HELP,
    ID_RUNNER
};

static const struct option long_options[] = {
    {"state",   required_argument, NULL, ID_STATE  },
    {"base",    required_argument, NULL, ID_BASE   },
    {"slots",   required_argument, NULL, ID_SLOTS  },
    {"memory",  required_argument, NULL, ID_MEMORY },
    {"staging", required_argument, NULL, ID_STAGING},
    {"managed", no_argument,       NULL, ID_MANAGED},
    {"version", no_argument,       NULL, ID_VERSION},
    {"help",    no_argument,       NULL, ID_HELP   },
    {"runner",  required_argument, NULL, ID_RUNNER },
    {NULL,      0,                 NULL, 0         },
};

/* A descriptor below 3 that is closed would be given to the next file we open, and then to an
 * attempt as its output. */
static bool open_standard(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < 3);
    if (fd < 0)
        return false;
    (void)close(fd);
    return true;
}

/* An attempt is in a process group of its own, and one that reads from the terminal of a worker
 * that was started by hand would be stopped for good: without a terminal it gets an error. setsid()
 * is refused to what a shell started, and would keep Ctrl-C from the worker; this does not. A
 * session leader keeps its terminal, for to give it up is a hang-up for the whole session. */
static void leave_terminal(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (getsid(0) != getpid())
        (void)ioctl(fd, TIOCNOTTY);
    (void)close(fd);
}

static bool parse_number(const char *option, const char *text, int64_t min, int64_t max,
                         int64_t *ret_value)
{
    int64_t value;

    if (str_to_int(str_from(text), &value) && value >= min && value <= max) {
        *ret_value = value;
        return true;
    }
    (void)fprintf(stderr, "millrace-worker: --%s must be a number from %lld to %lld, not '%s'\n",
                  option, (long long)min, (long long)max, text);
    return false;
}

static char *make_absolute(const char *path)
{
    char *folder = realpath(path, NULL);

    if (folder == NULL)
        (void)fprintf(stderr, "millrace-worker: %s: %s\n", path, strerror(errno));
    return folder;
}

static int64_t default_memory(int64_t slots)
{
    int64_t total = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int64_t share = total / 10 * 6 / slots;

    return share < WORKER_MEMORY_BYTES_MIN ? WORKER_MEMORY_BYTES_MIN : share;
}

static int run(const char *state, const char *base, struct worker_options *options)
{
    struct err err = {0};
    char *state_folder = NULL;
    char *base_folder = make_absolute(base);
    int code = EXIT_USAGE;

    if (base_folder != NULL && !fs_make_folders(state, 0700, &err))
        (void)fprintf(stderr, "millrace-worker: %s\n", err.message);
    else if (base_folder != NULL)
        state_folder = make_absolute(state);
    if (state_folder != NULL && chdir(base_folder) < 0) {
        (void)fprintf(stderr, "millrace-worker: %s: %s\n", base_folder, strerror(errno));
    } else if (state_folder != NULL) {
        options->state_folder = state_folder;
        options->base_folder = base_folder;
        code = worker_run(options);
    }
    free(state_folder);
    free(base_folder);
    return code;
}

int main(int argc, char **argv)
{
    struct worker_options options = {.slots = sysconf(_SC_NPROCESSORS_ONLN)};
    const char *state = NULL;
    const char *base = ".";
    int64_t staging_s = 0;
    int id;

    if (!open_standard())
        return 1;
    leave_terminal();
    log_init("worker");
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (id == ID_STATE)
            state = optarg;
        else if (id == ID_BASE)
            base = optarg;
        else if (id == ID_SLOTS &&
                 !parse_number("slots", optarg, 1, WORKER_SLOTS_MAX, &options.slots))
            return EXIT_USAGE;
        else if (id == ID_MEMORY && !parse_number("memory", optarg, WORKER_MEMORY_BYTES_MIN,
                                                  INT64_MAX, &options.memory_bytes))
            return EXIT_USAGE;
        else if (id == ID_STAGING &&
                 !parse_number("staging", optarg, 0, INT64_MAX / US_PER_SECOND, &staging_s))
            return EXIT_USAGE;
        else if (id == ID_MANAGED)
            options.is_managed = true;
        else if (id == ID_RUNNER)
            shared_serve();
        else if (id == ID_VERSION || id == ID_HELP)
            return fputs(id == ID_HELP ? usage : "millrace-worker " MILLRACE_VERSION "\n", stdout) <
                   0;
        else if (id == '?')
            return EXIT_USAGE;
    }
    if (state == NULL || optind < argc) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    options.staging_us = staging_s * US_PER_SECOND;
    options.command_line = argv[0];
    options.command_bytes = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]);
    if (options.memory_bytes == 0)
        options.memory_bytes = default_memory(options.slots);
    return run(state, base, &options);
}
