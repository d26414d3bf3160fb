/* The control: a simulation that finds nothing may be blind. Each planted bug is switched on in
 * turn and has to be found. */
#include "tests/sim/campaign.h"

#include "scheduler/core/planted.h"

#include <stdio.h>
#include <string.h>

#ifdef MILLRACE_PLANTED

enum planted planted_bug;

int planted_run(uint64_t count, int jobs, const char *only)
{
    static const char *const names[] = {
        "",
#define PLANTED_BUG(name, description) #name,
#include "scheduler/core/planted.def"
#undef PLANTED_BUG
    };
    static const char *const descriptions[] = {
        "",
#define PLANTED_BUG(name, description) description,
#include "scheduler/core/planted.def"
#undef PLANTED_BUG
    };
    int missed = 0;

    for (int bug = 1; bug < PLANTED_COUNT; bug++) {
        struct finding finding = {0};
        if (only != NULL && strcmp(only, names[bug]) != 0)
            continue;
        planted_bug = (enum planted)bug;
        bool found = campaign_run(1, count, jobs, &finding);
        if (found)
            printf("%-28s seed %6llu  %.150s\n", names[bug], (unsigned long long)finding.seed,
                   finding.failure);
        else
            printf("%-28s NOT FOUND in %llu worlds: %s\n", names[bug], (unsigned long long)count,
                   descriptions[bug]);
        missed += !found;
    }
    printf("%d planted bugs, %d not found\n", PLANTED_COUNT - 1, missed);
    return missed;
}

#else

int planted_run(uint64_t count, int jobs, const char *only)
{
    (void)count;
    (void)jobs;
    (void)only;
    (void)fprintf(stderr, "this build has no planted bugs: sim_planted has\n");
    return 1;
}

#endif
