/* io_faults: makes the n-th call of each kind fail, once or from then on, and looks at what
 * follows.
 *
 *   io_faults [--every K]      every K-th n (default 7; 1 = all)
 *
 * Whatever fails, the store says so or does what it says: nothing it acknowledged is missing after
 * the restart, nothing is written after a failed commit, and the runs end as they would have. After
 * a failed sync the power is cut too, because the system then believes clean what never reached the
 * disk. */
#include "tests/crash/faultfs.h"
#include "tests/crash/machine.h"
#include "tests/crash/scratch.h"

#include "base/str.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define EVERY_DEFAULT 7
#define TURNS 25
#define TURNS_AFTER 8

struct sweep {
    const char *name;
    enum fault_call call;
    int code;
    bool fail_on; /* all calls from the n-th on: a disk that stays full or broken */
};

static const struct sweep sweeps[] = {
    {"open fails",                 FAULT_OPEN,     SQLITE_CANTOPEN,       false},
    {"read fails",                 FAULT_READ,     SQLITE_IOERR_READ,     false},
    {"write fails",                FAULT_WRITE,    SQLITE_IOERR_WRITE,    false},
    {"disk full",                  FAULT_WRITE,    SQLITE_FULL,           false},
    {"disk stays full",            FAULT_WRITE,    SQLITE_FULL,           true },
    {"sync fails",                 FAULT_SYNC,     SQLITE_IOERR_FSYNC,    false},
    {"all syncs fail",             FAULT_SYNC,     SQLITE_IOERR_FSYNC,    true },
    {"truncate fails",             FAULT_TRUNCATE, SQLITE_IOERR_TRUNCATE, false},
    {"size fails",                 FAULT_SIZE,     SQLITE_IOERR_FSTAT,    false},
    {"delete fails",               FAULT_DELETE,   SQLITE_IOERR_DELETE,   false},
    {"lock fails",                 FAULT_LOCK,     SQLITE_IOERR_LOCK,     false},
    {"shared memory not mapped",   FAULT_SHM_MAP,  SQLITE_IOERR_SHMMAP,   false},
    {"shared memory never mapped", FAULT_SHM_MAP,  SQLITE_IOERR_SHMMAP,   true },
};

struct trial {
    const struct sweep *sweep;
    int64_t n;
    struct machine *machine;
    char what[1200]; /* what is wrong */
};

static void blame(struct trial *trial, const char *what, const char *detail)
{
    if (trial->what[0] == '\0')
        (void)snprintf(trial->what, sizeof(trial->what), "%s %s", what, detail);
}

static void plan(const struct trial *trial)
{
    struct fault_plan faults = {.fail_call = trial->sweep->call,
                                .fail_at = trial->n,
                                .fail_on = trial->sweep->fail_on,
                                .code = trial->sweep->code};

    faultfs_plan(&faults);
}

static void plan_nothing(void)
{
    struct fault_plan calm = {0};

    faultfs_plan(&calm);
}

/* The life in which the call fails. A commit that failed is the store's last word to the disk. */
static void live_with_fault(struct trial *trial)
{
    struct machine *machine = trial->machine;
    struct err err = {0};

    plan(trial);
    bool has_started = machine_start(machine, true, &err);
    bool ok = has_started && machine_run(machine, TURNS, &err);
    if (!ok && !faultfs_has_failed())
        blame(trial, "failed without a fault:", err.message);
    if (!ok && err.message[0] == '\0')
        blame(trial, "failed without a message", "");
    int64_t before = faultfs_changes();
    machine_stop(machine);
    if (!ok && has_started && faultfs_changes() != before)
        blame(trial, "wrote to the disk after this failure:", err.message);
}

static void live_on(struct trial *trial, size_t turns)
{
    struct err err = {0};

    plan_nothing();
    if (!machine_start(trial->machine, true, &err) ||
        (turns == 0 ? !machine_finish(trial->machine, &err)
                    : !machine_run(trial->machine, turns, &err)))
        blame(trial, "does not recover:", err.message);
}

/* The n-th call fails; whether there was an n-th. */
static bool run_trial(struct trial *trial, const char *folder)
{
    trial->machine = machine_new(folder, (uint64_t)trial->n);
    faultfs_forget();
    faultfs_seed((uint64_t)trial->n);
    live_with_fault(trial);
    bool has_failed = faultfs_has_failed();
    live_on(trial, TURNS_AFTER);
    if (trial->sweep->call == FAULT_SYNC) {
        struct fault_plan now = {.cut_at = 1};
        struct err err = {0};
        faultfs_plan(&now);
        while (machine_run(trial->machine, 1, &err))
            ;
        machine_stop(trial->machine);
        faultfs_power_up(CUT_DROPS_ALL);
    } else {
        machine_stop(trial->machine);
    }
    live_on(trial, 0);
    machine_stop(trial->machine);
    blame(trial, machine_verdict(trial->machine), "");
    machine_free(trial->machine);
    return has_failed;
}

static bool run_sweep(const struct sweep *sweep, const char *folder, int64_t every)
{
    int64_t trials = 0;
    int64_t wrong = 0;
    bool has_failed = true;

    for (int64_t n = 1; has_failed; n += n < 20 ? 1 : every) {
        struct trial trial = {.sweep = sweep, .n = n};
        has_failed = run_trial(&trial, folder);
        trials += has_failed;
        if (trial.what[0] == '\0' || trial.what[0] == ' ')
            continue;
        if (wrong++ < 5)
            printf("%s at call %lld: %s\n", sweep->name, (long long)n, trial.what);
    }
    printf("%-27s %5lld calls, %lld wrong\n", sweep->name, (long long)trials, (long long)wrong);
    return wrong == 0;
}

int main(int argc, char **argv)
{
    char folder[256];
    int64_t every = EVERY_DEFAULT;
    bool fine = true;

    if (argc == 3 && !str_to_int(str_from(argv[2]), &every))
        return 2;
    scratch_make(folder, sizeof(folder));
    faultfs_install(folder);
    faultfs_protect("/twin/");
    (void)snprintf(folder + strlen(folder), 8, "/world");
    for (size_t i = 0; i < sizeof(sweeps) / sizeof(sweeps[0]); i++)
        fine = run_sweep(&sweeps[i], folder, every) && fine;
    scratch_remove();
    return fine ? 0 : 1;
}
