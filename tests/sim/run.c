/* One world from its seed to its end. */
#include "tests/sim/sim.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One world in so many is compared with the reference model instead. */
#define PLAIN_WORLDS 8

/* One in so many keeps its rows in SQLite, too. */
#define STORE_WORLDS 100

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(sim->failure, sizeof(sim->failure), format, args);
    va_end(args);
    sim_say(sim, "VIOLATED %s", sim->failure);
    longjmp(*sim->failed, 1);
}

void sim_say(const struct sim *sim, const char *format, ...)
{
    va_list args;

    if (!sim->is_traced)
        return;
    (void)printf("%4lld %6llds  ", (long long)sim->tick,
                 (long long)((sim->now_us - INT64_C(1767225600000000)) / US_PER_SECOND));
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
}

void sim_tell(const struct sim *sim, const struct decision *decision)
{
    struct buf line = {0};

    if (!sim->is_traced)
        return;
    decision_describe(decision, &line);
    sim_say(sim, "    %s", buf_text(&line));
    buf_release(&line);
}

/* Swarm testing: a world has some of the faults only, each more or less often. */
static uint32_t knob(struct sim *sim, uint32_t most)
{
    if (draw(sim->draws, 2) == 0)
        return 0;
    return draw_between(sim->draws, 1, most);
}

static void draw_knobs(struct sim *sim)
{
    struct knobs *knobs = &sim->knobs;

    knobs->lose = knob(sim, 20);
    knobs->twice = knob(sim, 12);
    knobs->late = knob(sim, 128);
    knobs->late_max = draw_between(sim->draws, 1, 20);
    knobs->crash_before_commit = knob(sim, 4);
    knobs->crash_after_commit = knob(sim, 4);
    knobs->crash_while_acting = knob(sim, 4);
    knobs->crash_idle = knob(sim, 8);
    knobs->worker_crash = knob(sim, 8);
    knobs->worker_pause = knob(sim, 8);
    knobs->worker_drain = knob(sim, 8);
    knobs->disconnect = knob(sim, 12);
    knobs->clock_jump = knob(sim, 8);
    knobs->pool_resize = knob(sim, 8);
    knobs->dag_edit = knob(sim, 5);
    knobs->dag_pause = knob(sim, 8);
    knobs->trigger = 2 + knob(sim, 24);
    knobs->backfill = knob(sim, 12);
    knobs->control = knob(sim, 12);
    knobs->change = knob(sim, 10);
    knobs->fail = knob(sim, 96);
    knobs->skip = knob(sim, 32);
    knobs->seconds_max = draw_between(sim->draws, 1, 12);
    knobs->duration_max = draw_between(sim->draws, 1, 10);
    knobs->flow = knob(sim, 40);
    knobs->waits = knob(sim, 40);
    knobs->assets = knob(sim, sim->is_plain ? 16 : 40);
    knobs->callbacks = sim->is_plain ? 0 : knob(sim, 30);
    knobs->replay = knob(sim, 40);
}

static void set_up(struct sim *sim)
{
    sim->now_us = INT64_C(1767225600000000);
    draw_knobs(sim);
    sim->pool_count = 3;
    sim->pools[0] = (struct core_pool){"default_pool", 16};
    sim->pools[1] = (struct core_pool){"small", draw_between(sim->draws, 2, 3)};
    sim->pools[2] = (struct core_pool){"wide", draw_between(sim->draws, 3, 6)};
    sim->dag_count = draw_between(sim->draws, 2, SIM_DAGS_MAX);
    for (size_t i = 0; i < sim->dag_count; i++) {
        sim->dags[i].dag_id = arena_printf(&sim->arena, "d%zu", i);
        sim->dags[i].file = sim_dag_make(sim, sim->dags[i].dag_id);
        rows_add_dag(&sim->rows, sim->dags[i].file);
    }
    sim->triggers_left = 8;
    sim->backfills_left = 3;
    sim->changes_left = 20;
    sim->updates_left = 20;
}

/* Jumps are of seconds, minutes or hours, forth and back. */
static void move_clock(struct sim *sim)
{
    static const int64_t sizes[] = {US_PER_SECOND, US_PER_MINUTE, 10 * US_PER_MINUTE};

    sim->now_us += draw_between(sim->draws, 1, sim->knobs.seconds_max) * US_PER_SECOND;
    if (!draw_chance(sim->draws, sim->knobs.clock_jump))
        return;
    if (sim->now_us > sim->latest_us)
        sim->latest_us = sim->now_us;
    int64_t by = draw(sim->draws, 10) * sizes[draw(sim->draws, 3)];
    sim->now_us += draw(sim->draws, 2) == 1 ? by : -by;
    if (sim->now_us > sim->latest_us)
        sim->latest_us = sim->now_us;
    sim_say(sim, "the clock jumps");
}

static void chaos(struct sim *sim)
{
    loop_start(sim);
    for (sim->tick = 1; sim->tick <= SIM_TICKS && draws_next(sim->draws); sim->tick++) {
        if (sim->last_tick != 0 && sim->tick > sim->last_tick)
            return;
        move_clock(sim);
        clients_tick(sim);
        workers_tick(sim);
        net_tick(sim);
        loop_tick(sim);
    }
}

static bool rows_are_over(const struct sim *sim)
{
    for (size_t i = 0; i < sim->rows.run_count; i++)
        if (!run_state_is_final(sim->rows.runs[i].row.state))
            return false;
    for (size_t i = 0; i < sim->rows.callback_count; i++)
        if (sim->rows.callbacks[i].ended_at_us == 0)
            return false;
    return true;
}

/* No more chance: every draw is the dullest from here. */
static void calm_down(struct sim *sim)
{
    int64_t jump = sim->knobs.seconds_max * US_PER_SECOND;

    sim_say(sim, "calm");
    sim->is_calm = true;
    sim->draws->is_replay = true;
    sim->draws->current = sim->draws->count;
    if (sim->now_us < sim->latest_us)
        sim->now_us = sim->latest_us; /* the clock is put right */
    if (sim->core == NULL)
        loop_start(sim);
    workers_calm(sim);
    clients_calm(sim);
    for (int64_t end = sim->tick + SIM_CALM_TICKS; sim->tick < end; sim->tick++) {
        sim->now_us += jump;
        workers_tick(sim);
        net_tick(sim);
        loop_tick(sim);
        if (clients_end(sim) && sim->inbox_count == 0 && workers_are_done(sim) &&
            rows_are_over(sim))
            return;
    }
}

static void reset(struct sim *sim)
{
    for (size_t i = 0; i < sim->worker_count; i++)
        free(sim->workers[i].jobs);
    HASH_CLEAR(hh, sim->tokens);
    HASH_CLEAR(hh, sim->tries);
    storage_end(sim, true);
    decisions_release(&sim->out);
    core_free(sim->core);
    core_free(sim->shadow);
    for (size_t i = 0; i < sim->dag_count; i++)
        dag_unref(sim->dags[i].file);
    rows_release(&sim->rows);
    arena_release(&sim->arena);
    free(sim->inbox);
    free(sim->bag);
    free(sim->workers);
    free(sim->promises);
    free(sim->ended);
    free(sim->tellings);
    free(sim->told);
}

/* What fails in the middle of a step leaves the core in pieces: those are not picked up. */
bool sim_run(struct sim *sim, struct draws *draws)
{
    jmp_buf failed;

    sim->draws = draws;
    sim->failed = &failed;
    sim->hash = UINT64_C(0xCBF29CE484222325);
    if (setjmp(failed) != 0) {
        storage_end(sim, false);
        return false;
    }
    sim->is_plain = draw(draws, PLAIN_WORLDS) == 1;
    sim->has_past = !sim->is_plain && draw(draws, 5) == 1;
    set_up(sim);
    if (sim->is_plain) {
        model_run(sim);
    } else {
        if (draw(draws, STORE_WORLDS) == 1)
            storage_open(sim);
        workers_sit_down(sim);
        chaos(sim);
        if (sim->last_tick == 0) {
            calm_down(sim);
            check_end(sim);
        }
    }
    reset(sim);
    return true;
}
