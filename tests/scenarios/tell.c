#include "base/timefmt.h"
#include "tests/scenarios/scenario.h"

#include <assert.h>

__attribute__((format(printf, 2, 3))) static void say(struct scenario *s, const char *format, ...)
{
    va_list args;

    if (s->said.len > 0)
        buf_add_text(&s->said, " ; ");
    va_start(args, format);
    buf_vprintf(&s->said, format, args);
    va_end(args);
}

/* "a" in the first run, "r2.a" in others; "a[0]" is an instance of a mapped task. */
static const char *label(struct scenario *s, int64_t run, const char *task_id, int32_t map_index)
{
    if (map_index >= 0)
        task_id = arena_printf(&s->arena, "%s[%d]", task_id, map_index);
    if (run == 1)
        return task_id;
    return arena_printf(&s->arena, "r%lld.%s", (long long)run, task_id);
}

static const char *because(struct scenario *s, const char *reason)
{
    return reason == NULL ? "" : arena_printf(&s->arena, " (%s)", reason);
}

static void say_run(struct scenario *s, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;
    long long id = row->id;

    if (decision->kind == DECIDE_RUN_NEW)
        say(s, "r%lld new %s%s", id, row->run_id, because(s, row->reason));
    else if (decision->kind == DECIDE_RUN_RESET)
        say(s, "r%lld reset %s%s", id, row->run_id, because(s, row->reason));
    else
        say(s, "r%lld %s%s", id, run_state_name(row->state), because(s, row->reason));
}

static void say_task(struct scenario *s, const struct task_row *row)
{
    bool plain = row->state == TASK_QUEUED || row->state == TASK_RUNNING ||
                 (row->state == TASK_SCHEDULED && row->reason == NULL);

    if (!plain)
        say(s, "%s %s%s", label(s, row->run, row->task_id, row->map_index),
            task_state_name(row->state), because(s, row->reason));
}

static void say_backfill(struct scenario *s, const struct decision *decision)
{
    struct buf text = {0};

    decision_describe(decision, &text);
    say(s, "%s", buf_text(&text));
    buf_release(&text);
}

/* The counts that it leaves behind, as a live scheduler's store shows them. */
static void say_recount(struct scenario *s, const struct decision *decision)
{
    const struct rows *rows = &s->world.rows;
    struct decision row = {.kind = DECIDE_BACKFILL};

    for (size_t i = 0; i < rows->backfill_count; i++)
        if (rows->backfills[i].id == decision->as.recount.backfill)
            row.as.backfill = rows->backfills[i];
    assert(row.as.backfill.id != 0);
    say_backfill(s, &row);
}

static void say_stop(struct scenario *s, const char *token, const char *reason)
{
    const struct attempt_row *row = rows_attempt(&s->world.rows, token);
    const struct stored_run *run = row == NULL ? NULL : rows_run(&s->world.rows, row->run);

    if (run == NULL || row->ended_at_us != 0)
        say(s, "stop %s (%s)", token, reason);
    else
        say(s, "stop %s#%lld (%s)",
            label(s, row->run, run->dag->tasks[row->task].task_id, row->map_index),
            (long long)row->try_number, reason);
}

static void say_reply(struct scenario *s, const struct decision_reply *reply)
{
    if (reply->err != NULL)
        say(s, "error %s: %s", err_name(reply->err->code), reply->err->message);
    else if (reply->text != NULL)
        say(s, "%s", reply->text);
}

static void say_callback(struct scenario *s, const struct callback_row *row)
{
    const char *of =
        row->task_id == NULL ? "run" : label(s, row->run, row->task_id, row->map_index);
    struct buf when = {0};

    if (row->next_at_us != 0)
        duration_format(row->next_at_us - s->base_us, &when);
    if (row->tries == 0 && row->state == CALLBACK_STATE_PENDING && row->reason == NULL)
        say(s, "c%lld new %s of %s by %s", (long long)row->id, callback_event_name(row->event), of,
            row->kind);
    else if (row->state != CALLBACK_STATE_RUNNING)
        say(s, "c%lld %s%s%s%s", (long long)row->id, callback_state_name(row->state),
            when.len > 0 ? " until " : "", buf_text(&when), because(s, row->reason));
    buf_release(&when);
}

void tell_decision(void *context, const struct decision *decision)
{
    struct scenario *s = context;

    switch (decision->kind) {
    case DECIDE_RUN_NEW:
    case DECIDE_RUN:
    case DECIDE_RUN_RESET:
        say_run(s, decision);
        break;
    case DECIDE_EXPAND:
        say(s, "%s %s", label(s, decision->as.expand.row.run, decision->as.expand.row.task_id, -1),
            decision->as.expand.row.reason);
        break;
    case DECIDE_TASK:
        say_task(s, &decision->as.task.row);
        break;
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
        say_backfill(s, decision);
        break;
    case DECIDE_RECOUNT:
        say_recount(s, decision);
        break;
    case DECIDE_CALLBACK:
        say_callback(s, &decision->as.callback);
        break;
    case DECIDE_START_CALLBACK:
        say(s, "tell c%lld#%lld", (long long)decision->as.callback.id,
            (long long)decision->as.callback.tries);
        break;
    case DECIDE_START:
        say(s, "start %s#%lld%s%s%s",
            label(s, decision->as.start.run.id, decision->as.start.task->task_id,
                  decision->as.start.attempt.map_index),
            (long long)decision->as.start.attempt.try_number,
            s->world.worker_count > 1 ? " at " : "",
            s->world.worker_count > 1 ? decision->as.start.worker : "",
            decision->as.start.run.is_forced ? " forced" : "");
        break;
    case DECIDE_STOP:
        say_stop(s, decision->as.token.token, decision->as.token.reason);
        break;
    case DECIDE_ACK:
        if (rows_attempt(&s->world.rows, decision->as.token.token) == NULL &&
            rows_callback(&s->world.rows, decision->as.token.token) == NULL)
            say(s, "ack %s", decision->as.token.token);
        break;
    case DECIDE_REPLY:
        say_reply(s, &decision->as.reply);
        break;
    case DECIDE_VERSION:
        if (decision->as.version.number > 1)
            say(s, "%s version %lld", decision->as.version.dag_id,
                (long long)decision->as.version.number);
        break;
    case DECIDE_DAG:
        if (decision->as.dag.pause_reason != NULL)
            say(s, "%s paused%s", decision->as.dag.dag_id,
                because(s, decision->as.dag.pause_reason));
        break;
    case DECIDE_ASSET_EVENT:
    case DECIDE_ASSET_SEEN:
    case DECIDE_ASSET_WAIT:
    case DECIDE_ASSET_TAKEN:
    case DECIDE_ASSET_DROPPED: {
        struct buf text = {0};
        decision_describe(decision, &text);
        say(s, "%s", buf_text(&text));
        buf_release(&text);
        break;
    }
    case DECIDE_ATTEMPT_NEW:
    case DECIDE_ATTEMPT_AGAIN:
    case DECIDE_ATTEMPT:
        break;
    }
}

void tell_wake(struct scenario *s)
{
    int64_t wake = core_next_wakeup(s->world.core);
    struct buf text = {0};

    if (wake == s->wake_us)
        return;
    s->wake_us = wake;
    if (wake == INT64_MAX)
        return;
    if (wake <= s->world.now_us)
        buf_add_text(&text, "now");
    else
        duration_format(wake - s->base_us, &text);
    say(s, "wake %s", buf_text(&text));
    buf_release(&text);
}
