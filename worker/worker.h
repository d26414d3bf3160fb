/* The worker as a part: its options and its two ways to run. */
#ifndef MILLRACE_WORKER_WORKER_H
#define MILLRACE_WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKER_SLOTS_MAX 4096
#define WORKER_MEMORY_BYTES_MIN (INT64_C(64) * 1024 * 1024)

struct worker_options {
    const char *state_folder; /* absolute */
    const char *base_folder;  /* absolute; the working folder of every attempt */
    int64_t slots;            /* attempts at once */
    int64_t memory_bytes;     /* DuckDB's limit per data attempt */
    int64_t staging_us;       /* how long staging folders of dead attempts are kept; 0 = for ever */
    bool is_managed; /* slots, memory and staging are what the scheduler says, also a later one */
    char *command_line;   /* the program's own, which ps shows … */
    size_t command_bytes; /* … and its size */
};

/* Supervises attempts until told to end; returns the exit code. The options of a managed worker
 * change with what its schedulers say. */
int worker_run(struct worker_options *options);

/* Serves as a runner on descriptor LAUNCH_SOCKET_FD: with DuckDB for one attempt, or as the shared
 * one, without, for many. Does not return. */
__attribute__((noreturn)) void runner_main(const char *mode);

#define RUNNER_MODE_DATA "data"
#define RUNNER_MODE_SHARED "shared"
#define RUNNER_MODE_LIGHT "light"

#endif
