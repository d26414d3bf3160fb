#include "scheduler/effects.h"

#include "base/json.h"
#include "base/jw.h"
#include "base/timefmt.h"
#include "millrace/messages.h"
#include "scheduler/peers.h"

#include <assert.h>
#include <string.h>

/* The members of the rendered document, {"options":…,"env":…} or none, become members of this one. */
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

/* What has its default is left out: reading a member costs as much as all else of a short task. */
static void write_attempt(const struct decision_start *start, struct buf *out)
{
    struct jw w = {.out = out};

    jw_begin_object(&w);
    jw_kv_string(&w, "token", start->attempt.token);
    jw_kv_string(&w, "task_id", start->task->task_id);
    jw_kv_int(&w, "task", start->attempt.task);
    jw_kv_int(&w, "try_number", start->attempt.try_number);
    jw_kv_string(&w, "task_kind", start->task->kind->name);
    if (start->attempt.map_index >= 0)
        jw_kv_int(&w, "map_index", start->attempt.map_index);
    if (start->task->execution_timeout_us > 0)
        jw_kv_int(&w, "timeout", start->task->execution_timeout_us);
    if (!start->task->cache || start->run.is_forced)
        jw_kv_bool(&w, "cache", false);
    add_rendered(&w, start->attempt.rendered);
    jw_end_object(&w);
}

static void kv_time(struct jw *w, const char *key, int64_t us)
{
    if (us != 0)
        jw_kv_int(w, key, us);
}

static void begin_start(const struct decision_start *start, struct buf *out)
{
    struct jw w = {.out = out};

    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_START);
    jw_kv_string(&w, "worker", start->worker);
    jw_kv_string(&w, "dag_id", start->run.dag_id);
    jw_kv_string(&w, "run_id", start->run.run_id);
    jw_kv_int(&w, "run", start->attempt.run);
    kv_time(&w, "logical_date", start->run.logical_date_us);
    kv_time(&w, "interval_start", start->run.interval_start_us);
    kv_time(&w, "interval_end", start->run.interval_end_us);
    if (strcmp(start->dag->timezone, "UTC") != 0)
        jw_kv_string(&w, "timezone", start->dag->timezone);
    buf_add_text(out, ",\"attempts\":[");
}

/* The frame that a turn's starts (of one run) or acknowledgements go into, as long as they are for
 * one worker. */
struct batch {
    struct scheduler *scheduler;
    enum decision_kind kind;
    const char *worker; /* NULL = none is open */
    int64_t run;        /* DECIDE_START */
    struct buf *out;    /* NULL = that worker is not connected */
    size_t frame;
};

static void batch_close(struct batch *batch)
{
    if (batch->worker != NULL && batch->out != NULL) {
        buf_add_text(batch->out, "]}");
        wire_end(batch->out, batch->frame);
    }
    batch->worker = NULL;
}

static void batch_open(struct batch *batch, const struct decision *decision)
{
    bool is_start = decision->kind == DECIDE_START;

    batch->kind = decision->kind;
    batch->worker = is_start ? decision->as.start.worker : decision->as.token.worker;
    batch->run = is_start ? decision->as.start.attempt.run : 0;
    batch->out = peers_worker_out(batch->scheduler->peers, batch->worker);
    if (batch->out == NULL)
        return;
    batch->frame = wire_begin(batch->out);
    if (is_start)
        begin_start(&decision->as.start, batch->out);
    else
        buf_add_text(batch->out, "{\"kind\":\"" MESSAGE_ACK "\",\"tokens\":[");
}

static void write_env(struct jw *w, const json_t *options, const char *document)
{
    json_t *env = json_object();
    struct buf text = {0};

    (void)json_object_update(env, json_object_get(options, "env"));
    (void)json_object_set_new(env, "MILLRACE_CALLBACK", json_string(document));
    json_dump_ordered(env, &text);
    jw_kv_raw(w, "env", buf_text(&text));
    buf_release(&text);
    json_decref(env);
}

/* A `start` with this one item. */
static void write_callback(const struct callback_row *row, struct buf *out)
{
    struct jw w = {.out = out};
    struct err ignored;
    json_t *options = json_parse(str_from(row->options), &ignored);
    json_t *document = json_parse(str_from(row->document), &ignored);
    int64_t timeout_us = 0;

    (void)duration_parse(str_from(json_get_string(options, "timeout", "")), &timeout_us);
    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_START);
    jw_kv_string(&w, "worker", row->worker);
    jw_kv_string(&w, "dag_id", row->dag_id);
    jw_kv_string(&w, "run_id", json_get_string(document, "run_id", ""));
    jw_kv_int(&w, "run", row->run);
    jw_key(&w, "attempts");
    jw_begin_array(&w);
    jw_begin_object(&w);
    jw_kv_string(&w, "token", row->token);
    jw_kv_int(&w, "callback", row->id);
    jw_kv_string(&w, "task_id", row->task_id == NULL ? "" : row->task_id);
    jw_kv_int(&w, "task", row->id);
    jw_kv_int(&w, "try_number", row->tries);
    jw_kv_int(&w, "map_index", -2);
    jw_kv_string(&w, "task_kind", row->kind);
    jw_kv_raw(&w, "options", row->options);
    write_env(&w, options, row->document);
    jw_kv_string(&w, "document", row->document);
    jw_kv_int(&w, "timeout", timeout_us);
    jw_end_object(&w);
    jw_end_array(&w);
    jw_end_object(&w);
    json_decref(options);
    json_decref(document);
}

static void send_callback(struct scheduler *scheduler, const struct callback_row *row)
{
    struct buf *out = peers_worker_out(scheduler->peers, row->worker);

    if (out == NULL)
        return;
    size_t frame = wire_begin(out);
    write_callback(row, out);
    wire_end(out, frame);
}

static bool batch_fits(const struct batch *batch, const struct decision *decision)
{
    if (batch->worker == NULL || batch->kind != decision->kind)
        return false;
    if (batch->out != NULL && batch->out->len - batch->frame > MESSAGES_BATCH_BYTES)
        return false;
    if (decision->kind == DECIDE_START)
        return batch->run == decision->as.start.attempt.run &&
               strcmp(batch->worker, decision->as.start.worker) == 0;
    return strcmp(batch->worker, decision->as.token.worker) == 0;
}

/* Where to add the next item to; NULL if its worker is not connected. */
static struct buf *batch_item(struct batch *batch, const struct decision *decision)
{
    bool fits = batch_fits(batch, decision);

    if (!fits) {
        batch_close(batch);
        batch_open(batch, decision);
    } else if (batch->out != NULL) {
        buf_add_char(batch->out, ',');
    }
    return batch->out;
}

static void send_start(struct batch *batch, const struct decision *decision)
{
    struct buf *out = batch_item(batch, decision);

    if (out != NULL)
        write_attempt(&decision->as.start, out);
}

static void send_ack(struct batch *batch, const struct decision *decision)
{
    struct buf *out = batch_item(batch, decision);
    struct jw w = {.out = out};

    if (out != NULL)
        jw_string(&w, decision->as.token.token);
}

static void send_stop(struct scheduler *scheduler, const struct decision *decision)
{
    struct buf *out = peers_worker_out(scheduler->peers, decision->as.token.worker);

    if (out == NULL)
        return;
    size_t frame = wire_begin(out);
    struct jw w = {.out = out};
    jw_begin_object(&w);
    jw_kv_string(&w, "kind", MESSAGE_STOP);
    jw_kv_string(&w, "token", decision->as.token.token);
    jw_kv_string(&w, "reason", decision->as.token.reason);
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
    if (reply->text != NULL)
        jw_kv_raw(&w, "answer", reply->text);
    if (reply->row != 0)
        jw_kv_int(&w, "row", reply->row);
    jw_end_object(&w);
    wire_end(out, frame);
}

static void act(struct batch *batch, const struct decision *decision)
{
    switch (decision->kind) {
    case DECIDE_START:
        send_start(batch, decision);
        return;
    case DECIDE_START_CALLBACK:
        batch_close(batch);
        send_callback(batch->scheduler, &decision->as.callback);
        return;
    case DECIDE_STOP:
        batch_close(batch);
        send_stop(batch->scheduler, decision);
        return;
    case DECIDE_REPLY:
        batch_close(batch);
        send_reply(batch->scheduler, &decision->as.reply);
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
    case DECIDE_RECOUNT:
    case DECIDE_ASSET_EVENT:
    case DECIDE_ASSET_SEEN:
    case DECIDE_ASSET_WAIT:
    case DECIDE_ASSET_TAKEN:
    case DECIDE_ASSET_DROPPED:
    case DECIDE_CALLBACK:
        return; /* durable: the store's */
    case DECIDE_ACK:
        return; /* after all others */
    }
}

void effects_carry_out(struct scheduler *scheduler, const struct decisions *decisions)
{
    int64_t seq = store_last_seq(scheduler->store);

    struct batch batch = {.scheduler = scheduler};

    for (size_t i = 0; i < decisions->count; i++)
        act(&batch, &decisions->items[i]);
    for (size_t i = 0; i < decisions->count; i++)
        if (decisions->items[i].kind == DECIDE_ACK)
            send_ack(&batch, &decisions->items[i]);
    batch_close(&batch);
    if (seq != scheduler->notified_seq)
        peers_notify(scheduler->peers, seq);
    scheduler->notified_seq = seq;
    peers_flush(scheduler->peers);
}
