/* The worker as a part: its options, and its run. */
#ifndef MILLRACE_WORKER_WORKER_H
#define MILLRACE_WORKER_WORKER_H

#include <stddef.h>
#include <stdint.h>

struct worker_options {
    const char *state_folder; /* absolute */
    const char *base_folder;  /* absolute; the working folder of every attempt */
    int64_t slots;            /* attempts at once */
    int64_t memory_bytes;     /* DuckDB's limit per data attempt */
    int64_t staging_us;       /* how long staging folders of dead attempts are kept; 0 = for ever */
    char *command_line;       /* the program's own, which ps shows … */
    size_t command_bytes;     /* … and its size */
};

/* Supervises attempts until told to end; returns the exit code. */
int worker_run(const struct worker_options *options);

#endif
