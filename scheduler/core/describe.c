/* Decisions as text, one line each: what scenario tests compare. */
#include "base/timefmt.h"
#include "millrace/decision.h"

static void add_reason(struct buf *out, const char *reason)
{
    if (reason != NULL)
        buf_printf(out, " (%s)", reason);
}

static void add_time(struct buf *out, int64_t us)
{
    char text[TIMEFMT_SIZE];

    buf_add_text(out, us == 0 ? "none" : timefmt_utc(us, text));
}

static void add_dag(struct buf *out, const struct dag_row *row)
{
    buf_printf(out, "dag %s v%lld%s%s next ", row->dag_id, (long long)row->version_number,
               row->is_paused ? " paused" : "", row->is_stale ? " stale" : "");
    add_time(out, row->next_end_us);
}

static void add_run(struct buf *out, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;

    buf_printf(out, "run %s %s", row->dag_id, row->run_id);
    if (decision->kind == DECIDE_RUN_NEW)
        buf_printf(out, " new %s", run_state_name(row->state));
    else if (decision->kind == DECIDE_RUN_RESET)
        buf_printf(out, " reset %s", run_state_name(row->state));
    else
        buf_printf(out, " %s", run_state_name(row->state));
    add_reason(out, row->reason);
}

static void add_map_index(struct buf *out, int32_t map_index)
{
    if (map_index >= 0)
        buf_printf(out, "[%d]", map_index);
}

static void add_attempt(struct buf *out, const char *verb, const struct attempt_row *row)
{
    buf_printf(out, "%s r%lld t%u", verb, (long long)row->run, row->task);
    add_map_index(out, row->map_index);
    buf_printf(out, "#%lld", (long long)row->try_number);
}

static void add_backfill(struct buf *out, const char *verb, const struct backfill_row *row)
{
    buf_printf(out, "%s %s %lld made %lld/%lld skipped %lld succeeded %lld failed %lld", verb,
               row->dag_id, (long long)row->id, (long long)row->made, (long long)row->total,
               (long long)row->skipped, (long long)row->succeeded, (long long)row->failed);
    if (row->completed_at_us != 0)
        buf_add_text(out, row->cancelled ? " cancelled" : " completed");
    else if (row->is_paused)
        buf_add_text(out, " paused");
    add_reason(out, row->pause_reason);
    if (row->retry_before_us != 0)
        buf_add_text(out, " retrying");
}

static void add_asset(struct buf *out, const struct decision *decision)
{
    const struct asset_wait_row *wait = &decision->as.asset_wait;

    if (decision->kind == DECIDE_ASSET_EVENT) {
        const struct asset_event_row *event = &decision->as.asset_event;
        buf_printf(out, "asset %s updated", event->asset);
        if (event->partition[0] != '\0')
            buf_printf(out, " (%s)", event->partition);
    } else if (decision->kind == DECIDE_ASSET_SEEN) {
        buf_add_text(out, "asset events seen");
    } else if (decision->kind == DECIDE_ASSET_WAIT) {
        buf_printf(out, "%s has news of %s", wait->dag_id, wait->asset);
    } else if (decision->kind == DECIDE_ASSET_TAKEN) {
        buf_printf(out, "%s takes its news", decision->as.asset_taken.dag_id);
    } else {
        buf_printf(out, "%s drops its news of %s", wait->dag_id,
                   wait->asset == NULL ? "all" : wait->asset);
    }
}

void decision_describe(const struct decision *decision, struct buf *out)
{
    switch (decision->kind) {
    case DECIDE_DAG:
        add_dag(out, &decision->as.dag);
        break;
    case DECIDE_VERSION:
        buf_printf(out, "version %s v%lld", decision->as.version.dag_id,
                   (long long)decision->as.version.number);
        break;
    case DECIDE_RUN_NEW:
    case DECIDE_RUN:
    case DECIDE_RUN_RESET:
        add_run(out, decision);
        break;
    case DECIDE_EXPAND:
        buf_printf(out, "expand r%lld %s %u to %u", (long long)decision->as.expand.row.run,
                   decision->as.expand.row.task_id, decision->as.expand.first,
                   decision->as.expand.count);
        break;
    case DECIDE_TASK:
        buf_printf(out, "task r%lld %s", (long long)decision->as.task.row.run,
                   decision->as.task.row.task_id);
        add_map_index(out, decision->as.task.row.map_index);
        buf_printf(out, " %s", task_state_name(decision->as.task.row.state));
        add_reason(out, decision->as.task.row.reason);
        break;
    case DECIDE_ATTEMPT_NEW:
        add_attempt(out, "attempt", &decision->as.attempt);
        buf_printf(out, " new at %s", decision->as.attempt.worker);
        break;
    case DECIDE_ATTEMPT_AGAIN:
        add_attempt(out, "attempt", &decision->as.attempt);
        buf_printf(out, " again at %s", decision->as.attempt.worker);
        break;
    case DECIDE_ATTEMPT:
        add_attempt(out, "attempt", &decision->as.attempt);
        buf_printf(out, " %s", task_state_name(decision->as.attempt.state));
        add_reason(out, decision->as.attempt.reason);
        break;
    case DECIDE_BACKFILL_NEW:
        add_backfill(out, "backfill new", &decision->as.backfill);
        break;
    case DECIDE_RECOUNT:
        buf_printf(out, "backfill %lld recounted: succeeded %+lld failed %+lld",
                   (long long)decision->as.recount.backfill,
                   (long long)decision->as.recount.succeeded,
                   (long long)decision->as.recount.failed);
        break;
    case DECIDE_BACKFILL:
        add_backfill(out, "backfill", &decision->as.backfill);
        break;
    case DECIDE_ASSET_EVENT:
    case DECIDE_ASSET_SEEN:
    case DECIDE_ASSET_WAIT:
    case DECIDE_ASSET_TAKEN:
    case DECIDE_ASSET_DROPPED:
        add_asset(out, decision);
        break;
    case DECIDE_START:
        buf_printf(out, "start r%lld %s", (long long)decision->as.start.run.id,
                   decision->as.start.task->task_id);
        add_map_index(out, decision->as.start.attempt.map_index);
        buf_printf(out, "#%lld at %s", (long long)decision->as.start.attempt.try_number,
                   decision->as.start.worker);
        break;
    case DECIDE_CALLBACK:
    case DECIDE_START_CALLBACK:
        buf_printf(out, "%s %lld of %s %s %s try %lld",
                   decision->kind == DECIDE_CALLBACK ? "callback" : "start callback",
                   (long long)decision->as.callback.id, decision->as.callback.dag_id,
                   callback_event_name(decision->as.callback.event),
                   callback_state_name(decision->as.callback.state),
                   (long long)decision->as.callback.tries);
        add_reason(out, decision->as.callback.reason);
        break;
    case DECIDE_STOP:
    case DECIDE_ACK:
        buf_printf(out, "%s %s", decision->kind == DECIDE_STOP ? "stop" : "ack",
                   decision->as.token.token);
        break;
    case DECIDE_REPLY:
        if (decision->as.reply.err == NULL)
            buf_add_text(out, "reply ok");
        else
            buf_printf(out, "reply %s (%s)", err_name(decision->as.reply.err->code),
                       decision->as.reply.err->message);
        break;
    }
}
