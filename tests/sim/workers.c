/* Workers and their attempts, by the rules of worker/ (the picture in worker/job.h): a token is
 * started once, its result is kept until acknowledged, everything is told again after a reconnect,
 * what has not started is given back when the worker ends. Each seat has one live worker at most;
 * one that died is followed by another of a new name. */
#include "tests/sim/sim.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX 200

static void add_worker(struct sim *sim, uint32_t seat)
{
    struct draws *draws = sim->draws;

    if (sim->worker_count == sim->worker_capacity) {
        sim->worker_capacity = mem_grow(sim->worker_capacity, sim->worker_count + 1);
        sim->workers = mem_resize_array(sim->workers, sim->worker_capacity, sizeof(*sim->workers));
    }
    struct sim_worker *worker = &sim->workers[sim->worker_count++];
    *worker = (struct sim_worker){
        .instance = arena_printf(&sim->arena, "w%u.%zu", seat, sim->worker_count),
        .seat = seat,
        .slots = {draw_between(draws, 1, 4), draw_between(draws, 1, 4), draw_between(draws, 1, 4),
                  draw_between(draws, 1, 3)},
        .backlog = sim->knobs.replay > 0 ? 0 : draw(draws, 3),
        .is_alive = true,
        .connect_at = sim->tick + draw(draws, 4),
    };
    sim_say(sim, "worker %s: %lld slots, %lld more, %lld shared, %lld light", worker->instance,
            (long long)worker->slots[SLOT_OF_ITS_OWN], (long long)worker->backlog,
            (long long)worker->slots[SLOT_IN_SHARED], (long long)worker->slots[SLOT_IN_LIGHT]);
}

void workers_sit_down(struct sim *sim)
{
    sim->seats = draw_between(sim->draws, 1, SIM_SEATS_MAX);
    for (uint32_t seat = 0; seat < sim->seats; seat++)
        add_worker(sim, seat);
}

uint32_t workers_find(const struct sim *sim, const char *instance)
{
    for (size_t i = sim->worker_count; i-- > 0;)
        if (strcmp(sim->workers[i].instance, instance) == 0)
            return (uint32_t)i;
    return UINT32_MAX;
}

static struct job *find_job(struct sim_worker *worker, const struct token *token)
{
    for (size_t i = 0; i < worker->job_count; i++)
        if (worker->jobs[i].token == token)
            return &worker->jobs[i];
    return NULL;
}

static void report(struct sim *sim, uint32_t index, enum message_kind kind, const struct job *job)
{
    net_send(sim,
             (struct message){.kind = kind, .worker = index, .token = job->token, .job = *job});
}

/* --- attempts -------------------------------------------------------------------------------- */

static void judge(struct job *job, enum outcome outcome)
{
    if (job->is_judged)
        return;
    job->is_judged = true;
    job->outcome = outcome;
}

static void end_job(struct sim *sim, uint32_t index, struct job *job)
{
    job->state = JOB_ENDED;
    job->ended_at_us = sim->now_us;
    sim_say(sim, "%s: %s ends (%s)", sim->workers[index].instance, job->token->text,
            outcome_name(job->outcome));
    report(sim, index, NET_ENDED, job);
}

/* How it will end by itself. */
static enum outcome foresee(struct sim *sim, const struct job *job)
{
    if (job->token->slot == SLOT_IN_LIGHT && draw(sim->draws, 3) > 0)
        return OUTCOME_RESCHEDULE;
    if (draw_chance(sim->draws, sim->knobs.skip))
        return OUTCOME_SKIPPED;
    if (!draw_chance(sim->draws, sim->knobs.fail))
        return OUTCOME_SUCCESS;
    if (job->token->dag != NULL &&
        job->token->dag->tasks[job->token->task].execution_timeout_us > 0 &&
        draw(sim->draws, 2) == 1)
        return OUTCOME_TIMEOUT;
    return draw(sim->draws, 8) == 1 ? OUTCOME_FATAL : OUTCOME_FAILED;
}

static void start_job(struct sim *sim, uint32_t index, struct job *job)
{
    job->state = JOB_RUNNING;
    job->started_at = sim->tick;
    job->started_at_us = sim->now_us;
    job->due = sim->tick + draw_between(sim->draws, 1, sim->knobs.duration_max);
    job->outcome = foresee(sim, job);
    if (job->outcome == OUTCOME_SUCCESS && job->token->dag != NULL)
        job->outputs = outputs_draw(sim, job->token->dag, job->token->task);
    job->token->starts++;
    sim_say(sim, "%s: %s starts", sim->workers[index].instance, job->token->text);
    check_process(sim, job->token);
}

static void stop_job(struct sim *sim, uint32_t index, struct job *job, enum outcome outcome)
{
    if (job->state == JOB_WAITING) {
        judge(job, outcome);
        end_job(sim, index, job);
    } else if (job->state == JOB_RUNNING) {
        judge(job, outcome);
        job->state = JOB_STOPPING;
        job->due = sim->tick + draw(sim->draws, 3);
    }
}

static void take_start(struct sim *sim, uint32_t index, struct token *token)
{
    struct sim_worker *worker = &sim->workers[index];
    struct job *job = find_job(worker, token);

    if (job != NULL && !PLANTED(WORKER_STARTS_TWICE)) {
        if (job->state == JOB_ENDED)
            report(sim, index, NET_ENDED, job);
        return;
    }
    if (worker->job_count == worker->job_capacity) {
        worker->job_capacity = mem_grow(worker->job_capacity, worker->job_count + 1);
        worker->jobs = mem_resize_array(worker->jobs, worker->job_capacity, sizeof(*worker->jobs));
    }
    job = &worker->jobs[worker->job_count++];
    *job = (struct job){.token = token};
    if (worker->is_draining)
        stop_job(sim, index, job, OUTCOME_WORKER_LOST);
    else if (token->slot != SLOT_OF_ITS_OWN)
        start_job(sim, index, job);
}

static void forget(struct sim_worker *worker, struct job *job)
{
    size_t after = worker->job_count - (size_t)(job - worker->jobs) - 1;

    memmove(job, job + 1, after * sizeof(*job));
    worker->job_count--;
}

static void take_ack(struct sim *sim, uint32_t index, struct token *token)
{
    struct sim_worker *worker = &sim->workers[index];
    struct job *job = find_job(worker, token);

    if (job == NULL || job->state != JOB_ENDED)
        return;
    check_ack(sim, token);
    token->was_acknowledged = true;
    forget(worker, job);
}

void workers_take(struct sim *sim, const struct message *message)
{
    struct job *job = find_job(&sim->workers[message->worker], message->token);

    if (message->kind == NET_START)
        take_start(sim, message->worker, message->token);
    else if (message->kind == NET_ACK)
        take_ack(sim, message->worker, message->token);
    else if (job != NULL)
        stop_job(sim, message->worker, job, OUTCOME_STOPPED);
}

/* --- connections ----------------------------------------------------------------------------- */

/* Everything that happened while nobody listened, or that the scheduler may have lost. */
void workers_welcome(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    if (PLANTED(WORKER_TELLS_ONCE))
        return;
    worker->epoch = sim->epoch;
    for (size_t i = 0; i < worker->job_count; i++) {
        if (worker->jobs[i].state == JOB_ENDED)
            report(sim, index, NET_ENDED, &worker->jobs[i]);
        else if (worker->jobs[i].state != JOB_WAITING)
            report(sim, index, NET_STARTED, &worker->jobs[i]);
    }
}

void workers_hang_up(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    if (worker->link != LINK_DOWN)
        sim_say(sim, "%s is cut off", worker->instance);
    net_drop_connection(sim, index);
    worker->link = LINK_DOWN;
    worker->connection++;
    worker->break_at = 0;
    worker->connect_at = sim->tick + draw_between(sim->draws, 1, 6);
    worker->is_expected = sim->core != NULL;
}

static void connect(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    if (worker->link != LINK_DOWN || sim->core == NULL || worker->connect_at > sim->tick)
        return;
    worker->link = LINK_HELLO;
    net_send(sim, (struct message){.kind = NET_HELLO, .worker = index});
}

/* --- faults ---------------------------------------------------------------------------------- */

/* Attempts die with their worker. */
static void die(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];

    sim_say(sim, "%s dies with %zu attempts", worker->instance, worker->job_count);
    worker->is_alive = false;
    worker->job_count = 0;
    workers_hang_up(sim, index);
    sim->reborn_at[worker->seat] = sim->tick + draw_between(sim->draws, 1, 10);
}

/* The first request to end: attempts that run may end. The second one stops them. */
static void drain(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    bool stop_all = worker->is_draining;

    sim_say(sim, "%s is told to end%s", worker->instance, stop_all ? " now" : "");
    worker->is_draining = true;
    for (size_t i = 0; i < worker->job_count; i++)
        if (stop_all || worker->jobs[i].state == JOB_WAITING)
            stop_job(sim, index, &worker->jobs[i], OUTCOME_WORKER_LOST);
}

static uint32_t pick(struct sim *sim)
{
    uint32_t seat = draw(sim->draws, sim->seats);

    for (size_t i = sim->worker_count; i-- > 0;)
        if (sim->workers[i].seat == seat && sim->workers[i].is_alive)
            return (uint32_t)i;
    return UINT32_MAX;
}

static void suffer(struct sim *sim)
{
    struct draws *draws = sim->draws;
    uint32_t index;

    if (draw_chance(draws, sim->knobs.worker_crash) && (index = pick(sim)) != UINT32_MAX &&
        sim->worker_count < WORKERS_MAX)
        die(sim, index);
    if (draw_chance(draws, sim->knobs.worker_pause) && (index = pick(sim)) != UINT32_MAX)
        sim->workers[index].paused_until = sim->tick + draw_between(draws, 1, 20);
    if (draw_chance(draws, sim->knobs.worker_drain) && (index = pick(sim)) != UINT32_MAX &&
        sim->worker_count < WORKERS_MAX)
        drain(sim, index);
    if (draw_chance(draws, sim->knobs.disconnect) && (index = pick(sim)) != UINT32_MAX)
        workers_hang_up(sim, index);
}

/* --- the tick -------------------------------------------------------------------------------- */

static void progress(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    int64_t running = 0;

    for (size_t i = 0; i < worker->job_count; i++) {
        struct job *job = &worker->jobs[i];
        bool is_up = job->state == JOB_RUNNING || job->state == JOB_STOPPING;
        if (is_up && job->due <= sim->tick) {
            end_job(sim, index, job);
        } else if (is_up && !job->is_announced && job->started_at < sim->tick) {
            job->is_announced = true;
            report(sim, index, NET_STARTED, job);
        }
        running += job->token->slot == SLOT_OF_ITS_OWN &&
                   (job->state == JOB_RUNNING || job->state == JOB_STOPPING);
    }
    for (size_t i = 0; i < worker->job_count && running < worker->slots[SLOT_OF_ITS_OWN]; i++) {
        if (worker->jobs[i].state != JOB_WAITING)
            continue;
        start_job(sim, index, &worker->jobs[i]);
        running++;
    }
}

static void seat_next(struct sim *sim)
{
    for (uint32_t seat = 0; seat < sim->seats; seat++) {
        if (sim->reborn_at[seat] == 0 || sim->reborn_at[seat] > sim->tick)
            continue;
        sim->reborn_at[seat] = 0;
        add_worker(sim, seat);
    }
}

void workers_tick(struct sim *sim)
{
    if (!sim->is_calm)
        suffer(sim);
    seat_next(sim);
    for (uint32_t i = 0; i < sim->worker_count; i++) {
        struct sim_worker *worker = &sim->workers[i];
        if (!worker->is_alive || worker->paused_until > sim->tick)
            continue;
        if (worker->break_at != 0 && worker->break_at <= sim->tick)
            workers_hang_up(sim, i);
        connect(sim, i);
        progress(sim, i);
        if (worker->is_draining && worker->job_count == 0)
            die(sim, i);
    }
}

/* Every worker connects anew, so that nothing lost before is missed for ever. */
void workers_calm(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->worker_count; i++) {
        sim->workers[i].paused_until = 0;
        if (sim->workers[i].is_alive)
            workers_hang_up(sim, i);
    }
}

bool workers_are_done(const struct sim *sim)
{
    for (size_t i = 0; i < sim->worker_count; i++)
        if (sim->workers[i].job_count > 0)
            return false;
    return sim->bag_count == 0;
}

struct token *token_get(struct sim *sim, const char *text)
{
    struct token *token = NULL;

    HASH_FIND_STR(sim->tokens, text, token);
    if (token != NULL)
        return token;
    token = arena_alloc(&sim->arena, sizeof(*token));
    token->text = arena_strdup(&sim->arena, text);
    HASH_ADD_KEYPTR(hh, sim->tokens, token->text, strlen(token->text), token);
    return token;
}
