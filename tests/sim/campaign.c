#include "tests/sim/campaign.h"

#include "tests/sim/sim.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORLD_SECONDS_MAX 60
#define SEEDS_PER_REPEAT 100

/* The world that runs, for those who are called without one: assertions and signals. */
static struct sim *current;

/* The assertions of core and rows are invariants like any other. */
__attribute__((noreturn)) void __assert_fail(const char *assertion, const char *file, unsigned line,
                                             const char *function)
{
    if (current == NULL)
        abort();
    sim_fail(current, "assert(%s) in %s(), %s:%u", assertion, function, file, line);
}

static void on_signal(int number)
{
    sim_fail(current, "%s", number == SIGALRM ? "it hangs" : strsignal(number));
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaction(numbers[i], &action, NULL);
}

bool world_run(struct draws *draws, int64_t steps, bool is_traced, struct finding *ret)
{
    struct sim *sim = calloc(1, sizeof(*sim));

    if (sim == NULL)
        abort();
    sim->is_traced = is_traced;
    sim->last_tick = steps;
    current = sim;
    catch_signals();
    (void)alarm(WORLD_SECONDS_MAX);
    bool ok = sim_run(sim, draws);
    (void)alarm(0);
    current = NULL;
    ret->hash = sim->hash;
    if (!ok)
        (void)snprintf(ret->failure, FAILURE_SIZE, "%s", sim->failure);
    free(sim);
    return ok;
}

/* D2: the same seed gives the same world. */
static bool run_again(struct draws *draws, struct finding *finding)
{
    uint64_t hash = finding->hash;

    draws_begin(draws, finding->seed);
    if (!world_run(draws, 0, false, finding))
        return false;
    if (finding->hash == hash)
        return true;
    (void)snprintf(finding->failure, FAILURE_SIZE, "D2: run again, it goes another way");
    return false;
}

/* Every `jobs`th world from its own on; the child's way of telling is the pipe. */
static void run_share(uint64_t from, uint64_t end, int jobs, int out)
{
    struct draws draws = {0};
    struct finding finding = {0};

    for (uint64_t seed = from; seed < end; seed += (uint64_t)jobs) {
        finding.seed = seed;
        draws_begin(&draws, seed);
        if (world_run(&draws, 0, false, &finding) &&
            (seed % SEEDS_PER_REPEAT != 0 || run_again(&draws, &finding)))
            continue;
        if (write(out, &finding, sizeof(finding)) != (ssize_t)sizeof(finding))
            _exit(2);
        _exit(1);
    }
    draws_release(&draws);
    exit(0);
}

bool campaign_run(uint64_t from, uint64_t count, int jobs, struct finding *ret)
{
    struct finding finding;
    int ends[2];
    bool found = false;

    (void)fflush(stdout);
    if (pipe(ends) != 0)
        abort();
    for (int job = 0; job < jobs; job++) {
        pid_t child = fork();
        if (child < 0)
            abort();
        if (child == 0)
            run_share(from + (uint64_t)job, from + count, jobs, ends[1]);
    }
    (void)close(ends[1]);
    while (read(ends[0], &finding, sizeof(finding)) == (ssize_t)sizeof(finding)) {
        if (!found || finding.seed < ret->seed)
            *ret = finding;
        found = true;
    }
    (void)close(ends[0]);
    for (int job = 0; job < jobs; job++) {
        int status = 0;
        (void)wait(&status);
        if (!found && status != 0) {
            *ret = (struct finding){.failure = "a process of the campaign crashed"};
            found = true;
        }
    }
    return found;
}
