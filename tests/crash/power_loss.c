/* power_loss: cuts the power of a machine again and again, at any write or sync, and looks at what
 * a recovery finds.
 *
 *   power_loss [--cuts N] [--seed S]
 *
 * No acknowledged transition may be lost and the database never be damaged. Two controls must lose
 * something, or the test proves nothing: synchronous=NORMAL, and a disk whose syncs lie. */
#include "tests/crash/faultfs.h"
#include "tests/crash/machine.h"
#include "tests/crash/scratch.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUTS_DEFAULT 5000
#define CUTS_PER_WORLD 40
#define CONTROL_CUTS 100
/* A start is twenty or thirty changes and a commit two: half of the cuts meet a recovery. */
#define CHANGES_BEFORE_CUT 60
#define TURNS_MAX 400

struct campaign {
    char folder[256];
    bool sync_lies;
    bool is_control;
    int64_t cuts;
    int64_t lost;
    int64_t
        damaged; /* the store did not open: it saw the loss itself, by its mark or by checksums */
    int64_t commits;
    uint64_t random;
    uint64_t seed;
};

static uint64_t chance(struct campaign *campaign, uint64_t below)
{
    campaign->random ^= campaign->random << 13;
    campaign->random ^= campaign->random >> 7;
    campaign->random ^= campaign->random << 17;
    return (campaign->random >> 16) % below;
}

/* Until the power goes; true when it went. */
static bool run_until_cut(struct campaign *campaign, struct machine *machine, struct err *err)
{
    struct fault_plan plan = {.sync_lies = campaign->sync_lies};

    plan.cut_at = 1 + (int64_t)chance(campaign, CHANGES_BEFORE_CUT);
    faultfs_plan(&plan);
    bool ok = machine_start(machine, false, err) && machine_run(machine, TURNS_MAX, err);
    machine_stop(machine);
    if (!ok && !faultfs_is_cut())
        campaign->damaged++;
    return faultfs_is_cut();
}

static bool finish(struct campaign *campaign, struct machine *machine, struct err *err)
{
    struct fault_plan calm = {0};

    faultfs_plan(&calm);
    bool ok = machine_start(machine, false, err) && machine_finish(machine, err);
    machine_stop(machine);
    if (!ok)
        campaign->damaged++;
    return ok;
}

static bool run_world(struct campaign *campaign, uint64_t number, int64_t cuts)
{
    struct machine *machine = machine_new(campaign->folder, number);
    struct err err = {0};
    int64_t damaged = campaign->damaged;

    campaign->random = number * UINT64_C(0x9E3779B97F4A7C15) | 1;
    faultfs_forget();
    faultfs_seed(number);
    for (int64_t i = 0; i < cuts && campaign->damaged == damaged; i++) {
        if (!run_until_cut(campaign, machine, &err))
            continue;
        campaign->cuts++;
        faultfs_power_up((enum cut_mode)chance(campaign, CUT_MODE_COUNT));
    }
    if (campaign->damaged == damaged && !campaign->is_control)
        (void)finish(campaign, machine, &err);
    campaign->lost += (int64_t)machine_lost(machine);
    campaign->commits += (int64_t)machine_commits(machine);
    bool fine = machine_verdict(machine)[0] == '\0' && campaign->damaged == damaged;
    if (!fine && !campaign->is_control)
        printf("seed %llu: %s %s\n", (unsigned long long)number, machine_verdict(machine),
               campaign->damaged == damaged ? "" : err.message);
    machine_free(machine);
    return fine;
}

static bool run_campaign(struct campaign *campaign, const char *name, int64_t cuts)
{
    bool fine = true;

    for (uint64_t i = 0; campaign->cuts < cuts && (fine || campaign->is_control); i++)
        fine = run_world(campaign, campaign->seed + i, CUTS_PER_WORLD) && fine;
    printf("%-20s %6lld cuts, %7lld commits: %lld losses, %lld refused\n", name,
           (long long)campaign->cuts, (long long)campaign->commits, (long long)campaign->lost,
           (long long)campaign->damaged);
    return fine;
}

int main(int argc, char **argv)
{
    int64_t cuts = CUTS_DEFAULT;
    int64_t seed = 1;
    struct campaign real = {0};

    for (int i = 1; i + 1 < argc; i += 2)
        if (!str_to_int(str_from(argv[i + 1]), strcmp(argv[i], "--cuts") == 0 ? &cuts : &seed))
            return 2;
    scratch_make(real.folder, sizeof(real.folder));
    faultfs_install(real.folder);
    (void)snprintf(real.folder + strlen(real.folder), 8, "/world");
    faultfs_protect("/twin/");
    real.seed = (uint64_t)seed;
    struct campaign normal = real;
    struct campaign lies = real;
    normal.is_control = lies.is_control = true;
    lies.sync_lies = true;
    bool fine = run_campaign(&real, "synchronous=FULL", cuts);
    machines_sync_less(true);
    (void)run_campaign(&normal, "synchronous=NORMAL", CONTROL_CUTS);
    machines_sync_less(false);
    (void)run_campaign(&lies, "syncs that lie", CONTROL_CUTS);
    scratch_remove();
    if (normal.lost + normal.damaged == 0 || lies.lost + lies.damaged == 0) {
        printf("the controls do not fail as they must: the test proves nothing\n");
        return 1;
    }
    return fine ? 0 : 1;
}
