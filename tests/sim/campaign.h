/* Worlds in processes of their own: what breaks an invariant leaves a core in pieces behind, and
 * may crash or hang. */
#ifndef MILLRACE_SIM_CAMPAIGN_H
#define MILLRACE_SIM_CAMPAIGN_H

#include "tests/sim/draws.h"

#define FAILURE_SIZE 1024

struct finding {
    uint64_t seed;
    char failure[FAILURE_SIZE];
    uint64_t hash; /* of all that was decided */
};

/* Runs one world here: that of ret->seed, unless the draws are a replay. False with the failure's
 * text when an invariant is broken; the process should end soon then. `steps` 0 = all. */
bool world_run(struct draws *draws, int64_t steps, bool is_traced, struct finding *ret);

/* Runs `count` worlds in `jobs` processes; true and the finding of the lowest seed among the first
 * ones found, or false when all worlds hold. */
bool campaign_run(uint64_t from, uint64_t count, int jobs, struct finding *ret);

/* Makes the failing world of a seed smaller for at most `seconds`, and tells its trace. */
void shrink_and_tell(const struct finding *finding, int seconds);

/* Every planted bug has to be found within `count` worlds each. Returns the number not found. */
int planted_run(uint64_t count, int jobs, const char *only);

#endif
