/* The messages that peers send (include/millrace/messages.h), each checked and made into an event.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/mem.h"
#include "millrace/messages.h"
#include "scheduler/absent.h"
#include "scheduler/commands.h"
#include "scheduler/peer.h"

#include <string.h>

static void send_welcome(struct peer *peer)
{
    size_t frame = wire_begin(&peer->out);
    struct jw w = {.out = &peer->out};
    const struct settings *settings = peer->peers->scheduler->settings;

    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_WELCOME);
    jw_kv_int(&w, "protocol", MESSAGES_PROTOCOL);
    jw_kv_int(&w, "epoch", (int64_t)store_identity(peer->peers->scheduler->store).epoch);
    jw_kv_int(&w, "slots", settings->worker_slots);
    jw_kv_int(&w, "memory", settings->memory_bytes);
    jw_kv_int(&w, "staging", settings->retention.staging_us / US_PER_SECOND);
    jw_end_object(&w);
    wire_end(&peer->out, frame);
}

/* What no worker has, and small enough to be added up. */
#define SLOTS_MAX 1000000

static bool are_slots(int64_t count)
{
    return count >= 0 && count <= SLOTS_MAX;
}

/* The tokens of a hello, as an array in the turn's arena; false where one is no string. */
static bool read_tokens(struct scheduler *scheduler, const json_t *list,
                        struct event_worker_up *ret)
{
    size_t count = json_array_size(list);
    const char **tokens = arena_alloc_array(&scheduler->turn_arena, count + 1, sizeof(*tokens));

    for (size_t i = 0; i < count; i++) {
        tokens[i] = json_string_value(json_array_get(list, i));
        if (tokens[i] == NULL)
            return false;
    }
    ret->tokens = tokens;
    ret->token_count = count;
    return true;
}

static bool is_foreign(const struct scheduler *scheduler, const struct event_worker_up *up)
{
    for (size_t i = 0; i < up->token_count; i++)
        if (json_object_get(scheduler->foreign_tokens, up->tokens[i]) != NULL)
            return true;
    return false;
}

static bool on_worker_hello(struct peer *peer, json_t *document)
{
    struct peers *peers = peer->peers;
    struct scheduler *scheduler = peers->scheduler;
    const char *instance = json_get_string(document, "instance", "");
    struct event_worker_up up = {
        .slots = json_get_int(document, "slots", -1),
        .backlog = json_get_int(document, "backlog", 0),
        .shared_slots = json_get_int(document, "shared_slots", 0),
        .light_slots = json_get_int(document, "light_slots", 0),
        .callback_slots = json_get_int(document, "callback_slots", 0),
    };

    if (peer->role != PEER_NEW)
        return peer_refuse(peer, "a second hello");
    if (json_get_int(document, "protocol", 0) != MESSAGES_PROTOCOL)
        return peer_refuse(peer, "it speaks another protocol: use the worker of this version");
    if (!str_is_id(str_from(instance)) || !are_slots(up.slots) || !are_slots(up.backlog) ||
        !are_slots(up.shared_slots) || !are_slots(up.light_slots) || !are_slots(up.callback_slots))
        return peer_refuse(peer, "a hello without instance or slots");
    if (!read_tokens(scheduler, json_object_get(document, "tokens"), &up))
        return peer_refuse(peer, "a hello with bad tokens");
    if (is_foreign(scheduler, &up))
        return peer_refuse(peer, "it runs attempts of other DAGs, which go on without us");
    struct peer *former = peers_find_worker(peers, instance);
    if (former != NULL)
        peer_cut_off(former);
    peer->role = PEER_WORKER;
    peer->instance = mem_strdup(instance);
    absent_returned(scheduler->absent, instance);
    log_info("worker_connected", "worker=%s pid=%lld slots=%lld attempts=%zu", instance,
             (long long)json_get_int(document, "pid", 0), (long long)up.slots, up.token_count);
    send_welcome(peer);
    up.instance = json_get_string(document, "instance", "");
    inbox_add(scheduler, EVENT_WORKER_UP, document)->as.worker_up = up;
    return true;
}

static bool on_started(struct peer *peer, json_t *document)
{
    struct event_attempt_started started = {
        .token = json_get_string(document, "token", NULL),
        .pid = json_get_int(document, "pid", 0),
        .started_at_us = json_get_int(document, "at", 0),
        .worker = arena_strdup(&peer->peers->scheduler->turn_arena, peer->instance),
    };

    if (started.token == NULL)
        return peer_refuse(peer, "`started` without a token");
    inbox_add(peer->peers->scheduler, EVENT_ATTEMPT_STARTED, document)->as.attempt_started =
        started;
    return true;
}

/* A member that is an object, as text that lives as long as the turn; NULL if it is none. */
static const char *object_text(struct scheduler *scheduler, const json_t *document, const char *key)
{
    const json_t *value = json_object_get(document, key);
    struct buf text = {0};

    if (!json_is_object(value))
        return NULL;
    json_dump_canonical(value, &text);
    const char *copy = arena_strdup(&scheduler->turn_arena, buf_text(&text));
    buf_release(&text);
    return copy;
}

static bool add_result(struct peer *peer, json_t *document, const json_t *result,
                       const char *worker)
{
    struct scheduler *scheduler = peer->peers->scheduler;
    struct event_attempt_ended ended = {
        .token = json_get_string(result, "token", NULL),
        .exit_code = json_get_int(result, "exit_code", -1),
        .signal = json_get_int(result, "signal", 0),
        .started_at_us = json_get_int(result, "started_at", 0),
        .ended_at_us = json_get_int(result, "ended_at", 0),
        .reason = json_get_string(result, "reason", NULL),
        .outputs = object_text(scheduler, result, "outputs"),
        .datasets = object_text(scheduler, result, "datasets"),
        .worker = worker,
    };

    if (ended.token == NULL ||
        !outcome_parse(str_from(json_get_string(result, "outcome", "")), &ended.outcome))
        return peer_refuse(peer, "`ended` without token or outcome");
    inbox_add(scheduler, EVENT_ATTEMPT_ENDED, document)->as.attempt_ended = ended;
    return true;
}

typedef bool (*add_result_fn)(struct peer *peer, json_t *document, const json_t *result,
                              const char *worker);

static bool for_results(struct peer *peer, json_t *document, add_result_fn add)
{
    const json_t *results = json_object_get(document, "results");
    const char *worker = arena_strdup(&peer->peers->scheduler->turn_arena, peer->instance);

    if (!json_is_array(results))
        return peer_refuse(peer, "`ended` or `done` without results");
    for (size_t i = 0; i < json_array_size(results); i++)
        if (!add(peer, document, json_array_get(results, i), worker))
            return false;
    return true;
}

static bool on_ended(struct peer *peer, json_t *document)
{
    return for_results(peer, document, add_result);
}

static bool add_done(struct peer *peer, json_t *document, const json_t *result, const char *worker)
{
    const json_t *started_at = json_array_get(result, 1);
    const json_t *ended_at = json_array_get(result, 2);
    struct event_attempt_ended ended = {
        .token = json_string_value(json_array_get(result, 0)),
        .outcome = OUTCOME_SUCCESS,
        .exit_code = -1,
        .started_at_us = json_integer_value(started_at),
        .ended_at_us = json_integer_value(ended_at),
        .worker = worker,
    };

    if (ended.token == NULL || !json_is_integer(started_at) || !json_is_integer(ended_at))
        return peer_refuse(peer, "`done` with a result that is not [token, started_at, ended_at]");
    inbox_add(peer->peers->scheduler, EVENT_ATTEMPT_ENDED, document)->as.attempt_ended = ended;
    return true;
}

static bool on_done(struct peer *peer, json_t *document)
{
    return for_results(peer, document, add_done);
}

static bool on_web_hello(struct peer *peer, json_t *document)
{
    if (peer->role != PEER_NEW)
        return peer_refuse(peer, "a second hello");
    if (json_get_int(document, "protocol", 0) != MESSAGES_PROTOCOL)
        return peer_refuse(peer, "it speaks another protocol: use the program of this version");
    peer->role = PEER_CLIENT;
    return true;
}

static bool on_command(struct peer *peer, json_t *document)
{
    struct request origin = {.peer = peer->number, .wire_id = json_get_int(document, "id", 0)};

    commands_give(peer->peers->scheduler, document, request_add(peer->peers->scheduler, &origin));
    return true;
}

struct message {
    const char *kind;
    enum peer_role role; /* who may send it */
    bool (*handle)(struct peer *peer, json_t *document);
};

static const struct message messages[] = {
    {MESSAGE_STARTED,      PEER_WORKER, on_started     },
    {MESSAGE_ENDED,        PEER_WORKER, on_ended       },
    {MESSAGE_DONE,         PEER_WORKER, on_done        },
    {MESSAGE_COMMAND,      PEER_CLIENT, on_command     },
    {MESSAGE_WORKER_HELLO, PEER_NEW,    on_worker_hello},
    {MESSAGE_WEB_HELLO,    PEER_NEW,    on_web_hello   },
};

bool message_handle(struct peer *peer, struct str text)
{
    struct err err = {0};
    json_t *document = json_parse(text, &err);
    const char *kind = document == NULL ? "" : json_get_string(document, "kind", "");
    bool ok = false;
    size_t i = 0;

    while (i < sizeof(messages) / sizeof(messages[0]) && strcmp(messages[i].kind, kind) != 0)
        i++;
    if (document == NULL)
        peer_refuse(peer, err.message);
    else if (i == sizeof(messages) / sizeof(messages[0]))
        peer_refuse(peer, "a message of unknown kind");
    else if (messages[i].role != peer->role)
        peer_refuse(peer, "a message out of turn");
    else
        ok = messages[i].handle(peer, document);
    json_decref(document);
    return ok;
}
