/* The settings of an installation: millrace.yaml, environment and command line, in one value.
 * Loaded by scheduler/dagfile/settings.c from an option table; read by scheduler, web, worker and
 * CLI. */
#ifndef MILLRACE_SETTINGS_H
#define MILLRACE_SETTINGS_H

#include "base/arena.h"
#include "base/err.h"
#include "millrace/diag.h"

struct pool_setting {
    const char *name;
    int64_t slots; /* -1 = unlimited */
    const char *description;
};

/* How long what is over is kept; 0 = for ever. */
struct retention_setting {
    int64_t runs_us;    /* finished runs with their history, logs and attempt folders */
    int64_t logs_us;    /* logs and attempt folders alone */
    int64_t staging_us; /* staging folders of dead attempts, beside the lakes */
};

struct settings {
    struct arena arena;
    const char *base_folder;    /* absolute: the folder of millrace.yaml, else the working folder */
    const char *state_folder;   /* absolute: .millrace beside it unless --state or MILLRACE_STATE */
    const char *dags_folder;    /* absolute */
    bool is_dags_folder_given;  /* by millrace.yaml or --dags; else dags beside millrace.yaml */
    const char *host;           /* "127.0.0.1"; other than loopback is refused */
    int64_t port;               /* 8080 */
    int64_t worker_slots;       /* attempts at once; default: the number of processors */
    int64_t memory_bytes;       /* per data attempt; default: 60 % of memory over the slots */
    struct pool_setting *pools; /* the default_pool (128 slots) always among them */
    size_t pool_count;
    struct retention_setting retention;
};

/* What the command line may override; NULL or 0 = not given. */
struct settings_override {
    const char *state_folder;
    const char *dags_folder;
    const char *host;
    int64_t port;
    int64_t worker_slots;
};

/* Finds millrace.yaml in the working folder or its parents, applies MILLRACE_STATE and the
 * overrides. A broken file gives ERR_INVALID with file, line and column in the message. */
bool settings_load(const struct settings_override *override, struct settings *ret_settings,
                   struct err *err);
void settings_release(struct settings *settings);

/* Whether the DAG folder can be read. One that was named must be there (ERR_INVALID, with what to
 * do); the default one may appear later, and `*ret_is_missing` says that it is not there yet. */
bool settings_check_dags_folder(const struct settings *settings, bool *ret_is_missing,
                                struct err *err);

#endif
