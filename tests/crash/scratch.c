#include "tests/crash/scratch.h"

#include "base/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[128];

void scratch_make(char *out, size_t size)
{
    const char *below = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    (void)snprintf(folder, sizeof(folder), "%s/millrace-crash-XXXXXX", below);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
    (void)snprintf(out, size, "%s", folder);
}

void scratch_remove(void)
{
    struct err err = {0};

    if (getenv("MILLRACE_KEEP") == NULL)
        (void)fs_remove_tree(folder, &err);
}
