/* The asset events of a commit, and what DAGs wait with. */
#include "scheduler/store/commit.h"

bool commit_asset_event(struct commit *commit, const struct asset_event_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ASSET_EVENT_NEW);

    bind_int(&bind, row->id);
    bind_text(&bind, row->asset);
    bind_int(&bind, row->at_us);
    bind_time(&bind, row->run);
    if (row->run == 0) {
        bind_null(&bind);
        bind_null(&bind);
    } else {
        bind_int(&bind, row->task);
        bind_int(&bind, row->map_index);
    }
    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->run_id);
    bind_text(&bind, row->task_id);
    bind_text(&bind, row->partition);
    bind_text(&bind, row->extra);
    bind_int(&bind, row->is_unseen);
    return bind_run(&bind, commit->err);
}

bool commit_asset_wait(struct commit *commit, const struct asset_wait_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ASSET_WAIT_NEW);

    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->partition);
    bind_int(&bind, row->event);
    return bind_run(&bind, commit->err);
}

bool commit_asset_taken(struct commit *commit, const struct decision *decision)
{
    struct bind take = bind_begin(commit->store, STATEMENT_ASSET_TAKE);
    struct bind drop = bind_begin(commit->store, STATEMENT_ASSET_TAKEN);

    bind_text(&take, decision->as.asset_taken.dag_id);
    bind_text(&take, decision->as.asset_taken.partition);
    bind_int(&take, decision->as.asset_taken.run);
    bind_text(&drop, decision->as.asset_taken.dag_id);
    bind_text(&drop, decision->as.asset_taken.partition);
    return bind_run(&take, commit->err) && bind_run(&drop, commit->err);
}

bool commit_asset_dropped(struct commit *commit, const struct asset_wait_row *row)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ASSET_DROPPED);

    bind_text(&bind, row->dag_id);
    bind_text(&bind, row->asset);
    return bind_run(&bind, commit->err);
}

bool commit_asset_seen(struct commit *commit)
{
    struct bind bind = bind_begin(commit->store, STATEMENT_ASSET_SEEN);

    return bind_run(&bind, commit->err);
}
