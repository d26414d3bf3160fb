#include "scheduler/scheduler.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "millrace/messages.h"
#include "scheduler/absent.h"
#include "scheduler/commands.h"
#include "scheduler/lock.h"
#include "scheduler/loop.h"
#include "scheduler/peers.h"
#include "scheduler/recover.h"
#include "scheduler/retention.h"
#include "scheduler/watch.h"

#include <stdlib.h>

static void put_pools(struct scheduler *scheduler)
{
    const struct settings *settings = scheduler->settings;

    for (size_t i = 0; i < settings->pool_count; i++)
        store_put_pool(scheduler->store, settings->pools[i].name, settings->pools[i].slots,
                       settings->pools[i].description);
}

/* The parts, in the order in which they need each other. */
static bool open_parts(struct scheduler *scheduler, struct dag *only, struct err *err)
{
    const char *state = scheduler->settings->state_folder;

    scheduler->lock_fd = lock_take(state, STATE_LOCK, err);
    if (scheduler->lock_fd < 0)
        return false;
    if (scheduler->options.owned != NULL)
        scheduler->options.owned(scheduler->options.observe_context);
    scheduler->store = store_open(state, err);
    if (scheduler->store == NULL || !loop_open(scheduler, err))
        return false;
    scheduler->absent = absent_open(scheduler, err);
    if (scheduler->absent == NULL)
        return false;
    if (only == NULL)
        scheduler->watch = watch_open(scheduler);
    if (only == NULL)
        scheduler->retention = retention_open(scheduler);
    scheduler->peers = peers_open(scheduler);
    if (!scheduler_recover(scheduler, err))
        return false;
    put_pools(scheduler);
    if (only != NULL) {
        inbox_add(scheduler, EVENT_DAG_LOADED, NULL)->as.dag_loaded.dag = only;
        scheduler->inbox[scheduler->inbox_count - 1].dag = dag_ref(only);
    } else {
        watch_begin(scheduler->watch);
    }
    return true;
}

static void close_parts(struct scheduler *scheduler)
{
    scheduler->is_stopping = true;
    if (scheduler->peers != NULL)
        peers_close(scheduler->peers);
    if (scheduler->watch != NULL)
        watch_close(scheduler->watch);
    if (scheduler->retention != NULL)
        retention_close(scheduler->retention);
    if (scheduler->absent != NULL)
        absent_close(scheduler->absent);
    if (scheduler->has_handles)
        loop_close(scheduler);
}

struct scheduler *scheduler_open(uv_loop_t *loop, const struct scheduler_options *options,
                                 struct err *err)
{
    struct scheduler *scheduler = mem_alloc(sizeof(*scheduler));

    scheduler->loop = loop;
    scheduler->options = *options;
    scheduler->settings = options->settings;
    scheduler->lock_fd = -1;
    if (options->only_dag != NULL)
        scheduler->only_dag_id = mem_strdup(options->only_dag->dag_id);
    bool ok = open_parts(scheduler, options->only_dag, err);
    if (ok) {
        /* What was recovered and loaded is committed before anything is accepted. */
        loop_turn(scheduler);
        ok = !scheduler->has_ended;
        if (!ok)
            *err = scheduler->why;
        else
            ok = peers_listen(scheduler->peers, err);
    }
    if (!ok) {
        scheduler->has_ended = true;
        close_parts(scheduler);
        while (scheduler->open_handles > 0)
            (void)uv_run(loop, UV_RUN_NOWAIT);
        scheduler_free(scheduler);
        return NULL;
    }
    scheduler->is_open = true;
    return scheduler;
}

/* Now, while workers end, rather than when the store is closed. One that failed is known to it. */
static void checkpoint(struct scheduler *scheduler)
{
    struct err err = {0};

    if (scheduler->why.code == ERR_NONE && !store_checkpoint(scheduler->store, &err))
        log_error("checkpoint_failed", "error=\"%s\"", err.message);
}

void scheduler_stop(struct scheduler *scheduler)
{
    if (scheduler->is_stopping)
        return;
    loop_turn(scheduler);
    if (scheduler->is_stopping)
        return; /* the owner, told of that turn's failure, has come here already */
    scheduler->has_ended = true;
    close_parts(scheduler);
    checkpoint(scheduler);
}

void scheduler_free(struct scheduler *scheduler)
{
    if (scheduler == NULL)
        return;
    loop_release(scheduler);
    peers_free(scheduler->peers);
    watch_free(scheduler->watch);
    retention_free(scheduler->retention);
    absent_free(scheduler->absent);
    if (scheduler->core != NULL)
        core_free(scheduler->core);
    store_close(scheduler->store);
    lock_release(scheduler->lock_fd);
    json_decref(scheduler->foreign_tokens);
    free(scheduler->only_dag_id);
    free(scheduler);
}

void scheduler_submit(struct scheduler *scheduler, const json_t *command, scheduler_reply reply,
                      void *context)
{
    struct request origin = {.reply = reply, .context = context};
    json_t *document = json_deep_copy(command);

    commands_give(scheduler, document, request_add(scheduler, &origin));
    json_decref(document);
}

const char *scheduler_only_dag_id(const struct scheduler *scheduler)
{
    return scheduler->only_dag_id;
}

size_t scheduler_worker_count(const struct scheduler *scheduler)
{
    return peers_worker_count(scheduler->peers);
}

void scheduler_signal_workers(const struct scheduler *scheduler, int number)
{
    peers_signal_workers(scheduler->peers, number);
}

void scheduler_give_back(struct scheduler *scheduler)
{
    loop_turn(scheduler);
    if (scheduler->has_ended)
        return;
    core_give_back(scheduler->core, clock_wall_us(), &scheduler->decisions);
    turn_ask(scheduler);
}

bool scheduler_is_idle(const struct scheduler *scheduler)
{
    return scheduler->inbox_count == 0 && core_is_idle(scheduler->core);
}

bool scheduler_has_fresh_callbacks(const struct scheduler *scheduler)
{
    return core_has_fresh_callbacks(scheduler->core);
}

bool scheduler_has_attempts(const struct scheduler *scheduler)
{
    const char *instance = NULL;

    return core_bound_workers(scheduler->core, &instance, 1) > 0;
}
