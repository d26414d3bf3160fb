/* A machine for crash tests: the real core on the real store, a worker that only remembers, and a
 * world of small DAGs that goes on from one recovery to the next.
 *
 * Each turn's decisions are also committed to a twin of the store, in a folder in which nothing
 * goes wrong. After a recovery the store must hold exactly what the twin holds or, when the last
 * commit was not answered, what it held before that one. */
#ifndef MILLRACE_TESTS_CRASH_MACHINE_H
#define MILLRACE_TESTS_CRASH_MACHINE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

/* A control: connections opened from now on stay at synchronous=NORMAL, whatever they ask for. */
void machines_sync_less(bool less);

/* `folder` must not exist yet; the state is <folder>/state, the twin <folder>/twin. */
struct machine *machine_new(const char *folder, uint64_t seed);
void machine_free(struct machine *machine); /* also removes the folder */

/* Opens the store, compares it with what was acknowledged, and rebuilds the core. False with `err`
 * when the store does not open. A power cut takes the worker along, a failed process does not. */
bool machine_start(struct machine *machine, bool worker_survives, struct err *err);

/* Ends the process. */
void machine_stop(struct machine *machine);

/* Goes on for some turns, with random events; false when a commit, a checkpoint or a look-up has
 * failed, upon which the process has to end. */
bool machine_run(struct machine *machine, size_t turns, struct err *err);

/* Goes on until every run has ended, as it must. */
bool machine_finish(struct machine *machine, struct err *err);

/* All rows of a running machine, as a number. */
uint64_t machine_fingerprint(const struct machine *machine);

/* Opens a state folder as a scheduler does, loads all that is live, and closes it. False: refused.
 */
bool state_fingerprint(const char *state_folder, uint64_t *ret, struct err *err);

/* What was found to be wrong, first finding first; "" = nothing. */
const char *machine_verdict(const struct machine *machine);

/* Acknowledged turns that a recovery did not find, and all of them. */
size_t machine_lost(const struct machine *machine);
size_t machine_commits(const struct machine *machine);

#endif
