/* The worker as a part: its options, and its run. */
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

#endif
