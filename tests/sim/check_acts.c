/* Invariants of what leaves the scheduler, and of the processes there really are. */
#include "tests/sim/sim.h"

#include <string.h>

/* I8: what is sent to a worker to be started is durable, and bound to that worker. */
void check_start(struct sim *sim, const char *text, const char *worker)
{
    const struct token *token = token_get(sim, text);

    if (!token->is_committed)
        sim_fail(sim, "I8: attempt %s is sent out before it is committed", text);
    if (token->worker != workers_find(sim, worker))
        sim_fail(sim, "I8: attempt %s is sent to %s, and is not bound to it", text, worker);
}

/* I8: a worker is told to forget a result only when that is durable. */
void check_ack(struct sim *sim, const struct token *token)
{
    if (token->is_committed && !token->is_over)
        sim_fail(sim, "I8: the end of attempt %s is acknowledged and not committed", token->text);
}

/* I7: no process without a committed token. I2: one start per token, one process per task. */
void check_process(struct sim *sim, const struct token *token)
{
    if (!token->is_committed)
        sim_fail(sim, "I7: attempt %s starts, and no commit knows it", token->text);
    if (token->starts > 1)
        sim_fail(sim, "I2: attempt %s is started %d times", token->text, token->starts);
    for (size_t i = 0; i < sim->worker_count; i++)
        for (size_t k = 0; k < sim->workers[i].job_count; k++) {
            const struct job *job = &sim->workers[i].jobs[k];
            if ((job->state == JOB_RUNNING || job->state == JOB_STOPPING) && job->token != token &&
                job->token->run == token->run && job->token->task == token->task &&
                job->token->map_index == token->map_index)
                sim_fail(sim, "I2: attempts %s and %s of one task run at once", token->text,
                         job->token->text);
        }
}

static bool has_run(const struct sim *sim, const struct promise *promise)
{
    const struct stored_run *run = rows_run(&sim->rows, promise->row);

    return run != NULL && strcmp(run->row.dag_id, promise->dag_id) == 0 &&
           (promise->run_id == NULL || strcmp(run->row.run_id, promise->run_id) == 0);
}

static bool has_backfill(const struct sim *sim, int64_t id)
{
    for (size_t i = 0; i < sim->rows.backfill_count; i++)
        if (sim->rows.backfills[i].id == id)
            return true;
    return false;
}

static bool has_update(const struct sim *sim, int64_t id)
{
    for (size_t i = 0; i < sim->rows.asset_event_count; i++)
        if (sim->rows.asset_events[i].id == id)
            return true;
    return false;
}

/* A1: what was answered with success is there, now and after any crash. */
static void check_promise(struct sim *sim, const struct promise *promise)
{
    if (!promise->is_kept)
        return;
    if (promise->kind == PROMISE_RUN && !has_run(sim, promise))
        sim_fail(sim, "A1: run %lld of %s was acknowledged and is not there",
                 (long long)promise->row, promise->dag_id);
    if (promise->kind == PROMISE_ASSET && !has_update(sim, promise->row))
        sim_fail(sim, "A1: update %lld was acknowledged and is not there", (long long)promise->row);
    if (promise->kind == PROMISE_BACKFILL && !has_backfill(sim, promise->row))
        sim_fail(sim, "A1: backfill %lld was acknowledged and is not there",
                 (long long)promise->row);
}

void check_promises(struct sim *sim)
{
    for (size_t i = 0; i < sim->promise_count; i++)
        check_promise(sim, &sim->promises[i]);
}

void check_reply(struct sim *sim, const struct decision_reply *reply)
{
    for (size_t i = sim->promise_count; i-- > 0;) {
        struct promise *promise = &sim->promises[i];
        if (promise->request != reply->request)
            continue;
        promise->row = reply->row;
        promise->is_kept = reply->err == NULL;
        /* Before a commit the row can't be there: that shows at the next recovery. */
        if (!PLANTED(ACT_BEFORE_COMMIT))
            check_promise(sim, promise);
        return;
    }
}
