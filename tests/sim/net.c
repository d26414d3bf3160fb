/* The network between scheduler and workers: a bag of messages, each with its tick of arrival.
 *
 * To the scheduler anything may happen to a message: it is lost, late, doubled, overtaken, and may
 * come from a connection, or a worker, that is no more. To a worker a message is lost, late or
 * doubled, too, but those of one token keep their order and none outlives its connection: that is
 * what the socket gives, and what a worker relies on. */
#include "tests/sim/sim.h"

#include "base/mem.h"

static bool is_to_worker(enum message_kind kind)
{
    return kind == NET_START || kind == NET_STOP || kind == NET_ACK;
}

static const char *name(enum message_kind kind)
{
    static const char *const names[] = {"hello", "started", "ended", "start", "stop", "ack"};

    return names[kind];
}

static void put(struct sim *sim, const struct message *message)
{
    if (sim->bag_count == sim->bag_capacity) {
        sim->bag_capacity = mem_grow(sim->bag_capacity, sim->bag_count + 1);
        sim->bag = mem_resize_array(sim->bag, sim->bag_capacity, sizeof(*sim->bag));
    }
    sim->bag[sim->bag_count++] = *message;
}

static int64_t delay(struct sim *sim)
{
    if (!draw_chance(sim->draws, sim->knobs.late))
        return 0;
    return draw_between(sim->draws, 1, sim->knobs.late_max);
}

/* Sends over the worker's connection, if there is one. */
void net_send(struct sim *sim, struct message message)
{
    struct sim_worker *worker = &sim->workers[message.worker];
    const struct token *token = message.token;

    if (worker->link == LINK_DOWN || (worker->link == LINK_HELLO && message.kind != NET_HELLO))
        return;
    message.connection = worker->connection;
    if (message.kind != NET_HELLO && draw_chance(sim->draws, sim->knobs.lose)) {
        sim_say(sim, "lost: %s %s", name(message.kind), token == NULL ? "" : token->text);
        if (worker->break_at == 0)
            worker->break_at = sim->tick + draw_between(sim->draws, 1, 20);
        return;
    }
    bool twice = message.kind != NET_HELLO && draw_chance(sim->draws, sim->knobs.twice);
    for (int i = 0; i < (twice ? 2 : 1); i++) {
        message.at = sim->tick + delay(sim);
        if (is_to_worker(message.kind)) {
            if (message.at < message.token->last_at)
                message.at = message.token->last_at;
            message.token->last_at = message.at;
        }
        put(sim, &message);
    }
}

/* A connection is over. What it carried to the worker is gone; what it carried to the scheduler
 * may still be read. */
void net_drop_connection(struct sim *sim, uint32_t worker)
{
    size_t kept = 0;

    for (size_t i = 0; i < sim->bag_count; i++) {
        const struct message *message = &sim->bag[i];
        bool stays =
            message->worker != worker || (!is_to_worker(message->kind) && sim->core != NULL &&
                                          draw_chance(sim->draws, sim->knobs.late));
        if (stays)
            sim->bag[kept++] = *message;
    }
    sim->bag_count = kept;
}

/* The hello of a worker that has died since is read before the end of its connection is seen. */
static void receive_hello(struct sim *sim, const struct message *message)
{
    struct sim_worker *worker = &sim->workers[message->worker];
    bool is_current = message->connection == worker->connection && worker->link == LINK_HELLO;
    const char **tokens = arena_alloc_array(&sim->arena, worker->job_count, sizeof(*tokens));

    if (!is_current && worker->is_alive)
        return;
    for (size_t i = 0; i < worker->job_count; i++)
        tokens[i] = worker->jobs[i].token->text;
    worker->is_expected = !is_current;
    struct event *event = loop_inbox(sim, EVENT_WORKER_UP);
    event->as.worker_up = (struct event_worker_up){
        .instance = worker->instance,
        .slots = worker->slots[SLOT_OF_ITS_OWN],
        .backlog = worker->backlog,
        .shared_slots = worker->slots[SLOT_IN_SHARED],
        .light_slots = worker->slots[SLOT_IN_LIGHT],
        .callback_slots = worker->slots[SLOT_OF_CALLBACK],
        .tokens = tokens,
        .token_count = worker->job_count,
    };
    if (!is_current)
        return;
    worker->link = LINK_UP;
    workers_welcome(sim, message->worker);
}

static void receive_report(struct sim *sim, const struct message *message)
{
    const struct sim_worker *worker = &sim->workers[message->worker];
    const struct job *job = &message->job;

    if (message->kind == NET_STARTED) {
        struct event *event = loop_inbox(sim, EVENT_ATTEMPT_STARTED);
        event->as.attempt_started =
            (struct event_attempt_started){.token = message->token->text,
                                           .pid = 1,
                                           .started_at_us = job->started_at_us,
                                           .worker = worker->instance};
        return;
    }
    struct event *event = loop_inbox(sim, EVENT_ATTEMPT_ENDED);
    event->as.attempt_ended = (struct event_attempt_ended){
        .token = message->token->text,
        .outcome = job->outcome,
        .exit_code = job->outcome == OUTCOME_FAILED ? 1 : -1,
        .started_at_us = job->started_at_us,
        .ended_at_us = job->ended_at_us,
        .outputs = job->outcome == OUTCOME_SUCCESS ? job->outputs : NULL,
        .worker = worker->instance};
}

static void deliver(struct sim *sim, const struct message *message)
{
    struct sim_worker *worker = &sim->workers[message->worker];

    sim_say(sim, "%s %s %s", worker->instance, name(message->kind),
            message->token == NULL ? "" : message->token->text);
    if (is_to_worker(message->kind)) {
        if (worker->is_alive && worker->link == LINK_UP &&
            message->connection == worker->connection)
            workers_take(sim, message);
    } else if (sim->core != NULL) {
        if (message->kind == NET_HELLO)
            receive_hello(sim, message);
        else
            receive_report(sim, message);
    }
}

static bool is_due(const struct sim *sim, const struct message *message)
{
    return message->at <= sim->tick &&
           !(is_to_worker(message->kind) && sim->workers[message->worker].paused_until > sim->tick);
}

/* What is sent on delivery joins the end of the bag, and is looked at in its turn. */
void net_tick(struct sim *sim)
{
    size_t kept = 0;

    for (size_t i = 0; i < sim->bag_count; i++) {
        struct message message = sim->bag[i];
        if (is_due(sim, &message))
            deliver(sim, &message);
        else
            sim->bag[kept++] = message;
    }
    sim->bag_count = kept;
}
