/* Callbacks: what is told to the outside of runs and tasks. Each is a row of its own from the
 * transaction of what it tells of; a worker carries it out as it does attempts, in places of their
 * own, with a token per try, until one try has succeeded or all are spent. The row holds all that a
 * try needs, so that neither run nor DAG has to be there any more. */
#include "base/clock.h"
#include "base/json.h"
#include "base/jw.h"
#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <stdlib.h>
#include <utlist.h>

#define DELAY_MAX_US US_PER_HOUR

/* The core's copy may be freed, or changed, within the turn. */
static void copy_texts(struct callback_row *row, struct arena *arena)
{
    row->dag_id = arena_strdup(arena, row->dag_id);
    row->task_id = arena_strdup(arena, row->task_id);
    row->kind = arena_strdup(arena, row->kind);
    row->options = arena_strdup(arena, row->options);
    row->document = arena_strdup(arena, row->document);
    row->token = arena_strdup(arena, row->token);
    row->worker = arena_strdup(arena, row->worker);
    row->reason = arena_strdup(arena, row->reason);
}

static void tell_as(struct core *core, const struct callback *callback, enum decision_kind kind)
{
    struct callback_row row = callback->row;

    copy_texts(&row, &core->out->arena);
    decisions_add(core->out, kind)->as.callback = row;
}

static void tell(struct core *core, const struct callback *callback)
{
    tell_as(core, callback, DECIDE_CALLBACK);
}

static struct callback *add(struct core *core, const struct callback_row *row)
{
    struct callback *callback = mem_alloc(sizeof(*callback));

    callback->row = *row;
    copy_texts(&callback->row, &callback->arena);
    callback->timer.kind = TIMER_CALLBACK;
    HASH_ADD(hh, core->callbacks, row.id, sizeof(callback->row.id), callback);
    return callback;
}

static void forget(struct core *core, struct callback *callback)
{
    timer_disarm(&core->timers, &callback->timer);
    HASH_DEL(core->callbacks, callback);
    arena_release(&callback->arena);
    free(callback);
}

static void bind(struct core *core, struct callback *callback, struct worker *worker)
{
    callback->worker = worker;
    callback->row.state = CALLBACK_STATE_RUNNING;
    HASH_ADD_KEYPTR(hh_token, core->callback_tokens, callback->row.token,
                    strlen(callback->row.token), callback);
    DL_APPEND2(worker->callbacks, callback, previous, next);
    worker->used[SLOT_CALLBACK]++;
}

static void unbind(struct core *core, struct callback *callback)
{
    HASH_DELETE(hh_token, core->callback_tokens, callback);
    DL_DELETE2(callback->worker->callbacks, callback, previous, next);
    callback->worker->used[SLOT_CALLBACK]--;
    callback->worker = NULL;
}

/* --- made ------------------------------------------------------------------------------------ */

static void write_run(struct jw *w, const struct run *run)
{
    jw_kv_string(w, "dag_id", run->row.dag_id);
    jw_kv_string(w, "run_id", run->row.run_id);
    jw_kv_string(w, "run_type", run_type_name(run->row.run_type));
    jw_kv_string(w, "run_state", run_state_name(run->row.state));
    jw_kv_time(w, "logical_date", run->row.logical_date_us);
    jw_kv_time(w, "data_interval_start", run->row.interval_start_us);
    jw_kv_time(w, "data_interval_end", run->row.interval_end_us);
    jw_kv_time(w, "queued_at", run->row.queued_at_us);
    jw_kv_time(w, "run_started_at", run->row.started_at_us);
    jw_kv_time(w, "run_ended_at", run->row.ended_at_us);
}

static void write_task(struct jw *w, const struct task *task)
{
    jw_kv_string(w, "task_id", task_spec(task)->task_id);
    jw_kv_int(w, "map_index", task->map_index);
    jw_kv_string(w, "task_state", task_state_name(task->state));
    jw_kv_int(w, "try_number", task->try_number);
    jw_kv_int(w, "max_tries", task->max_tries);
    jw_kv_time(w, "started_at", task->started_at_us);
    jw_kv_time(w, "ended_at", task->ended_at_us);
    jw_kv_time(w, "retry_at", task->retry_at_us);
}

static const char *make_document(struct core *core, int64_t id, const struct occasion *occasion)
{
    struct buf text = {0};
    struct jw w = {.out = &text};
    const char *key = reason_format(core, "%s-%lld", core->instance, (long long)id);

    jw_begin_object(&w);
    jw_kv_string(&w, "id", key);
    jw_kv_string(&w, "event", callback_event_name(occasion->event));
    jw_kv_string(&w, "of", occasion->of_run ? "run" : "task");
    jw_kv_time(&w, "at", core->now_us);
    jw_kv_string(&w, "reason", occasion->reason);
    write_run(&w, occasion->task->run);
    if (!occasion->of_run)
        write_task(&w, occasion->task);
    jw_end_object(&w);
    const char *copy = arena_strdup(&core->out->arena, buf_text(&text));
    buf_release(&text);
    return copy;
}

static int64_t delay_of(const json_t *options)
{
    int64_t us = 0;

    (void)duration_parse(str_from(json_get_string(options, "retry_delay", "30s")), &us);
    return us;
}

/* In the order they were made. */
static void set_ready(struct core *core, struct callback *callback)
{
    callback->is_ready = true;
    DL_APPEND2(core->callbacks_ready, callback, ready_previous, ready_next);
}

static void leave_ready(struct core *core, struct callback *callback)
{
    if (callback->is_ready)
        DL_DELETE2(core->callbacks_ready, callback, ready_previous, ready_next);
    callback->is_ready = false;
}

/* One of the list: {webhook: {…}} or {command: {…}}. Templates that don't render make it a failed
 * one, which is told of and never tried. */
static void make(struct core *core, const struct occasion *occasion, const char *kind,
                 const json_t *options)
{
    struct err err = {0};
    json_t *rendered = render_value(occasion->task, options, &err);
    struct buf text = {0};
    int64_t id = ++core->last_callback_id;
    struct callback_row row = {
        .id = id,
        .dag_id = occasion->task->run->row.dag_id,
        .run = occasion->task->run->row.id,
        .task_id = occasion->of_run ? NULL : task_spec(occasion->task)->task_id,
        .map_index = occasion->task->map_index,
        .event = occasion->event,
        .state = rendered == NULL ? CALLBACK_STATE_FAILED : CALLBACK_STATE_PENDING,
        .kind = kind,
        .max_tries = json_get_int(options, "retries", 0) + 1,
        .retry_delay_us = delay_of(options),
        .created_at_us = core->now_us,
        .ended_at_us = rendered == NULL ? core->now_us : 0,
        .reason = rendered == NULL ? err.message : NULL,
    };

    if (rendered != NULL)
        json_dump_ordered(rendered, &text);
    row.options = rendered == NULL ? "{}" : buf_text(&text);
    row.document = make_document(core, id, occasion);
    struct callback *callback = add(core, &row);
    buf_release(&text);
    json_decref(rendered);
    tell(core, callback);
    if (row.state == CALLBACK_STATE_FAILED) {
        forget(core, callback);
        return;
    }
    core->callbacks_fresh++;
    set_ready(core, callback);
}

void callbacks_make(struct core *core, const struct occasion *occasion, const json_t *list)
{
    size_t i = 0;
    json_t *item = NULL;
    const char *kind = NULL;
    json_t *options = NULL;

    json_array_foreach(list, i, item)
    {
        json_object_foreach(item, kind, options)
        {
            make(core, occasion, kind, options);
        }
    }
}

void callbacks_of_task(struct core *core, struct task *task, enum callback_event event,
                       const char *reason)
{
    const struct occasion occasion = {.task = task, .event = event, .reason = reason};

    if (task_spec(task)->callbacks.of[event] != NULL)
        callbacks_make(core, &occasion, task_spec(task)->callbacks.of[event]);
}

void callbacks_of_run(struct core *core, struct run *run, enum callback_event event,
                      const char *reason)
{
    struct task of_run = {.run = run, .map_index = -1};
    const struct occasion occasion = {&of_run, true, event, reason};

    if (run->dag->callbacks.of[event] != NULL)
        callbacks_make(core, &occasion, run->dag->callbacks.of[event]);
}

/* --- tried ----------------------------------------------------------------------------------- */

static void start(struct core *core, const struct callback *callback)
{
    tell_as(core, callback, DECIDE_START_CALLBACK);
}

static void try_it(struct core *core, struct callback *callback, struct worker *worker)
{
    leave_ready(core, callback);
    callback->row.tries++;
    callback->row.next_at_us = 0;
    callback->row.worker = arena_strdup(&callback->arena, worker->instance);
    callback->row.token =
        arena_printf(&callback->arena, "%s-%llu-%llu", core->instance,
                     (unsigned long long)core->epoch, (unsigned long long)++core->token_count);
    bind(core, callback, worker);
    tell(core, callback);
    start(core, callback);
}

void callbacks_dispatch(struct core *core)
{
    struct worker *worker = NULL;

    while (core->callbacks_ready != NULL && (worker = workers_pick(core, SLOT_CALLBACK)) != NULL)
        try_it(core, core->callbacks_ready, worker);
}

void callback_due(struct core *core, struct callback *callback)
{
    set_ready(core, callback);
}

static void wait_for(struct core *core, struct callback *callback, int64_t at_us)
{
    callback->row.state = CALLBACK_STATE_PENDING;
    callback->row.next_at_us = at_us;
    timer_arm(core, &core->timers, &callback->timer, at_us);
}

static int64_t delay_us(const struct callback *callback)
{
    int64_t us = callback->row.retry_delay_us;

    for (int64_t i = 1; i < callback->row.tries && us < DELAY_MAX_US; i++)
        us *= 2;
    return us < DELAY_MAX_US ? us : DELAY_MAX_US;
}

/* A try that came to nothing because its worker did is not counted. */
static void give_back(struct core *core, struct callback *callback, const char *reason)
{
    unbind(core, callback);
    if (!PLANTED(CALLBACK_LOSES_TRIES))
        callback->row.tries--;
    callback->row.reason = arena_strdup(&callback->arena, reason);
    wait_for(core, callback, core->now_us);
    tell(core, callback);
}

static void failed(struct core *core, struct callback *callback, const char *reason)
{
    callback->row.reason = arena_strdup(&callback->arena, reason);
    if (callback->row.tries < callback->row.max_tries - PLANTED(CALLBACK_NOT_RETRIED)) {
        wait_for(core, callback, core->now_us + delay_us(callback));
        tell(core, callback);
        return;
    }
    callback->row.state = CALLBACK_STATE_FAILED;
    callback->row.ended_at_us = core->now_us;
    tell(core, callback);
    forget(core, callback);
}

static struct callback *find(const struct core *core, const char *token)
{
    struct callback *callback = NULL;

    HASH_FIND(hh_token, core->callback_tokens, token, strlen(token), callback);
    return callback;
}

bool callbacks_known(const struct core *core, const char *token)
{
    return find(core, token) != NULL;
}

bool callbacks_ended(struct core *core, const struct event_attempt_ended *event)
{
    struct callback *callback = find(core, event->token);

    if (callback == NULL)
        return false;
    bool is_given_back = event->outcome == OUTCOME_WORKER_LOST && event->started_at_us == 0;
    if (is_given_back)
        callback->worker->is_known = false; /* it ends */
    workers_forget(core, callback->row.worker, event->token, false);
    if (event->outcome == OUTCOME_WORKER_LOST) {
        give_back(core, callback, "worker_lost");
        return true;
    }
    if (callback->row.tries == 1)
        core->callbacks_fresh--;
    unbind(core, callback);
    if (event->outcome != OUTCOME_SUCCESS) {
        failed(core, callback,
               event->reason != NULL ? event->reason : outcome_name(event->outcome));
        return true;
    }
    callback->row.state = CALLBACK_STATE_SUCCESS;
    callback->row.ended_at_us = core->now_us;
    callback->row.reason = NULL;
    tell(core, callback);
    forget(core, callback);
    return true;
}

/* --- workers and recovery -------------------------------------------------------------------- */

bool callbacks_announce(const struct core *core, const struct worker *worker, const char *token)
{
    struct callback *callback = find(core, token);

    if (callback == NULL || callback->worker != worker)
        return false;
    callback->is_announced = true;
    return true;
}

void callbacks_worker_up(struct core *core, struct worker *worker)
{
    for (struct callback *c = worker->callbacks; c != NULL; c = c->next) {
        if (!c->is_announced)
            start(core, c);
        c->is_announced = false;
    }
}

void callbacks_worker_gone(struct core *core, struct worker *worker)
{
    while (worker->callbacks != NULL)
        give_back(core, worker->callbacks, "worker_lost");
}

void callbacks_give_back(struct core *core)
{
    while (core->callback_tokens != NULL)
        give_back(core, core->callback_tokens, "interrupted");
}

void core_restore_callback(struct core *core, const struct callback_row *row)
{
    struct callback *callback = add(core, row);

    if (row->tries <= (row->state == CALLBACK_STATE_RUNNING))
        core->callbacks_fresh++;
    if (row->state == CALLBACK_STATE_RUNNING && row->token != NULL && row->worker != NULL)
        bind(core, callback, workers_get(core, row->worker));
    else if (!PLANTED(CALLBACKS_NOT_RESTORED) || row->next_at_us == 0)
        wait_for(core, callback, row->next_at_us);
}

bool core_has_fresh_callbacks(const struct core *core)
{
    return core->callbacks_fresh > 0;
}

void callbacks_free(struct core *core)
{
    HASH_CLEAR(hh_token, core->callback_tokens);
    while (core->callbacks != NULL) {
        struct callback *callback = core->callbacks;
        HASH_DEL(core->callbacks, callback);
        arena_release(&callback->arena);
        free(callback);
    }
}
