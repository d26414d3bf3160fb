#include "scheduler/effects.h"

#include "base/jw.h"
#include "millrace/messages.h"
#include "scheduler/peers.h"

#include <assert.h>

/* The members of the rendered document, {"options":…,"env":…}, become members of this one. */
static void add_rendered(struct jw *w, const char *rendered)
{
    struct str document = str_from(rendered);

    assert(document.len >= 2 && document.ptr[0] == '{' && document.ptr[document.len - 1] == '}');
    struct str members = str_sub(document, 1, document.len - 1);
    if (members.len > 0) {
        buf_add_char(w->out, ',');
        buf_add_str(w->out, members);
    }
}

void effects_write_start(const struct decision_start *start, struct buf *out)
{
    struct jw w = {.out = out};

    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_START);
    jw_kv_string(&w, "token", start->attempt.token);
    jw_kv_string(&w, "worker", start->worker);
    jw_kv_string(&w, "dag_id", start->run.dag_id);
    jw_kv_string(&w, "task_id", start->task->task_id);
    jw_kv_string(&w, "run_id", start->run.run_id);
    jw_kv_int(&w, "run", start->attempt.run);
    jw_kv_int(&w, "task", start->attempt.task);
    jw_kv_int(&w, "try_number", start->attempt.try_number);
    jw_kv_int(&w, "map_index", start->attempt.map_index);
    jw_kv_int(&w, "logical_date", start->run.logical_date_us);
    jw_kv_int(&w, "interval_start", start->run.interval_start_us);
    jw_kv_int(&w, "interval_end", start->run.interval_end_us);
    jw_kv_string(&w, "timezone", start->dag->timezone);
    jw_kv_string(&w, "task_kind", start->task->kind->name);
    add_rendered(&w, start->attempt.rendered);
    jw_kv_int(&w, "timeout", start->task->execution_timeout_us);
    jw_end_object(&w);
}

static void send_start(struct scheduler *scheduler, const struct decision_start *start)
{
    struct buf *out = peers_worker_out(scheduler->peers, start->worker);

    if (out == NULL)
        return;
    size_t frame = wire_begin(out);
    effects_write_start(start, out);
    wire_end(out, frame);
}

static void send_token(struct scheduler *scheduler, const char *kind, const char *worker,
                       const char *token, const char *reason)
{
    struct buf *out = peers_worker_out(scheduler->peers, worker);

    if (out == NULL)
        return;
    size_t frame = wire_begin(out);
    struct jw w = {.out = out};
    jw_begin_object(&w);
    jw_kv_string(&w, "kind", kind);
    jw_kv_string(&w, "token", token);
    if (reason != NULL)
        jw_kv_string(&w, "reason", reason);
    jw_end_object(&w);
    wire_end(out, frame);
}

static void send_reply(struct scheduler *scheduler, const struct decision_reply *reply)
{
    struct request request;

    if (!request_take(scheduler, reply->request, &request))
        return;
    if (request.peer == 0) {
        request.reply(request.context, reply);
        return;
    }
    struct buf *out = peers_client_out(scheduler->peers, request.peer);
    if (out == NULL)
        return;
    size_t frame = wire_begin(out);
    struct jw w = {.out = out};
    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_REPLY);
    jw_kv_int(&w, "id", request.wire_id);
    if (reply->err != NULL) {
        jw_key(&w, "error");
        jw_begin_object(&w);
        jw_kv_string(&w, "code", err_name(reply->err->code));
        jw_kv_string(&w, "message", reply->err->message);
        jw_end_object(&w);
    }
    if (reply->row != 0)
        jw_kv_int(&w, "row", reply->row);
    jw_end_object(&w);
    wire_end(out, frame);
}

static void act(struct scheduler *scheduler, const struct decision *decision)
{
    switch (decision->kind) {
    case DECIDE_START:
        send_start(scheduler, &decision->as.start);
        return;
    case DECIDE_STOP:
        send_token(scheduler, MESSAGE_STOP, decision->as.token.worker, decision->as.token.token,
                   decision->as.token.reason);
        return;
    case DECIDE_ACK:
        send_token(scheduler, MESSAGE_ACK, decision->as.token.worker, decision->as.token.token,
                   NULL);
        return;
    case DECIDE_REPLY:
        send_reply(scheduler, &decision->as.reply);
        return;
    case DECIDE_DAG:
    case DECIDE_VERSION:
    case DECIDE_RUN_NEW:
    case DECIDE_RUN:
    case DECIDE_RUN_RESET:
    case DECIDE_EXPAND:
    case DECIDE_TASK:
    case DECIDE_ATTEMPT_NEW:
    case DECIDE_ATTEMPT_AGAIN:
    case DECIDE_ATTEMPT:
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
        return; /* durable: the store's */
    }
}

void effects_carry_out(struct scheduler *scheduler, const struct decisions *decisions)
{
    int64_t seq = store_last_seq(scheduler->store);

    for (size_t i = 0; i < decisions->count; i++)
        act(scheduler, &decisions->items[i]);
    if (seq != scheduler->notified_seq)
        peers_notify(scheduler->peers, seq);
    scheduler->notified_seq = seq;
    peers_flush(scheduler->peers);
}
