/* The one place where state is written: a turn's decisions in one transaction. */
#include "scheduler/store/commit.h"
#include "scheduler/store/reserve.h"

#include <stdlib.h>
#include <string.h>

static void bind_transition(struct bind *bind, const struct commit *commit, size_t which)
{
    const struct commit_change *change = &commit->changes[which];

    bind_int(bind, commit->change_seqs[which]);
    bind_int(bind, commit->now_us);
    bind_int(bind, change->run);
    if (change->task == NULL) {
        bind_null(bind);
        bind_null(bind);
        bind_null(bind);
    } else {
        bind_int(bind, change->task->task);
        bind_int(bind, change->task->map_index);
        bind_int(bind, change->task->try_number);
    }
    bind_text(bind, change->from);
    bind_text(bind, change->to);
    bind_text(bind, change->reason);
}

/* Those that are left at the end, one by one. */
static bool write_transitions(struct commit *commit)
{
    for (size_t i = 0; i < commit->change_count; i++) {
        struct bind bind = bind_begin(commit->store, STATEMENT_TRANSITION_NEW);
        bind_transition(&bind, commit, i);
        if (!bind_run(&bind, commit->err))
            return false;
    }
    commit->change_count = 0;
    return true;
}

bool commit_transition(struct commit *commit, const struct commit_change *change)
{
    commit->changes[commit->change_count] = *change;
    commit->change_seqs[commit->change_count++] = ++commit->seq;
    if (commit->change_count < COMMIT_TRANSITIONS)
        return true;
    struct bind bind = bind_begin(commit->store, STATEMENT_TRANSITIONS_NEW);
    for (size_t i = 0; i < COMMIT_TRANSITIONS; i++)
        bind_transition(&bind, commit, i);
    commit->change_count = 0;
    return bind_run(&bind, commit->err);
}

static bool write_dag(struct commit *commit, const struct dag_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_DAG_PUT);

    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->file);
    bind_int(&bind, row->is_paused);
    bind_int(&bind, row->is_stale);
    bind_int(&bind, row->version_id);
    bind_int(&bind, row->version_number);
    bind_time(&bind, row->last_tick_us);
    bind_time(&bind, row->next_start_us);
    bind_time(&bind, row->next_end_us);
    bind_int(&bind, row->parsed_at_us);
    bind_int(&bind, row->failed_in_row);
    bind_text(&bind, row->pause_reason);
    return bind_run(&bind, commit->err);
}

static bool write_version(struct commit *commit, const struct version_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_VERSION_NEW);

    bind_int(&bind, row->id);
    bind_text(&bind, row->dag_id);
    bind_int(&bind, row->number);
    bind_text(&bind, row->hash);
    bind_text(&bind, row->file);
    bind_str(&bind, row->source);
    bind_int(&bind, row->created_at_us);
    return bind_run(&bind, commit->err);
}

static bool write_backfill(struct commit *commit, const struct backfill_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_BACKFILL_PUT);

    bind_int(&bind, row->id);
    bind_text(&bind, row->dag_id);
    bind_int(&bind, row->from_us);
    bind_int(&bind, row->to_us);
    bind_int(&bind, row->run_backwards);
    bind_int(&bind, row->is_paused);
    bind_text(&bind, reprocess_name(row->reprocess));
    bind_int(&bind, row->max_active_runs);
    bind_text(&bind, text_or(row->conf, "{}"));
    bind_int(&bind, row->created_at_us);
    bind_int(&bind, row->updated_at_us);
    bind_time(&bind, row->completed_at_us);
    bind_time(&bind, row->cursor_us);
    bind_int(&bind, row->total);
    bind_int(&bind, row->made);
    bind_int(&bind, row->skipped);
    bind_int(&bind, row->succeeded);
    bind_int(&bind, row->failed);
    bind_int(&bind, row->cancelled);
    bind_text(&bind, row->tasks);
    bind_int(&bind, row->upstream);
    bind_int(&bind, row->downstream);
    bind_text(&bind, on_failure_name(row->on_failure));
    bind_text(&bind, row->pause_reason);
    bind_time(&bind, row->retry_before_us);
    bind_time(&bind, row->retry_cursor_us);
    bind_int(&bind, row->pace_us);
    bind_time(&bind, row->paced_at_us);
    bind_int(&bind, row->is_forced);
    return bind_run(&bind, commit->err);
}

static bool recount_backfill(struct commit *commit, const struct decision *decision)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_BACKFILL_RECOUNT);

    bind_int(&bind, decision->as.recount.backfill);
    bind_int(&bind, decision->as.recount.succeeded);
    bind_int(&bind, decision->as.recount.failed);
    bind_int(&bind, commit->now_us);
    return bind_run(&bind, commit->err);
}

static bool write_callback(struct commit *commit, const struct callback_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_CALLBACK_PUT);

    bind_int(&bind, row->id);
    bind_text(&bind, row->dag_id);
    bind_int(&bind, row->run);
    bind_text(&bind, row->task_id);
    bind_int(&bind, row->map_index);
    bind_text(&bind, callback_event_name(row->event));
    bind_text(&bind, callback_state_name(row->state));
    bind_text(&bind, row->kind);
    bind_text(&bind, row->options);
    bind_text(&bind, row->document);
    bind_int(&bind, row->tries);
    bind_int(&bind, row->max_tries);
    bind_int(&bind, row->retry_delay_us);
    bind_int(&bind, row->created_at_us);
    bind_time(&bind, row->next_at_us);
    bind_time(&bind, row->ended_at_us);
    bind_text(&bind, row->token);
    bind_text(&bind, row->worker);
    bind_text(&bind, row->reason);
    return bind_run_one(&bind, commit->err);
}

static bool write_decision(struct commit *commit, const struct decision *decision)
{
    switch (decision->kind) {
    case DECIDE_DAG:
        return write_dag(commit, &decision->as.dag);
    case DECIDE_VERSION:
        return write_version(commit, &decision->as.version);
    case DECIDE_RUN_NEW:
        return commit_run_new(commit, decision);
    case DECIDE_RUN:
        return commit_run(commit, decision);
    case DECIDE_RUN_RESET:
        return commit_run_reset(commit, decision);
    case DECIDE_EXPAND:
        return commit_expand(commit, &decision->as.expand);
    case DECIDE_TASK:
        return commit_task(commit, decision);
    case DECIDE_ATTEMPT_NEW:
        return commit_attempt_new(commit, &decision->as.attempt, STATEMENT_ATTEMPT_NEW);
    case DECIDE_ATTEMPT_AGAIN:
        return commit_attempt_new(commit, &decision->as.attempt, STATEMENT_ATTEMPT_AGAIN);
    case DECIDE_ATTEMPT:
        return commit_attempt(commit, &decision->as.attempt);
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
        return write_backfill(commit, &decision->as.backfill);
    case DECIDE_RECOUNT:
        return recount_backfill(commit, decision);
    case DECIDE_ASSET_EVENT:
        return commit_asset_event(commit, &decision->as.asset_event);
    case DECIDE_ASSET_SEEN:
        return commit_asset_seen(commit);
    case DECIDE_ASSET_WAIT:
        return commit_asset_wait(commit, &decision->as.asset_wait);
    case DECIDE_ASSET_TAKEN:
        return commit_asset_taken(commit, decision);
    case DECIDE_ASSET_DROPPED:
        return commit_asset_dropped(commit, &decision->as.asset_wait);
    case DECIDE_CALLBACK:
        return write_callback(commit, &decision->as.callback);
    case DECIDE_START:
    case DECIDE_START_CALLBACK:
    case DECIDE_STOP:
    case DECIDE_ACK:
    case DECIDE_REPLY:
        return true; /* acts: the loop's, after the commit */
    }
    return err_set(commit->err, ERR_FAILED, "a decision of unknown kind");
}

static bool is_durable(const struct decision *decision)
{
    return decision->kind < DECIDE_START;
}

bool store_check_epoch(struct store *store, struct err *err)
{
    struct bind bind = bind_begin(store, STATEMENT_META_GET);
    int64_t epoch = 0;
    bool row = false;

    bind_text(&bind, "epoch");
    bool ok = bind_step(&bind, &row, err);
    if (ok && row) {
        struct columns columns = {.stmt = bind.stmt};
        (void)str_to_int(column_name(&columns), &epoch);
    }
    bind_end(&bind);
    if (ok && (uint64_t)epoch != store->identity.epoch) {
        store->is_broken = true;
        ok = err_set(err, ERR_CONFLICT,
                     "%s: another scheduler has taken the state over (epoch %lld, ours is %llu)",
                     store->path, (long long)epoch, (unsigned long long)store->identity.epoch);
    }
    return ok;
}

static bool write_all(struct commit *commit, const struct decisions *decisions)
{
    struct store *store = commit->store;
    struct bind begin = bind_begin(store, STATEMENT_BEGIN);
    struct bind end = bind_begin(store, STATEMENT_COMMIT);

    if (!bind_run(&begin, commit->err) || !store_check_epoch(store, commit->err))
        return false;
    for (size_t i = 0; i < store->put_count; i++)
        if (!commit_put(commit, &store->puts[i]))
            return false;
    for (size_t i = 0; i < decisions->count; i++)
        if (!write_decision(commit, &decisions->items[i]))
            return false;
    return write_transitions(commit) && bind_run(&end, commit->err);
}

bool store_commit(struct store *store, const struct decisions *decisions, int64_t now_us,
                  struct err *err)
{
    struct commit commit = {.store = store, .now_us = now_us, .seq = store->last_seq, .err = err};
    bool needed = store->put_count > 0;

    if (store->is_broken)
        return err_set(err, ERR_IO, "%s: an earlier commit failed", store->path);
    for (size_t i = 0; i < decisions->count && !needed; i++)
        needed = is_durable(&decisions->items[i]);
    if (!needed)
        return true;
    reserve_ahead(store);
    latest_find(&commit.latest, decisions);
    bool ok = write_all(&commit, decisions);
    latest_release(&commit.latest);
    if (!ok) {
        /* The transaction stays open until the process ends: rolling back could touch the disk. */
        store->is_broken = true;
        return false;
    }
    store->last_seq = commit.seq;
    store_set_mark(store);
    commit_clear_puts(store);
    return true;
}
