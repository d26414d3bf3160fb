/* The simulation's command line; see README.md. */
#include "tests/sim/campaign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHRINK_SECONDS 60

struct options {
    uint64_t worlds;
    uint64_t from;
    uint64_t seed; /* 0 = a campaign */
    int64_t steps;
    int jobs;
    int shrink_seconds;
    const char *planted; /* NULL = none; "all" */
};

static void usage(void)
{
    (void)fprintf(stderr,
                  "usage: sim [--worlds N] [--from SEED] [--jobs N] [--shrink SECONDS]\n"
                  "       sim --seed SEED [--steps TICKS]      tells one world\n"
                  "       sim --seed SEED --shrink SECONDS     makes a failing one smaller\n"
                  "       sim_planted --planted NAME|all [--worlds N] [--jobs N]\n");
    exit(2);
}

static void parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            usage();
        uint64_t value = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--worlds") == 0)
            options->worlds = value;
        else if (strcmp(argv[i], "--from") == 0)
            options->from = value;
        else if (strcmp(argv[i], "--seed") == 0)
            options->seed = value;
        else if (strcmp(argv[i], "--steps") == 0)
            options->steps = (int64_t)value;
        else if (strcmp(argv[i], "--jobs") == 0)
            options->jobs = (int)value;
        else if (strcmp(argv[i], "--shrink") == 0)
            options->shrink_seconds = (int)value;
        else if (strcmp(argv[i], "--planted") == 0)
            options->planted = argv[i + 1];
        else
            usage();
    }
}

static int tell_one(const struct options *options)
{
    struct draws draws = {0};
    struct finding finding = {.seed = options->seed};

    draws_begin(&draws, options->seed);
    bool is_short = options->shrink_seconds > 0;
    bool ok = world_run(&draws, options->steps, !is_short, &finding);
    draws_release(&draws);
    if (ok)
        return 0;
    printf("seed %llu: %s\n", (unsigned long long)options->seed, finding.failure);
    if (is_short)
        shrink_and_tell(&finding, options->shrink_seconds);
    return 1;
}

static int run_campaign(const struct options *options)
{
    struct finding finding = {0};
    int seconds = options->shrink_seconds > 0 ? options->shrink_seconds : SHRINK_SECONDS;

    if (!campaign_run(options->from, options->worlds, options->jobs, &finding)) {
        printf("%llu worlds hold\n", (unsigned long long)options->worlds);
        return 0;
    }
    printf("seed %llu: %s\n", (unsigned long long)finding.seed, finding.failure);
    shrink_and_tell(&finding, seconds);
    return 1;
}

int main(int argc, char **argv)
{
    struct options options = {.worlds = 1000, .from = 1, .jobs = 2};

    parse(argc, argv, &options);
    if (options.planted != NULL)
        return planted_run(options.worlds, options.jobs,
                           strcmp(options.planted, "all") == 0 ? NULL : options.planted) > 0;
    return options.seed != 0 ? tell_one(&options) : run_campaign(&options);
}
